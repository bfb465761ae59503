"""The cache of answers: Redis with a time to live, and this process's memory where Redis does not answer.

Each answer is written to both. Reads go to Redis; when it fails once, they go to memory at once, without
waiting, until a background ping finds it back. So an outage costs one time-out, not one a request.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

LOG = logging.getLogger(__name__)
KEY_PREFIX = "chat:answer:"
PING_EVERY_S = 0.5


def key_of(prompt: str) -> str:
    """The key of a question. The answer depends on nothing else, so neither does the key."""
    return KEY_PREFIX + hashlib.sha256(prompt.encode()).hexdigest()


class Cache(Protocol):
    """What answers are kept in."""

    async def get(self, prompt: str) -> str | None:
        """The answer, or None."""

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer."""


class Memory:
    """The newest answers in this process, each for as long as in Redis."""

    def __init__(self, entries: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def get(self, prompt: str) -> str | None:
        """The answer, or None where there is none or it is too old."""
        until, answer = self._kept.get(prompt, (0.0, ""))
        return answer if until > self._clock() else None

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer; the oldest gives way."""
        self._kept[prompt] = (self._clock() + self._ttl_s, answer)
        self._kept.move_to_end(prompt)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)


class RedisAnswers:
    """Answers in Redis, each for ``ttl_s`` (None: for ever).

    Raises RedisError, OSError or TimeoutError when it does not answer in time.
    """

    def __init__(self, url: str, *, ttl_s: int | None, timeout_s: float | None) -> None:
        self._ttl_s = ttl_s
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, prompt: str) -> str | None:
        """The answer, or None."""
        found = await self._redis.get(key_of(prompt))
        return found.decode() if isinstance(found, bytes) else found

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer until its time to live is over."""
        await self._redis.set(key_of(prompt), answer, ex=self._ttl_s)

    async def ping(self) -> None:
        """Raises when Redis does not answer."""
        await self._redis.ping()

    async def drop_idle(self) -> None:
        """Close pooled connections: after an outage most are dead, and each would look like one more."""
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class TwoLevels:
    """Redis where it answers, memory where it does not."""

    def __init__(self, redis: RedisAnswers, memory: Memory, up: Gauge) -> None:
        self._redis = redis
        self._memory = memory
        self._up = up
        self._up.set(1)
        self._watch: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether Redis answers."""
        return self._watch is None

    async def get(self, prompt: str) -> str | None:
        """The answer, or None."""
        if self.up:
            try:
                return await self._redis.get(prompt)
            except (RedisError, OSError, TimeoutError):
                self._lost()
        return await self._memory.get(prompt)

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer at both levels."""
        await self._memory.put(prompt, answer)
        if self.up:
            try:
                await self._redis.put(prompt, answer)
            except (RedisError, OSError, TimeoutError):
                self._lost()

    def _lost(self) -> None:
        if self.up:
            LOG.warning("Redis does not answer; memory stands in")
            self._up.set(0)
            self._watch = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                await self._redis.ping()
                await self._redis.drop_idle()
            except (RedisError, OSError, TimeoutError):
                continue
            LOG.warning("Redis answers again")
            self._up.set(1)
            self._watch = None
            return

    async def close(self) -> None:
        """Stop watching and close the connections."""
        if self._watch is not None:
            self._watch.cancel()
        await self._redis.close()
