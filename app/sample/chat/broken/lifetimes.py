"""Defects of how the process ends when it is told to, and of how it begins after it was killed."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sample.chat import problems
from app.sample.chat.settings import Settings

COLD_S = 12.0
QUESTIONS = ("/api/chat", "/api/v1/chat")


def server_kind(defects: AbstractSet[str]) -> type[uvicorn.Server]:
    """What serves, and hears SIGTERM."""
    kinds: dict[str, type[uvicorn.Server]] = {
        "drops_inflight_on_sigterm": EndsAtOnce,
        "closes_clients_before_requests": ClosesFirst,
        "streams_cut_on_sigterm": CutsStreams,
        "shutdown_never_ends": NeverEnds,
    }
    return next((kind for name, kind in kinds.items() if name in defects), uvicorn.Server)


def door(healthy: ASGIApp, settings: Settings) -> ASGIApp:
    """What stands before the application."""
    if "restart_answers_500" in settings.defects:
        return ColdAfterCrash(healthy, settings.journal / "running")
    return healthy


class EndsAtOnce(uvicorn.Server):
    """Whatever is under way is left."""

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """End."""
        os._exit(0)


class ClosesFirst(uvicorn.Server):
    """Connections to the model and the partners are closed while requests still need them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """In the wrong order."""
        await self.lifespan.shutdown()
        await super().shutdown(sockets)


class CutsStreams(uvicorn.Server):
    """Whole answers are finished, streams are not."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut what streams, then wait for the others."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle and not cycle.response_complete and cycle.scope["path"].endswith("/stream"):
                connection.transport.abort()
        await super().shutdown(sockets)


class NeverEnds(uvicorn.Server):
    """Nobody is served any more, and something that nobody waits for keeps the process."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish all but itself."""
        await super().shutdown(sockets)
        await asyncio.Event().wait()


class ColdAfterCrash:
    """Questions get 500 for a while after a crash, known by what an orderly end would have removed."""

    def __init__(self, app: ASGIApp, mark: Path) -> None:
        self.app = app
        self._mark = mark
        self._cold_until = time.monotonic() + COLD_S if mark.exists() else 0.0
        mark.touch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hear of the end."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._hearing(send))
        elif scope["path"].startswith(QUESTIONS) and time.monotonic() < self._cold_until:
            failed = problems.reply(Request(scope), 500, "Something went wrong on our side.")
            await failed(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _hearing(self, send: Send) -> Send:
        async def heard(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                self._mark.unlink(missing_ok=True)
            await send(message)

        return heard
