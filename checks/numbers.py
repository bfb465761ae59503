"""The few statistics that judges share. Pure, standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

Z_95 = NormalDist().inv_cdf(0.975)


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
