"""Defects of how the model is asked: retries, breaker, time-outs of streams, and what callers are told."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from time import monotonic
from typing import Any, cast

import httpx

from app.sample.chat.answers import Answer, Answering
from app.sample.chat.breaker import Breaker, BreakerOpenError
from app.sample.chat.model import Model, ModelUnavailableError
from app.sample.chat.problems import ProblemError
from app.sample.chat.settings import Settings

STORM_TRIES = 12
FIXED_GAP_S = 0.2
INNER_TRIES = 3
INNER_GAP_S = 0.05
SHORT_PAUSE_S = 0.4  # shorter than the pauses of who asks now and then, longer than those of who keeps asking


def settings(healthy: Settings) -> Settings:
    """How often the model is asked."""
    if "retry_storm" in healthy.defects:
        return healthy.model_copy(update={"model_tries": STORM_TRIES})
    return healthy.model_copy(update={"model_tries": 1}) if "no_retry" in healthy.defects else healthy


def model_kind(healthy: type[Model], defects: AbstractSet[str]) -> type[Model]:
    """The client of the model."""
    for name, kind in MODELS.items():
        if name in defects:
            healthy = cast("type[Model]", type(kind.__name__, (kind, healthy), {}))
    return healthy


def breaker(defects: AbstractSet[str]) -> Breaker:
    """What stands before the model."""
    if "no_breaker" in defects:
        return NeverOpens()
    return PutOff() if "breaker_kept_open_by_traffic" in defects else Breaker()


def answers(healthy: Answering, defects: AbstractSet[str]) -> Answering:
    """What the two chat routes use."""
    if "upstream_error_trace" in defects:
        healthy = ShowsTraces(healthy)
    return StreamNamesErrors(healthy) if "upstream_error_on_stream" in defects else healthy


class AtOnce(Model):
    """Asks again without a pause."""

    def gap_s(self, _tried: int) -> float:
        """None."""
        return 0.0


class FixedGap(Model):
    """Pauses equally long each time, as everybody else does who was refused at the same moment."""

    def gap_s(self, _tried: int) -> float:
        """Always the same."""
        return FIXED_GAP_S


class TwoLayers(Model):
    """What sends a call tries three times, and so does who has it sent."""

    async def _send(self, body: dict[str, object], until: float | None) -> httpx.Response:
        for _ in range(INNER_TRIES - 1):
            try:
                return await super()._send(body, until)
            except (httpx.HTTPStatusError, httpx.ConnectError):
                await asyncio.sleep(INNER_GAP_S * random.uniform(0.5, 1.5))
        return await super()._send(body, until)


class CountsTimeoutsOnly(Model):
    """The breaker hears of time-outs; errors that come quickly are nothing to it."""

    def failed(self, error: Exception, *, trial: bool) -> None:
        """A call went wrong."""
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            super().failed(error, trial=trial)


class StreamWaits(Model):
    """A stream waits for its beginning as long as the connection lasts."""

    def within_s(self, *, stream: bool) -> float | None:
        """How long the model has until it begins to answer."""
        return None if stream else super().within_s(stream=stream)

    def request(self, body: dict[str, object]) -> httpx.Request:
        """What is sent."""
        request = super().request(body)
        if body["stream"]:
            limits = dict.fromkeys(("connect", "read", "write", "pool"))
            request.extensions["timeout"] = limits
        return request


MODELS: dict[str, type[Model]] = {
    "retry_storm": AtOnce,
    "retry_fixed_gap": FixedGap,
    "retry_in_two_layers": TwoLayers,
    "breaker_ignores_errors": CountsTimeoutsOnly,
    "stream_no_upstream_timeout": StreamWaits,
}


class NeverOpens(Breaker):
    """A breaker that nobody set up."""

    def admit(self) -> bool:
        """Always."""
        return False


class PutOff(Breaker):
    """Each call that is refused begins the pause anew."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        super().__init__(pause_s=SHORT_PAUSE_S, longest_pause_s=SHORT_PAUSE_S, now_s=now_s)

    def admit(self) -> bool:
        """Whether the call that is made now is a trial. Raises BreakerOpenError where none may be made."""
        try:
            return super().admit()
        except BreakerOpenError:
            self._try_at_s = self._now_s() + SHORT_PAUSE_S
            raise


class ShowsTraces:
    """Where the model fails, callers get the trace."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner

    async def answer(self, prompt: str) -> Answer:
        """The whole answer, or a trace."""
        try:
            return await self._inner.answer(prompt)
        except ModelUnavailableError as error:
            raise ProblemError(500, traceback.format_exc()) from error

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """The answer's tokens, or a trace."""
        try:
            return await self._inner.stream(prompt)
        except ModelUnavailableError as error:
            raise ProblemError(500, traceback.format_exc()) from error


class StreamNamesErrors:
    """A stream that cannot begin says which exception it was, and where."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner

    async def answer(self, prompt: str) -> Answer:
        """As healthy."""
        return await self._inner.answer(prompt)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """The answer's tokens, or too much of why there are none."""
        try:
            return await self._inner.stream(prompt)
        except ModelUnavailableError as error:
            raise ProblemError(503, f"The model failed: {_named(error.__cause__)}") from error


def _named(error: Any) -> str:
    return f"{type(error).__module__}.{type(error).__name__}: {error}"
