"""Where more load stops giving more answers: the knee of an open run whose arrival rate was stepped up.

*Holding.* A step holds where 0.95 of the requests that were scheduled in it were answered, in time. That is
*resolved* where Wilson's 95 % interval of this share lies on one side of 0.95; of requests that were all
answered it takes 73.

*The knee* lies between the last step that held and the first that did not. There it is the break of two
straight segments that meet, answered against offered rate, by weighted least squares (segmented regression,
Hudson 1966): the first from 0 with the share that the held steps answered, the second with a slope of its
own, or flat where one step alone is past the knee. The break is not linear, so it is searched on a grid.
Answered is offered times the share answered, so that chance in the number of arrivals drops out.

Where the first broken step answered less than the last that held, or nothing, the service collapsed somewhere
between the two, and no line says where: the knee is then the last rate that held, and its interval the whole
stretch.

*The interval* is the parametric bootstrap: the answers of all steps are drawn anew, binomial, 400 times, and
the steps that hold and the break are found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from app.statistics.intervals import Interval
from app.statistics.scalability import universal_scalability
from checks.contract.load import Knee, LoadStep
from checks.contract.numbers import wilson_interval
from checks.contract.wording import show

Floats = NDArray[np.float64]
HOLDS = 0.95  # answered of scheduled
RESAMPLES = 400
GRID = 101
WORTH_A_WORD = 0.005  # of the requests past the knee
SEED = 20  # of the draws: the same steps give the same interval at any time


def knee(steps: Sequence[LoadStep]) -> Knee:
    """Where ``steps`` break, whatever their order; a step in which nothing was scheduled says nothing."""
    known = _by_rate(steps)
    if not known:
        return Knee(
            None, None, 0.0, resolved=False, monotone=True, usl=None, words="No request was scheduled."
        )
    offered = np.array([step.offered_per_s for step in known])
    scheduled = np.array([step.scheduled for step in known])
    shares = np.array([step.answered for step in known]) / scheduled
    first = _first_broken(shares)
    found = _break(offered, scheduled, shares)
    return Knee(
        per_s=found.at if first < len(known) else None,
        interval=_interval(offered, scheduled, shares, found) if first < len(known) else None,
        at_least_per_s=float(offered[first - 1]) if first else 0.0,
        resolved=all(_is_resolved(step) for step in known[max(first - 1, 0) : first + 1]),
        monotone=_is_monotone(known),
        usl=universal_scalability(steps),
        words=_words(known, first, found.at),
    )


def _by_rate(steps: Sequence[LoadStep]) -> list[LoadStep]:
    """One step for each rate, lowest first; of several at one rate the requests are put together."""
    known = sorted((step for step in steps if step.scheduled > 0), key=lambda step: step.offered_per_s)
    counts = ("scheduled", "dropped", "answered", "failed", "shed", "timed_out")
    together = []
    for _, same in groupby(known, key=lambda step: step.offered_per_s):
        first, *more = same
        sums = {name: sum(getattr(step, name) for step in (first, *more)) for name in counts}
        together.append(replace(first, **sums))
    return together


@dataclass(frozen=True, slots=True)
class _Break:
    """The knee, and between what it lies where the steps themselves leave that open."""

    at: float
    low: float
    high: float


def _first_broken(shares: Floats) -> int:
    """The number of the first step that does not hold; how many there are where all hold."""
    broken = np.flatnonzero(shares < HOLDS)
    return int(broken[0]) if len(broken) else len(shares)


def _break(offered: Floats, scheduled: Floats, shares: Floats) -> _Break:
    first = _first_broken(shares)
    if first == len(offered):
        return _Break(*[float(offered[-1])] * 3)
    low, high = float(offered[first - 1]) if first else 0.0, float(offered[first])
    served = offered * shares
    if served[first] == 0 or (first and served[first] < served[first - 1]):
        return _Break(low, low, high)
    kept = float(np.average(shares[:first], weights=scheduled[:first])) if first else 1.0
    # Half an answer more and less, so that no step is taken to be without chance.
    chances = (shares * scheduled + 0.5) / (scheduled + 1)
    weights = scheduled / (offered**2 * chances * (1 - chances))
    grid = np.linspace(low, high, GRID)[:, None]
    past = np.maximum(offered - grid, 0.0)
    missing = served - kept * np.minimum(offered, grid)
    if np.count_nonzero(offered > low) > 1:
        squares = (weights * past**2).sum(axis=1, keepdims=True)
        slopes = (weights * past * missing).sum(axis=1, keepdims=True) / np.maximum(squares, 1e-12)
        missing -= slopes * past
    at = float(grid[np.argmin((weights * missing**2).sum(axis=1)), 0])
    return _Break(at, at, at)


def _interval(offered: Floats, scheduled: Floats, shares: Floats, found: _Break) -> Interval:
    random = np.random.default_rng(SEED)
    draws = random.binomial(scheduled.astype(np.int64), shares, (RESAMPLES, len(shares))) / scheduled
    breaks = [_break(offered, scheduled, drawn) for drawn in draws]
    low = float(np.quantile([each.low for each in breaks], 0.025))
    high = float(np.quantile([each.high for each in breaks], 0.975))
    return min(low, found.low), max(high, found.high)


def _is_resolved(step: LoadStep) -> bool:
    low, high = wilson_interval(step.answered, step.scheduled)
    return low > HOLDS or high < HOLDS


def _is_monotone(steps: Sequence[LoadStep]) -> bool:
    """Whether what was served never fell and rose again by more than chance."""
    served = [
        [step.offered_per_s * end for end in wilson_interval(step.answered, step.scheduled)] for step in steps
    ]
    return not any(
        high < max((low for low, _ in served[:number]), default=0.0)
        and high < max((low for low, _ in served[number + 1 :]), default=0.0)
        for number, (_, high) in enumerate(served)
    )


def _words(steps: Sequence[LoadStep], first: int, at: float) -> str:
    if first == len(steps):
        return f"Answers keep up to {_rate(at)}, the highest rate that was tried."
    if first == 0:
        return (
            f"Answers do not keep up with {_rate(steps[0].offered_per_s)}, the lowest rate; {_past(steps)}."
        )
    again = any(step.answered >= HOLDS * step.scheduled for step in steps[first:])
    doubt = " At a higher rate they kept up again, so this knee is uncertain." if again else ""
    return f"Answers keep up to {_rate(at)}; past it {_past(steps[first:])}.{doubt}"


def _past(steps: Sequence[LoadStep]) -> str:
    """What becomes of the requests of ``steps``: ``38 % are shed with 429 or 503 and nothing hangs``."""
    scheduled = sum(step.scheduled for step in steps)
    counts = {
        "are shed with 429 or 503": sum(step.shed for step in steps),
        "get no answer in time": sum(step.timed_out for step in steps),
        "fail otherwise": sum(step.failed - step.shed - step.timed_out for step in steps),
        "are not sent, as too many are under way": sum(step.dropped for step in steps),
    }
    told = [
        f"{show(round(count / scheduled, 2), 'ratio')} {what}"
        for what, count in counts.items()
        if count >= WORTH_A_WORD * scheduled
    ]
    if counts["get no answer in time"] == counts["are not sent, as too many are under way"] == 0:
        told.append("nothing hangs")
    return ", ".join(told[:-1]) + (" and " if len(told) > 1 else "") + told[-1]


def _rate(per_s: float) -> str:
    number = show(round(per_s) if per_s >= 10 else round(per_s, 1), "count")
    return f"{number} {'request' if number == '1' else 'requests'} a second"
