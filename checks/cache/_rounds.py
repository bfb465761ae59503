"""Rounds of round trips to the cache's server, until enough of them agree. Private to this family."""

from __future__ import annotations

from collections.abc import Sequence

ROUNDS = 5
MOST_ROUNDS = 9
ENOUGH_S = 3.0
PAUSE_S = 0.1  # between rounds, so that they do not all fall into a busy moment
DISAGREE = 3.0  # rounds whose slow trips differ by more than this factor need more of them


def more_needed(rounds: int, slow_ms: Sequence[float]) -> bool:
    """Whether there are too few rounds, or they disagree; ``slow_ms`` has a high percentile of each."""
    if rounds < ROUNDS:
        return True
    disagree = bool(slow_ms) and max(slow_ms) > DISAGREE * min(slow_ms)
    return disagree and rounds < MOST_ROUNDS
