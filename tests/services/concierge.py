"""A service made with aiohttp, with conventions of its own house.

Each reply is ``{"ok": ..., ...}``, errors too; a known answer shows itself by an ``Age``, as HTTP caches do;
streams have events of their own names; answers are kept for a while in the process; nothing counts its calls,
and there are no metrics. ``python concierge.py PORT`` runs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

THINKING_S = 0.15
TOKEN_GAP_S = 0.01
KEPT_S = 600.0
KEPT = 5_000
MAX_BODY_BYTES = 32_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Shelf:
    """Answers with the time at which each was put there."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[float, str]] = {}

    async def answer(self, question: str) -> tuple[str, float | None]:
        """The answer, and its age where it was known."""
        at, text = self.kept.get(question, (0.0, ""))
        if text and time.monotonic() - at < KEPT_S:
            return text, time.monotonic() - at
        await asyncio.sleep(THINKING_S)
        room = hashlib.sha256(question.encode()).hexdigest()[:8]
        text = f"Please ask at desk {room} on the ground floor, where my colleagues know more about it."
        self.kept[question] = (time.monotonic(), text)
        while len(self.kept) > KEPT:
            self.kept.pop(next(iter(self.kept)))
        return text, None


SHELF = web.AppKey("shelf", Shelf)


class RefusedError(Exception):
    """What the caller did wrong."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


def said(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"ok": False, "error": {"code": code, "text": text}}, status=status, headers=headers
    )


@web.middleware
async def in_our_way(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refusal:
        return said(refusal.status, refusal.code, refusal.text)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return said(error.status, error.reason.upper().replace(" ", "_"), "see the manual", headers)


async def question_of(request: web.Request) -> str:
    if request.content_type != "application/json":
        raise RefusedError(415, "WRONG_TYPE", "send JSON")
    try:
        document: Any = json.loads((await request.read()).decode())
    except (ValueError, RecursionError, ConnectionResetError) as error:
        raise RefusedError(400, "NOT_JSON", "this is no JSON") from error
    params = document.get("params") if isinstance(document, dict) else None
    text = params.get("text") if isinstance(params, dict) else None
    if not isinstance(text, str) or not text.strip() or set(params) - {"text", "guest"}:
        raise RefusedError(422, "NO_TEXT", "params.text is missing")
    if not isinstance(params.get("guest", ""), str) or not text.isprintable():
        raise RefusedError(422, "NO_TEXT", "params hold no texts")
    return text


async def answer(request: web.Request) -> web.StreamResponse:
    text, age_s = await request.app[SHELF].answer(await question_of(request))
    headers = {"Age": str(int(age_s))} if age_s is not None else {}
    return web.json_response({"ok": True, "result": {"text": text, "sources": []}}, headers=headers)


async def answer_live(request: web.Request) -> web.StreamResponse:
    question = await question_of(request)
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await reply.prepare(request)
    text, _ = await request.app[SHELF].answer(question)
    with suppress(ConnectionResetError):  # the reader has left
        await tell(reply, text)
    return reply


async def tell(reply: web.StreamResponse, text: str) -> None:
    for number, word in enumerate(text.split(" ") * 5):
        piece = json.dumps({"piece": word + " "}, ensure_ascii=False)
        await reply.write(f"id: {number}\r\nevent: piece\r\ndata: {piece}\r\n\r\n".encode())
        await asyncio.sleep(TOKEN_GAP_S)
    await reply.write(b"event: finish\r\ndata: {}\r\n\r\n")
    await reply.write_eof()


async def ping(_: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True, "result": "pong"})


def application() -> web.Application:
    app = web.Application(middlewares=[in_our_way], client_max_size=MAX_BODY_BYTES)
    app[SHELF] = Shelf()
    app.router.add_post("/rpc/answer", answer)
    app.router.add_post("/rpc/answer/live", answer_live)
    app.router.add_get("/ping", ping)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
