"""One effect for one Idempotency-Key, however often and however simultaneously it is sent."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")
KNOWN_KEYS = 10_000


class KeyReusedError(Exception):
    """The key was used before for another request."""


class IdempotencyKeys(Generic[Result]):
    """Results by key. A request that is under way is waited for; one that failed may be tried again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, asyncio.Task[Result]]] = OrderedDict()

    async def once(
        self, key: str, fingerprint: str, work: Callable[[], Awaitable[Result]]
    ) -> tuple[Result, bool]:
        """The result of ``work``, and whether it is a repeated one. Raises KeyReusedError, or as ``work``."""
        known = self._known.get(key)
        if known is not None:
            if known[0] != fingerprint:
                raise KeyReusedError
            return await asyncio.shield(known[1]), True
        task = asyncio.ensure_future(work())
        self._known[key] = (fingerprint, task)
        task.add_done_callback(lambda done: self._settle(key, done))
        return await asyncio.shield(task), False

    def _settle(self, key: str, task: asyncio.Task[Result]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._known.pop(key, None)
        while len(self._known) > KNOWN_KEYS:
            self._known.popitem(last=False)
