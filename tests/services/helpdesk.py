"""A service of several processes: Flask behind gunicorn, three synchronous workers, no keep-alive.

The question lies deep in a JSON document, answers are shared by the workers in a Redis of their own, errors
have Flask's three fields, and metrics are gathered from all workers by files. ``python helpdesk.py PORT``
runs it; it needs HELPDESK_REDIS.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

WORKERS = 3
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(Path.cwd() / "metrics"))
Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(exist_ok=True)

import redis  # noqa: E402 - the metrics' folder must be there first
from flask import Flask, Response, g, jsonify, request  # noqa: E402
from prometheus_client import CollectorRegistry, Counter, generate_latest  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from werkzeug.exceptions import (  # noqa: E402
    BadRequest,
    HTTPException,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)

THINKING_S = 0.3
KEPT_S = 3_600
WAITED_S = 5.0
PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
CALLS = Counter("helpdesk_engine_calls", "Suggestions that had to be thought of.")
REQUESTS = Counter("flask_http_requests", "Requests.", ["method", "endpoint", "status"])

app = Flask("helpdesk")
app.config["MAX_CONTENT_LENGTH"] = 64_000
store = redis.Redis.from_url(os.environ["HELPDESK_REDIS"], socket_timeout=1, decode_responses=True)


@app.before_request
def with_id() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if PLAIN_ID.fullmatch(given) else uuid.uuid4().hex


@app.after_request
def counted(reply: Response) -> Response:
    reply.headers["X-Request-ID"] = g.request_id
    reply.headers["X-Content-Type-Options"] = "nosniff"
    REQUESTS.labels(request.method, request.endpoint or "none", str(reply.status_code)).inc()
    return reply


@app.post("/api/v3/tickets/suggestion")
def suggestion() -> Any:
    text = _question()
    key = "suggestion:" + hashlib.sha256(text.encode()).hexdigest()
    known = store.get(key)
    if known is None:
        known, source = _thought_of_once(key)
    else:
        source = "redis"
    return jsonify({"suggestion": {"body": known, "tone": "friendly"}, "meta": {"source": source}})


def _thought_of_once(key: str) -> tuple[str, str]:
    """Think under a lock beside the key, or wait for the worker that does."""
    end = time.monotonic() + WAITED_S
    while time.monotonic() < end:
        if store.set(f"{key}:lock", 1, nx=True, px=int(WAITED_S * 1000)):
            if known := store.get(key):  # stored between our look and our lock
                store.delete(f"{key}:lock")
                return known, "redis"
            CALLS.inc()
            time.sleep(THINKING_S)
            text = f"Dear customer, case {key[-12:]} is known to us, and a colleague will gladly help you."
            store.set(key, text, ex=KEPT_S)
            store.delete(f"{key}:lock")
            return text, "engine"
        time.sleep(0.01)
        if known := store.get(key):
            return known, "redis"
    raise ServiceUnavailable("the engine is busy")


def _question() -> str:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send JSON")
    try:
        document = json.loads(request.get_data().decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    ticket = document.get("ticket") if isinstance(document, dict) else None
    text = ticket.get("text") if isinstance(ticket, dict) else None
    subject = ticket.get("subject", "") if isinstance(ticket, dict) else None
    if not isinstance(text, str) or not isinstance(subject, str) or not text.strip():
        raise UnprocessableEntity("ticket.text and ticket.subject must be texts")
    if not text.isprintable() or set(document) - {"ticket", "customer"}:
        raise UnprocessableEntity("the ticket cannot be read")
    if not isinstance(document.get("customer", ""), str):
        raise UnprocessableEntity("customer must be a text")
    return text


def _no_number(text: str) -> None:
    raise ValueError(text)


@app.get("/healthz")
def healthz() -> Any:
    return jsonify(status="ok")


@app.get("/readyz")
def readyz() -> Any:
    try:
        store.ping()
    except redis.RedisError:
        return jsonify(status="unavailable", dependencies={"redis": "down"}), 503
    return jsonify(status="ok", dependencies={"redis": "up"})


@app.get("/metrics")
def metrics() -> Response:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(generate_latest(registry), mimetype="text/plain; version=0.0.4")


@app.errorhandler(HTTPException)
def refused(error: HTTPException) -> Any:
    reply = error.get_response()
    reply.data = json.dumps({"code": error.code, "name": error.name, "description": error.description})
    reply.content_type = "application/json"
    return reply


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    bound = f"127.0.0.1:{sys.argv[1]}"
    words = [
        "gunicorn",
        "--workers",
        str(WORKERS),
        "--bind",
        bound,
        "--no-control-socket",
        "--log-level",
        "error",
        "helpdesk:app",
    ]
    os.execv(sys.executable, [sys.executable, "-m", *words])  # noqa: S606 - gunicorn in our place
