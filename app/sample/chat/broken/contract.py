"""Defects of what the service says of itself: the id of a request, readiness, and its OpenAPI document."""

from __future__ import annotations

import re
import uuid
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sample.chat import routes
from app.sample.chat.routes import Given
from app.sample.chat.shapes import ChatRequest, Health, Ready
from app.sample.chat.strict import StrictJsonRoute

ID_HEADERS = ("X-Request-ID", "traceparent")
KNOWN_CONNECTIONS = 1_000
LONG_CHARS = 1_000


def outside(healthy: ASGIApp, defects: AbstractSet[str]) -> ASGIApp:
    """What stands before everything else, where ids are given."""
    kinds: dict[str, type[Ids]] = {
        "request_id_missing": Ids,
        "request_id_lost_on_errors": LostOnErrors,
        "request_id_per_connection": PerConnection,
        "request_id_taken_as_it_comes": TakenAsItComes,
    }
    for name, kind in kinds.items():
        if name in defects:
            healthy = kind(healthy)
    return healthy


def router(defects: AbstractSet[str]) -> APIRouter:
    """Routes that stand before the healthy ones; those that stand in for one are documented in its place."""
    found = APIRouter(tags=["operations"])
    if "readiness_alias" in defects:
        found.add_api_route("/ready", _alive, methods=["GET"], response_model=Health)
    elif "readiness_ignores_the_model" in defects:
        found.add_api_route("/ready", _hopeful, methods=["GET"], response_model=Ready)
    if "contract_broken_when_long" in defects:
        found.add_api_route(
            "/api/chat",
            _nameless_when_long,
            methods=["POST"],
            route_class_override=StrictJsonRoute,
            include_in_schema=False,
        )
    return found


def left(healthy: APIRouter, defects: AbstractSet[str]) -> APIRouter:
    """The healthy routes but for those that a defect knows nothing of, nor the document with it."""
    if not defects & {"readiness_missing", "readiness_alias", "readiness_ignores_the_model"}:
        return healthy
    rest = APIRouter()
    rest.routes = [route for route in healthy.routes if getattr(route, "path", "") != "/ready"]
    return rest


def document_url(defects: AbstractSet[str]) -> str | None:
    """Where the OpenAPI document is published, and pages that show it with it; None for nowhere."""
    return None if "openapi_missing" in defects else "/openapi.json"


def document(healthy: dict[str, Any], defects: AbstractSet[str]) -> dict[str, Any]:
    """The OpenAPI document as it is published."""
    if "openapi_stale" in defects:  # as the reply was before its field got another name
        shape = healthy["components"]["schemas"]["ChatReply"]
        shape["properties"]["reply"] = shape["properties"].pop("answer")
        shape["required"] = ["reply", *(name for name in shape["required"] if name != "answer")]
    return healthy


async def _nameless_when_long(question: ChatRequest, parts: Given) -> Response:
    """Long questions go to a model whose client does not say its name."""
    whole = (await routes.chat(question, parts)).model_dump()
    if len(question.message) > LONG_CHARS:
        whole["metadata"]["model"] = None
    return JSONResponse(whole)


async def _alive(parts: Given) -> Health:
    return await routes.health(parts)


async def _hopeful() -> Ready:
    """A name of the model that its client no longer has: it is never up, and nobody asks for it."""
    return Ready(status="ready", dependencies={"cache": "up", "model": "down"})


class Ids:
    """Takes the ids off every reply; subclasses change less."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.change(scope, message["status"], MutableHeaders(scope=message))
            await send(message)

        await self.app(scope, receive, send_changed)

    def change(self, _scope: Scope, _status: int, headers: MutableHeaders) -> None:
        """Change the headers of a reply."""
        for name in ID_HEADERS:
            del headers[name]


class LostOnErrors(Ids):
    """The layer that gives ids lies inside the one that answers errors."""

    def change(self, scope: Scope, status: int, headers: MutableHeaders) -> None:
        """As healthy where the reply is good."""
        if status >= 400:
            super().change(scope, status, headers)


class PerConnection(Ids):
    """An id that is kept in the connection's state instead of the request's."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._ids: dict[tuple[str, int], str] = {}

    def change(self, scope: Scope, _status: int, headers: MutableHeaders) -> None:
        """As healthy where the caller sends an id."""
        if "x-request-id" not in Headers(scope=scope):
            if len(self._ids) > KNOWN_CONNECTIONS:
                self._ids.clear()
            headers["X-Request-ID"] = self._ids.setdefault(tuple(scope["client"]), uuid.uuid4().hex)


class TakenAsItComes(Ids):
    """An incoming id is trusted, whatever it holds."""

    def change(self, scope: Scope, _status: int, headers: MutableHeaders) -> None:
        """As healthy where the caller sends none."""
        given = Headers(scope=scope).get("x-request-id", "")
        if given and not re.search(r"[\r\n\0]", given):  # the server would refuse to send those
            headers["X-Request-ID"] = given
