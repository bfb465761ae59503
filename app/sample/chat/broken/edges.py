"""Defects of the outermost layer: what errors give away, how long a body may be, which sites are let in."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sample.chat.guards import Guards, too_large

DEPTH = 100
TRACE = """Traceback (most recent call last):
  File "/srv/support/chat/routes.py", line 57, in chat
    answer = await answered(question.message, parts)
  File "/srv/support/chat/shapes.py", line 12, in _readable
    raise ValueError("must hold something besides white space")"""
QUERY = "SELECT id, name FROM shops WHERE token_hash = $1 AND active"
PARSER = "/srv/support/chat/strict.py"
OWN_SITE = "shop.example"


def guards_kind(defects: AbstractSet[str]) -> type[Guards]:
    """Who stands at the door."""
    kinds: dict[str, type[Guards]] = {
        "body_limit_absent": Unlimited,
        "body_limit_trusts_length": TrustsLength,
        "body_refused_and_kept": KeepsWhatItRefuses,
    }
    return next((kind for name, kind in kinds.items() if name in defects), Guards)


def outside(healthy: ASGIApp, defects: AbstractSet[str]) -> ASGIApp:
    """What stands before everything else."""
    kinds: dict[str, Any] = {
        "errors_show_trace": ShowsTrace,
        "error_shows_query": ShowsQuery,
        "error_shows_path_when_deep": ShowsPathWhenDeep,
        "cors_reflects_any": LetsEverybodyIn,
        "cors_trusts_the_end": LetsInByTheEnd,
        "nosniff_missing_on_errors": SniffableErrors,
    }
    for name, kind in kinds.items():
        if name in defects:
            healthy = kind(healthy)
    return healthy


class Unlimited(Guards):
    """Nobody asks how long a body is."""

    def _bounded(self, _: Request, receive: Receive) -> Receive:
        return receive


class TrustsLength(Guards):
    """The announced length is believed, and a body without one is none's business."""

    def _bounded(self, request: Request, receive: Receive) -> Receive:
        return super()._bounded(request, receive) if "content-length" in request.headers else receive


class KeepsWhatItRefuses(Guards):
    """A body that is too long is read to its end, refused, and kept for someone to look at."""

    def __init__(self, *args: Any, **limits: Any) -> None:
        super().__init__(*args, **limits)
        self._kept: list[bytes] = []

    def _bounded(self, _: Request, receive: Receive) -> Receive:
        body = bytearray()

        async def receive_all() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            while message.get("more_body", False) and len(body) > self.body_limit_bytes:
                message = await receive()
                body.extend(message.get("body", b""))
            if len(body) > self.body_limit_bytes:
                self._kept.append(bytes(body))
                raise too_large(self.body_limit_bytes)
            return message

        return receive_all


class Talkative(ABC):
    """Rewrites the detail of error replies."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun: Message = {}

        async def send_talkative(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] >= 400:
                begun = message
                return
            if begun:
                message = self._retold(scope, begun, message)
                await send(begun)
                begun = {}
            await send(message)

        await self.app(scope, self._tasting(scope, receive), send_talkative)

    def _retold(self, scope: Scope, begun: Message, message: Message) -> Message:
        try:
            problem = json.loads(message.get("body", b""))
        except ValueError:
            return message
        said = self._said(scope, begun["status"])
        if not said or not isinstance(problem, dict):
            return message
        body = json.dumps(problem | {"detail": f"{problem.get('detail', '')} {said}"}).encode()
        MutableHeaders(scope=begun)["Content-Length"] = str(len(body))
        return {**message, "body": body}

    def _tasting(self, _: Scope, receive: Receive) -> Receive:
        return receive

    @abstractmethod
    def _said(self, scope: Scope, status: int) -> str:
        """What an error of this status says too much; "" for nothing."""


class ShowsTrace(Talkative):
    """Whatever is wrong with a request, its reply shows the code that found it."""

    def _said(self, _: Scope, status: int) -> str:
        return TRACE if status in (400, 415, 422) else ""


class ShowsQuery(Talkative):
    """A token that no shop has is answered with the query that looked for it."""

    def _said(self, scope: Scope, status: int) -> str:
        token = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ").strip()
        return f"{QUERY}: no rows" if status == 401 and token else ""


class ShowsPathWhenDeep(Talkative):
    """A body nested too deeply is answered with the file that gave up; any other one is not."""

    def _said(self, scope: Scope, _: int) -> str:
        return f"Recursion limit reached in {PARSER}, line 52." if scope.get("deepest", 0) > DEPTH else ""

    def _tasting(self, scope: Scope, receive: Receive) -> Receive:
        depth = 0

        async def receive_tasting() -> Message:
            nonlocal depth
            message = await receive()
            for byte in message.get("body", b""):
                depth += (byte in b"[{") - (byte in b"]}")
                scope["deepest"] = max(scope.get("deepest", 0), depth)
            return message

        return receive_tasting


class LetsEverybodyIn:
    """Every site's pages may call the service with their users' credentials."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        origin = Headers(scope=scope).get("origin", "") if scope["type"] == "http" else ""
        if not origin or not self._knows(origin):
            await self.app(scope, receive, send)
            return
        allowed = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Headers": "authorization,content-type",
            "Access-Control-Allow-Methods": "GET,POST",
            "Vary": "Origin",
        }
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=allowed)(scope, receive, send)
            return

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(allowed)
            await send(message)

        await self.app(scope, receive, send_allowing)

    def _knows(self, _: str) -> bool:
        return True


class LetsInByTheEnd(LetsEverybodyIn):
    """The shop's own site and its subdomains may, known by how their name ends."""

    def _knows(self, origin: str) -> bool:
        return origin.endswith(OWN_SITE)


class SniffableErrors:
    """Error replies are written where the header is not added."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_bare(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                del MutableHeaders(scope=message)["X-Content-Type-Options"]
            await send(message)

        await self.app(scope, receive, send_bare)
