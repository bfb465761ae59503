"""The client of the paid model: explicit deadlines, bounded retries with jitter, a breaker, clean errors."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client import Counter

from app.sample.chat.breaker import Breaker, BreakerOpenError

RETRY_STATUSES = frozenset({429, 502, 503})
BACKOFF_S = 0.1


class ModelUnavailableError(Exception):
    """The model could not be reached or refused."""


class ModelTimeoutError(Exception):
    """The model took the call and did not answer in time."""


class Model:
    """Asks the model. A call that was accepted is not repeated after a time-out: it may be paid already."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        timeout_s: float | None,
        tries: int,
        calls: Counter,
        breaker: Breaker,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._tries = tries
        self._calls = calls
        self._breaker = breaker

    async def complete(self, prompt: str) -> str:
        """The answer. Raises ModelUnavailableError, ModelTimeoutError."""
        async with self._accepted(prompt, stream=False) as response:
            text: str = json.loads(await response.aread())["text"]
        self._calls.labels("answered").inc()
        return text

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        """The answer in tokens. Raises ModelUnavailableError, ModelTimeoutError, also midway."""
        async with self._accepted(prompt, stream=True) as response:
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    break
                if line.startswith("data: "):
                    yield json.loads(line[6:])["text"]
        self._calls.labels("answered").inc()

    def gap_s(self, tried: int) -> float:
        """How long to wait after so many tries: twice as long each time, and never the same."""
        longer: float = 2.0 ** (tried - 1)
        return BACKOFF_S * longer * random.uniform(0.5, 1.5)

    def within_s(self, *, stream: bool) -> float | None:  # noqa: ARG002 - both have the same, when all is well
        """How long all tries have together until the model begins to answer."""
        return self._timeout_s

    @asynccontextmanager
    async def _accepted(self, prompt: str, *, stream: bool) -> AsyncIterator[httpx.Response]:
        within_s = self.within_s(stream=stream)
        until = None if within_s is None else asyncio.get_running_loop().time() + within_s
        try:
            response = await self._send_with_retries({"prompt": prompt, "stream": stream}, until)
            try:
                yield response
            finally:
                await response.aclose()
        except BreakerOpenError as error:
            self._calls.labels("refused").inc()
            raise ModelUnavailableError from error
        except (TimeoutError, httpx.TimeoutException) as error:
            self._calls.labels("timeout").inc()
            raise ModelTimeoutError from error
        except (httpx.HTTPError, ValueError, KeyError) as error:  # the latter two: not the reply agreed on
            self._calls.labels("failed").inc()
            raise ModelUnavailableError from error

    async def _send_with_retries(self, body: dict[str, object], until: float | None) -> httpx.Response:
        for tried in range(1, self._tries + 1):
            last = tried == self._tries
            try:
                return await self._send(body, until)
            except httpx.HTTPStatusError as error:
                if last or error.response.status_code not in RETRY_STATUSES:
                    raise
            except (httpx.ConnectError, httpx.RemoteProtocolError):
                if last:
                    raise
            async with asyncio.timeout_at(until):
                await asyncio.sleep(self.gap_s(tried))
        raise ModelUnavailableError

    def request(self, body: dict[str, object]) -> httpx.Request:
        """What is sent."""
        return self._client.build_request("POST", "/v1/complete", json=body)

    def failed(self, _: Exception, *, trial: bool) -> None:
        """A call went wrong."""
        self._breaker.failed(trial=trial)

    async def _send(self, body: dict[str, object], until: float | None) -> httpx.Response:
        """One call, whose outcome the breaker hears. Raises BreakerOpenError where none may be made."""
        trial = self._breaker.admit()
        request = self.request(body)
        try:
            async with asyncio.timeout_at(until):
                response = await self._client.send(request, stream=True)
            if not response.is_success:
                await response.aclose()
                response.raise_for_status()
        except (httpx.HTTPError, TimeoutError) as error:
            self.failed(error, trial=trial)
            raise
        except asyncio.CancelledError:
            self._breaker.abandoned(trial=trial)
            raise
        self._breaker.succeeded()
        return response
