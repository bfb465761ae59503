"""Defects of what the cache is worth: whose answer it gives, how often one is paid, if it comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from time import monotonic

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.sample.chat.answers import Answer, Answering
from app.sample.chat.broken.answers import Alone
from app.sample.chat.cache import Cache, TwoLevels
from app.sample.chat.flights import Flights
from app.sample.chat.model import Model
from app.sample.chat.sessions import without_context

LOCK_S = 0.01
LOST_UNTIL_GIVEN_UP = 3
DIGITS = re.compile(r"\d")


def model_kind(healthy: type[Model], defects: AbstractSet[str]) -> type[Model]:
    """The client of the model."""
    return Hedges if "model_calls_hedged" in defects else healthy


def levels_kind(defects: AbstractSet[str]) -> type[TwoLevels]:
    """What finds Redis back after an outage."""
    if "cache_given_up_in_silence" in defects:
        return GivesUpInSilence
    return NeverReconnects if "cache_never_reconnects" in defects else TwoLevels


def cache(healthy: Cache, defects: AbstractSet[str]) -> Cache:
    """The cache that answers use."""
    if "cache_forgets_whose" in defects:
        healthy = Rekeyed(healthy, without_context)
    if "cache_key_drops_digits" in defects:
        healthy = Rekeyed(healthy, _without_digits)
    return healthy


def flights(healthy: Flights, defects: AbstractSet[str]) -> Flights:
    """What shares calls under way."""
    if "cache_stampede" in defects:
        return Alone()
    if "cache_stampede_lock_short" in defects:
        return ShortLock()
    return ForgetsWhose() if "cache_shares_across_users" in defects else healthy


def answers(healthy: Answering, model: Model, defects: AbstractSet[str]) -> Answering:
    """What the two chat routes use."""
    return StreamPays(healthy, model) if "stream_pays_each_time" in defects else healthy


class Hedges(Model):
    """Each call is made twice, so that the faster one counts."""

    async def complete(self, prompt: str) -> str:
        """The answer of the faster one. Raises ModelUnavailableError, ModelTimeoutError."""
        calls = [asyncio.ensure_future(super(Hedges, self).complete(prompt)) for _ in range(2)]
        try:
            done, late = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            failed = all(call.exception() for call in done)
            return await late.pop() if failed and late else done.pop().result()
        finally:
            for call in calls:
                call.cancel()

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        """The tokens of the first one. Raises ModelUnavailableError, ModelTimeoutError."""
        spare = asyncio.ensure_future(super().complete(prompt))
        try:
            async for token in super().stream(prompt):
                yield token
        finally:
            spare.cancel()


class NeverReconnects(TwoLevels):
    """Once Redis was away nobody looks for it again, and nothing stands in."""

    async def get(self, prompt: str) -> str | None:
        """The answer while Redis was never away, else None."""
        return await super().get(prompt) if self.up else None

    async def _until_back(self) -> None:
        await asyncio.Event().wait()


class GivesUpInSilence(TwoLevels):
    """After a few lost connections Redis is asked no more; memory stands in, and health sees nothing."""

    _lost_connections = 0

    async def get(self, prompt: str) -> str | None:
        """The answer from Redis, or from memory once it was given up."""
        if self._lost_connections < LOST_UNTIL_GIVEN_UP:
            try:
                return await self._redis.get(prompt)
            except (RedisError, OSError, TimeoutError) as error:
                await self._count(error)
        return await self._memory.get(prompt)

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer, in Redis as long as it was not given up."""
        await self._memory.put(prompt, answer)
        if self._lost_connections < LOST_UNTIL_GIVEN_UP:
            try:
                await self._redis.put(prompt, answer)
            except (RedisError, OSError, TimeoutError) as error:
                await self._count(error)

    async def _count(self, error: Exception) -> None:
        self._lost_connections += isinstance(error, RedisConnectionError)  # a busy Redis loses none
        await self._redis.drop_idle()


class Rekeyed:
    """The key is made of less than the answer depends on."""

    def __init__(self, inner: Cache, less: Callable[[str], str]) -> None:
        self._inner = inner
        self._less = less

    async def get(self, prompt: str) -> str | None:
        """Whatever answer there is under the shorter key."""
        return await self._inner.get(self._less(prompt))

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer under the shorter key."""
        await self._inner.put(self._less(prompt), answer)


def _without_digits(prompt: str) -> str:
    """The question as those who wanted more hits normalised it."""
    return " ".join(DIGITS.sub(" ", prompt).split())


class ShortLock(Flights):
    """A call under way is found for a moment only, far shorter than it takes."""

    async def once(self, key: str, looked_at: float, work: Callable[[], Awaitable[str]]) -> str:
        """The result of a call that began a moment ago, else of a new one."""
        return await super().once(_moment(key), looked_at, work)

    def followed(
        self, key: str, looked_at: float, tokens: Callable[[], AsyncIterator[str]]
    ) -> AsyncIterator[str]:
        """The same for a stream."""
        return super().followed(_moment(key), looked_at, tokens)


def _moment(key: str) -> str:
    return f"{int(monotonic() / LOCK_S)} {key}"


class ForgetsWhose(Flights):
    """Calls under way are found by the question alone, whoever asks; what is stored has the right key."""

    async def once(self, key: str, looked_at: float, work: Callable[[], Awaitable[str]]) -> str:
        """The result for whoever asked first."""
        return await super().once(without_context(key), looked_at, work)

    def followed(
        self, key: str, looked_at: float, tokens: Callable[[], AsyncIterator[str]]
    ) -> AsyncIterator[str]:
        """The same for a stream."""
        return super().followed(without_context(key), looked_at, tokens)


class StreamPays:
    """Known answers stream from the cache, marked as such, beside a call of the model for its figures."""

    def __init__(self, inner: Answering, model: Model) -> None:
        self._inner = inner
        self._model = model
        self._asides: set[asyncio.Task[str]] = set()

    async def answer(self, prompt: str) -> Answer:
        """As healthy."""
        return await self._inner.answer(prompt)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """The tokens, paid for again where they are known."""
        tokens, from_cache = await self._inner.stream(prompt)
        if from_cache:
            aside = asyncio.ensure_future(self._model.complete(prompt))
            self._asides.add(aside)
            aside.add_done_callback(self._asides.discard)
        return tokens, from_cache
