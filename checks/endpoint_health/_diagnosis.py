"""Finds a route that answers a question when the declared one does not. Private to this family.

Everything that comes from the service's OpenAPI or its replies is hostile: it is cleaned and bounded before
it is sent, shown, or written into a proposal for the target file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import quote

from checks.contract import InstrumentFailure, Instruments, Operation, Request, Route, Target
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._proposal import (
    answer_path,
    body_template,
    filled,
    places,
    stream_keys,
    toml_table,
)

MAX_TRIED = 12
PATIENCE_S = 30.0
TIMEOUT_S = 10.0
MAX_PROBLEM_CHARS = 200
PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,199}")
QUERY = re.compile(r"(?<=[?&])(q|query|question|prompt|message|text|input)=[^&]*")
# Words of routes that change or cost something other than an answer; "reorder" is no such word.
HARMFUL = frozenset(
    (
        *(
            "order",
            "orders",
            "delete",
            "remove",
            "admin",
            "payment",
            "payments",
            "pay",
            "invoice",
            "checkout",
        ),
        *("refund", "refunds", "purchase", "buy", "book", "booking", "bookings", "cancel", "user", "users"),
        *(
            "account",
            "accounts",
            "login",
            "logout",
            "auth",
            "token",
            "register",
            "password",
            "reset",
            "upload",
        ),
        *("import", "train", "webhook", "webhooks", "feedback", "settings", "config", "email", "notify"),
        *("subscribe", "shutdown", "restart", "purge", "flush", "clear", "publish", "deploy", "transfer"),
    )
)
ASKING = frozenset(
    (
        *("chat", "ask", "answer", "answers", "query", "question", "questions", "completion", "completions"),
        *("generate", "message", "messages", "prompt", "respond", "converse", "conversation", "search"),
    )
)


@dataclass(frozen=True)
class Tried:
    """One other route: what it answered, and the table of the target file that would declare it."""

    method: str
    path: str
    status: int | None
    works: bool
    problem: str
    target_change: str


async def try_others(target: Target, instruments: Instruments, failing: Route) -> tuple[Tried, ...]:
    """Try the other declared route, then what OpenAPI offers; the first that works ends the search."""
    tried: list[Tried] = []
    if failing == "ask" and target.stream is not None:
        tried.append(await _declared_stream(target, instruments))
    started = monotonic()
    for operation in (await _candidates(target, instruments))[:MAX_TRIED]:
        if any(each.works for each in tried) or monotonic() - started > PATIENCE_S:
            break
        tried.append(await _try(target, instruments, operation))
    return tuple(tried)


async def _declared_stream(target: Target, instruments: Instruments) -> Tried:
    stream = target.stream
    assert stream is not None  # noqa: S101 - the caller looked
    prompt = instruments.prompts.fresh(1)[0]
    answer = await instruments.questions.ask(prompt, route="stream", timeout_s=2 * TIMEOUT_S)
    table = stream.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    change = (
        toml_table("stream", {"method": stream.method, "path": stream.path, **table}) if answer.good else ""
    )
    return Tried(
        stream.method, stream.path, answer.status, answer.good, answer.problem[:MAX_PROBLEM_CHARS], change
    )


async def _candidates(target: Target, instruments: Instruments) -> list[Operation]:
    """Operations that take a question and harm nothing, the likeliest first."""
    try:
        operations = await instruments.openapi.operations()
    except InstrumentFailure:  # optional: without a document nothing can be guessed
        return []
    plausible = [each for each in operations if _plausible(each) and not _declared(target, each)]
    return sorted(plausible, key=lambda each: (not words(each.path) & ASKING, len(each.path), each.path))


def _declared(target: Target, operation: Operation) -> bool:
    """Whether the target declares it as it is; the same path with fields of other names is worth a try."""
    for call in (target.ask, target.stream):
        if call is not None and call.path == operation.path:
            return operation.prompt_field is None or places(call.body) == places(
                body_template(target, operation)
            )
    return False


def _plausible(operation: Operation) -> bool:
    if operation.method not in ("POST", "GET") or not PATH.fullmatch(operation.path):
        return False
    if words(operation.path) & HARMFUL or operation.path.startswith("//") or ".." in operation.path:
        return False
    if operation.method == "GET":
        return QUERY.search(operation.path) is not None
    undeclared_body = operation.body is None and bool(words(operation.path) & ASKING)
    return operation.prompt_field is not None or undeclared_body


def words(path: str) -> set[str]:
    """The words of a path, lower case: ``/api/v1/chatStream`` has api, v1, chat and stream."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", path)}


async def _try(target: Target, instruments: Instruments, operation: Operation) -> Tried:
    prompt = instruments.prompts.fresh(1)[0]
    path = QUERY.sub(r"\1={prompt}", operation.path) if operation.method == "GET" else operation.path
    table: dict[str, Any] = {"method": operation.method, "path": path}
    headers = {"Accept": "text/event-stream" if operation.streams else "application/json"}
    body = b""
    if operation.method == "POST":
        table["body"] = body_template(target, operation)
        headers["Content-Type"] = "application/json"
        body = json.dumps(filled(table["body"], prompt)).encode()
    request = Request(operation.method, path.replace("{prompt}", quote(prompt, safe="")), headers, body)
    if operation.streams:
        return await _try_stream(instruments, request, table)
    return await _try_reply(instruments, request, table)


async def _try_reply(instruments: Instruments, request: Request, table: dict[str, Any]) -> Tried:
    reply = await patiently(lambda: instruments.http.send(request, timeout_s=TIMEOUT_S))
    if "text/event-stream" in reply.headers.get("content-type", ""):
        return await _try_stream(instruments, request, table)
    path = answer_path(reply.document())
    if reply.succeeded and path is not None:
        change = toml_table("ask", table | ({"answer": path} if path else {}))
        return Tried(request.method, table["path"], reply.status, True, "", change)
    problem = reply.failure.detail if reply.failure else f"status {reply.status}, no answer in it"
    return Tried(request.method, table["path"], reply.status, False, problem[:MAX_PROBLEM_CHARS], "")


async def _try_stream(instruments: Instruments, request: Request, table: dict[str, Any]) -> Tried:
    reply = await patiently(lambda: instruments.sse.read(request, timeout_s=2 * TIMEOUT_S))
    keys = stream_keys(reply.events)
    if 200 <= (reply.status or 0) < 300 and keys is not None:
        return Tried(
            request.method, table["path"], reply.status, True, "", toml_table("stream", table | keys)
        )
    problem = reply.failure.detail if reply.failure else f"status {reply.status}, no token in it"
    return Tried(request.method, table["path"], reply.status, False, problem[:MAX_PROBLEM_CHARS], "")
