"""The client of the paid model: explicit deadlines, bounded retries with jitter, clean errors."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client import Counter

RETRY_STATUSES = frozenset({429, 502, 503})
BACKOFF_S = 0.1


class ModelUnavailableError(Exception):
    """The model could not be reached or refused."""


class ModelTimeoutError(Exception):
    """The model took the call and did not answer in time."""


class Model:
    """Asks the model. A call that was accepted is not repeated after a time-out: it may be paid already."""

    def __init__(
        self, client: httpx.AsyncClient, *, timeout_s: float | None, tries: int, calls: Counter
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._tries = tries
        self._calls = calls

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

    @asynccontextmanager
    async def _accepted(self, prompt: str, *, stream: bool) -> AsyncIterator[httpx.Response]:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._send_with_retries({"prompt": prompt, "stream": stream})
            try:
                yield response
            finally:
                await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            self._calls.labels("timeout").inc()
            raise ModelTimeoutError from error
        except (httpx.HTTPError, ValueError, KeyError) as error:  # the latter two: not the reply agreed on
            self._calls.labels("failed").inc()
            raise ModelUnavailableError from error

    async def _send_with_retries(self, body: dict[str, object]) -> httpx.Response:
        for tries_left in reversed(range(self._tries)):
            request = self._client.build_request("POST", "/v1/complete", json=body)
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.RemoteProtocolError):
                if not tries_left:
                    raise
            else:
                if response.status_code not in RETRY_STATUSES or not tries_left:
                    response.raise_for_status()
                    return response
                await response.aclose()
            await asyncio.sleep(random.uniform(BACKOFF_S / 2, BACKOFF_S * 1.5))
        raise ModelUnavailableError
