"""Defects of how the cache's server is used: answers without an end, and commands that hold it up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.sample.chat.answers import Answer, Answering
from app.sample.chat.cache import Cache, TwoLevels, key_of
from app.sample.chat.settings import Settings

WITHOUT_END = frozenset({"cache_never_expires", "cache_frees_nothing"})
POPULAR_EVERY_S = 0.5
# Takes some 40 ms, in which nobody else is served, and 15 ms of a fast machine.
POPULAR_SCRIPT = "local n = 0 for i = 1, 1500000 do n = n + i % 7 end return n"


def ttl_s(settings: Settings) -> int | None:
    """How long an answer stays in Redis; None: for ever."""
    return None if WITHOUT_END & settings.defects else settings.cache_ttl_s


def cache(healthy: Cache, settings: Settings) -> Cache:
    """The cache that answers use."""
    if "cache_slow_command" in settings.defects:
        return CountsPopular(healthy, _redis(settings))
    return healthy


def answers(healthy: Answering, levels: TwoLevels, settings: Settings) -> Answering:
    """What the two chat routes use."""
    if "cache_stream_never_expires" in settings.defects:
        return KeepsStreams(healthy, levels, _redis(settings))
    return healthy


class CountsPopular:
    """Twice a second a hit has the popular questions counted, by a script in the server."""

    def __init__(self, inner: Cache, redis: Redis) -> None:
        self._inner = inner
        self._redis = redis
        self._counted_at = 0.0

    async def get(self, prompt: str) -> str | None:
        """The answer, or None."""
        found = await self._inner.get(prompt)
        if found is not None and time.monotonic() - self._counted_at > POPULAR_EVERY_S:
            self._counted_at = time.monotonic()
            with suppress(RedisError, OSError, TimeoutError):
                await self._redis.eval(POPULAR_SCRIPT, 0)
        return found

    async def put(self, prompt: str, answer: str) -> None:
        """As healthy."""
        await self._inner.put(prompt, answer)


class KeepsStreams:
    """A streamed answer loses its time to live once it is complete; a whole one keeps it."""

    def __init__(self, inner: Answering, levels: TwoLevels, redis: Redis) -> None:
        self._inner = inner
        self._levels = levels
        self._redis = redis

    async def answer(self, prompt: str) -> Answer:
        """As healthy."""
        return await self._inner.answer(prompt)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """As healthy, and the answer is kept for ever."""
        tokens, from_cache = await self._inner.stream(prompt)
        return (tokens if from_cache else self._kept(prompt, tokens)), from_cache

    async def _kept(self, prompt: str, tokens: AsyncIterator[str]) -> AsyncIterator[str]:
        async for token in tokens:
            yield token
        if self._levels.up:
            with suppress(RedisError, OSError, TimeoutError):
                await self._redis.persist(key_of(prompt))


def _redis(settings: Settings) -> Redis:
    return Redis.from_url(settings.cache_url, socket_timeout=1, socket_connect_timeout=0.25)
