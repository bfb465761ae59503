"""Ordinary questions that go on while something is broken. Private to this family."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from checks.contract import Instruments, Route

TIMEOUT_S = 10.0


@dataclass
class Traffic:
    """Never-seen questions at an even pace; how many were asked, and how many got no good answer."""

    instruments: Instruments
    per_s: float
    asked: int = 0
    failed: int = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Ask for as long as the block lasts; what is under way then is left."""
        if not self.per_s:
            yield
            return
        task = asyncio.create_task(self._ask_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask_on(self) -> None:
        route: Route = await self.instruments.questions.route() or "ask"
        async with asyncio.TaskGroup() as group:
            while True:
                [prompt] = self.instruments.prompts.fresh(1)
                group.create_task(self._ask(prompt, route))
                await asyncio.sleep(1 / self.per_s)

    async def _ask(self, prompt: str, route: Route) -> None:
        answer = await self.instruments.questions.ask(prompt, route=route, timeout_s=TIMEOUT_S)
        self.asked += 1
        self.failed += not answer.good
