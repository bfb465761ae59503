"""The Universal Scalability Law (Gunther 2007, 4): what contention and coherency cost as load grows.

``X(N) = g N / (1 + a (N - 1) + b N (N - 1))``: ``g`` the throughput of one request at a time, ``a`` the share
that must wait in line (contention), ``b`` what keeping all in step costs (coherency).

``N`` is how many requests are under way at once. An open run sets the arrival rate and not ``N``, so it is
taken from Little's law, ``N = X R``, with the *median* latency of the step for ``R``: the mean is not kept,
and would be ruled by time-outs. Where latencies are skewed ``N`` is then too small, and ``a`` and ``b`` too
large in the same measure; the fitted curve over what was measured is not touched by that. Steps with requests
that got no answer in time are left out, as those were under way too and have no latency.

As ``N / X = (1 + a (N - 1) + b N (N - 1)) / g`` is linear in ``1 / g``, ``a / g`` and ``b / g``, it is fitted
by least squares that keep all three from being negative (Lawson and Hanson 1974), each step by its relative
error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from checks.contract.load import LoadStep, Usl

FEWEST = 4  # steps, for three parameters
FITS = 0.8  # R squared of throughput, below which the law does not describe the service
FEW_UNDER_WAY = 2.0  # where never more are under way at once, nothing contends
FARTHEST = 2.0  # a peak is told up to so many times the largest N that was measured
HANGING = 0.01  # of scheduled
DIGITS = 9  # of contention and coherency; what is smaller is rounding of the fit


def universal_scalability(steps: Sequence[LoadStep]) -> Usl | None:
    """The law fitted to ``steps``; None where there are too few, too little under way, or it does not fit."""
    pairs = [
        (step.answered_per_s * step.p50_ms / 1000, step.answered_per_s)
        for step in sorted(steps, key=lambda step: step.offered_per_s)
        if step.p50_ms and step.answered_per_s > 0 and step.timed_out <= HANGING * step.scheduled
    ]
    if len(pairs) < FEWEST or max(under_way for under_way, _ in pairs) < FEW_UNDER_WAY:
        return None
    from scipy.optimize import nnls  # noqa: PLC0415 - SciPy loads slowly, and the command line reaches this

    n, x = np.array(pairs).T
    columns = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)])
    (one, queue, crosstalk), _ = nnls(columns / (n / x)[:, None], np.ones_like(n))
    if one <= 0:
        return None
    contention, coherency = round(float(queue / one), DIGITS), round(float(crosstalk / one), DIGITS)
    fitted = n / (columns @ np.array([one, queue, crosstalk]))
    spread = float(((x - x.mean()) ** 2).sum())
    r_squared = 1 - float(((x - fitted) ** 2).sum()) / spread if spread > 0 else 0.0
    if r_squared < FITS:
        return None
    peak = _peak(1 / float(one), contention, coherency, FARTHEST * float(n.max()))
    return Usl(1 / float(one), contention, coherency, peak, r_squared)


def _peak(per_s_of_one: float, contention: float, coherency: float, farthest: float) -> float | None:
    """The most ever answered a second, at ``N = sqrt((1 - a) / b)``; None where that is too far out."""
    if coherency <= 0 or contention >= 1:
        return None
    n = math.sqrt((1 - contention) / coherency)
    if not 1 <= n <= farthest:
        return None
    return per_s_of_one * n / (1 + contention * (n - 1) + coherency * n * (n - 1))
