"""Questions asked so that the cache's server has something to do meanwhile. Private to this family.

They are never-seen ones, so that answers are stored, and come from a few users at once, so that it takes no
longer than need be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from checks.contract import InstrumentFailure, Instruments

USERS = 5
PACE_S = 0.02  # between two asks of one user, so that a rate limit meant for people is not met


async def answering_route(instruments: Instruments) -> Literal["ask", "stream"] | None:
    """The declared route that answers; None where none does or none is declared."""
    try:
        return await instruments.questions.route()
    except InstrumentFailure:
        return None  # a Redis can be looked at without a question, too


async def ask_new(
    instruments: Instruments, route: Literal["ask", "stream"] | None, count: int, *, again: int = 0
) -> int:
    """Ask ``count`` never-seen questions, each ``again`` more times; how many of all were answered."""
    if route is None:
        return 0
    prompts = instruments.prompts.fresh(count)

    async def user(number: int) -> int:
        return sum([await _answered(instruments, route, prompts[number::USERS]) for _ in range(1 + again)])

    return sum(await asyncio.gather(*(user(number) for number in range(USERS))))


async def _answered(instruments: Instruments, route: Literal["ask", "stream"], prompts: Sequence[str]) -> int:
    good = 0
    for prompt in prompts:
        good += (await instruments.questions.ask(prompt, route=route)).good
        await asyncio.sleep(PACE_S)
    return good
