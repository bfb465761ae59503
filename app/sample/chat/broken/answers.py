"""Defects of the cache, of the two chat routes, and of the time-outs behind them."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from app.sample.chat.answers import Answer, Answering
from app.sample.chat.cache import Cache, RedisAnswers
from app.sample.chat.flights import Flights
from app.sample.chat.model import Model
from app.sample.chat.settings import Settings

SLOW_HIT_S = 0.2  # nearly as long as the model takes
KEPT_ONE_IN = 16
FAILS_ONE_IN = 8
SLOW_FIRST_TOKEN_S = 1.6
LONG_MODEL_TIMEOUT_S = 6.5


def settings(healthy: Settings) -> Settings:
    """Time-outs that are missing or too long."""
    changes: dict[str, float | None] = {}
    if "no_upstream_timeout" in healthy.defects:
        changes["model_timeout_s"] = None
    elif "upstream_timeout_too_long" in healthy.defects:
        changes["model_timeout_s"] = LONG_MODEL_TIMEOUT_S
    if "cache_hang_no_timeout" in healthy.defects:
        changes["cache_timeout_s"] = None
    return healthy.model_copy(update=changes)


def model_kind(defects: AbstractSet[str]) -> type[Model]:
    """The client of the model."""
    return LateModel if "stream_slow_first_token" in defects else Model


def cache(healthy: Cache, redis: RedisAnswers, model: Model, defects: AbstractSet[str]) -> Cache:
    """The cache that answers use."""
    if "cache_never_called" in defects:
        return NeverCalled()
    if "cache_outage_500" in defects:
        healthy = NothingStandsIn(redis)
    if "cache_key_never_matches" in defects:
        healthy = KeyNeverMatches(healthy)
    if "cache_keeps_few" in defects:
        healthy = KeepsFew(healthy)
    if "cache_hits_slow" in defects:
        healthy = SlowHits(healthy)
    if "cache_marker_lies" in defects:
        healthy = PaysAllTheSame(healthy, model)
    return healthy


def flights(defects: AbstractSet[str]) -> Flights:
    """What shares calls under way; it is part of the cache, and as little called."""
    unused = {"cache_never_called", "cache_key_never_matches"} & defects
    return Alone() if unused else Flights()


def answers(healthy: Answering, defects: AbstractSet[str]) -> Answering:
    """What the two chat routes use."""
    if "stream_all_at_once" in defects:
        healthy = AllAtOnce(healthy)
    if "primary_route_flaky" in defects:
        healthy = FailsNowAndThen(healthy)
    if "primary_route_500" in defects:
        healthy = NeverAnswers(healthy)
    return healthy


class NeverCalled:
    """A cache that is wired in and never called."""

    async def get(self, prompt: str) -> str | None:
        """Nothing."""

    async def put(self, prompt: str, answer: str) -> None:
        """Nothing."""


class NothingStandsIn:
    """Redis alone: where it does not answer, the question fails."""

    def __init__(self, redis: RedisAnswers) -> None:
        self._redis = redis

    async def get(self, prompt: str) -> str | None:
        """The answer, or None. Raises when Redis does not answer."""
        async with self._dropping():
            return await self._redis.get(prompt)

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer. Raises when Redis does not answer."""
        async with self._dropping():
            await self._redis.put(prompt, answer)

    @asynccontextmanager
    async def _dropping(self) -> AsyncIterator[None]:
        """Leave no dead connection behind that would fail a question after the outage."""
        try:
            yield
        except (RedisError, OSError, TimeoutError):
            await self._redis.drop_idle()
            raise


class Alone(Flights):
    """Every caller makes a call of their own."""

    async def once(self, _key: str, _looked_at: float, work: Callable[[], Awaitable[str]]) -> str:
        """The result of ``work``, not shared."""
        return await work()

    def followed(
        self, _key: str, _looked_at: float, tokens: Callable[[], AsyncIterator[str]]
    ) -> AsyncIterator[str]:
        """The stream, not shared."""
        return tokens()


class KeyNeverMatches:
    """The key holds something of the request, so no question is ever found again."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner

    async def get(self, prompt: str) -> str | None:
        """None, after looking in the wrong place."""
        return await self._inner.get(f"{uuid.uuid4()} {prompt}")

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer where nobody will look."""
        await self._inner.put(f"{uuid.uuid4()} {prompt}", answer)


class KeepsFew:
    """Only one question in sixteen is stored, always the same ones."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner

    async def get(self, prompt: str) -> str | None:
        """The answer, or None."""
        return await self._inner.get(prompt)

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer, or not."""
        if hashlib.sha256(prompt.encode()).digest()[0] % KEPT_ONE_IN == 0:
            await self._inner.put(prompt, answer)


class SlowHits(KeepsFew):
    """A hit is followed by something that takes its time."""

    async def get(self, prompt: str) -> str | None:
        """The answer, late."""
        found = await self._inner.get(prompt)
        if found is not None:
            await asyncio.sleep(SLOW_HIT_S)
        return found

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer."""
        await self._inner.put(prompt, answer)


class PaysAllTheSame(SlowHits):
    """A hit calls the model as well, and the reply is marked as cached."""

    def __init__(self, inner: Cache, model: Model) -> None:
        super().__init__(inner)
        self._model = model

    async def get(self, prompt: str) -> str | None:
        """The answer, paid for again."""
        found = await self._inner.get(prompt)
        return None if found is None else await self._model.complete(prompt)


class NeverAnswers:
    """The whole answer fails; the stream works."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner

    async def answer(self, _prompt: str) -> Answer:
        """Raises RuntimeError."""
        raise RuntimeError("the chat service was not initialised")

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """As healthy."""
        return await self._inner.stream(prompt)


class FailsNowAndThen(NeverAnswers):
    """Every eighth whole answer is lost after it was found."""

    def __init__(self, inner: Answering) -> None:
        super().__init__(inner)
        self._asked = 0

    async def answer(self, prompt: str) -> Answer:
        """The answer. Raises RuntimeError every eighth time."""
        answer = await self._inner.answer(prompt)
        self._asked += 1
        if self._asked % FAILS_ONE_IN == 0:
            raise RuntimeError("the session store was busy")
        return answer


class AllAtOnce:
    """The stream is held back until it is complete."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner

    async def answer(self, prompt: str) -> Answer:
        """As healthy."""
        return await self._inner.answer(prompt)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """All tokens, once the last one is there."""
        tokens, from_cache = await self._inner.stream(prompt)
        return _again([token async for token in tokens]), from_cache


class LateModel(Model):
    """A stream waits before the model is asked."""

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        """The tokens, from late on. Raises ModelUnavailableError, ModelTimeoutError."""
        await asyncio.sleep(SLOW_FIRST_TOKEN_S)
        async for token in super().stream(prompt):
            yield token


async def _again(tokens: list[str]) -> AsyncIterator[str]:
    for token in tokens:
        yield token
