"""How a plan is divided among workers so that all of them together do exactly what it says."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from app.instruments.load.figures.selfwatch import SelfReport
from app.instruments.policy import Policy
from checks.contract import Arrivals, InstrumentFailure, LoadPlan, Target
from checks.contract.instruments.questions import Prompts


class Line(Protocol):
    """A worker's end of what connects it with whoever divides the load."""

    def open(self, stop: Callable[[], object], samples: Path) -> None:
        """Begin. ``samples`` is the worker's sample file.

        ``stop`` is called from another thread when the worker is told to stop, or nobody is there any more.
        """

    def tell(self, second: dict[str, Any]) -> None:
        """Pass on a second of the load; does not wait."""

    def close(self) -> None:
        """Pass on what is left, and end."""


@dataclass(frozen=True)
class ShardPlan:
    """What worker ``number`` of ``of`` does: it begins at ``start_at_unix_s``, by the clock of its machine.

    ``samples`` is where its samples go, None for a folder of its own. Secrets are still references: a worker
    fills them in from its own environment.
    """

    target: Target
    plan: LoadPlan
    number: int
    of: int
    seed: int
    policy: Policy
    start_at_unix_s: float
    samples: Path | None
    line: Callable[[], Line]


@dataclass(frozen=True)
class ShardResult:
    """What a worker says at its end, beside its samples. ``cancelled``: it was told to stop before that."""

    watch: SelfReport
    examples: Mapping[str, str]
    measured_s: float
    warmup_requests: int
    arrivals: Arrivals | None
    drops_s: tuple[float, ...]
    partial: str
    cancelled: bool


def divided(plan: LoadPlan, workers: int) -> list[LoadPlan]:
    """The plans of ``workers`` workers: users, places under way and fewest requests are divided.

    The stages stay as they are: each worker takes its share of the same arrivals. Raises InstrumentFailure
    where there are more workers than users.
    """
    if plan.users < workers:
        what = "places for requests under way" if plan.stages else "users"
        raise InstrumentFailure(f"{plan.users} {what} cannot be divided among {workers} workers. Use fewer.")

    def share(whole: int, number: int) -> int:
        return whole // workers + (number < whole % workers)

    return [
        replace(plan, users=share(plan.users, number), min_requests=share(plan.min_requests, number))
        for number in range(workers)
    ]


def seeded(seed: int, number: int) -> Random:
    """The randomness of one worker: another for each, the same for the same seed."""
    return Random(f"{seed} worker {number}")


class OwnPrompts:
    """The fresh questions of one worker of several: no other worker asks one of them."""

    def __init__(self, prompts: Prompts, number: int, of: int) -> None:
        self._prompts = prompts
        self._number, self._of = number, of

    def fresh(self, count: int) -> list[str]:
        """``count`` never-seen questions. Raises InstrumentFailure when the words are used up."""
        found: list[str] = []
        while len(found) < count:
            found += [text for text in self._prompts.fresh(1) if self._is_own(text)]
        return found

    def repeats(self, distinct: int) -> list[str]:
        """Repeated questions are in the plan, the same for every worker."""
        return self._prompts.repeats(distinct)

    def _is_own(self, text: str) -> bool:
        return zlib.crc32(text.encode()) % self._of == self._number
