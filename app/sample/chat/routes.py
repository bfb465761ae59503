"""The routes of the chat API."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.sample.chat.answers import FAILURES, Answer
from app.sample.chat.model import ModelTimeoutError
from app.sample.chat.ordering.idempotency import KeyReusedError
from app.sample.chat.ordering.partners import Booking, Line, OutOfStockError, PartnerError
from app.sample.chat.parts import Parts
from app.sample.chat.places import NoPlaceError
from app.sample.chat.problems import ProblemError, responses
from app.sample.chat.settings import VERSION
from app.sample.chat.shapes import (
    ChatMetadata,
    ChatReply,
    ChatRequest,
    Health,
    OrderBookReply,
    OrderList,
    OrderReply,
    OrderRequest,
    Ready,
)
from app.sample.chat.strict import StrictJsonRoute
from app.sample.stub.model import NAME as MODEL_NAME

LOG = logging.getLogger(__name__)
REQUEST_ERRORS = responses(400, 413, 415, 422, 429)
STREAM_EXAMPLE = 'event: token\ndata: {"text": "Happy "}\n\nevent: done\ndata: {"metadata": {}}\n\n'

api = APIRouter(route_class=StrictJsonRoute, tags=["api"])
shops = APIRouter(tags=["api"])
operations = APIRouter(tags=["operations"])


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def parts_of(request: Request) -> Parts:
    """The parts that this application was built with."""
    parts: Parts = request.app.state.parts
    return parts


Given = Annotated[Parts, Depends(parts_of)]


@api.post("/api/chat", responses=REQUEST_ERRORS | responses(503, 504))
async def chat(question: ChatRequest, parts: Given) -> ChatReply:
    """Answer a question."""
    answer = await answered(parts.sessions.prompt(question.session_id, question.message), parts)
    return ChatReply(
        answer=answer.text, session_id=question.session_id, metadata=metadata(parts, answer.from_cache)
    )


async def answered(prompt: str, parts: Parts) -> Answer:
    """The answer to a prompt. Raises ProblemError where the model fails."""
    try:
        return await parts.answers.answer(prompt)
    except FAILURES as error:
        raise model_problem(error) from error


@api.post(
    "/api/v1/chat/stream",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {"example": STREAM_EXAMPLE}}}}
    | REQUEST_ERRORS
    | responses(503, 504),
)
async def chat_stream(question: ChatRequest, parts: Given) -> EventStream:
    """Answer a question as a stream: events `token` with text, then one event `done`."""
    try:
        prompt = parts.sessions.prompt(question.session_id, question.message)
        tokens, from_cache = await parts.answers.stream(prompt)
    except FAILURES as error:
        raise model_problem(error) from error
    return EventStream(
        _events(tokens, metadata(parts, from_cache)),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(tokens: AsyncIterator[str], about: ChatMetadata) -> AsyncIterator[str]:
    try:
        async for text in tokens:
            yield event("token", {"text": text})
    except FAILURES:
        yield event("error", {"detail": "The answer broke off; ask again."})
        return
    yield event("done", {"metadata": about.model_dump()})


def event(name: str, data: dict[str, Any]) -> str:
    """One server-sent event. JSON holds no line break, so one data line is enough."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def metadata(parts: Parts, from_cache: bool) -> ChatMetadata:
    """Where an answer came from."""
    return ChatMetadata(from_cache=from_cache, model=MODEL_NAME, instance=parts.settings.instance)


def model_problem(error: Exception) -> ProblemError:
    """What a caller is told when the model fails."""
    if isinstance(error, ModelTimeoutError):
        return ProblemError(504, "The language model did not answer in time.")
    if isinstance(error, NoPlaceError):
        return ProblemError(503, "Too many new questions at once; try again.", {"Retry-After": "1"})
    return ProblemError(503, "The language model is not available; try again.", {"Retry-After": "1"})


bearer = HTTPBearer(auto_error=False, description="The token of a shop.")


def shop(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)], parts: Given) -> str:
    """The shop that orders. Raises ProblemError 401."""
    token = credentials.credentials if credentials else ""
    caller = parts.tokens.shop(token)
    if caller is None:
        raise ProblemError(401, "A valid bearer token is needed.", {"WWW-Authenticate": "Bearer"})
    return caller


@shops.get("/api/orders", responses=responses(401, 429))
async def list_orders(request: Request, parts: Given, caller: Annotated[str, Depends(shop)]) -> OrderList:
    """The orders that a shop placed lately, the latest first."""
    parts.lists.count(caller, request)
    return OrderList(orders=parts.book.listed(caller))


@shops.get("/api/order-book", responses=responses(401))
async def order_book(parts: Given, caller: Annotated[str, Depends(shop)]) -> OrderBookReply:
    """What a shop has ordered, for its accounts."""
    return OrderBookReply.model_validate({"orders": parts.book.of(caller)})


@api.post(
    "/api/orders",
    status_code=201,
    responses=REQUEST_ERRORS | responses(401, 409, 503, 504),
)
async def place_order(
    order: OrderRequest,
    response: Response,
    parts: Given,
    caller: Annotated[str, Depends(shop)],
    idempotency_key: Annotated[str, Header(min_length=1, max_length=128, examples=["6f1c2d3e"])],
) -> OrderReply:
    """Place an order: reserve the stock, draft the order, write the invoice; all of it or nothing.

    The same Idempotency-Key gives the same order, also while the first request is under way.
    """
    booking = Booking(
        reference=parts.book.new_reference(),
        customer=order.customer,
        items=[Line(sku=line.sku, quantity=line.quantity) for line in order.items],
    )

    async def place() -> str:
        await parts.orders.place(booking)
        parts.book.add(caller, booking)
        return booking.reference

    try:
        reference, repeated = await parts.idempotency.once(
            f"{caller}:{idempotency_key}", order.model_dump_json(), place
        )
    except KeyReusedError as error:
        raise ProblemError(422, "This Idempotency-Key was used for another order.") from error
    except PartnerError as error:
        raise _order_problem(error) from error
    if repeated:
        response.headers["Idempotency-Replayed"] = "true"
    return OrderReply(order=reference, status="booked")


def _order_problem(error: PartnerError) -> ProblemError:
    if isinstance(error, OutOfStockError):
        return ProblemError(409, "The order was not placed: not enough in stock.")
    LOG.warning("order undone: %s", error)
    status = 504 if error.perhaps_done else 503
    return ProblemError(status, f"The order was not placed: {error.partner} {error.reason}.")


@operations.get("/health")
async def health(parts: Given) -> Health:
    """Whether this process works. An optional dependency that is away does not make it ill."""
    return Health(
        status="healthy",
        instance=parts.settings.instance,
        version=VERSION,
        started_at=parts.started_at.isoformat(),
        components={
            "cache": {"status": "up" if parts.cache.up else "standby", "standby": "memory"},
            "orders": {"status": "up", "pending_compensations": parts.compensations.pending},
        },
    )


@operations.get("/ready", responses={503: {"model": Ready, "description": "Not ready"}})
async def ready(parts: Given, response: Response) -> Ready:
    """Whether this process can answer questions: the model is needed, the cache is not."""
    try:
        reachable = (await parts.model_client.get("/health", timeout=0.5)).is_success
    except httpx.HTTPError:
        reachable = False
    response.status_code = 200 if reachable else 503
    return Ready(
        status="ready" if reachable else "not ready",
        dependencies={
            "cache": "up" if parts.cache.up else "standby",
            "model": "up" if reachable else "down",
        },
    )


@operations.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(parts: Given) -> Response:
    """Metrics in Prometheus text format."""
    return Response(generate_latest(parts.telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@operations.get("/", include_in_schema=False)
async def root() -> JSONResponse:
    """Where to go from here."""
    return JSONResponse({"service": "support chat", "version": VERSION, "docs": "/docs"})
