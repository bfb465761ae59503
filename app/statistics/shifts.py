"""How many times longer one sample of latencies is than another: a shift on the log scale.

The estimate is that of Hodges and Lehmann (1963), the median of all differences ``log y - log x``. It needs
no distribution to be normal, no outlier moves it, and where latencies have several modes (cache hits and
misses) nearly every difference that decides it is one within a mode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.statistics.batches import WINDOWS, Floats, spread_between

SHORTEST_MS = 1e-3  # a logarithm needs something above 0
CLOSE_ENOUGH = 1e-5  # of a logarithm: a thousandth of a percent
MOST = 50_000  # samples of a side that are paired with each other


@dataclass(frozen=True, slots=True)
class Sorted:
    """Latencies in ms, sorted, and the time window of each."""

    values_ms: Floats
    windows: NDArray[np.int64]

    @classmethod
    def of(cls, values_ms: Floats, windows: NDArray[np.int64]) -> Sorted:
        """From latencies in any order, and the window of each."""
        order = np.argsort(values_ms, kind="stable")
        return cls(values_ms[order], windows[order])

    def thinned(self, limit: int) -> Sorted:
        """At most ``limit`` of them, evenly spaced in the order of their size."""
        step = -(-len(self.values_ms) // limit)
        return Sorted(self.values_ms[step // 2 :: step], self.windows[step // 2 :: step])

    def logs(self) -> Floats:
        """Their natural logarithms."""
        logs: Floats = np.log(np.maximum(self.values_ms, SHORTEST_MS))
        return logs


@dataclass(frozen=True, slots=True)
class Shift:
    """The shift of logarithms, its interval, and how many standard errors that is to each side."""

    shift: float
    low: float
    high: float
    t: float


def shift_between(before: Sorted, after: Sorted, level: float) -> Shift:
    """The Hodges-Lehmann shift from ``before`` to ``after`` with its interval at ``level``.

    ``U(d)`` is the chance that an ``after``, shifted back by ``d``, is longer than a ``before`` (ties count
    half). The estimate is where it is 1/2. Its variance is that of the placements (Brunner and Munzel 2000)
    by batch means, the two runs' windows in pairs, so that it holds under autocorrelation; the interval is
    where ``U`` is within Student's t standard errors of 1/2. Of more than ``MOST`` samples as many, evenly
    spaced, are taken.
    """
    before, after = before.thinned(MOST), after.thinned(MOST)
    earlier, later = before.logs(), after.logs()
    shift = _where(earlier, later, 0.5)
    back = later - shift
    placed = _placements(earlier, back), _placements(back, earlier)
    t = t_of(level)
    half = min(t * math.sqrt(spread_between(*placed, (before.windows, after.windows))), 0.5)
    return Shift(shift, _where(earlier, later, 0.5 + half), _where(earlier, later, 0.5 - half), t)


def t_of(level: float) -> float:
    """Student's t for a difference whose variance is that between ``WINDOWS`` pairs of windows."""
    from scipy.special import stdtrit  # noqa: PLC0415 - SciPy loads slowly, and the dashboard reaches this

    return float(stdtrit(WINDOWS - 1, 0.5 + level / 2))


def _placements(these: Floats, others: Floats) -> Floats:
    """For each of ``these`` the share of ``others`` below it, ties as half; both are sorted."""
    below = np.searchsorted(others, these, side="left")
    not_above = np.searchsorted(others, these, side="right")
    placements: Floats = (below + not_above) / (2 * len(others))
    return placements


def _where(before: Floats, after: Floats, chance: float) -> float:
    """The shift at which U falls to ``chance``; it only ever falls as the shift grows."""
    low = float(after[0] - before[-1]) - CLOSE_ENOUGH
    high = float(after[-1] - before[0]) + CLOSE_ENOUGH
    while high - low > CLOSE_ENOUGH:
        middle = (low + high) / 2
        if _placements(after - middle, before).mean() > chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2
