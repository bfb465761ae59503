"""Statistics as checks see them: ``checks.contract.load.Statistics``."""

from __future__ import annotations

from collections.abc import Sequence

from checks.contract.load import Knee, LoadStep, Trend


class RunStatistics:
    """Sums for checks. SciPy loads slowly, so nothing is imported before the first sum."""

    def trend(self, points: Sequence[tuple[float, float]]) -> Trend | None:
        """The trend of (time in s, value) points; None for fewer than ten (``trends``)."""
        from app.statistics.trends import trend  # noqa: PLC0415 - as the class says

        return trend(points)

    def knee(self, steps: Sequence[LoadStep]) -> Knee:
        """Where the steps of an open run break (``knees``)."""
        from app.statistics.knees import knee  # noqa: PLC0415 - as the class says

        return knee(steps)
