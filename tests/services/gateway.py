"""A gateway that speaks OpenAI's API: bearer keys, ``/v1/chat/completions``, chunks and ``[DONE]``, usage.

It is made with FastAPI, which publishes its OpenAPI document; errors have OpenAI's shape, keys may ask so and
so often a second, answers are kept in a small LRU in the process, and its metrics count the calls of its back
end. ``python gateway.py PORT`` runs it; it needs GATEWAY_KEYS, a list of keys by commas.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Literal

import uvicorn
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CollectorRegistry, Counter, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

MODEL = "house-1"
THINKING_S = 0.15
TOKEN_GAP_S = 0.01
KEPT = 2_000
MAX_BODY_BYTES = 100_000
PER_S, BURST = 10.0, 20.0
PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1, max_length=20_000)


class Completion(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    model: Literal["house-1"]
    messages: list[Message] = Field(min_length=1, max_length=50)
    stream: bool = False
    temperature: float = Field(default=1.0, ge=0, le=2)


class Allowance:
    """A bucket for each key."""

    def __init__(self) -> None:
        self.left: dict[str, tuple[float, float]] = {}

    def wait_s(self, key: str) -> float:
        """How long the key must wait; 0 where it may ask now."""
        now = time.monotonic()
        left, at = self.left.get(key, (BURST, now))
        left = min(BURST, left + (now - at) * PER_S)
        self.left[key] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else 1.0


class Backend:
    """Thinks of answers, once for many who ask the same at once, and keeps the last ones."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, str] = OrderedDict()
        self.thinking: dict[str, asyncio.Task[str]] = {}
        self.registry = CollectorRegistry()
        self.calls = Counter("gateway_backend_calls", "Calls of the back end.", registry=self.registry)
        self.requests = Counter("gateway_requests", "Requests.", ["path", "code"], registry=self.registry)

    async def answer(self, messages: list[Message]) -> tuple[str, bool]:
        """The answer, and whether it was known."""
        key = json.dumps([[message.role, message.content] for message in messages])
        if key in self.known:
            self.known.move_to_end(key)
            return self.known[key], True
        if key not in self.thinking:
            self.thinking[key] = asyncio.create_task(self._think(key))
            self.thinking[key].add_done_callback(lambda _: self.thinking.pop(key))
        return await asyncio.shield(self.thinking[key]), False

    async def _think(self, key: str) -> str:
        self.calls.inc()
        await asyncio.sleep(THINKING_S)
        text = f"As entry {hashlib.sha256(key.encode()).hexdigest()[:12]} says, we are glad to help. " * 7
        self.known[key] = text.strip()
        while len(self.known) > KEPT:
            self.known.popitem(last=False)
        return self.known[key]


def keyed(request: Request, authorization: Annotated[str, Header()] = "") -> str:
    """The caller's key. Raises 401 and 429."""
    scheme, _, key = authorization.partition(" ")
    keys = os.environ["GATEWAY_KEYS"].split(",")
    if scheme.lower() != "bearer" or not any(hmac.compare_digest(key.encode(), k.encode()) for k in keys):
        raise HTTPException(401, "invalid_api_key", {"WWW-Authenticate": "Bearer"})
    if request.url.path == "/v1/models" and (wait_s := request.app.state.allowance.wait_s(key)):
        raise HTTPException(429, "rate_limit_exceeded", {"Retry-After": str(int(wait_s))})
    return key


Key = Annotated[str, Depends(keyed)]
app = FastAPI(title="Gateway", docs_url=None, redoc_url=None)
app.state.allowance, app.state.backend = Allowance(), Backend()


class Wrong(BaseModel):
    message: str
    type: str
    code: int


class Problem(BaseModel):
    error: Wrong


REFUSALS = {code: {"model": Problem} for code in (400, 401, 413, 422, 429)}


@app.get("/v1/models", responses=REFUSALS)
async def models(_: Key) -> dict[str, object]:
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "house"}]}


@app.post("/v1/chat/completions", responses={**REFUSALS, 200: {"content": {"text/event-stream": {}}}})
async def completions(asked: Completion, _: Key, request: Request) -> Response:
    backend: Backend = request.app.state.backend
    if not all(message.content.isprintable() for message in asked.messages):
        raise HTTPException(400, "content is no text")
    name = f"chatcmpl-{uuid.uuid4().hex}"
    if asked.stream:
        return StreamingResponse(events(backend, asked, name), media_type="text/event-stream")
    text, known = await backend.answer(asked.messages)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    document = {"id": name, "object": "chat.completion", "created": int(time.time()), "model": MODEL}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": len(text.split()),
        "total_tokens": 9 + len(text.split()),
    }
    headers = {"X-Cache": "HIT" if known else "MISS"}
    return JSONResponse({**document, "choices": [choice], "usage": usage}, headers=headers)


async def events(backend: Backend, asked: Completion, name: str) -> AsyncIterator[str]:
    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        document = {"id": name, "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
        return f"data: {json.dumps(document)}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    text, _ = await backend.answer(asked.messages)
    for word in text.split(" "):
        yield chunk({"content": word + " "})
        await asyncio.sleep(TOKEN_GAP_S)
    yield chunk({}, "stop")
    yield "data: [DONE]\n\n"


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy", "build": "gateway-7"}


@app.get("/ready")
async def ready() -> dict[str, object]:
    return {"status": "ready", "dependencies": {"backend": "up"}}


@app.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(app.state.backend.registry), media_type="text/plain; version=0.0.4")


@app.exception_handler(HTTPException)
async def refused(_: Request, error: HTTPException) -> Response:
    return problem(error.status_code, str(error.detail), error.headers)


@app.exception_handler(RequestValidationError)
async def invalid(_: Request, error: RequestValidationError) -> Response:
    places = ", ".join(".".join(map(str, each["loc"][1:3])) or "body" for each in error.errors()[:3])
    return problem(422, f"not valid: {places}"[:200].encode("ascii", "replace").decode())


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    kind = "invalid_request_error" if status != 429 else "requests"
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status, headers)


@app.middleware("http")
async def around(request: Request, go: Callable[[Request], Awaitable[Response]]) -> Response:
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return problem(413, "the body is too long", {"Connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)
    request._body = body
    given = request.headers.get("x-request-id", "")
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and kind.partition(";")[0].strip() != "application/json":
        reply = problem(415, "send application/json")
    else:
        reply = await go(request)
    reply.headers["X-Request-ID"] = given if PLAIN_ID.fullmatch(given) else uuid.uuid4().hex
    reply.headers["X-Content-Type-Options"] = "nosniff"
    app.state.backend.requests.labels(
        getattr(request.scope.get("route"), "path", "none"), str(reply.status_code)
    ).inc()
    return reply


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
