"""One figure of two runs: the ratio of after to before with an interval, on the log scale.

Differences are put together from each run's own interval by MOVER, the method of variance estimates recovery
(Zou and Donner 2008): for estimates ``a, b`` with limits ``l, u`` the lower limit of ``b - a`` is
``b - a - sqrt((b - l_b)^2 + (u_a - a)^2)``, the upper likewise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.statistics.batches import MeanSpread, spread_between, spread_of
from app.statistics.intervals import (
    Interval,
    effective_size,
    normal_quantile,
    order_statistics,
    share_below,
    wilson,
)
from app.statistics.quantiles import index_of
from app.statistics.shifts import Sorted, shift_between, t_of


@dataclass(frozen=True, slots=True)
class Contrast:
    """Before and after, and the logarithm of their ratio with its interval, ``t`` standard errors to a side.

    ``log_ratio`` is None where there is no ratio (nothing before), ``interval`` where there are too few
    samples for one. ``differs`` says whether the two are shown to differ: whether the interval leaves 0 out,
    or, where there is no ratio, that of the difference does.
    """

    before: float | None
    after: float | None
    log_ratio: float | None
    interval: Interval | None
    t: float
    differs: bool

    @property
    def standard_error(self) -> float:
        """Of the log ratio, from the longer side of its interval; 0 where there is none."""
        if self.log_ratio is None or self.interval is None:
            return 0.0
        return max(self.log_ratio - self.interval[0], self.interval[1] - self.log_ratio) / self.t

    def widened(self, between_runs: float) -> Contrast:
        """With a standard deviation ``between_runs`` of each run's logarithm that no run shows by itself."""
        if self.log_ratio is None or self.interval is None:
            return self
        more = self.t * between_runs * math.sqrt(2)
        low = self.log_ratio - math.hypot(self.log_ratio - self.interval[0], more)
        high = self.log_ratio + math.hypot(self.interval[1] - self.log_ratio, more)
        return replace(self, interval=(low, high), differs=low > 0 or high < 0)


def contrast_of_shift(before: Sorted, after: Sorted, level: float) -> Contrast:
    """The Hodges-Lehmann shift. It is a ratio of pairs, so nothing stands before or after."""
    found = shift_between(before, after, level)
    return Contrast(
        None, None, found.shift, (found.low, found.high), found.t, found.low > 0 or found.high < 0
    )


def contrast_of_percentile(before: Sorted, after: Sorted, share: float, level: float) -> Contrast:
    """Percentiles and their order-statistic intervals (``intervals``)."""
    (a, a_ends), (b, b_ends) = (_percentile(run, share, level) for run in (before, after))
    return _mover(a, b, a_ends, b_ends, normal_quantile(level))


def contrast_of_mean(before: Sorted, after: Sorted, level: float) -> Contrast:
    """Means; Student's t on the batch means of paired windows, on the log scale by the delta method."""
    a, b = float(before.values_ms.mean()), float(after.values_ms.mean())
    if a <= 0 or b <= 0:
        return Contrast(a, b, None, None, t_of(level), differs=False)
    windows = (before.windows, after.windows)
    return _of_means(a, b, spread_between(before.values_ms / a, after.values_ms / b, windows), level)


def contrast_of_rate(
    before: NDArray[np.int64], before_s: float, after: NDArray[np.int64], after_s: float, level: float
) -> Contrast:
    """Answers a second, from how many came in each of the equal windows of a run's duration, in pairs."""
    apart = after / after.mean() - before / before.mean()
    variance = float((apart**2).sum()) / (len(apart) - 1) / len(apart)
    return _of_means(float(before.sum()) / before_s, float(after.sum()) / after_s, variance, level)


def contrast_of_share(before: MeanSpread, after: MeanSpread, level: float) -> Contrast:
    """Shares (of requests that failed) with Wilson's intervals at their effective sizes.

    Where both are above 0 the ratio decides; where one is 0, that the interval of the difference (Newcombe
    1998, which is MOVER) leaves 0 out.
    """
    z = normal_quantile(level)
    a, b = before.mean, after.mean
    a_low, a_high = wilson(a, effective_size(before, before.count, level), z)
    b_low, b_high = wilson(b, effective_size(after, after.count, level), z)
    if a > 0 and b > 0:
        return _mover(a, b, (a_low, a_high), (b_low, b_high), z)
    low = b - a - math.hypot(b - b_low, a_high - a)
    high = b - a + math.hypot(b_high - b, a - a_low)
    return Contrast(a, b, None, None, z, low > 0 or high < 0)


def _percentile(run: Sorted, share: float, level: float) -> tuple[float, Interval | None]:
    count = len(run.values_ms)
    value = float(run.values_ms[index_of(share, count)])
    size = effective_size(spread_of(share_below(run.values_ms, value), run.windows), count, level)
    ends = order_statistics(share, size, count, level)
    return value, (float(run.values_ms[ends[0]]), float(run.values_ms[ends[1]])) if ends else None


def _of_means(before: float, after: float, variance: float, level: float) -> Contrast:
    """From means and the variance of the difference of their logarithms."""
    t = t_of(level)
    ratio, half = math.log(after / before), t * math.sqrt(variance)
    return Contrast(before, after, ratio, (ratio - half, ratio + half), t, abs(ratio) > half)


def _mover(
    before: float, after: float, before_ends: Interval | None, after_ends: Interval | None, z: float
) -> Contrast:
    if before <= 0 or after <= 0:
        return Contrast(before, after, None, None, z, differs=False)
    ratio = math.log(after / before)
    if before_ends is None or after_ends is None or min(before_ends[0], after_ends[0]) <= 0:
        return Contrast(before, after, ratio, None, z, differs=False)
    low = ratio - math.hypot(math.log(after / after_ends[0]), math.log(before_ends[1] / before))
    high = ratio + math.hypot(math.log(after_ends[1] / after), math.log(before / before_ends[0]))
    return Contrast(before, after, ratio, (low, high), z, low > 0 or high < 0)
