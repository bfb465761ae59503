"""Makes a target from a bare URL: what OpenAPI and usual routes tell, tried once, and marked as guessed."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from app import targets
from app.instruments.http import HttpProbe
from app.instruments.openapi import KEPT_BYTES, OpenApiDocuments
from app.instruments.origins import declared_origins
from app.instruments.policy import Policy
from app.instruments.prompts import RunPrompts
from app.instruments.references import References
from app.instruments.sse import SseReader
from app.instruments.wire import Wire
from checks.contract import InstrumentFailure, Operation, Reply, Request, StreamReply, Target
from checks.target import Call

LIVENESS = ("/health", "/healthz", "/livez", "/api/health", "/status", "/ping")
READINESS = ("/ready", "/readyz", "/readiness", "/health/ready")
METRICS = ("/metrics", "/actuator/prometheus", "/internal/metrics")
ASKS = re.compile(r"chat|ask|answer|question|quer|complet|generat|message|prompt|search", re.IGNORECASE)
CHANGES = re.compile(
    r"order|delete|remove|admin|pay|refund|user|account|login|auth|upload|import", re.IGNORECASE
)
SESSIONS = re.compile(r"session|conversation|thread", re.IGNORECASE)
ANSWERS = re.compile(r"answer|reply|response|text|content|message|output|result", re.IGNORECASE)
CACHED = re.compile(r"from_?cache|cache_?hit|cached", re.IGNORECASE)
CACHE_HEADERS = ("x-cache", "x-cache-status", "cf-cache-status")
TIMEOUT_S = 15.0
MAX_DEPTH = 6
MAX_TRIED = 5


def discover(url: str, within_s: float | None = None) -> Target:
    """Look at ``url`` and return a target of what was found; what is a guess is listed in ``guessed``.

    Sends GET requests, and a question to routes that look like chat; routes that look as if they change
    something are left alone. Off loopback only an allow-listed host is sent questions. Raises TimeoutError
    where it takes longer than ``within_s``.
    """
    bare = targets.validated({"url": url}, source=url, key=targets.url_key(url))
    policy = Policy.from_environment(os.environ, faults=False)

    async def look() -> Target:
        wire = Wire(url, declared_origins(bare), References({}), policy.refusal)
        async with asyncio.timeout(within_s), wire:
            return await _Explorer(bare, wire).target()

    return asyncio.run(look())


class _Explorer:
    def __init__(self, bare: Target, wire: Wire) -> None:
        self._bare = bare
        self._http = HttpProbe(wire)
        self._openapi = OpenApiDocuments(bare, HttpProbe(wire, kept_bytes=KEPT_BYTES))
        self._wire = wire
        self._prompts = RunPrompts(bare.prompts.repeat, Random())
        self._guessed: list[str] = []

    async def target(self) -> Target:
        document: dict[str, Any] = {"url": self._bare.url}
        operations = await self._operations()
        if health := await self._health():
            document["health"] = health
        if ask := await self._ask([item for item in operations if not item.streams]):
            document["ask"] = ask
        if stream := await self._stream([item for item in operations if item.streams]):
            document["stream"] = stream
        document["guessed"] = tuple(self._guessed)
        return targets.validated(document, source=self._bare.url, key=self._bare.key)

    async def _operations(self) -> list[Operation]:
        try:
            found = await self._openapi.operations()
        except InstrumentFailure:
            return []  # no OpenAPI: the usual routes are all there is to go by
        questions = [item for item in found if item.prompt_field and not CHANGES.search(item.path)]
        return sorted(questions, key=lambda item: (not ASKS.search(item.path), len(item.path)))

    async def _health(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, places in (("liveness", LIVENESS), ("readiness", READINESS), ("metrics", METRICS)):
            for place in places:
                reply = await self._http.send(Request("GET", place), timeout_s=TIMEOUT_S)
                if reply.failure is None and reply.status == 200 and _looks_like(key, reply):
                    found[key] = place
                    self._guessed.append(f"health.{key}")
                    break
        return found

    async def _ask(self, operations: list[Operation]) -> dict[str, Any] | None:
        first: dict[str, Any] | None = None
        for operation in operations[:MAX_TRIED]:
            table = _call_table(operation)
            first = first or table
            reply = await self._send(table)
            document = reply.document() if reply else None
            if reply and reply.status in (200, 201) and document is not None:
                self._guessed.append("ask")
                return {**table, **_reading(reply, document)}
        if first:
            self._guessed.append("ask")
        return first

    async def _send(self, table: Mapping[str, Any]) -> Reply | None:
        request = Call.model_validate(table).render(
            prompt=self._prompts.fresh(1)[0], session="s-1", user="u-1"
        )
        try:
            return await self._http.send(request, timeout_s=TIMEOUT_S)
        except InstrumentFailure:
            return None  # off loopback and not allow-listed: declared as found, not tried

    async def _stream(self, operations: list[Operation]) -> dict[str, Any] | None:
        for operation in operations[:MAX_TRIED]:
            table = _call_table(operation)
            request = Call.model_validate(table).render(prompt=self._prompts.fresh(1)[0], session="s-1")
            try:
                reply = await SseReader(self._wire).read(request, timeout_s=TIMEOUT_S)
            except InstrumentFailure:
                continue
            if reply.failure is None and reply.status == 200 and reply.events:
                self._guessed.append("stream")
                return {**table, **_stream_reading(reply)}
        return None


def as_toml(target: Target) -> str:
    """``target`` as a target file with a remark on what was guessed."""
    lines = [
        "# Made by discovery. Check what was guessed, and complete what is missing.",
        f"# Guessed: {', '.join(target.guessed) or 'nothing'}",
        f"url = {_toml(target.url)}",
    ]
    document = target.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    for name in ("ask", "stream", "health"):
        if name in document:
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in document[name].items())]
    for name, remark in MISSING.items():
        lines += ["", f"# [{name}]  {remark}"]
    return "\n".join(lines) + "\n"


MISSING = {
    "redis": 'the cache behind the service: url = "redis://..."',
    "upstream": 'where its paid calls are counted: calls = { url = "...", json = "calls" }',
    "levers.cache": "how to cut the cache, for fault checks; they also need allow_faults = true",
    "transaction": "a multi-step request, its steps, and the state of every party",
    "objectives": "your own limits, for example mean_latency_ms = 1500",
}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            "{ "
            + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
            + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _call_table(operation: Operation) -> dict[str, Any]:
    table: dict[str, Any] = {"method": operation.method, "path": operation.path}
    if operation.body is not None:
        table["body"] = _templated(operation.body, operation.prompt_field or "")
    return table


def _templated(body: Any, prompt_field: str, path: str = "") -> Any:
    if isinstance(body, Mapping):
        return {
            key: _templated(item, prompt_field, f"{path}.{key}".lstrip(".")) for key, item in body.items()
        }
    if isinstance(body, list):
        return [
            _templated(item, prompt_field, f"{path}.{index}".lstrip(".")) for index, item in enumerate(body)
        ]
    if path == prompt_field:
        return "{prompt}"
    return "{session}" if isinstance(body, str) and SESSIONS.search(path) else body


def _looks_like(key: str, reply: Reply) -> bool:
    is_page = "html" in reply.headers.get("content-type", "")
    if key == "metrics":
        return not is_page and ("# TYPE" in reply.text or "# HELP" in reply.text)
    return not is_page


def _leaves(node: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    if depth > MAX_DEPTH:
        return
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        inner = f"{path}.{key}".lstrip(".")
        yield from _leaves(item, inner, depth + 1) if isinstance(item, dict | list) else [(inner, item)]


def _reading(reply: Reply, document: object) -> dict[str, Any]:
    table: dict[str, Any] = {}
    texts = [(path, text) for path, text in _leaves(document) if isinstance(text, str) and text]
    named = [item for item in texts if ANSWERS.search(item[0].rpartition(".")[2])]
    if named or texts:
        table["answer"] = max(named or texts, key=lambda item: len(item[1]))[0]
    return table | _cache_marker(reply.headers, document)


def _cache_marker(headers: Mapping[str, str], document: object) -> dict[str, Any]:
    for path, value in _leaves(document):
        if isinstance(value, bool) and CACHED.search(path.rpartition(".")[2]):
            return {"cached": {"json": path, "equals": True}}
    for name in CACHE_HEADERS:
        if name in headers:
            return {"cached": {"header": name, "equals": "HIT"}}
    return {}


def _stream_reading(reply: StreamReply) -> dict[str, Any]:
    table: dict[str, Any] = {}
    documents = [(event, _parsed(event.data)) for event in reply.events]
    for _, document in documents:
        paths = [path for path, text in _leaves(document) if isinstance(text, str) and text.strip()]
        named = [path for path in paths if re.search(r"text|content|token|delta", path)]
        if named:
            table["token"] = named[0]
            break
    last, document = documents[-1]
    if last.data.strip() == "[DONE]":
        table["end_data"] = "[DONE]"
    elif last.name != "message":
        table["end_event"] = last.name
    return table | _cache_marker({}, document)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
