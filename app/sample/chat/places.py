"""The bound on calls of the paid model: so many at a time, a few more wait in turn, the rest is refused.

Without it a service takes on every question that comes and answers none of them in time. The bound stands
before the model alone: what the cache knows is answered whatever the model has to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoPlaceError(Exception):
    """There is no place at the model, now or soon enough."""


class Places:
    """Places at the model, given away first come, first served."""

    def __init__(self, parallel: int, waiting: int, wait_s: float) -> None:
        self._free = asyncio.Semaphore(parallel)  # FIFO, and nobody overtakes who waits
        self._admitted = 0
        self._room = parallel + waiting
        self._wait_s = wait_s

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold a place. Raises NoPlaceError at once without room to wait, or when the wait was too long."""
        if self._admitted >= self._room:
            await self.refuse()
        self._admitted += 1
        try:
            await self._wait()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._admitted -= 1

    async def refuse(self) -> None:
        """Turn a caller away. Raises NoPlaceError."""
        raise NoPlaceError

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise NoPlaceError from error
