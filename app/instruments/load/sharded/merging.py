"""The samples of several workers as those of one, in the order in which the requests ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.samples.columns import SCHEMA
from app.samples.writing import part_of, read_part, warmup_file

GRAIN_S = 0.001  # two readings of a clock agree no better


@dataclass(frozen=True)
class Part:
    """The samples of one worker: a part file, which may end anywhere.

    ``measured_from_unix_s`` is the common start of the measurement by the worker's own clock, ``first_user``
    the number of its first user among all.
    """

    file: Path
    worker: int
    measured_from_unix_s: float
    first_user: int

    def late_s(self) -> float:
        """How long after the common start it began to measure; 0 where it left nothing."""
        if not part_of(self.file).exists():
            return 0.0
        with pa.OSFile(str(part_of(self.file)), "rb") as file:
            try:
                about = pa.ipc.open_stream(file).schema.metadata or {}
            except (pa.ArrowInvalid, EOFError):  # killed before the first byte was on disk
                return 0.0
        late_s = float(about[b"started_unix_s"]) - self.measured_from_unix_s
        return late_s if late_s > GRAIN_S else 0.0

    def rows(self) -> int:
        """How many samples it left."""
        return sum(batch.num_rows for batch in self._read())

    def of_warmup(self) -> Part:
        """The same of the warm-up."""
        return replace(self, file=warmup_file(self.file))

    def _read(self) -> Iterator[pa.RecordBatch]:
        return read_part(part_of(self.file)) if part_of(self.file).exists() else iter(())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its samples, with ``start_s`` from the common start, and users and worker as among all."""
        late_s = self.late_s()
        for batch in self._read():
            replaced = {
                "start_s": pc.add(batch.column("start_s"), late_s),
                "user": pc.add(batch.column("user"), pa.scalar(self.first_user, pa.uint32())),
                "worker": pa.array(np.full(batch.num_rows, self.worker, np.uint16)),
            }
            columns = [replaced.get(name, batch.column(name)) for name in SCHEMA.names]
            yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def merged(parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    """The samples of all ``parts`` in the order in which the requests ended; memory is a batch a worker."""
    heads = [_Head(part.batches()) for part in parts]
    while heads := [head for head in heads if head.filled()]:
        # Nothing that is still to be read ended before the earliest of the last ones read.
        until_s = min(float(head.ends_s[-1]) for head in heads)
        ready = pa.Table.from_batches([head.take(until_s) for head in heads], SCHEMA)
        ready = ready.unify_dictionaries().combine_chunks()
        order = np.argsort(_ends_s(ready), kind="stable")
        yield from ready.take(pa.array(order)).combine_chunks().to_batches()


class _Head:
    """What was read of one worker and not yet given out, by end."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rows = pa.RecordBatch.from_pylist([], SCHEMA)
        self.ends_s: NDArray[Any] = np.empty(0)

    def filled(self) -> bool:
        """Read on where everything was given out; False at the end."""
        while not self._rows.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._rows = batch.take(pa.array(np.argsort(_ends_s(batch), kind="stable")))
            self.ends_s = _ends_s(self._rows)
        return True

    def take(self, until_s: float) -> pa.RecordBatch:
        """Give out what ended at ``until_s`` or before."""
        count = int(np.searchsorted(self.ends_s, until_s, side="right"))
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        self.ends_s = self.ends_s[count:]
        return taken


def _ends_s(rows: pa.RecordBatch | pa.Table) -> NDArray[Any]:
    start_s, latency_ms = (rows.column(name).to_numpy() for name in ("start_s", "latency_ms"))
    return np.asarray(start_s + latency_ms / 1000)
