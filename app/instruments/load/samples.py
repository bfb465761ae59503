"""Every request of a scenario, exactly: packed into memory as it ends, on disk a second later.

Memory holds one second of requests, whatever the duration.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.samples.columns import SCHEMA
from checks.contract import FailureKind

CHUNK_ROWS = 16_384
ROW = np.dtype(
    [
        ("start_s", "<f8"),
        ("dispatch_ms", "<f8"),
        ("latency_ms", "<f8"),
        ("first_byte_ms", "<f8"),
        ("first_event_ms", "<f8"),
        ("first_token_ms", "<f8"),
        ("first_answer_ms", "<f8"),
        ("bytes", "<u8"),
        ("tokens", "<u4"),
        ("user", "<u4"),
        ("status", "<u2"),
        ("failure", "u1"),
        ("cached", "u1"),
    ]
)
PACK_INTO = struct.Struct("<dddddddQIIHBB").pack_into
ROW_BYTES = ROW.itemsize
CHUNK_BYTES = ROW_BYTES * CHUNK_ROWS
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


@dataclass(frozen=True)
class Taken:
    """Requests in the order in which they ended; ``chunk_ms`` has the times of each one's text events."""

    rows: Rows
    chunk_ms: pa.ListArray | None

    def batch(self, started_unix_s: float, worker: int = 0) -> pa.RecordBatch:
        """The same as a batch of a sample file (app.samples.columns)."""
        rows, count = self.rows, len(self.rows)
        failed = rows["failure"] > 0
        kinds = _column(pa.int8(), np.where(failed, rows["failure"].astype(np.int8) - 1, 0), failed)
        columns = {
            name: _column(SCHEMA.field(name).type, rows[name])
            for name in ("start_s", "dispatch_ms", "latency_ms", "bytes", "user")
        }
        for name in ("first_byte_ms", "first_event_ms", "first_token_ms", "first_answer_ms"):
            columns[name] = _column(pa.float64(), rows[name], ~np.isnan(rows[name]))
        columns |= {
            "start_unix_s": _column(pa.float64(), rows["start_s"] + started_unix_s),
            "tokens": _column(pa.uint32(), rows["tokens"], ~np.isnan(rows["first_token_ms"])),
            "chunk_ms": self.chunk_ms or pa.nulls(count, pa.list_(pa.float32())),
            "worker": _column(pa.uint16(), np.full(count, worker, np.uint16)),
            "status": _column(pa.uint16(), rows["status"], rows["status"] > 0),
            "failure": pa.DictionaryArray.from_arrays(kinds, _texts(FAILURE_KINDS)),
            "cached": _bits(rows["cached"] == Cached.YES, rows["cached"] <= Cached.YES),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _column(kind: pa.DataType, values: NDArray[Any], there: NDArray[np.bool_] | None = None) -> pa.Array:
    """An Arrow array of ``values``, null where they are not ``there``.

    Of buffers, since ``pa.array`` imports pandas at its first NumPy array: half a second amid a load.
    """
    valid = None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def _texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def _bits(values: NDArray[np.bool_], there: NDArray[np.bool_]) -> pa.Array:
    buffers = [pa.py_buffer(np.packbits(bits, bitorder="little")) for bits in (there, values)]
    return pa.Array.from_buffers(pa.bool_(), len(values), buffers)


class Samples:
    """Takes rows one at a time and gives them out in pieces. A row costs one pack into memory."""

    __slots__ = ("_chunk", "_full", "_offset", "_text_ends", "_text_times")

    def __init__(self) -> None:
        self._full: list[bytearray] = []
        self._chunk = bytearray(CHUNK_BYTES)
        self._offset = 0
        self._text_times = array("f")
        self._text_ends = array("i")

    @property
    def waiting(self) -> int:
        """How many rows are here and not taken yet."""
        return len(self._full) * CHUNK_ROWS + self._offset // ROW_BYTES

    def add(self, *values: float) -> None:
        """Keep one request: the fields of ROW in their order; NOTHING stands for no time."""
        if self._offset == CHUNK_BYTES:
            self._full.append(self._chunk)
            self._chunk = bytearray(CHUNK_BYTES)
            self._offset = 0
        PACK_INTO(self._chunk, self._offset, *values)
        self._offset += ROW_BYTES

    def add_text_times(self, times_ms: list[float]) -> None:
        """The times of text events of the request that is added next; for every request, or for none."""
        self._text_times.extend(times_ms)
        self._text_ends.append(len(self._text_times))

    def take(self) -> Taken:
        """The rows since the last call, and forget them."""
        parts = [np.frombuffer(chunk, ROW) for chunk in self._full]
        parts.append(np.frombuffer(self._chunk, ROW, self._offset // ROW_BYTES).copy())
        rows = np.concatenate(parts) if self._full else parts[0]
        self._full, self._offset = [], 0
        return Taken(rows, self._take_text_times())

    def _take_text_times(self) -> pa.ListArray | None:
        if not self._text_ends:
            return None
        offsets = np.concatenate([np.zeros(1, np.int32), np.frombuffer(self._text_ends, np.int32)])
        times = _column(pa.float32(), np.frombuffer(self._text_times, np.float32))
        self._text_times, self._text_ends = array("f"), array("i")
        return pa.ListArray.from_arrays(_column(pa.int32(), offsets), times)
