"""From a sample file to the few hundred numbers that a chart needs. Pure; memory is 13 bytes a request.

A percentile is a measured value, never one between two: of ``n`` ordered values the one at position
``ceil(q * (n - 1))``, as the figures of a scenario have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.samples.reading import Columns, SampleFile

Numbers = NDArray[np.float64]
MOST_BUCKETS, FEWEST_BUCKETS = 80, 8
ENOUGH_ANSWERS = 40  # in a bucket, for its p95 to be one of several values; fewer where buckets run out
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
BINS_PER_DECADE = 12
LOWEST_DECADE, HIGHEST_DECADE = -2, 7  # 0.01 ms to almost three hours
_BINS = (HIGHEST_DECADE - LOWEST_DECADE) * BINS_PER_DECADE
_EDGES_MS = 10.0 ** (LOWEST_DECADE + np.arange(_BINS + 1) / BINS_PER_DECADE)
HIT, MISS, UNMARKED = 1, 0, -1  # as app.samples.reading gives ``cached``


@dataclass(frozen=True, slots=True)
class OverTime:
    """A scenario in buckets of ``step_s``; ``at_s`` is the middle of each.

    Latencies are of the answered requests that began (in the open model: were due) in a bucket, NaN where
    there is none. Answers and failures count where they ended. ``worst_ms`` is the longest latency.
    """

    step_s: float
    span_s: float
    at_s: Numbers
    p50_ms: Numbers
    p95_ms: Numbers
    p99_ms: Numbers
    max_ms: Numbers
    answered_per_s: Numbers
    failed_per_s: Numbers
    mean_per_s: float
    failed: int
    worst_ms: float | None
    worst_at_s: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """Values of one kind: how many, and in each bin of their Spread as a share of ``Spread.out_of``."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float
    shares: Numbers


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread over bins that widen evenly: ``edges_ms`` has one more entry than a group has."""

    edges_ms: Numbers
    groups: tuple[Group, ...]
    out_of: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a scenario's samples say. The last two are None where nothing was streamed."""

    requests: int
    over_time: OverTime
    latency: Spread
    first_token: Spread | None = None
    gaps: Spread | None = None


def aggregate(file: SampleFile) -> Aggregate | None:
    """Read a sample file once (twice where it has streams); None for an empty one. Raises SamplesError."""
    names = ("start_s", "latency_ms", "failure", "cached", "first_token_ms")
    pieces = [_small(piece) for piece in file.batches(*names)]
    if not pieces or not sum(len(piece["start_s"]) for piece in pieces):
        return None
    rows = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    requests = len(rows["start_s"])
    answered, cached = rows["answered"], rows["cached"]
    kinds = [("Hits", HIT), ("Misses", MISS), ("Not marked", UNMARKED)]
    marked = bool(np.any(cached[answered] != UNMARKED))
    if not marked:
        kinds = [("Answers", UNMARKED)]
    parts = [(name, rows["latency_ms"][answered & (cached == mark)]) for name, mark in kinds]
    first = rows["first_token_ms"]
    streamed = answered & ~np.isnan(first)
    tokens = None
    if np.any(streamed):
        shown = [(name, first[streamed & (cached == mark)]) for name, mark in kinds]
        tokens = spread(shown, int(np.sum(streamed)))
    return Aggregate(
        requests,
        over_time(rows["start_s"], rows["latency_ms"], answered),
        spread(parts, requests),
        tokens,
        _gaps(file) if tokens else None,
    )


def _small(piece: Columns) -> dict[str, NDArray[Any]]:
    """A batch with what is kept of each request."""
    return {
        "start_s": piece["start_s"].astype(np.float32),
        "latency_ms": piece["latency_ms"].astype(np.float32),
        "first_token_ms": piece["first_token_ms"].astype(np.float32),
        "cached": piece["cached"].astype(np.int8),
        "answered": piece["failure"] == "",
    }


def over_time(start_s: NDArray[Any], latency_ms: NDArray[Any], answered: NDArray[np.bool_]) -> OverTime:
    """The requests (at least one) in buckets, narrow ones where there are many answers."""
    end_s = start_s + latency_ms / 1000
    span = max(float(end_s.max()), STEPS_S[0])
    step = bucket_width_s(span, int(answered.sum()))
    count = max(1, round(span / step))
    widths = np.full(count, step)
    widths[-1] = span - step * (count - 1)  # the last takes what is left, and is half to one and a half wide

    def bucket(at: NDArray[Any]) -> NDArray[np.int64]:
        return np.clip((at / step).astype(np.int64), 0, count - 1)

    def per_s(kept: NDArray[np.bool_]) -> Numbers:
        rates: Numbers = np.bincount(bucket(end_s[kept]), minlength=count) / widths
        return rates

    began, took = bucket(start_s[answered]), latency_ms[answered]
    order = np.lexsort((took, began))
    p50, p95, p99, longest = _percentiles(began[order], took[order], count)
    worst = int(np.argmax(took)) if len(took) else None
    return OverTime(
        step_s=step,
        span_s=span,
        at_s=np.cumsum(widths) - widths / 2,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=longest,
        answered_per_s=per_s(answered),
        failed_per_s=per_s(~answered),
        mean_per_s=float(answered.sum()) / span,
        failed=int(np.sum(~answered)),
        worst_ms=None if worst is None else float(took[worst]),
        worst_at_s=None if worst is None else float(start_s[answered][worst]),
    )


def bucket_width_s(span_s: float, answers: int) -> float:
    """The narrowest round width with at most MOST_BUCKETS, and ENOUGH_ANSWERS in each on average."""
    for step in STEPS_S:
        buckets = span_s / step
        if buckets > MOST_BUCKETS:
            continue
        wider = STEPS_S[min(STEPS_S.index(step) + 1, len(STEPS_S) - 1)]
        if answers / max(1.0, buckets) >= ENOUGH_ANSWERS or span_s / wider < FEWEST_BUCKETS:
            return float(step)
    return float(STEPS_S[-1] * math.ceil(span_s / STEPS_S[-1] / MOST_BUCKETS))


def _percentiles(bucket: NDArray[np.int64], values: NDArray[Any], count: int) -> list[Numbers]:
    """p50, p95, p99 and the largest of each bucket; both arrays are ordered by bucket, then value."""
    sizes = np.bincount(bucket, minlength=count)
    starts = np.cumsum(sizes) - sizes
    filled = sizes > 0
    found = []
    for share in (0.5, 0.95, 0.99, 1.0):
        rank = np.ceil(share * (sizes - 1)).astype(np.int64)
        line = np.full(count, np.nan)
        line[filled] = values[(starts + rank)[filled]]
        found.append(line)
    return found


def spread(parts: Iterable[tuple[str, NDArray[Any]]], out_of: int) -> Spread:
    """Named values over the bins that they need, as shares of ``out_of``; empty ones are left out."""
    kept = [(name, values) for name, values in parts if len(values)]
    counts = [np.bincount(_bin(values), minlength=_BINS) for _, values in kept]
    used = np.flatnonzero(np.sum(counts, axis=0)) if counts else np.arange(0)
    if not len(used):
        return Spread(_EDGES_MS[:0], (), out_of)
    low, high = max(int(used[0]) - 1, 0), min(int(used[-1]) + 2, _BINS)
    groups = tuple(
        Group(name, len(values), *_p50_p95(values), count[low:high] / out_of)
        for (name, values), count in zip(kept, counts, strict=True)
    )
    return Spread(_EDGES_MS[low : high + 1], groups, out_of)


def _gaps(file: SampleFile) -> Spread | None:
    """The gaps between the texts of each stream, all pooled."""
    kept: list[NDArray[Any]] = []
    for batch in file.batches("chunk_ms"):
        times = [row for row in batch["chunk_ms"] if row is not None and len(row) > 1]
        if times:
            kept.append(np.diff(np.concatenate(times))[_inside(times)].astype(np.float32))
    if not kept:
        return None
    values = np.maximum(np.concatenate(kept), 0)
    return spread([("Gaps", values)], len(values))


def _inside(times: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Which differences of the joined arrays lie inside one of them."""
    ends = np.cumsum([len(row) for row in times])
    inside = np.ones(int(ends[-1]) - 1, dtype=bool)
    inside[ends[:-1] - 1] = False
    return inside


def _bin(values: NDArray[Any]) -> NDArray[np.int64]:
    decades = np.log10(np.maximum(values, 10.0**LOWEST_DECADE)) - LOWEST_DECADE
    bins: NDArray[np.int64] = np.clip((decades * BINS_PER_DECADE).astype(np.int64), 0, _BINS - 1)
    return bins


def _p50_p95(values: NDArray[Any]) -> tuple[float, float]:
    ranks = [math.ceil(share * (len(values) - 1)) for share in (0.5, 0.95)]
    ordered = np.partition(values, ranks)
    return float(ordered[ranks[0]]), float(ordered[ranks[1]])
