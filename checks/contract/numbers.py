"""The few statistics that judges share. Pure, standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import NormalDist, median

Z_95 = NormalDist().inv_cdf(0.975)
RESAMPLES = 2000
SHORTEST = 1e-6  # so that a ratio stays finite whatever a clock says


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` (0..1) of them do not exceed: the nearest rank.

    Always a value that was measured, never one between two. Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values, so no percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def wilson_interval(hits: float, total: float) -> tuple[float, float]:
    """The 95 % interval of the ratio ``hits / total`` (Wilson 1927), which also holds at 0 and at 1.

    Raises ValueError unless ``0 <= hits <= total`` and ``total > 0``.
    """
    if not 0 <= hits <= total or total <= 0:
        raise ValueError(f"{hits} of {total} is not a ratio")
    ratio, z2 = hits / total, Z_95 * Z_95
    middle = (ratio + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(ratio * (1 - ratio) / total + z2 / (4 * total * total))
    return max(0.0, min(middle - half, ratio)), min(1.0, max(middle + half, ratio))


def ratio_of_medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """How many times the median of the first sides is that of the second, with its 95 % interval.

    The interval is the percentile bootstrap over whole pairs, seeded from the pairs themselves: the same
    pairs give the same interval at any time. Raises ValueError for no pairs.
    """
    if not pairs:
        raise ValueError("no pairs, so no ratio")
    random = Random(repr([(float(first), float(second)) for first, second in pairs]))

    def ratio(sample: Sequence[tuple[float, float]]) -> float:
        return median(first for first, _ in sample) / max(median(second for _, second in sample), SHORTEST)

    resampled = [ratio(random.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)]
    return ratio(pairs), (percentile(resampled, 0.025), percentile(resampled, 0.975))
