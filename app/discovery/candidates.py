"""What may be asked: call tables from OpenAPI operations, from usual routes, and for OpenAI's API."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from app import paths
from app.discovery import cleaning
from app.instruments.openapi.schemas import PROMPT_NAMES, QUESTION
from checks.contract import Operation

LIVENESS = ("/health", "/healthz", "/livez", "/health/live", "/api/health", "/status", "/ping", "/up")
READINESS = ("/ready", "/readyz", "/readiness", "/health/ready", "/api/ready")
METRICS = ("/metrics", "/actuator/prometheus", "/internal/metrics", "/prometheus")
ASK_ROUTES = (
    *("/api/chat", "/chat", "/ask", "/api/ask", "/query", "/api/query", "/v1/ask", "/v1/chat", "/v1/query"),
    *("/api/v1/chat", "/api/v1/ask", "/api/v1/query", "/answer", "/answers", "/v1/answers", "/v2/answers"),
    *("/v1/answer", "/api/answer", "/api/answers"),
    *("/question", "/questions", "/generate", "/api/generate", "/complete", "/api/message", "/search"),
)
STREAM_ENDINGS = ("/stream", "/live", "/sse", "/events")
STREAM_ROUTES = ("/api/v1/chat/stream", "/api/chat/stream", "/chat/stream", "/ask/stream", "/stream")
USUAL_QUERIES = ("q", "question", "query", "prompt", "message", "text")
USUAL_FIELDS = ("message", "prompt", "question", "input", "query", "messages", "text", "q")
OPENAI_ROUTE = "/v1/chat/completions"
OPENAI_ENDING = "/chat/completions"
OPENAI_KEY = "OPENAI_API_KEY"
NOT_CHATTING = re.compile(r"embed|rerank|whisper|tts|moderation|dall-e|guard", re.IGNORECASE)

ASKS = re.compile(r"chat|ask|answer|question|quer|complet|generat|message|prompt|search", re.IGNORECASE)
CHANGES = re.compile(
    r"order|delete|remove|admin|pay|refund|charge|invoice|transfer|user|account|customer|login|auth|token|key|"
    r"upload|import|create|update|send|mail|sms|notif|invit|comment|issue|subscri|hook|cancel|merge|"
    r"train|tune|batch|feedback",
    re.IGNORECASE,
)
SESSIONS = re.compile(r"session|conversation|thread", re.IGNORECASE)
USERS = re.compile(r"^user(_?id|_?name)?$", re.IGNORECASE)
FORM = "application/x-www-form-urlencoded"


def template() -> dict[str, Any]:
    """The target file of a service that speaks OpenAI's API, from data/templates/openai.toml."""
    file = paths.ROOT / "data" / "templates" / "openai.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def asking(operations: Iterable[Operation]) -> list[Operation]:
    """Operations that look as if they answered a question and changed nothing, likeliest first."""
    found = [item for item in operations if may_be_tried(item)]
    return sorted(found, key=lambda item: (item.prompt_field is None, len(item.path)))


def may_be_tried(operation: Operation) -> bool:
    """Whether an operation takes a question by its looks, and does not look as if it changed something."""
    takes = operation.method == "POST" and operation.prompt_field is not None
    takes |= operation.method == "GET" and quote(QUESTION, safe="") in operation.path
    return takes and bool(ASKS.search(operation.path)) and not changes(operation)


def changes(operation: Operation) -> bool:
    """Whether an operation looks as if it changed something, by its method or the words of its path."""
    if operation.path.endswith(OPENAI_ENDING):
        return False
    words = operation.path.partition("?")[0].rstrip("/")
    reads = operation.method in ("GET", "HEAD", "OPTIONS")
    if not reads and not (operation.method == "POST" and ASKS.search(words)):
        return True
    return not reads and bool(CHANGES.search(words))


def may_stream(operation: Operation) -> bool:
    """Whether the same operation streams where its body says ``stream = true``."""
    asked = operation.fields.get("stream")
    return asked is not None and asked.kind in ("boolean", "") and isinstance(operation.body, Mapping)


def call_table(operation: Operation, *, stream: bool = False) -> dict[str, Any] | None:
    """The call of an operation, its question and session as placeholders; None for what cannot be sent."""
    path = operation.path.replace(quote(QUESTION, safe=""), "{prompt}")
    table: dict[str, Any] = {"method": operation.method, "path": path.replace("${", "$%7B")}
    if operation.body is None:
        return table
    body = templated(operation.body, operation.prompt_field or "")
    if stream and isinstance(body, dict):
        body["stream"] = True
    return _with_body(table, body, operation.content_type)


def _with_body(table: dict[str, Any], body: Any, content_type: str | None) -> dict[str, Any] | None:
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind == FORM and isinstance(body, Mapping):
        return {**table, "headers": {"Content-Type": FORM}, "body": form(body)}
    if "json" not in kind and kind != "*/*":
        return None  # multipart, XML: nothing that a target file can say
    cleaned = cleaning.body(body)
    if cleaned is None:
        return None
    if isinstance(cleaned, str):
        return {**table, "headers": {"Content-Type": "application/json"}, "body": cleaned}
    return {**table, "body": cleaned}


def form(fields: Mapping[str, Any]) -> str:
    """A form body as a template: escaped, but for the placeholders, which are escaped as they are filled."""
    cleaned = {cleaning.own_text(str(name)): value for name, value in fields.items() if value is not None}
    pairs = []
    for name, value in cleaned.items():
        text = str(value).lower() if isinstance(value, bool) else cleaning.own_text(str(value))
        filled = text if text in ("{prompt}", "{session}", "{user}") else quote_plus(text)
        pairs.append(f"{quote_plus(name)}={filled}")
    return "&".join(pairs)


def templated(body: Any, prompt_field: str, path: str = "") -> Any:
    """``body`` with its question, session and user as placeholders."""
    if isinstance(body, Mapping):
        return {
            str(key): templated(item, prompt_field, f"{path}.{key}".lstrip(".")) for key, item in body.items()
        }
    if isinstance(body, list):
        return [templated(item, prompt_field, f"{path}.{at}".lstrip(".")) for at, item in enumerate(body)]
    if not isinstance(body, str):
        return body
    if path == prompt_field:
        return "{prompt}"
    name = path.rpartition(".")[2]
    return "{session}" if SESSIONS.search(name) else "{user}" if USERS.match(name) else body


def usual_body(name: str, others: Iterable[str] = ()) -> dict[str, Any]:
    """A body with the question under ``name``, and a value for each of the ``others`` that errors named."""
    body: dict[str, Any] = {name: question_value(name)}
    for other in others:
        if SESSIONS.search(other):
            body[other] = "{session}"
        elif USERS.match(other):
            body[other] = "{user}"
    return body


def question_value(name: str) -> Any:
    """A question as the field ``name`` usually takes it."""
    return [{"role": "user", "content": "{prompt}"}] if name == "messages" else "{prompt}"


def likely_fields(named: Iterable[str]) -> list[str]:
    """Of the names in an error, those under which a question is usually sent."""
    usual = {*PROMPT_NAMES, *USUAL_FIELDS}
    return [name for name in named if name.lower() in usual]


def openai_tables(place: str, model: str) -> dict[str, dict[str, Any]]:
    """``[ask]`` and ``[stream]`` of the template, for this route and model."""
    document = template()
    tables = {}
    for name in ("ask", "stream"):
        table = document[name]
        tables[name] = {**table, "path": place, "body": {**table["body"], "model": model}}
    return tables


def chatting(models: list[str]) -> str | None:
    """The first model that looks as if it chatted."""
    return next((model for model in models if not NOT_CHATTING.search(model)), models[0] if models else None)
