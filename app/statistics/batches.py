"""How much a mean varies where samples that are near in time are alike.

Batch means (Conway 1963; Law and Carson 1979): time is cut into ``WINDOWS`` equal windows, and the variance
between the windows' sums is that of the mean, whatever the correlation within them. Ten to thirty windows are
enough (Schmeiser 1982). Windows are of time and not of count, so the order of the samples does not matter:
samples of several workers may follow one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WINDOWS = 20


def window_of(times: Floats, start: float, end: float, windows: int = WINDOWS) -> NDArray[np.int64]:
    """The window, from 0, in which each of ``times`` lies, of equal ones between ``start`` and ``end``."""
    if end <= start:
        return np.zeros(len(times), np.int64)
    numbers = ((times - start) * (windows / (end - start))).astype(np.int64)
    return np.clip(numbers, 0, windows - 1)


@dataclass(frozen=True, slots=True)
class MeanSpread:
    """A mean of ``count`` values, its variance, and what that would be if the values were independent.

    ``variance`` is the larger of the two: an estimate from twenty windows is often too low by chance, and a
    mean of requests that help each other (a negative correlation) is not something to count on.
    """

    count: int
    mean: float
    variance: float
    independent: float
    degrees: int

    @property
    def inflation(self) -> float:
        """How many times larger the variance is than for independent values, 1 or more."""
        return self.variance / self.independent if self.independent > 0 else 1.0


def mean_spread(counts: Floats, sums: Floats, squares: float) -> MeanSpread:
    """The mean of all values from the count and the sum of each window, and the sum of all squares.

    The variance between windows is that of the ratio of sums to counts, linearised: with ``r_k = sums_k -
    mean counts_k`` over b windows it is ``b / (b - 1) sum(r_k^2) / n^2`` (Cochran 1977, 6.4). Raises
    ValueError for no values.
    """
    total = float(counts.sum())
    if total < 1:
        raise ValueError("no values, so no mean")
    mean = float(sums.sum()) / total
    independent = max(squares / total - mean * mean, 0.0) / max(total - 1, 1)
    used = int(np.count_nonzero(counts))
    between = 0.0
    if used > 1:
        between = used / (used - 1) * float(((sums - mean * counts) ** 2).sum()) / total**2
    return MeanSpread(int(total), mean, max(between, independent), independent, max(used - 1, 1))


def spread_of(values: Floats, windows: NDArray[np.int64]) -> MeanSpread:
    """The same from values and the window of each."""
    counts = np.bincount(windows, minlength=WINDOWS).astype(np.float64)
    sums = np.bincount(windows, weights=values, minlength=WINDOWS).astype(np.float64)
    return mean_spread(counts, sums, float(values @ values))


def spread_between(
    before: Floats, after: Floats, windows: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> float:
    """The variance of ``after``'s mean less ``before``'s, from values of two runs and the window of each.

    Each window is set against that of the same number (paired differences, Law 2015, 10.2.1): what both runs
    do at the same time - a cold cache, a rising rate - is no chance. It is not below what it would be if the
    values were independent within each window.
    """
    apart = np.zeros(WINDOWS)
    within = 0.0
    used = np.zeros(WINDOWS, dtype=bool)
    for values, which, sign in ((before, windows[0], -1.0), (after, windows[1], 1.0)):
        counts = np.bincount(which, minlength=WINDOWS)
        centred = values - values.mean()
        sums = np.bincount(which, weights=centred, minlength=WINDOWS)
        apart += sign * sums / len(values)
        used |= counts > 0
        left = float(centred @ centred) - float((sums**2 / np.maximum(counts, 1)).sum())
        within += max(left, 0.0) / max(len(values) - int(np.count_nonzero(counts)), 1) / len(values)
    number = int(np.count_nonzero(used))
    paired = number / (number - 1) * float((apart**2).sum()) if number > 1 else 0.0
    return max(paired, within)
