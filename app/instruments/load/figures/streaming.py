"""The times of streams: first event, first token, gaps, time per token (defined in checks/contract/load)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.samples.reading import Columns, SampleFile
from app.statistics.quantiles import exact_percentiles
from checks.contract import Streaming

Floats = NDArray[np.float64]


def streaming(file: SampleFile, duration_s: float) -> Streaming | None:
    """The figures over streams that did not fail; None where there is none."""
    tokens = sum(int(np.nansum(piece)) for piece in _each(file, _tokens)())
    first_event = _percentiles(_each(file, _plain("first_event_ms")), (0.5,))
    if first_event[0] is None:
        return None
    first_token = _percentiles(_each(file, _plain("first_token_ms")), (0.5, 0.95, 0.99))
    gaps = _percentiles(_each(file, _gaps), (0.5, 0.95, 0.99))
    tpot = _percentiles(_each(file, _tpot), (0.5, 0.99))
    return Streaming(
        first_event_p50_ms=first_event[0],
        first_token_p50_ms=first_token[0],
        first_token_p95_ms=first_token[1],
        first_token_p99_ms=first_token[2],
        first_answer_p50_ms=_percentiles(_each(file, _plain("first_answer_ms")), (0.5,))[0],
        gap_p50_ms=gaps[0],
        gap_p95_ms=gaps[1],
        gap_p99_ms=gaps[2],
        tpot_p50_ms=tpot[0],
        tpot_p99_ms=tpot[1],
        normalised_p50_ms=_percentiles(_each(file, _normalised), (0.5,))[0],
        tokens=tokens,
        tokens_per_s=tokens / duration_s if duration_s else 0.0,
    )


_NAMES = (
    "failure",
    "latency_ms",
    "first_event_ms",
    "first_token_ms",
    "first_answer_ms",
    "tokens",
    "chunk_ms",
)


def _each(file: SampleFile, value: Callable[[Columns], Floats]) -> Callable[[], Iterator[Floats]]:
    """``value`` of the streams that did not fail, piece by piece, NaN left out."""

    def pieces() -> Iterator[Floats]:
        for batch in file.batches(*_NAMES):
            ok = batch["failure"] == ""
            values = value({name: column[ok] for name, column in batch.items()})
            yield values[~np.isnan(values)]

    return pieces


def _percentiles(pieces: Callable[[], Iterator[Floats]], shares: Sequence[float]) -> Sequence[float | None]:
    return (
        exact_percentiles(pieces, shares) if any(len(piece) for piece in pieces()) else [None] * len(shares)
    )


def _plain(name: str) -> Callable[[Columns], Floats]:
    return lambda batch: np.asarray(batch[name], np.float64)


def _tokens(batch: Columns) -> Floats:
    return np.asarray(batch["tokens"], np.float64)


def _gaps(batch: Columns) -> Floats:
    """Every gap by itself, of every stream."""
    gaps = [np.diff(times) for times in batch["chunk_ms"] if times is not None and len(times) > 1]
    return np.concatenate(gaps).astype(np.float64) if gaps else np.empty(0)


def _tpot(batch: Columns) -> Floats:
    """Time per output token after the first; none for a single token."""
    tokens = _tokens(batch)
    tokens[tokens <= 1] = np.nan
    return (batch["latency_ms"] - batch["first_token_ms"]) / (tokens - 1)


def _normalised(batch: Columns) -> Floats:
    tokens = _tokens(batch)
    tokens[tokens < 1] = np.nan
    return batch["latency_ms"] / tokens
