"""Defects of single routes: they stand before the healthy routes, and the first that matches answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest

from app.sample.chat import routes
from app.sample.chat.problems import ProblemError
from app.sample.chat.routes import Given
from app.sample.chat.shapes import ChatReply, ChatRequest
from app.sample.chat.strict import StrictJsonRoute
from app.sample.chat.telemetry import Telemetry

KNOWN_SESSIONS = 3_000
SLOW_ONE_IN = 3
SLOW_S = 1.6  # longer than the sample's Prometheus waits
LEAKED_KEY = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"  # made up, and of no use anywhere


def router(defects: AbstractSet[str]) -> APIRouter:
    """The routes that stand before the healthy ones."""
    found = APIRouter(include_in_schema=False)
    chat: dict[str, Callable[..., Any]] = {
        "wrong_shape": _without_answer,
        "bad_input_500": _trusting,
        "bad_input_accepted": _obliging,
    }
    for name, route in chat.items():
        if name in defects:
            found.add_api_route("/api/chat", route, methods=["POST"], route_class_override=StrictJsonRoute)
    if "metrics_absent" in defects:
        found.add_api_route("/metrics", _no_metrics, methods=["GET"])
    if "target_flaps" in defects:
        found.add_api_route("/metrics", _metrics_slow_in_turns(), methods=["GET"])
    if "metrics_unparseable" in defects:
        found.add_api_route("/metrics", _garbled_metrics, methods=["GET"])
    return found


def add_metrics(telemetry: Telemetry, defects: AbstractSet[str]) -> None:
    """Metrics that say too much."""
    if "metrics_secret_label" in defects:
        client = Gauge(
            "chat_model_client_info", "The model's client.", ["api_key"], registry=telemetry.registry
        )
        client.labels(LEAKED_KEY).set(1)
    if "metrics_cardinality" in defects:
        sessions = Counter(
            "chat_session_questions", "Questions by session.", ["session_id"], registry=telemetry.registry
        )
        for number in range(KNOWN_SESSIONS):
            sessions.labels(f"session-{number:05d}").inc()


async def _without_answer(question: ChatRequest, parts: Given) -> Response:
    whole: ChatReply = await routes.chat(question, parts)
    return JSONResponse(whole.model_dump(exclude={"answer"}))


async def _trusting(request: Request, parts: Given) -> ChatReply:
    body: Any = await request.json()
    prompt = parts.sessions.prompt(body["session_id"], body["message"].strip())
    answer = await routes.answered(prompt, parts)
    return ChatReply(
        answer=answer.text, session_id=body["session_id"], metadata=routes.metadata(parts, answer.from_cache)
    )


async def _obliging(request: Request, parts: Given) -> ChatReply:
    body: Any = await request.json()
    fields = body if isinstance(body, dict) else {}
    prompt = parts.sessions.prompt(str(fields.get("session_id", "")), str(fields.get("message", "")))
    answer = await routes.answered(prompt, parts)
    return ChatReply(
        answer=answer.text,
        session_id=str(fields.get("session_id", "")),
        metadata=routes.metadata(parts, answer.from_cache),
    )


async def _no_metrics() -> Response:
    raise ProblemError(404)


def _metrics_slow_in_turns() -> Callable[[Given], Coroutine[Any, Any, Response]]:
    turns = itertools.count(1)

    async def metrics(parts: Given) -> Response:
        if next(turns) % SLOW_ONE_IN == 0:
            await asyncio.sleep(SLOW_S)
        return await routes.metrics(parts)

    return metrics


async def _garbled_metrics(parts: Given) -> Response:
    text = generate_latest(parts.telemetry.registry) + b'chat_cache_hit_ratio{cache="redis" 83%\n'
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
