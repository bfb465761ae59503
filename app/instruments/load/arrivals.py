"""When the requests of an open run are meant to be sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

from checks.contract import Stage


def arrivals(
    stages: Sequence[Stage], *, poisson: bool, random: Random, share: tuple[int, int] = (0, 1)
) -> Iterator[float]:
    """Moments in s from the start of the first stage, in order.

    With ``poisson``, a non-homogeneous Poisson process by inversion (Cinlar 1975): a unit-rate process in
    which arrival k comes when the integral of the rate reaches its k-th moment. Evenly: when the integral
    reaches k - 1/2. A ramp is such an integral like any other, so no stage is a special case.

    ``share`` is (number, of): those of one of several workers, which together are the whole. Evenly, every
    ``of``-th arrival is this worker's; of a Poisson process a thinned one, and such add up to the process.
    """
    number, of = share
    goal = random.expovariate(1 / of) if poisson else number + 0.5
    before_s = reached = 0.0
    for stage in stages:
        whole = stage.duration_s * (stage.from_per_s + stage.to_per_s) / 2
        while goal < reached + whole:
            yield before_s + _when(stage, goal - reached)
            goal += random.expovariate(1 / of) if poisson else of
        reached += whole
        before_s += stage.duration_s


def _when(stage: Stage, area: float) -> float:
    """When the integral of the stage's rate reaches ``area``: the root of from t + slope t^2 / 2 = area."""
    slope = (stage.to_per_s - stage.from_per_s) / stage.duration_s
    start = stage.from_per_s
    # This form of the root neither divides by a slope of 0 nor loses digits where it is small.
    return 2 * area / (start + math.sqrt(max(0.0, start * start + 2 * slope * area)))
