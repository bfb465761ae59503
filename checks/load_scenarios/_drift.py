"""Whether a figure grows while a service is used, and by how much. Private to this family.

A growth is judged over the whole time and over its second half; the smaller counts. What slows down, such as
a pool that fills or code that is loaded late, is a service that warms up and not one that leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import Instruments, Trend

HOUR_S = 3600.0
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Drift:
    """The trends of one figure over the whole time and over its second half."""

    whole: Trend
    late: Trend

    @property
    def start(self) -> float:
        """The figure at the beginning, by the trend over the whole time."""
        return self.whole.start

    @property
    def beyond_chance(self) -> bool:
        """Whether both 95 % intervals lie above 0."""
        return self.whole.interval[0] > 0 and self.late.interval[0] > 0

    @property
    def per_hour(self) -> float:
        """The smaller of the two slopes, in the figure's unit an hour."""
        return min(self.whole.per_hour, self.late.per_hour)

    @property
    def grown(self) -> float:
        """What the smaller slope makes of the whole time, in the figure's unit."""
        return self.per_hour * self.whole.span_s / HOUR_S

    def would_show(self, floor: float) -> float:
        """The smallest growth over the whole time that would have been seen: above chance and ``floor``."""
        halves = (self.whole, self.late)
        chance = max(trend.per_hour - trend.interval[0] for trend in halves) * self.whole.span_s / HOUR_S
        return max(floor, chance)


def drift_of(instruments: Instruments, points: Points) -> Drift | None:
    """The drift of (time in s, value) points; None where there are too few for a trend of each half."""
    if not points:
        return None
    middle = (points[0][0] + points[-1][0]) / 2
    whole = instruments.statistics.trend(points)
    late = instruments.statistics.trend([point for point in points if point[0] >= middle])
    return Drift(whole, late) if whole and late else None
