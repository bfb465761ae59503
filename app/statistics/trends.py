"""A straight line through points in time, with an interval for its slope, that outliers do not move.

The slope is the median of the slopes of all pairs of points (Theil 1950, Sen 1968), its interval the order
statistics of those slopes between which Kendall's statistic leaves it. This is what
``scipy.stats.theilslopes`` computes, in NumPy: loading ``scipy.stats`` for it cost each run of the driver
47 MB and a second.

That interval supposes independent points. Memory moves in steps and latency in spells, so points near in time
are alike: the variance of Kendall's statistic grows by ``(1 + r) / (1 - r)``, ``r`` the correlation of each
residual with the next (Bayley and Hammersley 1946; for Kendall's statistic Hamed and Rao 1998). One step in
the middle of a run is then no trend, a stair of many is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.statistics.intervals import Interval, normal_quantile
from checks.contract.load import Trend

Floats = NDArray[np.float64]
FEWEST = 10
MOST = 60  # points whose pairs are formed: of more, neighbours are put together by their median, so that they
# are less alike and a leak of many small steps still stands out from chance
MOST_ALIKE = 0.95  # a correlation above it cannot be told from 1 by sixty points
S_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Line:
    """``value = level + slope * time``, with the 95 % interval of the slope."""

    slope: float
    interval: Interval
    level: float

    def at(self, time: float) -> float:
        """The line's value at ``time``."""
        return self.level + self.slope * time

    @property
    def rises_or_falls(self) -> bool:
        """Whether the slope is more than chance: its interval leaves 0 out."""
        return self.interval[0] > 0 or self.interval[1] < 0


def trend(points: Sequence[tuple[float, float]]) -> Trend | None:
    """The trend of (time in s, value) points; None for fewer than ten moments.

    Points with NaN or infinity are left out; several at one moment count as one, their median.
    """
    given = np.asarray(points, np.float64).reshape(-1, 2)
    given = given[np.isfinite(given).all(axis=1)]
    times, which = np.unique(given[:, 0], return_inverse=True)
    if len(times) < FEWEST:
        return None
    order = np.argsort(which, kind="stable")
    starts = np.flatnonzero(np.diff(which[order])) + 1
    values = np.array([np.median(same) for same in np.split(given[order, 1], starts)])
    found = line_through(*_thinned(times, values))
    first_s, last_s = float(times[0]), float(times[-1])
    return Trend(
        per_hour=found.slope * S_PER_HOUR,
        interval=(found.interval[0] * S_PER_HOUR, found.interval[1] * S_PER_HOUR),
        start=found.at(first_s),
        end=found.at(last_s),
        span_s=last_s - first_s,
        points=len(given),
    )


def line_through(times: Floats, values: Floats) -> Line:
    """The Theil-Sen line, its interval widened for autocorrelation. Raises ValueError below two times."""
    slopes = _slopes(times, values)
    slope = float(np.median(slopes))
    alike = _alike(values - slope * times)
    reach = normal_quantile(0.95) * math.sqrt((1 + alike) / (1 - alike)) * _kendall_deviation(times, values)
    low = max(round((len(slopes) - reach) / 2) - 1, 0)
    high = min(round((len(slopes) + reach) / 2), len(slopes) - 1)
    level = float(np.median(values - slope * times))
    return Line(slope, (float(slopes[low]), float(slopes[high])), level)


def _slopes(times: Floats, values: Floats) -> Floats:
    """The slopes of all pairs at different times, sorted. Raises ValueError where there is none."""
    earlier, later = np.triu_indices(len(times), 1)
    spans = times[later] - times[earlier]
    if not spans.any():
        raise ValueError("all points are at one time, so there is no slope")
    apart = spans != 0
    return np.sort((values[later] - values[earlier])[apart] / spans[apart])


def _kendall_deviation(times: Floats, values: Floats) -> float:
    """The standard deviation of Kendall's statistic without a trend, ties taken off (Sen 1968)."""

    def pairs(count: Floats) -> float:
        return float((count * (count - 1) * (2 * count + 5)).sum())

    ties = sum(pairs(np.unique(given, return_counts=True)[1].astype(float)) for given in (times, values))
    return math.sqrt(max(pairs(np.array([len(times)], float)) - ties, 0.0) / 18)


def _alike(residuals: Floats) -> float:
    """The correlation of each residual with the next, 0 where there is none or they alternate."""
    centred = residuals - residuals.mean()
    spread = float(centred @ centred)
    return min(max(float(centred[1:] @ centred[:-1]) / spread, 0.0), MOST_ALIKE) if spread > 0 else 0.0


def _thinned(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """At most ``MOST`` points: medians of neighbours, as many of each as of the other."""
    if len(times) <= MOST:
        return times, values
    groups = np.array_split(np.arange(len(times)), MOST)
    middles = [(np.median(times[group]), np.median(values[group])) for group in groups]
    return np.array([time for time, _ in middles]), np.array([value for _, value in middles])
