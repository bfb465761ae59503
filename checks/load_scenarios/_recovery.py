"""When latency is back after a burst. Private to this family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import LoadStep
from checks.load_scenarios._open import unserved

BACK_FACTOR = 1.5
GRACE_MS = 250.0  # what the p95 of some ten requests varies by without any burst
IN_A_ROW = 2  # one window may be fast by chance
FAILURES_RATIO = 0.05


@dataclass(frozen=True)
class Window:
    """Requests that were meant to start within a short time after the burst.

    ``until_s`` is its end, counted from the end of the burst.
    """

    until_s: float
    p95_ms: float | None
    answered: int
    unserved: int

    @classmethod
    def of(cls, step: LoadStep, until_s: float) -> Window:
        """The window that ``step`` is."""
        return cls(until_s, step.p95_ms, step.answered, unserved(step))


def bound_ms(before: LoadStep) -> float:
    """The highest p95 that counts as what it was before."""
    p95_ms = before.p95_ms or 0.0
    return max(p95_ms * BACK_FACTOR, p95_ms + GRACE_MS)


def back_after_s(before: LoadStep, windows: Sequence[Window]) -> float | None:
    """The end of the first of two windows in a row that are as fast as before and fail no more; None: never.

    A window in which nothing arrived says nothing and is left out.
    """
    allowed = max(FAILURES_RATIO, unserved(before) / max(before.scheduled, 1))
    in_a_row: list[Window] = []
    for window in windows:
        total = window.answered + window.unserved
        if not total:
            continue
        fast = window.p95_ms is not None and window.p95_ms <= bound_ms(before)
        in_a_row = [*in_a_row, window] if fast and window.unserved <= allowed * total else []
        if len(in_a_row) == IN_A_ROW:
            return in_a_row[0].until_s
    return None
