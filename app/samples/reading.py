"""Reads sample files, whole ones and those of a scenario that was killed, as NumPy columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.errors import UserError
from app.samples.columns import ROW_GROUP_ROWS
from app.samples.writing import parts_there, read_part

Columns = Mapping[str, NDArray[Any]]


class SamplesError(UserError):
    """A sample file cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True)
class SampleFile:
    """The samples of one scenario. ``partial`` where it was killed before its end: they are in ``parts``.

    Columns come as NumPy arrays: numbers with NaN where there is nothing, ``failure`` as text ("" for an
    answered request), ``cached`` as 1, 0 or -1 (could not be read).
    """

    path: Path
    about: Mapping[str, str]
    partial: bool
    parts: tuple[Path, ...] = ()

    def batches(self, *names: str) -> Iterator[Columns]:
        """The columns named, piece by piece, so that memory stays bounded. Raises SamplesError."""
        try:
            for batch in _batches(self, names):
                yield {name: _numpy(name, batch.column(name)) for name in names}
        except (OSError, pa.ArrowException, KeyError) as error:
            raise _unreadable(self.path, error) from error

    def columns(self, *names: str) -> Columns:
        """The columns named, whole. Raises SamplesError."""
        pieces = list(self.batches(*names))
        return {
            name: np.concatenate([piece[name] for piece in pieces]) if pieces else np.empty(0)
            for name in names
        }


def open_samples(path: Path) -> SampleFile:
    """The samples at ``path``, or what is there of them. Raises SamplesError where there is nothing."""
    parts = () if path.exists() else tuple(parts_there(path))
    try:
        schema = _schema_of(parts) if parts else pq.read_schema(path)
    except (OSError, pa.ArrowException, EOFError) as error:
        raise _unreadable(path, error) from error
    about = {key.decode(): value.decode("utf-8", "replace") for key, value in (schema.metadata or {}).items()}
    return SampleFile(parts[0] if parts else path, about, bool(parts), parts)


def _schema_of(parts: Sequence[Path]) -> pa.Schema:
    """That of the first part that has one; a worker may have been killed before it wrote a byte."""
    for part in parts:
        with pa.OSFile(str(part), "rb") as file, suppress(pa.ArrowInvalid, EOFError):
            return pa.ipc.open_stream(file).schema
    raise EOFError("its workers were killed before they wrote anything")


def _batches(samples: SampleFile, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for part in samples.parts:
        yield from read_part(part)
    if samples.partial:
        return
    with pq.ParquetFile(samples.path) as file:
        for group in range(file.num_row_groups):  # one iterator over all of them keeps what it has read
            # Threads would each keep memory of their own.
            wanted = {"row_groups": [group], "columns": list(names), "use_threads": False}
            yield from file.iter_batches(ROW_GROUP_ROWS, **wanted)


def _numpy(name: str, column: pa.Array) -> NDArray[Any]:
    if name == "failure":
        names = np.array(["", *column.dictionary.to_pylist()], dtype="U16")
        return names[np.where(_there(column), _raw(column.indices) + 1, 0)]
    if name == "cached":
        bits = np.frombuffer(column.buffers()[1], np.uint8)
        values = np.unpackbits(bits, bitorder="little")[column.offset :][: len(column)]
        return np.where(_there(column), values.astype(np.int8), -1)
    if name == "chunk_ms":
        return _lists(column)
    values = _raw(column)
    return np.where(_there(column), values, np.nan) if column.null_count else values


def _raw(column: pa.Array) -> NDArray[Any]:
    """The values, whatever stands where there is none. By buffers: ``to_numpy`` imports pandas for a null."""
    kind = np.dtype(column.type.to_pandas_dtype())
    if not len(column):
        return np.empty(0, kind)
    values: NDArray[Any] = np.frombuffer(column.buffers()[1], kind)[column.offset :][: len(column)]
    return values


def _there(column: pa.Array) -> NDArray[np.bool_]:
    valid = column.buffers()[0]
    if valid is None:
        return np.ones(len(column), np.bool_)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    return bits[column.offset :][: len(column)].astype(np.bool_)


def _lists(column: pa.Array) -> NDArray[Any]:
    """An object array: a float array each, or None."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    values, there = _raw(column.values), _there(column)
    found = np.empty(len(column), object)
    for number in np.flatnonzero(there):
        found[number] = values[offsets[number] : offsets[number + 1]]
    return found


def _unreadable(path: Path, error: Exception) -> SamplesError:
    why = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
    return SamplesError(f"The samples {path} cannot be read: {why}. Run the scenario again.")
