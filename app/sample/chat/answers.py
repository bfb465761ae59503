"""Answers to questions: from the cache, or from the model, which is asked once for the same question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from app.sample.chat.cache import Cache
from app.sample.chat.flights import Flights
from app.sample.chat.model import Model, ModelTimeoutError, ModelUnavailableError
from app.sample.chat.places import NoPlaceError, Places
from app.sample.chat.telemetry import Telemetry

FAILURES = (ModelUnavailableError, ModelTimeoutError, NoPlaceError)  # why there is no answer


@dataclass(frozen=True)
class Answer:
    """An answer and whether it came from the cache."""

    text: str
    from_cache: bool


class Answering(Protocol):
    """What the chat routes use."""

    async def answer(self, prompt: str) -> Answer:
        """The whole answer."""

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """The answer's tokens, and whether they come from the cache."""


class Answers:
    """Answers questions, whole or as a stream of tokens, within the places that there are at the model."""

    def __init__(
        self, cache: Cache, model: Model, places: Places, flights: Flights, telemetry: Telemetry
    ) -> None:
        self._cache = cache
        self._model = model
        self._places = places
        self._flights = flights
        self._telemetry = telemetry

    async def answer(self, prompt: str) -> Answer:
        """The whole answer. Raises one of FAILURES."""
        looked_at = monotonic()
        found = await self._look_up(prompt)
        if found is not None:
            return Answer(found, from_cache=True)
        text = await self._flights.once(prompt, looked_at, lambda: self._ask(prompt))
        return Answer(text, from_cache=False)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """The answer's tokens and whether they come from the cache; the first token is there already.

        So a model that fails is still an error status, not a stream that breaks. Raises one of FAILURES;
        midway the iterator raises them, all but NoPlaceError.
        """
        looked_at = monotonic()
        found = await self._look_up(prompt)
        if found is not None:
            return _words(found), True
        tokens = self._flights.followed(prompt, looked_at, lambda: self._streamed(prompt))
        first = await anext(tokens, "")
        return _with_first(first, tokens), False

    async def _look_up(self, prompt: str) -> str | None:
        found = await self._cache.get(prompt)
        counter = self._telemetry.cache_misses if found is None else self._telemetry.cache_hits
        counter.inc()
        return found

    async def _ask(self, prompt: str) -> str:
        async with self._places.taken():
            text = await self._model.complete(prompt)
        await self._cache.put(prompt, text)
        return text

    async def _streamed(self, prompt: str) -> AsyncIterator[str]:
        tokens: list[str] = []
        async with self._places.taken():
            async for token in self._model.stream(prompt):
                tokens.append(token)
                yield token
        await self._cache.put(prompt, "".join(tokens))


async def _with_first(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for token in rest:
        yield token


async def _words(text: str) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield word if word == text else word + " "
