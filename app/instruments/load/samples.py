"""Every request of a scenario, exactly: packed into fixed-size chunks while it runs, Parquet afterwards."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks.contract import FailureKind

CHUNK_ROWS = 65_536
ROW = np.dtype(
    [
        ("start_s", "<f8"),
        ("latency_ms", "<f8"),
        ("first_byte_ms", "<f8"),
        ("first_token_ms", "<f8"),
        ("bytes", "<u4"),
        ("user", "<u4"),
        ("status", "<u2"),
        ("failure", "u1"),
        ("cached", "u1"),
    ]
)
_PACK = struct.Struct("<ddddIIHBB")
FAILURE_KINDS = tuple(FailureKind)
FAILURE_CODES: Mapping[FailureKind | None, int] = {None: 0} | {
    kind: number for number, kind in enumerate(FAILURE_KINDS, start=1)
}
NOTHING = float("nan")

Rows = NDArray[Any]


class Cached(IntEnum):
    """What the declared cache marker said of a reply."""

    NO = 0
    YES = 1
    NOT_FOUND = 2
    NOT_JUDGED = 3


class Samples:
    """Rows in the order in which the requests ended. A row costs one pack into memory that is there."""

    def __init__(self) -> None:
        self._chunks: list[bytearray] = []
        self._rows = 0
        self._offset = 0
        self._full = 0

    def __len__(self) -> int:
        return self._rows

    def add(
        self,
        *,
        start_s: float,
        latency_ms: float,
        first_byte_ms: float,
        first_token_ms: float,
        received_bytes: int,
        user: int,
        status: int,
        failure_code: int,
        cached: int,
    ) -> None:
        """Keep one request. ``start_s`` is from the start of the measurement; NOTHING stands for no time."""
        if self._offset == self._full:
            self._chunks.append(bytearray(ROW.itemsize * CHUNK_ROWS))
            self._offset, self._full = 0, len(self._chunks[-1])
        _PACK.pack_into(
            self._chunks[-1],
            self._offset,
            start_s,
            latency_ms,
            first_byte_ms,
            first_token_ms,
            received_bytes,
            user,
            status,
            failure_code,
            cached,
        )
        self._offset += ROW.itemsize
        self._rows += 1

    def rows(self, since: int = 0) -> Rows:
        """The rows from number ``since`` on, as a structured array of its own."""
        first, skipped = divmod(since, CHUNK_ROWS)
        parts = []
        for number in range(first, len(self._chunks)):
            count = min(CHUNK_ROWS, self._rows - number * CHUNK_ROWS)
            parts.append(np.frombuffer(self._chunks[number], ROW, count))
        if not parts:
            return np.empty(0, ROW)
        parts[0] = parts[0][skipped:]
        return np.concatenate(parts)

    def write(self, path: Path, about: Mapping[str, str]) -> None:
        """Write Parquet, a row group a chunk, with ``about`` as the file's metadata; the file appears whole.

        Columns as in ROW; ``status``, ``failure``, ``cached``, ``first_byte_ms`` and ``first_token_ms`` are
        null where there is nothing. A row without ``failure`` is an answered request. Raises OSError.
        """
        import pyarrow as pa  # noqa: PLC0415 - slow to import, and not needed while the load runs
        import pyarrow.parquet as pq  # noqa: PLC0415

        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        schema = _columns(self.rows(self._rows)).schema.with_metadata(dict(about))
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for start in range(0, self._rows, CHUNK_ROWS):
                part = self.rows(start)[:CHUNK_ROWS]
                writer.write_table(pa.Table.from_batches([_columns(part).cast(schema)]))
        unfinished.replace(path)


def _columns(rows: Rows) -> Any:
    """A pyarrow RecordBatch of ``rows``, codes written out."""
    import pyarrow as pa  # noqa: PLC0415

    names = pa.array([str(kind) for kind in FAILURE_KINDS])
    failed = rows["failure"] > 0
    kinds = pa.array(np.where(failed, rows["failure"].astype("i1") - 1, 0), mask=~failed)
    columns = {
        "start_s": pa.array(rows["start_s"]),
        "latency_ms": pa.array(rows["latency_ms"]),
        "first_byte_ms": pa.array(rows["first_byte_ms"], mask=np.isnan(rows["first_byte_ms"])),
        "first_token_ms": pa.array(rows["first_token_ms"], mask=np.isnan(rows["first_token_ms"])),
        "bytes": pa.array(rows["bytes"]),
        "user": pa.array(rows["user"]),
        "status": pa.array(rows["status"], mask=rows["status"] == 0),
        "failure": pa.DictionaryArray.from_arrays(kinds, names),
        "cached": pa.array(rows["cached"] == Cached.YES, mask=rows["cached"] > Cached.YES),
    }
    return pa.RecordBatch.from_pydict(columns)
