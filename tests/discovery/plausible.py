"""A tiny server that publishes an OpenAPI document of ``documents/`` and answers its operations plausibly."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from app.instruments.openapi.schemas import Builder
from tests.instruments.servers import Scripted, Talk, Visit, scripted

DOCUMENTS = Path(__file__).parent / "documents"
PLACES = {
    "pet_store.json": "/swagger.json",
    "payments.yaml": "/openapi.yaml",
    "code_host.yaml": "/openapi.json",
}
BASES = {"pet_store.json": "/v2", "code_host.yaml": "/api/v3"}


@contextmanager
def served(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve ``talk`` in a thread of its own, for code that runs a loop itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=10)

    context = scripted(talk, tls)
    server = run(context.__aenter__())
    try:
        yield server
    finally:
        try:
            run(context.__aexit__(None, None, None))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=10)
            loop.close()


def document(name: str) -> dict[str, Any]:
    """The parsed document."""
    found: dict[str, Any] = yaml.safe_load((DOCUMENTS / name).read_text(encoding="utf-8"))
    return found


def plausible(name: str, *, key: str = "") -> Talk:
    """Answers each operation with a value of its schema, 404 elsewhere, and 401 without ``key`` if given."""
    text, parsed = (DOCUMENTS / name).read_bytes(), document(name)
    builder, base = Builder(parsed), BASES.get(name, "")
    if PLACES[name].endswith(".json"):
        text = json.dumps(parsed).encode()
    seen: set[bytes] = set()

    async def talk(visit: Visit) -> None:
        path = visit.path.partition("?")[0]
        operation = _operation(parsed, path.removeprefix(base), visit.method)
        if path == PLACES[name]:
            await visit.reply(text, Content_Type="application/json")
        elif path == "/healthz":
            await visit.reply("ok", Content_Type="text/plain")
        elif not path.startswith(base) or operation is None:
            await visit.reply('{"message": "Not Found"}', 404, Content_Type="application/json")
        elif key and visit.headers.get("authorization") != f"Bearer {key}":
            await visit.reply('{"error": {"type": "auth"}}', 401, Content_Type="application/json")
        else:
            status, reply = _answer(builder, operation)
            if isinstance(reply, dict) and "cached" in reply:
                reply["cached"] = visit.body in seen
            seen.add(visit.body)
            await visit.reply(json.dumps(reply), status, Content_Type="application/json")

    return talk


def _operation(parsed: dict[str, Any], path: str, method: str) -> dict[str, Any] | None:
    steps = path.split("/")
    for template, item in parsed["paths"].items():
        parts = template.split("/")
        if len(parts) == len(steps) and all(
            a == b or a.startswith("{") for a, b in zip(parts, steps, strict=True)
        ):
            found: dict[str, Any] | None = item.get(method.lower())
            return found
    return None


def _answer(builder: Builder, operation: dict[str, Any]) -> tuple[int, Any]:
    status, response = next(iter(operation["responses"].items()))
    response = builder.resolved(response)
    schema = response.get("schema") or next(iter(response.get("content", {}).values()), {}).get("schema")
    return int(status) if str(status).isdigit() else 200, builder.value(schema) if schema else {}
