"""endpoint_health.api_contract against a scripted service and a scripted document."""

from __future__ import annotations

import pytest

from checks.contract import (
    BodyField,
    Deviation,
    Example,
    Failure,
    FailureKind,
    InstrumentFailure,
    Operation,
    Outcome,
    Reply,
    Request,
    Wish,
)
from checks.endpoint_health import _contract_calls, api_contract
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedOpenApi,
    a_target,
    gather,
    measure,
)

WRONG = (Deviation("Response violates schema", "null is not of type 'string' Value: null"),)


def posts(path: str, prompt: str | None = "message", kind: str | None = "application/json") -> Operation:
    body = {prompt or "name": "What?"} if kind else None
    fields = {prompt: BodyField("string", True, False)} if prompt else {}
    return Operation("POST", path, "", body, kind, False, prompt, fields, template=path)


def operation(method: str, path: str) -> Operation:
    return Operation(method, path, "", None, None, False, template=path)


CHAT = posts("/api/chat")
READ = operation("GET", "/items/1")


def make(wish: Wish) -> list[Example]:
    """As many requests as are wished, no two the same."""
    found = []
    for valid, count in ((True, wish.valid), (False, wish.invalid)):
        for number in range(count):
            body = b"" if wish.operation.method == "GET" else f'"{valid} {number}"'.encode()
            url = f"{wish.operation.path}?n={valid}{number}"
            found.append(
                Example(wish.operation, Request(wish.operation.method, url, {"X-Made": "1"}, body), valid)
            )
    return found


class Service(ScriptedHttp):
    """Answers 200 to everything, or what ``answer`` says of a request."""

    def __init__(self, answer=lambda request: 200) -> None:
        super().__init__({})
        self.answer = answer

    async def send(self, request: Request, **how) -> Reply:
        self.sent.append(request)
        status = self.answer(request)
        if status is None:
            return Reply(request.url, failure=Failure(FailureKind.TIMEOUT, "no reply within 10 s"))
        return Reply(request.url, status, {}, b"{}")


def measured(*operations: Operation, service=None, compare=lambda operation, reply: (), target=None, **given):
    openapi = ScriptedOpenApi(operations or (CHAT, READ), make=make, compare=compare, **given)
    instruments = ScriptedInstruments(http=service or Service(), openapi=openapi)
    return measure(api_contract, target or a_target(stream=None), instruments)


def first(count: int, of: tuple[Deviation, ...] | None = WRONG):
    """Compares so that the first ``count`` replies deviate."""
    seen = iter(range(1_000))
    return lambda operation, reply: of if next(seen) // 2 < count else ()  # judged once, gathered once


def test_replies_that_are_all_as_documented_pass_and_can_be_repeated():
    finding = measured()
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert "of 2\xa0operations are as documented" in finding.reason
    assert finding.reproduce.startswith("curl -sS -i -X POST http://127.0.0.1:1/api/chat")


def test_one_deviation_is_named_with_its_request_and_both_sides():
    finding = measured(compare=lambda operation, reply: WRONG if operation is READ else ())
    assert finding.outcome is Outcome.FAIL
    assert "GET /items/1 answers 200" in finding.reason
    assert "response violates schema (null is not of type 'string')" in finding.reason
    assert "GET /items/1" in finding.fix
    assert "/items/1" in finding.reproduce


@pytest.mark.parametrize(
    ("deviating", "compared", "outcome"),
    [(0, 50, Outcome.PASS), (1, 50, Outcome.WARN), (1, 49, Outcome.FAIL), (2, 100, Outcome.WARN)],
)
def test_the_limits_are_all_and_98_percent(deviating, compared, outcome):
    evidence = api_contract.Evidence(
        seed=1, operations=2, called=("GET /a",), compared=compared, deviating_count=deviating
    )
    finding = api_contract.judge(evidence, api_contract.Thresholds())
    assert finding.outcome is outcome
    assert finding.share == (1 if outcome is Outcome.PASS else 0)


def test_no_document_fails_and_tells_where_to_declare_one():
    absent = InstrumentFailure("No OpenAPI document was found at /a.", missing="openapi.document")
    instruments = ScriptedInstruments(http=Service(), openapi=ScriptedOpenApi(absent))
    finding = measure(api_contract, a_target(), instruments)
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "No OpenAPI document was found at /a."
    assert "`[openapi] document`" in finding.fix


@pytest.mark.parametrize("missing", ["openapi.headers", None])
def test_a_document_behind_a_credential_or_a_service_that_is_down_proves_nothing(missing):
    closed = InstrumentFailure("/openapi.json asks for a credential.", missing=missing)
    instruments = ScriptedInstruments(http=Service(), openapi=ScriptedOpenApi(closed))
    with pytest.raises(InstrumentFailure) as caught:  # which the engine reports as not assessed
        gather(api_contract, a_target(), instruments)
    assert caught.value.missing == missing


def test_what_changes_things_is_not_called_and_counted():
    changing = [operation(method, "/items/1") for method in ("DELETE", "PUT", "PATCH")]
    service = Service()
    finding = measured(
        CHAT,
        READ,
        *changing,
        operation("GET", "/session/logout"),
        posts("/restart", kind=None),
        service=service,
    )
    assert "5\xa0operations that may change things were left out" in finding.reason
    assert {request.method for request in service.sent} == {"GET", "POST"}
    assert not [request for request in service.sent if "logout" in request.url or "restart" in request.url]


def test_a_post_that_does_not_ask_gets_a_body_that_cannot_be_carried_out():
    service = Service(lambda request: 422)
    measured(posts("/api/orders", "message"), posts("/reports", None), service=service)
    assert {request.url: request.body for request in service.sent} == {
        "/api/orders": b'{"',
        "/reports": b'{"',
    }


@pytest.mark.parametrize("others", [0, 1, 30])
def test_the_paid_model_is_asked_no_more_than_it_may(others):
    asking = [CHAT, posts("/api/stream"), *(posts(f"/v{number}/chat") for number in range(others))]
    service = Service()
    measured(*asking, service=service, target=a_target())
    valid = [request for request in service.sent if b"False" not in request.body]
    assert 10 <= len(valid) <= _contract_calls.PAID
    assert len(service.sent) <= len(valid) + _contract_calls.INVALID * _contract_calls.PAID


def test_the_declared_question_is_asked_short_long_and_on_two_lines_with_its_headers():
    target = a_target(
        stream=None,
        ask={"path": "/api/chat", "body": {"message": "{prompt}"}, "headers": {"X-Key": "${KEY}"}},
    )
    service = Service()
    finding = measured(CHAT, service=service, target=target)
    asked = [request for request in service.sent if b"message" in request.body]
    assert sorted(len(request.body) > 1_000 for request in asked) == [False, False, True]
    assert any(b"\\n" in request.body for request in asked)
    assert all(request.headers["X-Key"] == "${KEY}" for request in service.sent)
    assert "${KEY}" not in finding.reproduce
    assert '"$KEY"' in finding.reproduce


def test_bad_data_comes_after_good_data():
    service = Service()
    measured(service=service)
    valid = [b"False" not in request.body and "False" not in request.url for request in service.sent]
    assert valid == sorted(valid, reverse=True)


@pytest.mark.parametrize("status", [401, 403, 429, 302, None])
def test_a_reply_that_says_nothing_of_the_contract_is_set_aside(status, monkeypatch):
    monkeypatch.setattr("checks.endpoint_health._pacing.WAITS_S", ())
    finding = measured(
        service=Service(lambda request: status if "items" in request.url else 200),
        compare=lambda operation, reply: WRONG if operation is READ else (),
    )
    assert finding.outcome is Outcome.PASS
    assert "Not compared: 5" in finding.reason


def test_nothing_but_such_replies_is_not_assessed():
    finding = measured(service=Service(lambda request: 401))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "asks for a credential" in finding.reason
    nothing = measured(operation("DELETE", "/a"))
    assert nothing.outcome is Outcome.NOT_ASSESSED
    assert "without changing something" in nothing.reason


def test_crashes_of_the_business_route_are_judged_elsewhere_and_those_of_others_here():
    def crashes(path):
        return Service(lambda request: 500 if path in request.url else 200)

    def undeclared(operation, reply):
        return WRONG if reply.status == 500 else ()

    finding = measured(service=crashes("/api/chat"), compare=undeclared)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"
    assert measured(service=crashes("/items"), compare=undeclared).outcome is Outcome.FAIL


def test_a_business_route_that_crashes_now_and_then_is_no_matter_of_the_contract():
    calls = iter(range(1_000))
    finding = measured(
        service=Service(lambda request: 500 if next(calls) % 4 == 3 else 200), target=a_target()
    )
    assert finding.outcome is Outcome.PASS
    assert "server error of the business route" in finding.reason


def test_a_business_route_that_is_not_in_the_document_is_a_warning():
    finding = measured(READ)
    assert finding.outcome is Outcome.WARN
    assert finding.reason.startswith("POST /api/chat, the business route, is not in")


def test_a_document_that_is_not_sound_is_a_warning():
    finding = measured(problem="'nowhere' is not one of ['query', 'header']")
    assert finding.outcome is Outcome.WARN
    assert "not sound: 'nowhere'" in finding.reason


def test_a_document_without_operations_fails():
    evidence = api_contract.Evidence(seed=1)
    finding = api_contract.judge(evidence, api_contract.Thresholds())
    assert finding.outcome is Outcome.FAIL
    assert "declares no operation" in finding.reason


def test_what_is_wrong_with_a_document_is_told_shortly():
    finding = measured(problem="x" * 300 + " is not of type 'object'")
    assert len(finding.reason) < 250
    assert finding.reason.endswith("is not of type 'object'.")


def test_replies_that_cannot_be_compared_are_said_so_and_do_not_count():
    finding = measured(compare=lambda operation, reply: None if operation is READ else ())
    assert finding.outcome is Outcome.PASS
    assert "could not be compared" in finding.reason


def test_a_request_that_cannot_be_formed_is_left_out():
    class Refuses(Service):
        async def send(self, request, **how):
            if "items" in request.url:
                raise InstrumentFailure("The request cannot be formed: bad header.")
            return await super().send(request, **how)

    assert measured(service=Refuses()).outcome is Outcome.PASS


def test_bodies_are_kept_within_bounds():
    class Large(Service):
        async def send(self, request, **how):
            return Reply(request.url, 200, {}, b"x" * (1 << 20))

    sizes = []

    def compare(operation, reply):
        sizes.append(len(reply.body))
        return ()

    many = [operation("GET", f"/items/{number}") for number in range(60)]
    measured(*many, service=Large(), compare=compare)
    assert sum(sizes) <= api_contract.MAX_BODY_BYTES


def test_many_deviations_keep_the_evidence_small():
    many = [operation("GET", f"/items/{number}/" + "x" * 180) for number in range(200)]
    openapi = ScriptedOpenApi(many, make=make, compare=lambda operation, reply: WRONG)
    instruments = ScriptedInstruments(http=Service(), openapi=openapi)
    found = gather(api_contract, a_target(stream=None), instruments)
    assert len(found.deviating) == api_contract.MAX_KEPT
    assert len(found.called) == _contract_calls.MAX_CALLED
    assert found.deviating_count > api_contract.MAX_KEPT


def test_paths_of_a_hostile_document_are_not_called():
    odd = ["//evil.example/x", "/../admin", "/a b", "/" + "x" * 300]
    service = Service()
    measured(CHAT, *(operation("GET", path) for path in odd), service=service)
    assert {request.url.partition("?")[0] for request in service.sent} == {"/api/chat"}
