"""endpoint_health.error_disclosure against scripted services, each with its own way to refuse."""

from __future__ import annotations

import json

import pytest

from checks.contract import (
    BodyReply,
    Failure,
    FailureKind,
    InstrumentFailure,
    Operation,
    Outcome,
    Reply,
    Request,
)
from checks.endpoint_health import error_disclosure
from tests.checks.scripted import (
    ScriptedBodies,
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedOpenApi,
    a_target,
    gather,
    judge,
)

ROUTE = "/api/chat"
PROBLEM = "application/problem+json"
SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"


class Service(ScriptedHttp):
    """Refuses in problem documents; ``refuse(request, status)`` gives a body, or a Reply, of its own."""

    def __init__(self, refuse=lambda request, status: None, *, announced=413) -> None:
        super().__init__({})
        self.refuse = refuse
        self.announced = announced

    async def send(self, request, *, timeout_s=10.0, fresh_connection=False):
        self.sent.append(request)
        return self.reply(request, self.status(request))

    def status(self, request: Request) -> int:
        if request.url == "/api/orders":
            return 401
        if request.url != ROUTE:
            return 404
        if request.method != "POST":
            return 405
        kinds = {name.lower(): value for name, value in request.headers.items()}
        return 422 if kinds.get("content-type") == "application/json" else 415

    def reply(self, request, status) -> Reply:
        own = self.refuse(request, status)
        if isinstance(own, Reply):
            return own
        body = own or {"type": "about:blank", "status": status, "detail": "Refused."}
        return a_reply(body, status, PROBLEM if own is None else "application/json")

    def too_long(self, request, plan) -> BodyReply:
        if self.announced is None:
            return BodyReply(failure=Failure(FailureKind.TIMEOUT, "no reply"))
        reply = self.reply(request, self.announced)
        return BodyReply(reply.status, reply.headers, reply.body)


def a_reply(body, status=400, kind="application/json") -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(ROUTE, status, {"content-type": kind}, raw)


def found(service: Service, *, target=None, operations=None):
    answer = operations if operations is not None else InstrumentFailure("No OpenAPI.")
    bodies = ScriptedBodies(service.too_long)
    instruments = ScriptedInstruments(http=service, openapi=ScriptedOpenApi(answer), bodies=bodies)
    target = target or a_target()
    evidence = gather(error_disclosure, target, instruments)
    return judge(error_disclosure, evidence, target), evidence, bodies


def measured(refuse=lambda request, status: None, **given):
    return found(Service(refuse), **given)[0]


def test_problem_documents_that_show_nothing_pass():
    finding, evidence, bodies = found(Service())
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0)
    assert "(404, 405, 413, 415, 422)" in finding.reason
    assert evidence.asked == evidence.planned > 30
    [(_, plan)] = bodies.sent
    assert (plan.filler_bytes, plan.stop_after) == (10**9, 0)  # announced, and not a byte of it sent


def test_a_server_that_waits_for_the_announced_body_is_asked_no_longer():
    finding, _, _ = found(Service(announced=None))
    assert finding.outcome is Outcome.PASS


def only(condition, text):
    """A leak in the replies for which ``condition`` holds."""
    return lambda request, status: {"detail": text, "status": status} if condition(request, status) else None


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (
            only(lambda r, s: s == 404 and "%27" in r.url, 'near "\'": syntax error'),
            "with a quote (404) shows SQL",
        ),
        (only(lambda r, s: s == 405, "x.y.MethodError"), "method GET (405) shows the name of an exception"),
        (only(lambda r, s: s == 413, "/srv/shop/ask.py"), "a gigabyte, announced (413) shows a path"),
        (only(lambda r, s: b"[[[[" in r.body, "/srv/shop/ask.py"), "nested lists as `message` (422)"),
        (only(lambda r, s: b"\xff" in r.body, "/srv/shop/ask.py"), "invalid UTF-8 as `message` (422)"),
        (only(lambda r, s: s == 415, f"key {SECRET}"), "(415) shows an API key at `detail`"),
    ],
)
def test_a_leak_in_one_kind_of_error_alone_fails_and_is_named(refuse, words):
    finding, evidence, _ = found(Service(refuse))
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert finding.value >= 1
    assert finding.fix
    assert "curl -sS -i" in finding.reproduce
    assert SECRET not in repr(evidence) + repr(finding)


def test_one_leak_is_one_too_many():
    finding = measured(only(lambda r, s: r.url.endswith("%ff%fe"), "/srv/shop/ask.py"))
    assert (finding.outcome, finding.value) == (Outcome.FAIL, 1)
    assert finding.reason.startswith("1 of ")


def test_a_server_error_is_searched_like_any_other():
    def crash(request, status):
        return (
            a_reply(b"Traceback (most recent call last):", 500, "text/plain")
            if b"null" in request.body
            else None
        )

    finding = measured(crash)
    assert finding.outcome is Outcome.FAIL
    assert "(500) shows a stack trace" in finding.reason


def test_several_kinds_of_leak_are_each_shown_once():
    def refuse(request, status):
        return {"trace": "goroutine 7 [running]:", "sql": "SELECT a FROM b"} if status == 422 else None

    finding = measured(refuse)
    assert finding.reason.count("shows") == 1
    assert "shows a stack trace and SQL at `trace`" in finding.reason


def test_an_echo_of_the_question_is_no_leak():
    target = a_target(ask={"path": ROUTE, "body": {"message": "{prompt} SELECT a FROM b in /srv/x/y.py"}})

    def echo(request, status):
        return {"detail": "no", "input": request.body.decode("utf-8", "replace"), "at": request.url}

    assert measured(echo, target=target).outcome is Outcome.WARN


@pytest.mark.parametrize(
    ("refuse", "share", "words"),
    [
        (lambda r, s: {"detail": "no"}, 0.5, "a shape of their own (`detail`)"),
        (lambda r, s: {"detail": "no"} if s == 422 else None, 0.5, "a shape of their own (`detail`)"),
        (lambda r, s: {"error": {"no": s}} if s == 422 else None, 0.25, "no shape in common"),
        (
            lambda r, s: a_reply(b"<h1>Not here</h1>", 404, "text/html") if s == 404 else None,
            0.25,
            "as text/html",
        ),
        (lambda r, s: Reply("", 405) if s == 405 else None, 0.25, "gets 405 as no body"),
        (lambda r, s: a_reply(["no"], s), 0.25, "no shape in common"),
        (lambda r, s: a_reply({"type": "about:blank"}, s, "application/json"), 0.5, "of their own"),
        (lambda r, s: a_reply({"message": "no"}, s, PROBLEM), 0.5, "of their own"),
    ],
)
def test_clean_errors_of_another_shape_warn(refuse, share, words):
    finding = measured(refuse)
    assert (finding.outcome, finding.share) == (Outcome.WARN, share)
    assert words in finding.reason


def test_a_problem_document_may_name_its_charset():
    def refuse(request, status):
        return a_reply({"title": "No", "status": status}, status, f"{PROBLEM}; charset=utf-8")

    assert measured(refuse).outcome is Outcome.PASS


AUTH = {
    "header": "X-Key",
    "valid": "${KEY}",
    "protected": [{"path": "/api/orders"}, {"method": "POST", "path": "/api/orders", "body": {"sku": "A"}}],
}


def test_routes_that_need_a_credential_are_asked_without_and_with_one_that_never_was():
    service = Service(only(lambda r, s: s == 401 and "X-Key" in r.headers, "SELECT id FROM keys"))
    finding, _, _ = found(service, target=a_target(auth=AUTH))
    assert "an unknown credential for /api/orders (401) shows SQL" in finding.reason
    orders = [request for request in service.sent if request.url == "/api/orders"]
    assert [("X-Key" in request.headers, request.method) for request in orders] == [
        (False, "GET"),
        (True, "GET"),
        (False, "POST"),
        (True, "POST"),
    ]
    assert {request.body for request in orders} == {b"", b"{}"}  # nothing that could be booked
    assert "${KEY}" not in repr([request.headers for request in orders])


def test_a_transaction_with_its_credential_in_a_header_is_known_to_need_one():
    transaction = {
        "path": "/api/orders",
        "headers": {"Authorization": "Bearer ${TOKEN}", "X-Shop": "7"},
        "body": {"sku": "A"},
        "state": [{"name": "s", "url": "/state"}],
        "steps": [{"name": "x", "lever": "cache"}],
    }
    service = Service()
    found(service, target=a_target(transaction=transaction))
    orders = [request.headers for request in service.sent if request.url == "/api/orders"]
    assert [headers.get("X-Shop") for headers in orders] == ["7", "7"]
    assert "Authorization" not in orders[0]
    assert orders[1]["Authorization"].startswith("Bearer greenlight-")


def test_ids_of_documented_routes_are_asked_for_and_nothing_is_changed_there():
    operations = [
        Operation("GET", "/api/orders/{order}/lines/{line}", "", None, None, False),
        Operation("DELETE", "/api/orders/{order}", "", None, None, False),
    ]
    service = Service(only(lambda r, s: "/lines/" in r.url, "SELECT a FROM b"))
    finding, _, _ = found(service, operations=operations)
    assert "an unknown id of /api/orders/{order}/lines/{line} (404) shows SQL" in finding.reason
    assert not [request for request in service.sent if request.method in ("DELETE", "PUT")]


def test_the_stream_is_asked_where_it_is_all_that_is_declared():
    service = Service()
    found(service, target=a_target(ask=None))
    assert any(request.url == "/api/stream" for request in service.sent)


def test_a_rate_limit_leaves_kinds_of_error_unseen_and_hides_no_leak():
    class Limited(Service):
        limited_from = 10

        def status(self, request):
            return 429 if len(self.sent) > self.limited_from else super().status(request)

    finding, _, bodies = found(Limited())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "limits the rate (429) after 11 of " in finding.reason
    assert bodies.sent == []
    leaking = Limited(only(lambda r, s: s == 404, "/srv/shop/ask.py"))
    assert found(leaking)[0].outcome is Outcome.FAIL


def test_a_service_that_falls_silent_is_asked_three_times():
    silent = Reply(ROUTE, None, failure=Failure(FailureKind.TIMEOUT, "no reply within 10 s"))
    finding, evidence, bodies = found(Service(lambda request, status: silent))
    assert evidence.asked == error_disclosure.MAX_SILENT
    assert (finding.outcome, bodies.sent) == (Outcome.NOT_ASSESSED, [])
    assert "no reply within 10 s" in finding.reason
    assert finding.follows_from == "endpoint_health.primary_route"


@pytest.mark.parametrize(("one_in", "outcome"), [(3, Outcome.NOT_ASSESSED), (20, Outcome.PASS)])
def test_errors_that_never_came_are_not_taken_for_clean_ones(one_in, outcome):
    came = iter(range(1, 1_000))

    def resetting(request, status):
        reset = Reply(ROUTE, None, failure=Failure(FailureKind.RESET, "the connection was reset"))
        return reset if next(came) % one_in == 0 else None

    finding = found(Service(resetting, announced=None))[0]
    assert finding.outcome is outcome
    if outcome is Outcome.NOT_ASSESSED:
        assert finding.follows_from == "endpoint_health.bad_input"
        assert "got no reply (the connection was reset)" in finding.reason


def test_a_service_too_slow_for_all_of_it_is_not_passed_on_a_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(error_disclosure, "ENOUGH_S", -1.0)
    finding, evidence, _ = found(Service())
    assert (finding.outcome, evidence.asked) == (Outcome.NOT_ASSESSED, 1)
    assert "1 of " in finding.reason


def test_a_service_that_refuses_nothing_proves_nothing():
    finding, _, _ = found(Service(lambda r, s: Reply(r.url, 200, body=b"<html>"), announced=None))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "not even a path that does not exist" in finding.reason


def test_hostile_names_in_a_reply_are_kept_in_bounds():
    hostile = {f"\x1b[31m{number}" * 1000: "<script>" for number in range(500)}
    _, evidence, _ = found(Service(lambda r, s: a_reply(hostile, s, "text/" + "x" * 9_000)))
    assert len(repr(evidence)) < 200_000
