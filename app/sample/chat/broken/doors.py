"""Defects that depend on who else is there, or was: they stand before the whole application."""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sample.chat import problems

POISONOUS_DEPTH = 50
CROWD = 12  # more users than the third load scenario has, fewer than the fourth
CRASHING_CROWD = 45  # fewer users than the fifth load scenario has, more than arrive at a given rate
SEEN_WITHIN_S = 0.4
WAIT_PER_CALLER_S = 0.4
LONGEST_WAIT_S = 8.0  # longer than callers wait, but the crowd is gone soon after they are


def door(healthy: ASGIApp, defects: AbstractSet[str]) -> ASGIApp:
    """What stands before the application."""
    if "bad_input_poisons" in defects:
        healthy = Poisonable(healthy)
    if "slow_under_load" in defects:
        healthy = SlowInCrowd(healthy)
    if "errors_under_load" in defects:
        healthy = RefusesCrowd(healthy)
    if "crash_at_50_users" in defects:
        healthy = DiesOfCrowd(healthy)
    return healthy


class Poisonable:
    """One deeply nested body, and every later request to the API fails until a restart."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._poisoned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
        elif self._poisoned:
            failed = problems.reply(Request(scope), 500, "Something went wrong on our side.")
            await failed(scope, receive, send)
        else:
            await self.app(scope, self._tasting(receive), send)

    def _tasting(self, receive: Receive) -> Receive:
        depth = 0

        async def receive_tasting() -> Message:
            nonlocal depth
            message = await receive()
            for byte in message.get("body", b""):
                depth += (byte in b"[{") - (byte in b"]}")
                self._poisoned = self._poisoned or depth > POISONOUS_DEPTH
            return message

        return receive_tasting


@dataclass(frozen=True)
class Spot:
    """Where a caller stands: how many came before, and how many there are."""

    place: int
    crowd: int


class Crowd(ABC):
    """Counts callers: kept connections with a request under way or seen just now."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._requests: dict[tuple[str, int], int] = {}
        self._seen: dict[tuple[str, int], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        caller = tuple(scope["client"])
        self._requests[caller] = self._requests.get(caller, 0) + 1
        self._seen[caller] = float("inf")  # under way
        try:
            if not await self._refused(self._spot(caller), scope, receive, send):
                await self.app(scope, receive, send)
        finally:
            self._seen[caller] = time.monotonic()

    def _spot(self, caller: tuple[str, int]) -> Spot:
        """Only callers that came back at least once count: a probe on a new connection is no crowd."""
        now = time.monotonic()
        for gone in [one for one, at in self._seen.items() if at < now - SEEN_WITHIN_S]:
            del self._seen[gone], self._requests[gone]
        there = [one for one in self._seen if self._requests[one] > 1]
        return Spot(there.index(caller) if caller in there else 0, len(there))

    @abstractmethod
    async def _refused(self, spot: Spot, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the caller was turned away here."""


class SlowInCrowd(Crowd):
    """From the thirteenth caller on, everybody waits, the longer the bigger the crowd is."""

    async def _refused(self, spot: Spot, _scope: Scope, _receive: Receive, _send: Send) -> bool:
        await asyncio.sleep(min(max(0, spot.crowd - CROWD) * WAIT_PER_CALLER_S, LONGEST_WAIT_S))
        return False


class RefusesCrowd(Crowd):
    """From the thirteenth caller on there is no worker left."""

    async def _refused(self, spot: Spot, scope: Scope, receive: Receive, send: Send) -> bool:
        if spot.place < CROWD:
            return False
        headers = {"Retry-After": "1"}
        refusal = problems.reply(Request(scope), 503, "No worker is free; try again.", headers=headers)
        await refusal(scope, receive, send)
        return True


class DiesOfCrowd(Crowd):
    """The process does not survive a great crowd."""

    async def _refused(self, spot: Spot, _scope: Scope, _receive: Receive, _send: Send) -> bool:
        if spot.crowd >= CRASHING_CROWD:
            os._exit(70)  # at once, as the kernel ends a process: no reply, no goodbye
        return False
