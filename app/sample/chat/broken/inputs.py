"""Defects of what is taken for a question: each in one field only, and with values that nobody tries."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.sample.chat import routes
from app.sample.chat.routes import Given
from app.sample.chat.shapes import Asked, ChatReply, ChatRequest, Readable
from app.sample.chat.strict import StrictJsonRoute, body_in_time

COLUMN_CHARS = 128


def router(defects: AbstractSet[str]) -> APIRouter:
    """The chat route that stands before the healthy one, if any."""
    found = APIRouter(include_in_schema=False)
    if "bad_input_long_session_500" in defects:
        found.add_api_route(
            "/api/chat", _into_a_column, methods=["POST"], route_class_override=StrictJsonRoute
        )
    if "bad_input_surrogate_500" in defects:
        found.add_api_route("/api/chat", routes.chat, methods=["POST"], route_class_override=_Logged)
    return found


class _Unbounded(Asked):
    message: Readable = Field(min_length=1, max_length=4_000)
    session_id: Readable = Field(min_length=1)


async def _into_a_column(question: _Unbounded, parts: Given) -> ChatReply:
    """The document promises 128 characters, and only the database holds callers to it."""
    if len(question.session_id) > COLUMN_CHARS:
        raise RuntimeError("value too long for type character varying(128)")
    return await routes.chat(ChatRequest(message=question.message, session_id=question.session_id), parts)


class _Logged(StrictJsonRoute):
    """Writes each question to an access log before it is checked; half a surrogate pair has no bytes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, behind the log."""
        handle = super().get_route_handler()

        async def handle_logged(request: Request) -> Response:
            _log_line(await body_in_time(request))
            return await handle(request)

        return handle_logged


def _log_line(body: bytes) -> bytes:
    """What would be written. Raises UnicodeEncodeError."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return b""
    return json.dumps(asked, ensure_ascii=False).encode()
