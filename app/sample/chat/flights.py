"""Calls under way: who asks for the same thing meanwhile shares the result instead of making another call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable


class Flights:
    """Calls and streams under way, each by its key."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Task[str]] = {}
        self._streams: dict[str, Relay] = {}

    async def once(self, key: str, work: Callable[[], Awaitable[str]]) -> str:
        """The result of ``work``, shared. It goes on when one of those who wait leaves."""
        task = self._calls.get(key)
        if task is None:
            task = asyncio.ensure_future(work())
            self._calls[key] = task
            task.add_done_callback(lambda _: self._calls.pop(key, None))
        return await asyncio.shield(task)

    def followed(self, key: str, tokens: Callable[[], AsyncIterator[str]]) -> AsyncIterator[str]:
        """The stream, shared: who comes later gets what there is, and then each token as it comes."""
        relay = self._streams.get(key)
        if relay is None or relay.over:
            relay = self._streams[key] = Relay(tokens(), lambda relay: self._forget(key, relay))
        return relay.follow()

    def _forget(self, key: str, relay: Relay) -> None:
        if self._streams.get(key) is relay:  # and not one that was begun since
            del self._streams[key]


class Relay:
    """One stream that several read. It ends with its last reader; ``forget`` is called at its end."""

    def __init__(self, tokens: AsyncIterator[str], forget: Callable[[Relay], None]) -> None:
        self._so_far: list[str] = []
        self._more = asyncio.Event()
        self._readers = 0
        self._forget = forget
        self._task = asyncio.ensure_future(self._read(tokens))
        self._task.add_done_callback(self._ended)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to come."""
        return self._task.done()

    async def follow(self) -> AsyncIterator[str]:
        """All tokens. Raises what the stream raises."""
        self._readers += 1
        place = 0
        try:
            while place < len(self._so_far) or not self.over:
                if place == len(self._so_far):
                    await self._more.wait()
                for token in self._so_far[place:]:
                    yield token
                    place += 1
            self._task.result()
        finally:
            self._readers -= 1
            if not self._readers and not self.over:
                self._forget(self)  # at once: nobody may join what is being ended
                self._task.cancel()

    async def _read(self, tokens: AsyncIterator[str]) -> None:
        async for token in tokens:
            self._so_far.append(token)
            self._tell()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._forget(self)
        self._tell()

    def _tell(self) -> None:
        told, self._more = self._more, asyncio.Event()
        told.set()
