"""Questions asked so that the cache's server has something to do meanwhile. Private to this family.

They are never-seen ones, so that answers are stored, and come from a few users at once, so that it takes no
longer than need be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from checks.cache._mix import PACE_S
from checks.contract import FailureKind, Instruments, Route, Target

ROUTES: tuple[Route, ...] = ("ask", "stream")
USERS = 5
PATIENCE_S = 10.0  # who was silent for so long is not asked again


async def ask_declared(target: Target, instruments: Instruments, count: int, *, again: int) -> int:
    """Ask by the first declared route that answers; how many asks were answered, 0 where none is declared."""
    for route in ROUTES:
        if getattr(target, route) is not None:
            answered = await ask_new(instruments, route, count, again=again)
            if answered:
                return answered
    return 0


async def ask_new(instruments: Instruments, route: Route, count: int, *, again: int = 0) -> int:
    """Ask ``count`` never-seen questions, each ``again`` more times; how many asks were answered."""
    prompts = instruments.prompts.fresh(count)

    async def user(number: int) -> int:
        return await _answered(instruments, route, prompts[number::USERS] * (1 + again))

    return sum(await asyncio.gather(*(user(number) for number in range(USERS))))


async def _answered(instruments: Instruments, route: Route, prompts: Sequence[str]) -> int:
    good = 0
    for prompt in prompts:
        answer = await instruments.questions.ask(prompt, route=route, timeout_s=PATIENCE_S)
        if answer.failure is not None and answer.failure.kind is FailureKind.TIMEOUT:
            break
        good += answer.good
        await asyncio.sleep(PACE_S)
    return good
