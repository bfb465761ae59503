"""A plain service that is well: what a misbehaviour takes one door of, and the others stay open.

Chat, stream, health, metrics and OpenAPI; the meter, a Redis and a lever. Small on purpose: it answers what
checks ask, so that each reaches the middle of its work.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from tests.hostile.visits import Visit

MAX_BODY_BYTES = 1 << 20
MAX_WORD_CHARS = 20_000
THINKING_S = 0.02
TOKEN, OTHER_TOKEN = "t0ken-of-the-target", "t0ken-of-another-user"
BURST, PER_S = 20.0, 10.0
PROBLEM = "application/problem+json"
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Plain", "version": "1"},
    "paths": {
        "/api/chat": {
            "post": {
                "summary": "Ask",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["message"],
                                "properties": {
                                    "message": {"type": "string", "minLength": 1},
                                    "session_id": {"type": "string"},
                                },
                            }
                        }
                    },
                },
                "responses": {
                    "200": {
                        "description": "The answer",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "default": {
                        "description": "A problem",
                        "content": {PROBLEM: {"schema": {"type": "object"}}},
                    },
                },
            }
        }
    },
}


class Plain:
    """The service's memory: which questions it knows, what was counted."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._asked = 0
        self._calls = 0
        self._cut = False
        self._hits = self._misses = 0  # what Redis sees
        self._allowed: dict[str, tuple[float, float]] = {}

    async def answer(self, visit: Visit) -> None:
        """Answer a request to the service."""
        path = visit.path.partition("?")[0]
        if path in ("/api/chat", "/api/v1/chat/stream"):
            await self._chat(visit, streams=path.endswith("stream"))
        elif path in ("/health", "/ready"):
            state = {"status": "healthy" if path == "/health" else "ready", "instance": "plain-1"}
            await visit.json(json.dumps(state | {"checks": {"redis": "ok"}}))
        elif path == "/metrics":
            text = f"# TYPE http_requests_total counter\nhttp_requests_total {self._asked}\n"
            await visit.reply(text, Content_Type="text/plain; version=0.0.4")
        elif path == "/api/orders":
            await self._orders(visit)
        elif path == "/openapi.json":
            await visit.json(json.dumps(OPENAPI))
        else:
            await _problem(visit, 404)

    async def _chat(self, visit: Visit, *, streams: bool) -> None:
        if visit.method != "POST":
            await _problem(visit, 405, Allow="POST")
            return
        question = _question(visit.body)
        if question is None or "json" not in visit.headers.get("content-type", ""):
            await _problem(visit, 422)
            return
        cached = question in self._known and not self._cut
        self._asked += 1
        self._hits += cached
        self._misses += not cached and not self._cut
        if not cached:
            self._calls += 1
            self._known.add(question)
            await asyncio.sleep(THINKING_S)
        words = ["Of", "course:", str(hash(question))]
        about = {"metadata": {"from_cache": cached}}
        if streams:
            await self._stream(visit, words, about)
        else:
            headers = {"X_Request_ID": visit.headers.get("x-request-id", "r-1")[:100]}
            await visit.json(json.dumps({"answer": " ".join(words)} | about), **headers)

    async def _orders(self, visit: Visit) -> None:
        """A protected route, with a limit for each user."""
        user = visit.headers.get("authorization", "")
        if user.removeprefix("Bearer ") not in (TOKEN, OTHER_TOKEN):
            await _problem(visit, 401, WWW_Authenticate="Bearer")
            return
        left, at = self._allowed.get(user, (BURST, monotonic()))
        left = min(BURST, left + PER_S * (monotonic() - at))
        self._allowed[user] = (max(left - 1, 0.0), monotonic())
        if left < 1:
            await _problem(visit, 429, Retry_After="1")
        else:
            await visit.json('{"orders": []}')

    async def _stream(self, visit: Visit, words: list[str], about: dict[str, Any]) -> None:
        await visit.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for word in words:
            await visit.write(f"event: token\ndata: {json.dumps({'text': word + ' '})}\n\n".encode())
            await asyncio.sleep(THINKING_S)
        await visit.write(f"event: done\ndata: {json.dumps(about)}\n\n".encode())
        visit.writer.close()

    async def meter(self, visit: Visit) -> None:
        """The upstream's count of paid calls."""
        await visit.json(json.dumps({"calls": self._calls, "streams_open": 0}))

    async def lever(self, visit: Visit) -> None:
        """As much of Toxiproxy's API as is asked; it cuts nothing."""
        body = json.loads(visit.body or b"{}")
        if visit.method == "POST" and "enabled" in body:
            self._cut = not body["enabled"]
        await visit.json(json.dumps({"name": "cache", "enabled": not self._cut, "toxics": []}))

    async def redis(self, visit: Visit) -> None:
        """A Redis of few words."""
        replies = {
            "PING": "+PONG",
            "DBSIZE": ":1",
            "TTL": ":60",
            "PTTL": ":60000",
            "GET": "$-1",
            "EXISTS": ":0",
        }
        replies |= {"SCAN": "*2\r\n$1\r\n0\r\n*1\r\n$6\r\nchat:a", "SLOWLOG": ":0", "CONFIG": "*0"}
        async for command in commands(visit.reader):
            name = command[0].decode("latin-1").upper() if command else ""
            reply = _bulk(self._info()) if name == "INFO" else replies.get(name, "+OK")
            await visit.write(reply.encode() + b"\r\n")

    def _info(self) -> str:
        facts = {
            "redis_version": "7.2.4", "run_id": "a" * 40, "uptime_in_seconds": 1000, "loading": 0,
            "role": "master", "keyspace_hits": self._hits, "keyspace_misses": self._misses, "evicted_keys": 0,
            "expired_keys": 0, "rejected_connections": 0, "used_memory": 1_000_000, "maxmemory": 100_000_000,
            "maxmemory_policy": "allkeys-lru", "connected_clients": 1,
            "total_commands_processed": self._asked,
        }  # fmt: skip
        counts = {"get": self._hits + self._misses, "set": self._misses}
        lines = [f"{name}:{value}" for name, value in facts.items()]
        lines += [f"cmdstat_{name}:calls={calls},usec=1,usec_per_call=1.00" for name, calls in counts.items()]
        return "\r\n".join([*lines, "db0:keys=1,expires=1,avg_ttl=60000"])


async def commands(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    """The commands that a Redis client sends, until it goes."""
    while head := await reader.readline():
        words = []
        for _ in range(int(head[1:]) if head[:1] == b"*" else 0):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        yield words


def _bulk(text: str) -> str:
    return f"${len(text)}\r\n{text}"


def _question(body: bytes) -> str | None:
    """The question, where the body is one."""
    try:
        document = json.loads(body.decode("utf-8"))
        message = document["message"]
        session = document.get("session_id", "")
        document_is_text = isinstance(message, str) and isinstance(session, str)
        f"{message}{session}".encode() if document_is_text else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    sane = (
        document_is_text and 0 < len(message.strip()) <= MAX_WORD_CHARS and "\0" not in f"{message}{session}"
    )
    return message if sane else None


async def _problem(visit: Visit, status: int, **headers: str) -> None:
    text = json.dumps({"type": "about:blank", "title": "Refused", "status": status})
    await visit.reply(text, status, Content_Type=PROBLEM, **headers)
