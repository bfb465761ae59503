"""What a request body must be before its fields are looked at: JSON, in UTF-8, small, shallow, finite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from app.sample.chat.problems import ProblemError

BODY_WITHIN_S = 3.0  # for 64 kB; who sends less is holding a connection


class StrictJsonRoute(APIRoute):
    """A route that takes JSON only.

    pydantic's parser bounds the depth (200) and refuses NaN, infinity, invalid UTF-8 and lone surrogates,
    any of which would otherwise come to light when a reply is written.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, behind the check."""
        handle = super().get_route_handler()

        async def handle_sound(request: Request) -> Response:
            await _require_sound_json(request)
            return await handle(request)

        return handle_sound


async def _require_sound_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise ProblemError(415, "Send application/json in UTF-8.", {"Accept-Post": "application/json"})
    try:
        from_json(await body_in_time(request), allow_inf_nan=False)
    except ValueError as error:
        raise ProblemError(400, "The body is not sound JSON.") from error


async def body_in_time(request: Request) -> bytes:
    """The body, which must come within BODY_WITHIN_S. Raises ProblemError."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.body()
    except TimeoutError as error:
        raise ProblemError(
            408, "The request body did not arrive in time.", {"Connection": "close"}
        ) from error
