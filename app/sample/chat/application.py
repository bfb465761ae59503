"""The chat API as an ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from app.sample.chat import problems, routes
from app.sample.chat.broken import doors
from app.sample.chat.broken import routes as broken_routes
from app.sample.chat.guards import Guards, Rate
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
    )
    app.state.parts = parts
    problems.install(app)
    app.include_router(broken_routes.router(settings.defects))
    app.include_router(routes.api)
    app.include_router(routes.operations)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return _behind_the_door(app, parts)


def _behind_the_door(app: FastAPI, parts: Parts) -> ASGIApp:
    settings = parts.settings
    guarded = Guards(
        app,
        user=Rate(settings.user_rate_per_s),
        address=Rate(settings.address_rate_per_s),
        body_limit_bytes=settings.body_limit_bytes,
    )
    return Traced(doors.door(guarded, settings.defects), parts.telemetry)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        schemas = schema["components"]["schemas"]
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs")
        schemas["Problem"] = problem
        app.openapi_schema = schema
    return app.openapi_schema
