"""Calls under way: who asks for the same thing meanwhile shares the result instead of making another call."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
LINGER_S = 1.0  # longer than a look-up in the cache takes


class Flights:
    """Calls and streams under way, each by its key.

    Who looked the answer up (``looked_at``, ``time.monotonic``) before it was there, and hears of the miss
    when it is, shares what has just ended. Otherwise a slow look-up would pay a second time.
    """

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._streams: dict[str, Relay] = {}

    async def once(self, key: str, looked_at: float, work: Callable[[], Awaitable[str]]) -> str:
        """The result of ``work``, shared. It goes on when one of those who wait leaves."""
        call = self._calls.get(key)
        if call is None or looked_at > call.ended_at:
            call = self._calls[key] = Call(work(), lambda call: _forget(self._calls, key, call))
        return await asyncio.shield(call.task)

    def followed(
        self, key: str, looked_at: float, tokens: Callable[[], AsyncIterator[str]]
    ) -> AsyncIterator[str]:
        """The stream, shared: who comes later gets what there is, and then each token as it comes."""
        relay = self._streams.get(key)
        if relay is None or looked_at > relay.ended_at:
            relay = self._streams[key] = Relay(tokens(), lambda relay: _forget(self._streams, key, relay))
        return relay.follow()


def _forget(under_way: dict[str, T], key: str, one: T) -> None:
    if under_way.get(key) is one:  # and not one that was begun since
        del under_way[key]


class Call:
    """One call that several wait for; ``forget`` is called a while after its end."""

    def __init__(self, work: Awaitable[str], forget: Callable[[Call], None]) -> None:
        self.ended_at = math.inf
        self._forget = forget
        self.task = asyncio.ensure_future(self._made(work))

    async def _made(self, work: Awaitable[str]) -> str:
        try:
            return await work
        finally:
            self.ended_at = monotonic()
            asyncio.get_running_loop().call_later(LINGER_S, self._forget, self)


class Relay:
    """One stream that several read. It ends with its last reader; ``forget`` is called a while after."""

    def __init__(self, tokens: AsyncIterator[str], forget: Callable[[Relay], None]) -> None:
        self._so_far: list[str] = []
        self._more = asyncio.Event()
        self._readers = 0
        self._forget = forget
        self.ended_at = math.inf
        self._task = asyncio.ensure_future(self._read(tokens))
        self._task.add_done_callback(lambda _: self._tell())

    async def follow(self) -> AsyncIterator[str]:
        """All tokens. Raises what the stream raises."""
        self._readers += 1
        place = 0
        try:
            while place < len(self._so_far) or not self._task.done():
                if place == len(self._so_far):
                    await self._more.wait()
                for token in self._so_far[place:]:
                    yield token
                    place += 1
            self._task.result()
        finally:
            self._readers -= 1
            if not self._readers and not self._task.done():
                self._forget(self)  # at once: nobody may join what is being ended
                self._task.cancel()

    async def _read(self, tokens: AsyncIterator[str]) -> None:
        try:
            async for token in tokens:
                self._so_far.append(token)
                self._tell()
        finally:
            self.ended_at = monotonic()
            asyncio.get_running_loop().call_later(LINGER_S, self._forget, self)

    def _tell(self) -> None:
        told, self._more = self._more, asyncio.Event()
        told.set()
