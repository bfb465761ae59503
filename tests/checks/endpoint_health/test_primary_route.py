"""endpoint_health.primary_route and its diagnosis against scripted routes and a scripted OpenAPI."""

from __future__ import annotations

import json
import tomllib

import pytest

from checks.contract import Event, InstrumentFailure, Operation, Outcome, Reply, StreamReply
from checks.contract.target import Target
from checks.endpoint_health import primary_route
from checks.endpoint_health._diagnosis import MAX_TRIED
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedOpenApi,
    ScriptedQuestions,
    ScriptedSse,
    a_bad_answer,
    a_target,
    an_answer,
    measure,
)

NO_STREAM = a_target(stream=None)


def asking(body=None, **fields) -> Operation:
    """An operation that takes a question."""
    defaults = {"method": "POST", "path": "/v2/ask", "summary": "", "content_type": "application/json"}
    given = {
        "body": {"question": "Hello?"} if body is None else body,
        "streams": False,
        "prompt_field": "question",
    }
    return Operation(**defaults | given | fields)


def measured(answer, *, target=NO_STREAM, operations=None, http=None, sse=None):
    instruments = ScriptedInstruments(
        questions=ScriptedQuestions(answer),
        openapi=ScriptedOpenApi(operations if operations is not None else InstrumentFailure("none")),
        http=http or ScriptedHttp({}),
        sse=sse or ScriptedSse([StreamReply(404, {}, (), None, 1.0)]),
    )
    return measure(primary_route, target, instruments), instruments


def failing(bad: int):
    """A service whose first ``bad`` answers are not good."""
    given = iter([a_bad_answer(500)] * bad)
    return lambda prompt, route: next(given, None) or an_answer(f"About {prompt}", elapsed_ms=10.0)


def test_twenty_good_answers_pass():
    finding, instruments = measured(failing(0))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1.0
    assert len(set(instruments.questions.asked)) == 20


@pytest.mark.parametrize(("bad", "outcome"), [(1, Outcome.WARN), (2, Outcome.FAIL)])
def test_nineteen_of_twenty_is_the_least(bad, outcome):
    finding, _ = measured(failing(bad))
    assert finding.outcome is outcome
    assert f"/api/chat answers 500 to {bad} of 20" in finding.reason


def test_a_route_that_never_answers_is_not_asked_twenty_times():
    finding, instruments = measured(lambda prompt, route: a_bad_answer(500, elapsed_ms=10.0))
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "/api/chat answers 500."
    assert len(instruments.questions.asked) == primary_route.GIVE_UP


def test_a_good_status_without_an_answer_says_what_is_wrong():
    finding, _ = measured(lambda prompt, route: a_bad_answer(200, "no text at `answer`", elapsed_ms=10.0))
    assert finding.reason == "/api/chat: no text at `answer`."


def test_one_answer_to_twenty_questions_warns():
    finding, _ = measured(lambda *_: an_answer("Sorry, something went wrong.", elapsed_ms=1.0))
    assert finding.outcome is Outcome.WARN
    assert finding.share == 0.5
    assert "20 different questions one and the same answer" in finding.reason
    texts = iter(["Something else."])
    two, _ = measured(lambda *_: an_answer(next(texts, "Within 30 days."), elapsed_ms=1.0))
    assert two.outcome is Outcome.PASS


def test_the_declared_stream_is_named_and_offered():
    def answer(prompt, route):
        return a_bad_answer(500, elapsed_ms=1.0) if route == "ask" else an_answer(route="stream")

    finding, instruments = measured(answer, target=a_target())
    assert finding.reason == "/api/chat answers 500; /api/stream works."
    table = finding.fix.partition("\n\n")[2]
    assert Target.model_validate({"url": "http://x", **tomllib.loads(table)}).stream == a_target().stream
    assert "looking for one that works" in instruments.said[0]


def test_where_only_a_stream_is_declared_it_is_the_business_route():
    finding, _ = measured(failing(0), target=a_target(ask=None))
    assert finding.reason.startswith("/api/stream answered 20 of 20")


def test_a_route_of_the_document_is_tried_and_proposed():
    reply = Reply(
        "", 200, {}, json.dumps({"id": "1", "output": {"text": "Within 30 days of delivery."}}).encode()
    )
    operation = asking({"question": "Hello?", "options": {"lang": "en"}, "limit": None})
    http = ScriptedHttp({("POST", "/v2/ask"): reply})
    finding, _ = measured(lambda *_: a_bad_answer(404, elapsed_ms=1.0), operations=[operation], http=http)
    assert finding.reason == "/api/chat answers 404; /v2/ask works."
    proposed = Target.model_validate(
        {"url": "http://x", **tomllib.loads(finding.fix.partition("\n\n")[2])}
    ).ask
    assert proposed is not None
    assert (proposed.path, proposed.answer) == ("/v2/ask", "output.text")
    assert proposed.body == {"question": "{prompt}", "options": {"lang": "en"}}
    assert json.loads(http.sent[0].body)["question"].startswith("Never-seen question")


def test_the_declared_route_is_tried_with_the_body_of_its_document():
    operation = asking({"question": "Hello?"}, path="/api/chat")
    http = ScriptedHttp({("POST", "/api/chat"): Reply("", 200, {}, b'{"answer": "Within 30 days."}')})
    finding, _ = measured(lambda *_: a_bad_answer(422, elapsed_ms=1.0), operations=[operation], http=http)
    assert finding.reason == "/api/chat answers 422; the body of its OpenAPI works."
    proposed = tomllib.loads(finding.fix.partition("\n\n")[2])["ask"]
    assert proposed["body"] == {"question": "{prompt}"}
    alike = asking({"message": "Hello?"}, path="/api/chat", prompt_field="message")
    again, instruments = measured(lambda *_: a_bad_answer(422, elapsed_ms=1.0), operations=[alike], http=http)
    assert again.reason == "/api/chat answers 422."
    assert len(instruments.http.sent) == 1, "a body of the same fields is not tried again"


def test_a_streaming_route_of_the_document_is_tried_and_proposed():
    events = [
        Event(1.0, "message", '{"delta": {"text": "With"}}'),
        Event(2.0, "message", '{"delta": {"text": "in"}}'),
    ]
    stream = StreamReply(200, {}, (*events, Event(3.0, "message", "[DONE]")), 1.0, 3.0)
    operation = asking(path="/v2/live", streams=True)
    finding, _ = measured(
        lambda *_: a_bad_answer(500, elapsed_ms=1.0), operations=[operation], sse=ScriptedSse([stream])
    )
    assert finding.reason == "/api/chat answers 500; /v2/live works."
    proposed = tomllib.loads(finding.fix.partition("\n\n")[2])["stream"]
    assert (proposed["token"], proposed["end_data"]) == ("delta.text", "[DONE]")


def test_a_get_route_with_a_question_in_its_query_is_proposed_with_a_placeholder():
    operation = asking(method="GET", path="/find?q=text&lang=en", prompt_field=None)
    http = ScriptedHttp({})
    http.send = answering(http, b'{"answer": "Within 30 days."}')
    finding, _ = measured(lambda *_: a_bad_answer(500, elapsed_ms=1.0), operations=[operation], http=http)
    assert 'path = "/find?q={prompt}&lang=en"' in finding.fix
    assert (
        http.sent[0].url == "/find?q=Never-seen%20question%204%3F&lang=en"
        or "%3F&lang=en" in http.sent[0].url
    )


def answering(http: ScriptedHttp, body: bytes):
    async def send(request, **_):
        http.sent.append(request)
        return Reply(request.url, 200, {}, body)

    return send


@pytest.mark.parametrize(
    "path",
    [
        "/api/orders",
        "/admin/ask",
        "/chat/delete",
        "/users",
        "/v1/deleteChat",
        "//evil.example/ask",
        "/a/../ask",
    ],
)
def test_routes_that_may_change_or_lead_away_are_never_tried(path):
    finding, instruments = measured(
        lambda *_: a_bad_answer(500, elapsed_ms=1.0), operations=[asking(path=path)]
    )
    assert instruments.http.sent == []
    assert finding.reason == "/api/chat answers 500."


def test_a_flood_of_operations_is_bounded():
    operations = [asking(path=f"/ask/{number}") for number in range(1000)]
    finding, instruments = measured(lambda *_: a_bad_answer(500, elapsed_ms=1.0), operations=operations)
    assert len(instruments.http.sent) == MAX_TRIED
    assert "none of 12" in finding.reason


def test_hostile_values_of_the_document_are_neither_sent_as_secrets_nor_break_the_proposal():
    body = {
        "question": "Hello?",
        "key": "${HOME}",
        "text\u202e": 'a"]\n[ask]\npath = "/evil"\x00',
        "deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}},
        "long": "x" * 10_000,
        "nan": float("nan"),
    }
    http = ScriptedHttp({("POST", "/v2/ask"): Reply("", 200, {}, b'{"answer": "Yes."}')})
    finding, _ = measured(lambda *_: a_bad_answer(500, elapsed_ms=1.0), operations=[asking(body)], http=http)
    assert b"${" not in http.sent[0].body
    assert len(http.sent[0].body) < 2_000
    table = tomllib.loads(finding.fix.partition("\n\n")[2])
    assert set(table) == {"ask"}
    assert table["ask"]["path"] == "/v2/ask"


def test_a_rate_limit_is_neither_a_success_nor_a_failure():
    finding, _ = measured(lambda *_: a_bad_answer(429, elapsed_ms=1.0))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "429" in finding.reason
