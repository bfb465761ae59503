"""Samples, percentiles and validity: exact, and the same on disk."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.load.samples import CHUNK_ROWS, FAILURE_CODES, NOTHING, Cached, Samples
from app.instruments.load.selfwatch import SelfReport
from app.instruments.load.summary import percentile, summarize
from checks.contract import FailureKind
from tests.instruments.load.loads import a_plan, a_target, answers, load
from tests.instruments.servers import scripted

CALM = SelfReport(lag_p99_ms=0.1, cpu_ratio=0.1, slowest_callback_ms=0.0)
CODES = st.sampled_from([0, 0, 0, *FAILURE_CODES.values()])
TIMES = st.floats(0, 1e6, allow_nan=False)
ROWS = st.lists(st.tuples(TIMES, CODES, st.sampled_from(list(Cached)), st.booleans()), max_size=300)


def filled(rows):
    samples = Samples()
    for number, (latency_ms, code, cached, streamed) in enumerate(rows):
        samples.add(
            start_s=number / 10,
            latency_ms=latency_ms,
            first_byte_ms=latency_ms / 2 if code == 0 else NOTHING,
            first_token_ms=latency_ms / 3 if streamed else NOTHING,
            received_bytes=100,
            user=number % 7,
            status=200 if code == 0 else 0,
            failure_code=code,
            cached=cached,
        )
    return samples


@given(ROWS)
def test_the_figures_are_numpys_over_the_answered_requests(rows):
    summary = summarize(a_plan(), filled(rows).rows(), 10.0, {}, CALM)
    latencies = [latency_ms for latency_ms, code, _, _ in rows if code == 0]
    tokens = [latency_ms / 3 for latency_ms, code, _, streamed in rows if code == 0 and streamed]
    assert summary.total_requests == len(rows)
    assert summary.successful == len(latencies)
    assert summary.failed == sum(summary.failures.values()) == len(rows) - len(latencies)
    assert summary.received_bytes == 100 * len(rows)
    assert summary.requests_per_second == len(rows) / 10
    for q, value in ((50, summary.p50_ms), (90, summary.p90_ms), (95, summary.p95_ms), (99, summary.p99_ms)):
        assert value == (np.percentile(latencies, q, method="higher") if latencies else None)
        assert value is None or value in latencies
    assert summary.mean_ms == (np.mean(latencies) if latencies else None)
    assert (summary.min_ms, summary.max_ms) == (
        (min(latencies), max(latencies)) if latencies else (None, None)
    )
    assert summary.ttft_p99_ms == (np.percentile(tokens, 99, method="higher") if tokens else None)


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_a_parquet_file_has_the_same_requests(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("samples") / "tried.parquet"
    samples = filled(rows)
    samples.write(path, {"scenario": "tried"})
    table = pq.read_table(path)
    assert table.schema.metadata[b"scenario"] == b"tried"
    assert table.column_names == [
        "start_s", "latency_ms", "first_byte_ms", "first_token_ms",
        "bytes", "user", "status", "failure", "cached",
    ]  # fmt: skip
    names = {code: kind and str(kind) for kind, code in FAILURE_CODES.items()}
    assert table["latency_ms"].to_pylist() == [row[0] for row in rows]
    assert table["failure"].to_pylist() == [names[row[1]] for row in rows]
    assert table["status"].to_pylist() == [200 if row[1] == 0 else None for row in rows]
    words = {Cached.NO: False, Cached.YES: True}
    assert table["cached"].to_pylist() == [words.get(row[2]) for row in rows]
    assert table["first_token_ms"].to_pylist() == [row[0] / 3 if row[3] else None for row in rows]
    assert [file.name for file in path.parent.iterdir()] == ["tried.parquet"]


def test_many_samples_are_kept_in_row_groups_and_read_from_any_point(tmp_path):
    samples = filled((float(number), 0, Cached.NO, False) for number in range(CHUNK_ROWS * 2 + 10))
    assert len(samples) == CHUNK_ROWS * 2 + 10
    for since in (0, 5, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS * 2 + 9, len(samples)):
        rows = samples.rows(since)
        assert len(rows) == len(samples) - since
        assert list(rows["latency_ms"][:1]) == [float(since)][: len(rows)]
    samples.write(tmp_path / "new" / "many.parquet", {})
    file = pq.ParquetFile(tmp_path / "new" / "many.parquet")
    assert file.num_row_groups == 3
    assert file.read()["latency_ms"].to_pylist() == [float(number) for number in range(len(samples))]


def test_the_file_of_a_run_gives_the_percentiles_of_its_summary(tmp_path):
    async def main():
        async with scripted(answers()) as server:
            return await load(a_target(server.url), samples_file=tmp_path / "tried.parquet", users=5)

    summary = uvloop.run(main()).summary
    table = pq.read_table(tmp_path / "tried.parquet")
    latencies = table["latency_ms"].to_numpy()
    assert len(latencies) == summary.total_requests
    for q, value in ((50, summary.p50_ms), (95, summary.p95_ms), (99, summary.p99_ms)):
        assert percentile(latencies, q) == value
    assert table["first_byte_ms"].null_count == 0
    assert table["first_token_ms"].null_count == len(latencies)
    assert min(table["start_s"].to_pylist()) >= 0
    assert sum(table["bytes"].to_pylist()) == summary.received_bytes


@pytest.mark.parametrize(
    ("report", "samples", "median_ms", "validity", "words"),
    [
        (CALM, 100, 50.0, "valid", ""),
        (CALM, 100, None, "valid", ""),
        (SelfReport(20.0, 0.1, 0.0), 100, 1.0, "valid", ""),
        (SelfReport(90.0, 0.1, 0.0), 100, 300.0, "valid", ""),
        (SelfReport(30.0, 0.1, 0.0), 100, 20.0, "suspect", "late by 30 ms"),
        (SelfReport(300.0, 0.1, 0.0), 100, 200.0, "invalid", "late by 300 ms"),
        (SelfReport(300.0, 0.1, 250.0), 100, 200.0, "invalid", "reporting progress took up to 250 ms"),
        (SelfReport(0.1, 0.95, 0.0), 100, 50.0, "suspect", "95 % of a core"),
        (CALM, 19, 50.0, "suspect", "Only 19 requests"),
        (CALM, 29, 50.0, "suspect", "at least 30"),
    ],
)
def test_a_driver_that_was_the_bottleneck_says_so(report, samples, median_ms, validity, words):
    wanted = 30 if samples == 29 else 0
    judged, reasons = report.validity(samples, wanted, median_ms)
    assert judged == validity
    assert words in " ".join(reasons)
    assert bool(reasons) is (judged != "valid")


def test_every_kind_of_failure_has_a_code_of_its_own():
    assert len(set(FAILURE_CODES.values())) == len(FailureKind) + 1
