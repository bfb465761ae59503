"""The part of a scenario after it settled, found on its samples.

*Warm-up* is cut off by MSER-5 (White 1997; Franklin and White 2008): of all points to cut at in the first
half, the one after which the mean is known best, that is where ``sum((y - mean)^2) / m^2`` over the ``m``
batches left is least. A batch is an equal stretch of time that holds five requests on average (more in a long
run), its value the mean of their log latency, so that one slow request near the middle does not move the cut.
Where the best cut is the last allowed, the run was still settling: it never settled, and the second half is
taken.

*Drift* is the Theil-Sen slope of the medians of twenty equal stretches of what is left, widened for
autocorrelation (``trends``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from app.statistics.batches import Floats, window_of
from app.statistics.intervals import Source
from app.statistics.quantiles import count_of, exact_percentiles
from app.statistics.shifts import SHORTEST_MS
from app.statistics.trends import line_through
from checks.contract.load import Steady

FEWEST = 100  # answers, below which a warm-up is not told from chance
PER_BATCH = 5
MOST_BATCHES = 2_000
STRETCHES = 20
LOOKED_AT = 100_000  # answers that the cut and the drift are found on; of more, as many evenly spaced ones


def steady_state(source: Source) -> Steady | None:
    """Find the steady part of (start in s, latency in ms) samples of answered requests; None below a hundred.

    The figures are exact, over every sample from the cut on. Reads the samples up to eight times, in any
    order; memory stays bounded. NaN is no sample.
    """
    count = count_of(lambda: (values for _, values in source()))
    if count < FEWEST:
        return None
    times, values = _evenly_spaced(source, -(-count // LOOKED_AT))
    found, from_s = settled_at(times, values)
    drift_ratio, drifts = _drift(times[times >= from_s], values[times >= from_s])

    def after() -> Iterator[Floats]:
        return (piece[start >= from_s] for start, piece in source())

    p50_ms, p95_ms, p99_ms = exact_percentiles(after, (0.5, 0.95, 0.99))
    requests = count_of(after)
    mean_ms = sum(float(np.nansum(piece)) for piece in after()) / requests
    return Steady(found, from_s, requests, mean_ms, p50_ms, p95_ms, p99_ms, drift_ratio, drifts)


def settled_at(times: Floats, values: Floats) -> tuple[bool, float]:
    """Whether latencies ``values`` at ``times`` settle, and from when, in the unit of ``times``.

    From the first request where nothing is to be cut off; from the middle of the time where it never settled.
    """
    start, end = float(times.min()), float(times.max())
    batches = min(max(len(times) // PER_BATCH, 2), MOST_BATCHES)
    which = window_of(times, start, end, batches)
    counts = np.bincount(which, minlength=batches)
    logs = np.log(np.maximum(values, SHORTEST_MS))
    used = np.flatnonzero(counts)
    means = np.bincount(which, weights=logs, minlength=batches)[used] / counts[used]
    left = np.arange(len(means), 0, -1)
    sums, squares = (np.cumsum(column[::-1])[::-1] for column in (means, means**2))
    mser = (squares - sums**2 / left) / left**2
    allowed = np.flatnonzero(used <= batches // 2)
    cut = int(np.argmin(mser[allowed]))
    if cut == 0:
        return True, start
    if cut == allowed[-1]:
        return False, (start + end) / 2
    return True, start + (end - start) * float(used[cut]) / batches


def _evenly_spaced(source: Source, step: int) -> tuple[Floats, Floats]:
    """Every ``step``-th sample, in the order of time."""
    kept: list[tuple[Floats, Floats]] = []
    seen = 0
    for times, values in source():
        there = np.flatnonzero(~np.isnan(values))
        taken = there[-seen % step :: step]
        kept.append((times[taken], values[taken]))
        seen += len(there)
    times, values = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.argsort(times, kind="stable")
    return times[order], values[order]


def _drift(times: Floats, values: Floats) -> tuple[float, bool]:
    """How much the median changed from start to end (0.1: a tenth more), and whether by more than chance."""
    start, end = float(times.min()), float(times.max())
    which = window_of(times, start, end, STRETCHES)
    used = np.unique(which)
    if len(used) < STRETCHES // 2:
        return 0.0, False
    medians = np.array([np.log(max(np.median(values[which == stretch]), SHORTEST_MS)) for stretch in used])
    line = line_through(used.astype(np.float64), medians)
    return math.expm1(line.slope * (STRETCHES - 1)), line.rises_or_falls
