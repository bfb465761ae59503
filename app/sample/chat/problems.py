"""Every error is a problem document (RFC 9457): what went wrong in words, never how the service is made."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str = Field(examples=["message"])
    message: str = Field(examples=["Input should be a valid string"])


class Problem(BaseModel):
    """An error, as RFC 9457 writes it."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["The request does not have the expected shape."])
    request_id: str = Field(default="", examples=["9f0c2a6e5d7b4f1e"])
    errors: list[FieldProblem] = []


class ProblemError(HTTPException):
    """Raise to answer with a problem document."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error replies of a route, for its OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def reply(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> JSONResponse:
    """A problem document as a response."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=getattr(request.state, "request_id", ""),
        errors=errors or [],
    )
    return JSONResponse(
        problem.model_dump(), status, headers=dict(headers) if headers else None, media_type=MEDIA_TYPE
    )


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return reply(request, error.status_code, error.detail, headers=error.headers)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    fields = [
        FieldProblem(field=".".join(str(part) for part in one["loc"][1:])[:200], message=one["msg"])
        for one in error.errors()[:20]
    ]
    return reply(request, 422, "The request does not have the expected shape.", errors=fields)


async def _unexpected(request: Request, _: Exception) -> JSONResponse:
    return reply(request, 500, "Something went wrong on our side. The request id helps us to find it.")


def install(app: FastAPI) -> None:
    """Answer all errors of ``app`` in this way."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)
