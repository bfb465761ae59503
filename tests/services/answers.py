"""A second service of another style, so that nothing is shaped by the bundled sample alone.

It answers questions as the sample does, and does all else differently: a form in, ``{"result": [...]}`` out,
201 for a new answer and 200 for a known one, an ``X-Cache`` header, no OpenAPI, errors of its own shape,
health as the bare word ``UP`` on another path, metrics behind a credential, a cache in the process and no
Redis, streams in the style of OpenAI's API. ``python answers.py PORT`` runs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

THINKING_S = 0.12
TOKEN_GAP_S = 0.01
MAX_BODY_BYTES = 16_384
NAME_OF_BUILD = "answers-2024.11"


class Answers:
    """The answers given so far, and what was counted."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.thinking: dict[str, asyncio.Lock] = {}
        self.registry = CollectorRegistry()
        self.calls = Counter("engine_calls", "Answers that had to be thought of.", registry=self.registry)
        self.replies = Counter("answers_replies", "Replies.", ["kind", "code"], registry=self.registry)
        self.seconds = Histogram("answers_seconds", "Time to a reply.", registry=self.registry)

    async def to(self, question: str) -> tuple[str, bool]:
        """The answer, and whether it was known."""
        key = " ".join(question.lower().split())
        if key in self.known:
            return self.known[key], True
        async with self.thinking.setdefault(key, asyncio.Lock()):
            if key not in self.known:
                await self.think(key)
        self.thinking.pop(key, None)
        return self.known[key], False

    async def think(self, key: str) -> None:
        self.calls.inc()
        await asyncio.sleep(THINKING_S)
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        self.known[key] = (
            f"On that point our handbook says, in section {digest}, that we will gladly help you."
        )


async def small_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, "too long")
    return body


async def question_in_form(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise HTTPException(415, "send a form")
    try:
        fields = parse_qs((await small_body(request)).decode("ascii"), errors="strict", max_num_fields=10)
    except ValueError as error:  # not ASCII, not UTF-8 once unescaped, or too many fields
        raise HTTPException(400, "not a form") from error
    [question] = fields.get("q", [""])[:1]
    if not question.strip() or not question.isprintable():
        raise HTTPException(422, "q is missing")
    return question


async def question_in_messages(request: Request) -> str:
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415, "send JSON")
    try:
        body = json.loads(await small_body(request))
        content = body["messages"][-1]["content"]
        content.encode()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise HTTPException(422, "messages are missing") from error
    if any(not isinstance(message, dict) for message in body["messages"]) or not content.isprintable():
        raise HTTPException(422, "messages are no messages")
    return content


async def answer(request: Request) -> Response:
    answers: Answers = request.app.state.answers
    with answers.seconds.time():
        text, known = await answers.to(await question_in_form(request))
    status = 200 if known else 201
    answers.replies.labels("whole", str(status)).inc()
    headers = {"X-Cache": "HIT"} if known else {}
    return JSONResponse({"result": [{"kind": "text", "value": text}]}, status, headers)


async def answer_live(request: Request) -> Response:
    answers: Answers = request.app.state.answers
    question = await question_in_messages(request)
    answers.replies.labels("live", "200").inc()

    async def events() -> AsyncIterator[str]:
        yield chunk({"role": "assistant"})
        text, _ = await answers.to(question)
        for word in text.split(" ") * 3:
            yield chunk({"content": word + " "})
            await asyncio.sleep(TOKEN_GAP_S)
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def chunk(delta: dict[str, str]) -> str:
    return f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n"


async def metrics(request: Request) -> Response:
    if request.headers.get("x-ops-key") != os.environ["ANSWERS_OPS_KEY"]:
        return PlainTextResponse("who are you?", 401)
    return Response(
        generate_latest(request.app.state.answers.registry), media_type="text/plain; version=0.0.4"
    )


async def alive(_: Request) -> Response:
    return PlainTextResponse("UP", headers={"X-Build": NAME_OF_BUILD})


async def refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"err": {"no": error.status_code, "msg": error.detail}}, error.status_code, error.headers
    )


async def left(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


def application() -> Starlette:
    app = Starlette(
        routes=[
            Route("/v2/answers", answer, methods=["POST"]),
            Route("/v2/answers/live", answer_live, methods=["POST"]),
            Route("/status", alive),
            Route("/internal/prom", metrics),
        ],
        exception_handlers={HTTPException: refused, ClientDisconnect: left},
    )
    app.state.answers = Answers()
    return app


if __name__ == "__main__":
    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
