"""Limits at the door: the rate per user and per address, and the size of a body."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sample.chat import problems
from app.sample.chat.problems import ProblemError

BURST_S = 2.0  # a bucket holds this many seconds of its rate
KNOWN_CALLERS = 10_000


class Rate:
    """Token buckets by caller, the least recently seen forgotten first."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s = per_s
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """Take a token of ``caller``: 0, or the time in s until there is one."""
        now, full = self._clock(), self.per_s * BURST_S
        tokens, then = self._buckets.pop(caller, (full, now))
        tokens = min(full, tokens + (now - then) * self.per_s)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.per_s
        self._buckets[caller] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > KNOWN_CALLERS:
            self._buckets.popitem(last=False)
        return wait


class Guards:
    """Refuses callers above their rate (429) and bodies above the limit (413) on the API's routes."""

    def __init__(self, app: ASGIApp, *, user: Rate, address: Rate, body_limit_bytes: int) -> None:
        self.app = app
        self.user = user
        self.address = address
        self.body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        wait_s = self._wait_s(request)
        if wait_s:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            refusal = problems.reply(request, 429, "Too many requests; try again later.", headers=headers)
            await refusal(scope, receive, send)
            return
        await self.app(scope, self._bounded(request, receive), send)

    def _wait_s(self, request: Request) -> float:
        address = request.client.host if request.client else ""
        waits = [self.address.wait_s(address)]
        if user := request.headers.get("x-user-id") or request.headers.get("authorization"):
            waits.append(self.user.wait_s(user))
        return max(waits)

    def _bounded(self, request: Request, receive: Receive) -> Receive:
        limit, seen = self.body_limit_bytes, 0
        declared = request.headers.get("content-length", "")

        async def receive_bounded() -> Message:
            nonlocal seen
            if declared.isdigit() and int(declared) > limit:
                raise too_large(limit)
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise too_large(limit)
            return message

        return receive_bounded


def too_large(limit_bytes: int) -> ProblemError:
    """The refusal of a body; the rest of it is not waited for."""
    return ProblemError(413, f"A body may have {limit_bytes} bytes.", {"Connection": "close"})
