"""Writes samples: an Arrow stream that can be read after a crash, and Parquet once the scenario has ended."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.samples.columns import ROW_GROUP_BYTES, ROW_GROUP_ROWS, SCHEMA

PART = ".part"  # behind the name of a file whose scenario has not ended


def part_of(path: Path) -> Path:
    """Where the samples of ``path`` stand while its scenario runs, and after it was killed."""
    return path.with_name(path.name + PART)


def warmup_file(path: Path) -> Path:
    """Where the samples of the warm-up stand, beside those of the measurement at ``path``."""
    return path.with_name(f"{path.stem}.warmup{path.suffix}")


def worker_file(path: Path, number: int) -> Path:
    """Where the samples of one of several workers stand, until they are one file with the others'."""
    return path.with_name(f"{path.stem}.worker-{number + 1}{path.suffix}")


def parts_there(path: Path) -> list[Path]:
    """The parts of a scenario that did not come to its end: its own, or those of its workers."""
    if part_of(path).exists():
        return [part_of(path)]
    return sorted(path.parent.glob(f"{glob.escape(path.stem)}.worker-*{path.suffix}{PART}"))


class SampleWriter:
    """Appends batches of SCHEMA to ``path``'s part; ``finish`` makes the Parquet file of it.

    ``about`` (scenario, model, users ...) is the file's metadata. Raises OSError.
    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._about = dict(about)
        self._part = part_of(path)
        self._file = pa.OSFile(str(self._part), "wb")
        options = pa.ipc.IpcWriteOptions(compression="lz4", emit_dictionary_deltas=True, use_threads=False)
        self._writer = pa.ipc.new_stream(self._file, SCHEMA.with_metadata(self._about), options=options)

    def append(self, batch: pa.RecordBatch) -> None:
        """Write one batch; from then on a crash does not lose it."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Close the part and leave it, as after a crash."""
        self._writer.close()
        self._file.close()

    def finish(self, about: Mapping[str, str] | None = None) -> Path:
        """Turn the part into the Parquet file and remove it. ``about`` is added to its metadata."""
        self.close()
        write_parquet(self._path, read_part(self._part), self._about | dict(about or {}))
        self._part.unlink()
        pa.default_memory_pool().release_unused()  # what follows sums up, and needs its own
        return self._path


def read_part(part: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a part, which may end anywhere. Raises OSError."""
    with pa.OSFile(str(part), "rb") as file:
        try:
            # Threads would each keep memory of their own.
            options = pa.ipc.IpcReadOptions(use_threads=False)
            yield from pa.ipc.open_stream(file, options=options)
        except (pa.ArrowInvalid, OSError):  # cut off where its writer was killed
            return


def write_parquet(path: Path, batches: Iterable[pa.RecordBatch], about: Mapping[str, str]) -> None:
    """Write ``batches`` as Parquet with full row groups; the file appears whole. Memory is one row group."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    writer: pq.ParquetWriter | None = None
    kept: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    try:
        for batch in batches:
            if writer is None:
                known = {key.decode(): value.decode() for key, value in (batch.schema.metadata or {}).items()}
                schema = SCHEMA.with_metadata(known | dict(about))
                writer = _writer(unfinished, schema)
            kept.append(batch)
            rows += batch.num_rows
            size_bytes += batch.nbytes
            if rows >= ROW_GROUP_ROWS or size_bytes >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(kept).unify_dictionaries().combine_chunks())
                kept, rows, size_bytes = [], 0, 0
        if writer is None:
            writer = _writer(unfinished, SCHEMA.with_metadata(dict(about)))
        if kept:
            writer.write_table(pa.Table.from_batches(kept).unify_dictionaries().combine_chunks())
    finally:
        if writer is not None:
            writer.close()
    unfinished.replace(path)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Only what repeats is worth a dictionary; one for each column of times costs 20 MB meanwhile."""
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["failure"])
