"""Questions while the upstream answers with errors: two, or always. Private to this family."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import median
from time import monotonic

from checks.contract import Instruments, Route, Target
from checks.error_recovery._callers import Told, ask_and_read, asked_again, timed_out, told
from checks.error_recovery._calls import UpstreamCalls

ROUNDS = 5  # of two errors: pauses enough to tell random from fixed ones
LAST_ROUND_S = 6.0  # the last begins before; each route has two in any case
FAILING = 3  # questions while every call fails; more would only open a breaker
LATE_S = 0.2  # for what is still repeated after the caller was told
ENOUGH_GAPS = 5


@dataclass(frozen=True)
class Attempt:
    """One question while the upstream erred: what its caller got, the tries it took, the gaps between."""

    told: Told
    tries: float
    gaps_s: tuple[float, ...]


@dataclass(frozen=True)
class Erring:
    """Asks on every route in turn, and sees the calls that each question makes."""

    instruments: Instruments
    target: Target
    routes: Sequence[Route]
    calls: UpstreamCalls
    patience_s: float

    async def few(self) -> list[Attempt]:
        """Questions that meet two errors each. Who does not ask again is not asked again."""
        found: list[Attempt] = []
        started = monotonic()
        faults = self.instruments.faults
        for number in range(ROUNDS if "few_errors" in faults.ways("upstream") else 0):
            late = monotonic() - started > LAST_ROUND_S
            if number >= 2 * len(self.routes) and (late or all(attempt.tries <= 1 for attempt in found)):
                break
            prompt, route = self.instruments.prompts.fresh(1)[0], self.routes[number % len(self.routes)]
            async with faults.broken("upstream", "few_errors"):
                answer = await self.instruments.questions.ask(prompt, route=route, timeout_s=self.patience_s)
                seen = await self.calls.look()
            found.append(Attempt(told(answer), seen.times, seen.gaps_s))
        return found

    async def always(self) -> list[Attempt]:
        """Questions that meet errors only, and what those get later that were answered all the same."""
        found: list[tuple[str, Attempt]] = []
        async with self.instruments.faults.broken("upstream", "errors"):
            self.instruments.say("The upstream answers every call with 503")
            await self.calls.look()
            for route in islice(cycle(self.routes), FAILING):
                prompt = self.instruments.prompts.fresh(1)[0]
                caller = await ask_and_read(self.target, self.instruments, prompt, route, self.patience_s)
                await asyncio.sleep(LATE_S)
                seen = await self.calls.look()
                found.append((prompt, Attempt(caller, seen.times, seen.gaps_s)))
                if timed_out([caller]):
                    break
        self.instruments.say("The upstream is back")
        return [
            replace(attempt, told=await asked_again(self.instruments, prompt, attempt.told))
            for prompt, attempt in found
        ]


def gaps_by_turn(attempts: Sequence[Attempt]) -> list[list[float]]:
    """The pauses before second tries, before third tries, and so on; at least one list."""
    turns = max((len(attempt.gaps_s) for attempt in attempts), default=0)
    every = [attempt.gaps_s for attempt in attempts]
    return [[gaps[turn] for gaps in every if len(gaps) > turn] for turn in range(turns)] or [[]]


def jitter(by_turn: Sequence[Sequence[float]]) -> float | None:
    """How far the shortest pause is below the usual one of its turn; None where there are too few.

    A busy machine makes pauses longer and never shorter, so what is far below was meant to be.
    """
    relative = [gap / median(gaps) for gaps in by_turn if len(gaps) > 1 and median(gaps) for gap in gaps]
    return 1 - min(relative) if len(relative) >= ENOUGH_GAPS else None
