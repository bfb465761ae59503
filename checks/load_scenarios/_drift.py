"""Whether a figure grows while a service is used, and by how much. Private to this family.

Memory is judged over the whole time and over its second half; the smaller growth counts. What slows down,
such as a pool that fills or code that is loaded late, is a service that warms up and not one that leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import Instruments, Trend

HOUR_S = 3600.0
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Drift:
    """The trends of one figure over the whole time, and over its second half where that is asked for."""

    whole: Trend
    late: Trend | None

    @property
    def start(self) -> float:
        """The figure at the beginning, by the trend over the whole time."""
        return self.whole.start

    @property
    def beyond_chance(self) -> bool:
        """Whether the 95 % intervals lie above 0."""
        return all(trend.interval[0] > 0 for trend in self._trends)

    @property
    def per_hour(self) -> float:
        """The smaller of the slopes, in the figure's unit an hour."""
        return min(trend.per_hour for trend in self._trends)

    @property
    def grown(self) -> float:
        """What the smaller slope makes of the whole time, in the figure's unit."""
        return self.per_hour * self.whole.span_s / HOUR_S

    def would_show(self, floor: float) -> float:
        """The smallest growth over the whole time that would have been seen: above chance and ``floor``."""
        chance = max(trend.per_hour - trend.interval[0] for trend in self._trends)
        return max(floor, chance * self.whole.span_s / HOUR_S)

    @property
    def _trends(self) -> tuple[Trend, ...]:
        return (self.whole, self.late) if self.late else (self.whole,)


def drift_of(instruments: Instruments, points: Points, *, settles: bool = False) -> Drift | None:
    """The drift of (time in s, value) points; None where there are too few for a trend.

    ``settles``: the figure may rise at first and then stay, so its second half is looked at too.
    """
    whole = instruments.statistics.trend(points)
    if whole is None or not settles:
        return Drift(whole, None) if whole else None
    middle = (points[0][0] + points[-1][0]) / 2
    late = instruments.statistics.trend([point for point in points if point[0] >= middle])
    return Drift(whole, late) if late else None
