"""The chat route, its cache, and what it does with bad input."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import Redis

from app.sample.chat.cache import key_of
from tests.sample.client import Client, new_question

GOOD = {"message": "Where is my parcel?", "session_id": "s"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_question_is_paid_once_and_then_comes_from_the_cache(sample: Client):
    question, before = new_question(), sample.paid_calls()
    first, again = sample.chat(question).json(), sample.chat(question).json()
    assert first["metadata"]["from_cache"] is False
    assert again["metadata"]["from_cache"] is True
    assert again["answer"] == first["answer"]
    assert sample.paid_calls() == before + 1


def test_different_questions_get_different_answers(sample: Client):
    assert sample.chat("About returns").json()["answer"] != sample.chat("About refunds").json()["answer"]


def test_the_same_new_question_at_once_is_paid_once(sample: Client):
    question, before = new_question(), sample.paid_calls()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: sample.chat(question), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert sample.paid_calls() == before + 1


def test_an_answer_expires(sample: Client):
    question = new_question()
    sample.chat(question)
    with Redis(port=sample.state.ports["valkey"]) as redis:
        assert 0 < redis.ttl(key_of(question)) <= 900


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"message": "\xff", "session_id": "s"}',
        b'{"message": "\\ud800", "session_id": "s"}',
        b'{"message": NaN, "session_id": "s"}',
        b'{"message": "a\\u0000b", "session_id": "s"}',
        b'{"message": ' + b"[" * 10_000 + b"]" * 10_000 + b', "session_id": "s"}',
        b'{"message": "hello", "session_id": 1' + b"0" * 5_000 + b"}",
        *(
            json.dumps(GOOD | change).encode()
            for change in (
                {"message": None},
                {"message": 1},
                {"message": True},
                {"message": [None]},
                {"message": {"a": None}},
                {"message": ""},
                {"message": "  "},
                {"message": "x" * 4_001},
                {"session_id": None},
                {"session_id": 1e308},
                {"session_id": ""},
                {"unknown": 1},
            )
        ),
        b'{"message": "hello"}',
        b'{"session_id": "s"}',
    ],
    ids=lambda body: body[:40].decode("ascii", "replace"),
)
@pytest.mark.parametrize("route", ["/api/chat", "/api/v1/chat/stream"])
def test_bad_input_is_refused_and_harms_nobody(sample: Client, route: str, body: bytes):
    reply = sample.http.post(route, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422), reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == reply.status_code
    assert sample.chat("Where is my parcel?").status_code == 200


def test_a_wrong_method_names_the_right_one(sample: Client):
    reply = sample.http.get("/api/chat")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert sample.http.post("/health").headers["allow"] == "GET"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/json; charset=utf-16", ""])
def test_another_content_type_is_refused(sample: Client, kind: str):
    reply = sample.http.post("/api/chat", content=json.dumps(GOOD), headers={"Content-Type": kind})
    assert reply.status_code == 415


def test_a_body_above_the_limit_is_refused_with_and_without_a_declared_length(sample: Client):
    big = json.dumps(GOOD | {"message": "x" * 70_000}).encode()
    kind = {"Content-Type": "application/json"}
    pieces = (big[start : start + 10_000] for start in range(0, len(big), 10_000))
    assert sample.http.post("/api/chat", content=big, headers=kind).status_code == 413
    assert sample.http.post("/api/chat", content=pieces, headers=kind).status_code == 413
    assert sample.chat().status_code == 200


def test_an_unknown_path_is_a_problem_document(sample: Client):
    reply = sample.http.get("/nowhere")
    assert reply.status_code == 404
    assert reply.json()["title"] == "Not Found"


def test_a_request_keeps_its_id_and_its_trace(sample: Client):
    reply = sample.chat(headers={"X-Request-ID": "abc-1", "traceparent": TRACEPARENT})
    assert reply.headers["x-request-id"] == "abc-1"
    assert reply.headers["traceparent"] == TRACEPARENT
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_request_without_an_id_or_with_a_bad_one_gets_one(sample: Client):
    ids = {
        sample.chat(headers=headers).headers["x-request-id"] for headers in ({}, {"X-Request-ID": "a b\t<c>"})
    }
    assert len(ids) == 2
    assert all(len(one) == 32 for one in ids)


def test_health_and_readiness_name_their_parts(sample: Client):
    health, ready = sample.http.get("/health").json(), sample.http.get("/ready")
    assert health["status"] == "healthy"
    assert health["instance"].startswith("chat-")
    assert health["components"]["cache"]["status"] == "up"
    assert ready.status_code == 200
    assert ready.json()["dependencies"] == {"cache": "up", "model": "up"}


def test_without_the_model_the_service_is_healthy_and_not_ready(sample: Client):
    with sample.refused("upstream"):
        assert sample.http.get("/health").json()["status"] == "healthy"
        assert sample.http.get("/ready").status_code == 503


def test_metrics_count_hits_misses_and_requests(sample: Client):
    question = new_question()
    before = _metrics(sample)
    for _ in range(3):
        sample.chat(question)
    after = _metrics(sample)
    chat = 'http_requests_total{method="POST",route="/api/chat",status="200"}'
    moved = {name: after[name] - before.get(name, 0) for name in ("chat_cache_hits_total", chat)}
    assert moved == {"chat_cache_hits_total": 2, chat: 3}
    assert after["chat_cache_misses_total"] == before["chat_cache_misses_total"] + 1
    assert after["process_resident_memory_bytes"] > 0


def _metrics(sample: Client) -> dict[str, float]:
    lines = sample.http.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_openapi_describes_bodies_errors_and_the_stream(sample: Client):
    document = sample.http.get("/openapi.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    asked = {"/api/chat", "/api/v1/chat/stream", "/api/orders", "/api/order-book"}
    assert asked | {"/health", "/ready", "/metrics"} == set(paths)
    assert schemas["ChatRequest"]["properties"]["message"]["examples"]
    assert schemas["ChatRequest"]["additionalProperties"] is False
    assert "text/event-stream" in paths["/api/v1/chat/stream"]["post"]["responses"]["200"]["content"]
    referred = {ref.rsplit("/", 1)[1] for ref in _references(document)}
    assert referred <= set(schemas)
    assert sample.http.get("/docs").status_code == 200


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _references(value)]
    return [ref for value in node for ref in _references(value)] if isinstance(node, list) else []


def test_a_silent_model_is_a_504_and_an_absent_one_a_503(sample: Client):
    with sample.poisoned("upstream", [{"type": "timeout"}]):
        assert sample.chat().status_code == 504
    with sample.refused("upstream"):
        reply = sample.chat()
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert sample.chat().status_code == 200


def test_fifty_users_at_once_are_not_refused(sample: Client):
    with httpx.Client(base_url=sample.state.url, limits=httpx.Limits(max_connections=50)) as client:

        def ask(user: int) -> set[int]:
            headers = {"X-User-Id": f"user-{user}"}
            body = GOOD | {"session_id": f"user-{user}"}
            return {
                client.post("/api/chat", json=body, headers=headers, timeout=30).status_code for _ in "1234"
            }

        with ThreadPoolExecutor(50) as pool:
            assert set.union(*pool.map(ask, range(50))) == {200}
