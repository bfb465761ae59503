"""Row groups, which is what memory holds while a file is written or read."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pyarrow.parquet as pq

from app.instruments.load.recording import Recording
from app.instruments.load.samples import Cached
from app.samples.columns import ROW_GROUP_BYTES

EVENTS = 50_000


def test_streams_of_many_events_fill_a_row_group_before_its_rows_are_full(tmp_path: Path):
    """65,536 streams of 500 events are 131 MB of times; a hostile stream has a hundred thousand."""
    recording = Recording(tmp_path / "streams.parquet", {}, measured_from=perf_counter())
    for number in range(200):
        recording.samples.add_text_times([float(number)] * EVENTS)
        recording.samples.add(0, 0, 1, 1, 1, 1, 1, 1, EVENTS, 0, 200, 0, Cached.NO)
        recording.flush()
    recording.finish({})
    file = pq.ParquetFile(tmp_path / "streams.parquet")
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sum(groups) == 200
    assert max(groups) * EVENTS * 4 <= ROW_GROUP_BYTES + EVENTS * 4
    chunk_ms = file.read(["chunk_ms"])["chunk_ms"]
    assert [(times[0].as_py(), len(times)) for times in chunk_ms] == [(n, EVENTS) for n in range(200)]
