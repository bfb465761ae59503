"""Intervals of means and percentiles that hold for samples that are alike where they are near in time.

Requests of one load are not independent: a slow second slows all of them. Batch means (``batches``) tell how
many independent samples they are worth, and the interval is that of so many: for a percentile the order
statistics whose ranks the binomial distribution gives (Conover 1999, 3.2; no distribution assumed), for a
mean Student's t. Where samples are independent this is the plain order-statistic interval.

There is no interval where there are too few samples: an order statistic above the percentile must exist with
the confidence asked, so at 95 % 72 are needed for p95, 368 for p99 and 3,688 for p99.9 - of independent
samples, so of more where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from app.statistics.batches import WINDOWS, Floats, MeanSpread, mean_spread, window_of
from app.statistics.quantiles import Floats as Values
from app.statistics.quantiles import index_of, values_at

Interval = tuple[float, float]
Source = Callable[[], Iterable[tuple[Floats, Values]]]  # (times in s, values), the same again at every call
FEWEST_FOR_A_MEAN = 30


@dataclass(frozen=True, slots=True)
class PercentileInterval:
    """A percentile, its interval where there is one, and how many independent samples it rests on."""

    share: float
    value: float
    interval: Interval | None
    effective: int


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean, its interval where there is one, and how many independent samples it rests on."""

    value: float
    interval: Interval | None
    effective: int


@dataclass(frozen=True, slots=True)
class _Extent:
    count: int
    start: float
    end: float


def fewest_for(share: float, level: float = 0.95) -> int:
    """How many independent samples the interval of a percentile needs: 72 for p95, 368 for p99."""
    worst = max(share, 1 - share)
    return math.ceil(math.log((1 - level) / 2) / math.log(worst))


def percentile_intervals(
    source: Source, shares: Sequence[float], level: float = 0.95
) -> list[PercentileInterval] | None:
    """The exact percentiles at ``shares`` with their intervals; None without a sample.

    Reads the samples up to twelve times, in any order; memory stays bounded. NaN is no sample. Times are in
    one unit, whichever.
    """
    extent = _extent(source)
    if extent.count == 0:
        return None

    def values() -> Iterator[Values]:
        return (piece for _, piece in source())

    found = values_at(values, [index_of(share, extent.count) for share in shares], extent.count)
    sizes = [
        effective_size(spread, extent.count, level)
        for spread in _spreads(source, extent, [_below(value) for value in found])
    ]
    ends = [
        order_statistics(share, size, extent.count, level) for share, size in zip(shares, sizes, strict=True)
    ]
    wanted = [index for pair in ends if pair for index in pair]
    ordered = iter(values_at(values, wanted, extent.count) if wanted else ())
    return [
        PercentileInterval(share, value, (next(ordered), next(ordered)) if pair else None, size)
        for share, value, pair, size in zip(shares, found, ends, sizes, strict=True)
    ]


def mean_interval(source: Source, level: float = 0.95) -> MeanInterval | None:
    """The mean with its interval (Student's t on the batch means); None without a sample.

    No interval below thirty samples, or independent samples worth thirty.
    """
    extent = _extent(source)
    if extent.count == 0:
        return None
    (spread,) = _spreads(source, extent, [lambda values: values])
    size = effective_size(spread, extent.count, level)
    if size < FEWEST_FOR_A_MEAN:
        return MeanInterval(spread.mean, None, size)
    half = _t(spread.degrees, level) * math.sqrt(spread.variance)
    return MeanInterval(spread.mean, (spread.mean - half, spread.mean + half), size)


def effective_size(spread: MeanSpread, count: int, level: float) -> int:
    """How many independent samples the ``count`` are worth for the mean in ``spread``.

    Where batch means show them alike, the variance's own uncertainty (few windows) counts too: the size falls
    by the square of normal quantile over Student's t.
    """
    if spread.inflation <= 1:
        return count
    caution = (normal_quantile(level) / _t(spread.degrees, level)) ** 2
    return math.floor(count * caution / spread.inflation)


def order_statistics(share: float, effective: int, count: int, level: float) -> tuple[int, int] | None:
    """The indices, from 0 among ``count`` sorted samples, between which the percentile lies at ``level``.

    Of ``effective`` independent samples the ranks ``l`` and ``u`` with P(B < l) <= a/2 and P(B >= u) <= a/2,
    B binomial; they are spread over the ``count`` samples outwards. None where there is no such rank.
    """
    if effective < fewest_for(share, level):
        return None
    from scipy.special import bdtrik  # noqa: PLC0415 - SciPy loads slowly, and the dashboard reaches this

    tail = (1 - level) / 2
    low = math.ceil(bdtrik(tail, effective, share))
    high = math.ceil(bdtrik(1 - tail, effective, share)) + 1
    if low < 1 or high > effective:
        return None
    return max(math.floor(low * count / effective), 1) - 1, math.ceil(high * count / effective) - 1


def wilson(share: float, effective: int, z: float) -> Interval:
    """The interval of a share of ``effective`` independent samples at normal quantile ``z`` (Wilson 1927)."""
    if effective < 1:
        return 0.0, 1.0
    z2 = z * z / effective
    middle = (share + z2 / 2) / (1 + z2)
    half = z / (1 + z2) * math.sqrt(share * (1 - share) / effective + z2 / (4 * effective))
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def normal_quantile(level: float) -> float:
    """How many standard errors an interval at ``level`` reaches to each side: 1.96 at 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def _t(degrees: float, level: float) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415 - as above

    return float(stdtrit(degrees, 0.5 + level / 2))


def _extent(source: Source) -> _Extent:
    count, start, end = 0, math.inf, -math.inf
    for times, values in source():
        present = times[~np.isnan(values)]
        if len(present):
            count += len(present)
            start, end = min(start, float(present.min())), max(end, float(present.max()))
    return _Extent(count, start, end)


def share_below(values: Values, limit: float) -> Values:
    """1 for a value below ``limit``, 0 for one above, 1/2 for one that equals it."""
    share: Values = ((values < limit) + (values <= limit).astype(np.float64)) / 2
    return share


def _below(limit: float) -> Callable[[Values], Values]:
    return lambda values: share_below(values, limit)


def _spreads(
    source: Source, extent: _Extent, measures: Sequence[Callable[[Values], Values]]
) -> list[MeanSpread]:
    """The mean of each measure of the values, and how it varies."""
    counts = np.zeros(WINDOWS)
    sums = np.zeros((len(measures), WINDOWS))
    squares = np.zeros(len(measures))
    for times, values in source():
        there = ~np.isnan(values)
        windows = window_of(times[there], extent.start, extent.end)
        counts += np.bincount(windows, minlength=WINDOWS)
        for number, measure in enumerate(measures):
            measured = measure(values[there])
            sums[number] += np.bincount(windows, weights=measured, minlength=WINDOWS)
            squares[number] += float(measured @ measured)
    return [mean_spread(counts, *pair) for pair in zip(sums, squares, strict=True)]
