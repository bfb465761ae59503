"""endpoint_health.bad_input against a scripted service."""

from __future__ import annotations

import json

import pytest

from checks.contract import (
    BodyField,
    Failure,
    FailureKind,
    InstrumentFailure,
    Operation,
    Outcome,
    ProcessFact,
    Reply,
)
from checks.endpoint_health import bad_input
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedOpenApi,
    ScriptedProcesses,
    ScriptedQuestions,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
)

ROUTE = "/api/chat"
OPERATION = Operation(
    "POST", ROUTE, "", {"message": "Hello?"}, "application/json", False, "message",
    {"message": BodyField("string", True, False)},
)  # fmt: skip


class Strict:
    """A service that refuses what is bad, but for what ``slips`` says of a body."""

    def __init__(self, slips=lambda body: None, *, allow: str = "POST", poisoned_by=None) -> None:
        self.slips = slips
        self.allow = allow
        self.poisoned_by = poisoned_by
        self.poisoned = False

    def reply(self, request) -> Reply:
        if request.method != "POST":
            return Reply(ROUTE, 405, {"allow": self.allow} if self.allow else {})
        if self.poisoned_by and self.poisoned_by in request.body:
            self.poisoned = True
        slip = self.slips(request.body)
        return slip if isinstance(slip, Reply) else Reply(ROUTE, slip or 422)

    def answer(self, prompt, route):
        return a_bad_answer(500) if self.poisoned else an_answer()

    def instruments(self, operations=None, **given):
        found = operations if operations is not None else InstrumentFailure("No OpenAPI.")
        script = {(method, ROUTE): self.reply for method in ("GET", "PATCH", "POST")}
        given = {"processes": ScriptedProcesses({}), "openapi": ScriptedOpenApi(found)} | given
        return ScriptedInstruments(
            http=ScriptedHttp(script), questions=ScriptedQuestions(self.answer), **given
        )


def measured(service: Strict, *, target=None, operations=None, **given):
    target = target or a_target()
    return judge(bad_input, gather(bad_input, target, service.instruments(operations, **given)), target)


def holds(text: bytes, status: int):
    return lambda body: status if text in body else None


def test_a_service_that_refuses_everything_passes():
    finding = measured(Strict())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0
    assert "still answers" in finding.reason
    assert finding.reproduce


@pytest.mark.parametrize(
    ("slips", "words"),
    [
        (holds(b"null}", 500), "null as `message` got 500"),
        (holds(b"null}", 200), "null as `message` got 200 as if it were right"),
        (holds(b"NaN", 500), "NaN as `message` got 500"),
        (holds(b"\xff", 502), "invalid UTF-8 as `message` got 502"),
        (holds(b"[[[[", 201), "nested lists"),
        (
            lambda body: (
                Reply(ROUTE, None, failure=Failure(FailureKind.RESET, "reset")) if body == b"" else None
            ),
            "a reset connection",
        ),
        (
            lambda body: (
                Reply(ROUTE, None, failure=Failure(FailureKind.TIMEOUT, "slow")) if body == b"null" else None
            ),
            "no reply in 10 s",
        ),
    ],
    ids=["crash", "accepted", "not finite", "encoding", "deep", "reset", "silence"],
)
def test_one_mishandled_input_fails_and_is_named(slips, words):
    finding = measured(Strict(slips))
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert "curl -sS -i -X POST" in finding.reproduce
    assert finding.fix


def test_a_405_without_allow_warns():
    finding = measured(Strict(allow=""))
    assert finding.outcome is Outcome.WARN
    assert "Allow" in finding.reason
    assert "-X GET" in finding.reproduce


def test_a_404_or_501_for_a_wrong_method_is_fine():
    class Other(Strict):
        def reply(self, request):
            return (
                super().reply(request)
                if request.method == "POST"
                else Reply(ROUTE, {"GET": 404, "PATCH": 501}[request.method])
            )

    assert measured(Other()).outcome is Outcome.PASS


def test_what_no_schema_forbids_may_be_taken():
    target = a_target(ask={"path": ROUTE, "body": {"message": "{prompt}", "lang": "en"}, "answer": "answer"})

    def lax(body: bytes):
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return 200 if isinstance(sent, dict) and isinstance(sent.get("message"), str) else None

    finding = measured(Strict(lax), target=target)
    assert finding.outcome is Outcome.PASS
    assert "no schema forbids" in finding.reason


def test_what_the_schema_forbids_may_not():
    accepts_numbers = Strict(holds(b"12345", 200))
    assert measured(accepts_numbers).outcome is Outcome.PASS
    finding = measured(accepts_numbers, operations=[OPERATION])
    assert finding.outcome is Outcome.FAIL
    assert "a number as `message`" in finding.reason


def test_a_poisoned_service_is_our_doing_and_ends_the_probe():
    service = Strict(poisoned_by=b"[" * 100)
    found = gather(bad_input, a_target(), service.instruments())
    finding = judge(bad_input, found)
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith("Our probe broke the service: after 10000 nested lists as `message`")
    assert "Restart" in finding.fix
    assert "python3 -c" in finding.reproduce
    assert len(found.results) < found.planned


def test_a_process_that_ended_is_a_crash_though_all_was_refused():
    class Supervised(ScriptedProcesses):
        def listening(self, port):
            self.looks = getattr(self, "looks", 0) + 1
            return [ProcessFact(self.looks, self.looks, 1.0, "chat", (1,))]

    finding = measured(Strict(), processes=Supervised({}))
    assert finding.outcome is Outcome.FAIL
    assert "ended a process" in finding.reason


def test_a_service_that_falls_silent_is_not_asked_fifty_times():
    silent = Reply(ROUTE, None, failure=Failure(FailureKind.TIMEOUT, "no reply"))
    found = gather(bad_input, a_target(), Strict(lambda body: silent).instruments())
    assert sum(result.failure == "timeout" for result in found.results) == bad_input.MAX_SILENT


def test_where_no_good_question_is_answered_nothing_can_be_said():
    instruments = Strict().instruments()
    instruments.questions.working = None
    finding = judge(bad_input, gather(bad_input, a_target(), instruments))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_the_stream_is_probed_where_only_it_answers():
    instruments = Strict().instruments()
    instruments.questions.working = "stream"
    instruments.http.replies = {("POST", "/api/stream"): Reply("", 422)}
    finding = judge(bad_input, gather(bad_input, a_target(), instruments))
    assert finding.outcome is Outcome.PASS
    assert finding.reason.startswith("/api/stream refused")


def test_a_rate_limit_is_neither_a_refusal_nor_a_failure():
    finding = measured(Strict(lambda body: 429 if body == b"null" else None))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "Rate limited" in finding.reason


def test_each_case_has_an_idempotency_key_of_its_own():
    target = a_target(
        ask={"path": ROUTE, "body": {"message": "{prompt}"}, "answer": "answer", "idempotency_header": "Key"}
    )
    instruments = Strict().instruments()
    gather(bad_input, target, instruments)
    keys = [request.headers["Key"] for request in instruments.http.sent]
    assert len(set(keys)) == len(keys)
