"""The chat API as an ASGI application."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from app.sample.chat import problems, routes, runbooks
from app.sample.chat.broken import contract as broken_contract
from app.sample.chat.broken import doors, edges, lifetimes
from app.sample.chat.broken import health as broken_health
from app.sample.chat.broken import inputs as broken_inputs
from app.sample.chat.broken import routes as broken_routes
from app.sample.chat.broken import streams as broken_streams
from app.sample.chat.broken import telemetry as broken_telemetry
from app.sample.chat.guards import Rate
from app.sample.chat.parts import Parts, build
from app.sample.chat.settings import VERSION, Settings
from app.sample.chat.telemetry import Traced


def create(settings: Settings) -> ASGIApp:
    """The application, ready to be served."""
    parts = build(settings)
    broken_routes.add_metrics(parts.telemetry, settings.defects)

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        parts.compensations.resume()
        yield
        await parts.close()

    app = FastAPI(
        title="Support chat",
        version=VERSION,
        description="Answers customers' questions and books their orders.",
        lifespan=running,
        openapi_url=broken_contract.document_url(settings.defects),
    )
    app.state.parts = parts
    problems.install(app)
    app.include_router(broken_contract.router(settings.defects))
    app.include_router(broken_routes.router(settings.defects))
    app.include_router(broken_health.router(settings.defects))
    app.include_router(broken_inputs.router(settings.defects))
    app.include_router(broken_streams.router(settings.defects))
    app.include_router(routes.api)
    app.include_router(routes.shops)
    app.include_router(broken_contract.left(routes.operations, settings.defects))
    app.include_router(runbooks.router())
    published = functools.partial(_openapi, app, settings.defects)
    app.openapi = published  # type: ignore[method-assign]  # FastAPI's documented way
    return _behind_the_door(app, parts)


def _behind_the_door(app: FastAPI, parts: Parts) -> ASGIApp:
    settings = parts.settings
    guarded = edges.guards_kind(settings.defects)(
        app,
        user=Rate(settings.user_rate_per_s),
        address=Rate(settings.address_rate_per_s),
        body_limit_bytes=settings.body_limit_bytes,
    )
    counted = broken_telemetry.door(guarded, parts.telemetry, settings.defects)
    traced = Traced(lifetimes.door(doors.door(counted, settings.defects), settings), parts.telemetry)
    return edges.outside(broken_contract.outside(traced, settings.defects), settings.defects)


def _openapi(app: FastAPI, defects: AbstractSet[str]) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        schemas = schema["components"]["schemas"]
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs")
        schemas["Problem"] = problem
        app.openapi_schema = broken_contract.document(schema, defects)
    return app.openapi_schema
