"""endpoint_health.authentication against scripted locks."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import urlsplit

import pytest

from app.engine import MAX_EVIDENCE_BYTES
from checks.contract import Failure, FailureKind, Forgery, InstrumentFailure, Outcome, Reply
from checks.endpoint_health import authentication
from tests.checks.scripted import (
    ScriptedCredentials,
    ScriptedHttp,
    ScriptedInstruments,
    a_target,
    gather,
    judge,
)

BASE = "http://127.0.0.1:1"
GOOD, OLD = "Bearer ${KEY}", "Bearer ${OLD}"
FORGED = Forgery("one that was made up", "Bearer ${KEY_MADE}", 'KEY_MADE="$KEY"x')
READS = {"path": "/orders"}
CHANGES = {"method": "POST", "path": "/orders", "body": {"sku": "MUG"}}
AUTH = {"valid": GOOD, "expired": OLD, "protected": [READS, CHANGES]}


class Locked:
    """A service whose ``/orders`` asks for the key; ``slips(request)`` may answer first."""

    def __init__(self, slips=lambda request: None, *, refusal: int = 401, challenge: bool = True) -> None:
        self.slips = slips
        self.refusal = refusal
        self.challenge = challenge
        self.sent = []

    def __call__(self, request) -> Reply:
        self.sent.append(request)
        slip = self.slips(request)
        if slip is not None:
            return slip if isinstance(slip, Reply) else self.reply(request, slip)
        if urlsplit(request.url).path != "/orders":
            return self.reply(request, 404)
        if request.headers.get("Authorization") != GOOD:
            return self.reply(request, self.refusal)
        return self.reply(request, 201 if request.method == "POST" else 200)

    def reply(self, request, status: int) -> Reply:
        headers = {"www-authenticate": "Bearer"} if status == 401 and self.challenge else {}
        return Reply(request.url, status, headers)


class AnyRequest(dict):
    """Stands for the same reply to every request."""

    def __init__(self, reply) -> None:
        super().__init__()
        self._reply = reply

    def get(self, key, default=None):
        return self._reply


def measured(service, auth=AUTH, **target):
    http = ScriptedHttp({})
    http.replies = AnyRequest(service)
    target = a_target(auth=auth, **target)
    instruments = ScriptedInstruments(http=http, credentials=ScriptedCredentials(FORGED))
    return judge(authentication, gather(authentication, target, instruments), target)


def credential(value):
    return lambda request: request.headers.get("Authorization") == value


def having(holds, status=200, method=None):
    """A slip: this status where ``holds(request)``."""
    return lambda request: status if holds(request) and method in (None, request.method) else None


def test_a_lock_that_refuses_all_but_the_right_credential_passes():
    service = Locked()
    finding = measured(service)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0
    assert "the valid credential was accepted" in finding.reason
    assert finding.reproduce.startswith("curl -sS -i -X GET http://127.0.0.1:1/orders")


def test_what_changes_something_is_never_sent_with_a_valid_credential():
    service = Locked()
    measured(service)
    posts = [request for request in service.sent if request.method == "POST"]
    assert len(posts) > 8
    assert all("${KEY}" not in request.headers.get("Authorization", "") for request in posts)


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        (
            having(lambda r: "Authorization" not in r.headers and r.url == "/orders"),
            "GET /orders with no credential",
        ),
        (having(credential(OLD)), "with an expired credential got 200"),
        (having(credential("Bearer ${KEY_MADE}")), "with one that was made up got 200"),
        (having(credential("")), "with an empty credential"),
        (having(credential("Bearer undefined")), "with the word undefined"),
        (having(credential("Bearer")), "with the word Bearer alone"),
        (having(lambda r: r.url == f"{BASE}/orders/"), "with a slash at the end got 200"),
        (having(lambda r: r.url == f"{BASE}//orders"), "with two slashes at the start"),
        (having(lambda r: r.url == f"{BASE}/ORDERS"), "with capital letters"),
        (having(lambda r: r.url == f"{BASE}/%6frders"), "with an encoded letter"),
        (having(lambda r: r.url == f"{BASE}/orders;a=1"), "with a path parameter"),
        (having(lambda r: "X-Forwarded-For" in r.headers), "with an X-Forwarded-For of 127.0.0.1"),
        (having(lambda r: r.method == "HEAD"), "with the method HEAD"),
        (having(credential(OLD), 201, "POST"), "POST /orders with an expired credential got 201"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_one_way_in_fails_and_is_named(slip, words):
    finding = measured(Locked(slip))
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert "curl" in finding.reproduce
    assert finding.fix


def test_a_forgery_is_made_in_the_shell_before_it_is_sent():
    finding = measured(Locked(having(credential("Bearer ${KEY_MADE}"))))
    assert finding.reproduce.startswith('KEY_MADE="$KEY"x\ncurl ')


def test_after_a_change_was_let_in_no_more_are_sent():
    service = Locked(having(lambda request: request.method == "POST", 201))
    assert measured(service).outcome is Outcome.FAIL
    assert sum(request.method == "POST" for request in service.sent) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refused_and_hidden_are_both_refusals_and_hidden_is_said(status):
    finding = measured(Locked(refusal=status), AUTH | {"protected": [READS]})
    assert finding.outcome is Outcome.PASS
    assert ("hides behind a 404" in finding.reason) is (status == 404)


def test_a_404_proves_nothing_where_nobody_gets_more():
    finding = measured(Locked(refusal=404), AUTH | {"protected": [CHANGES]})
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "auth.protected"


def test_a_401_without_a_challenge_is_remarked():
    finding = measured(Locked(challenge=False))
    assert finding.outcome is Outcome.PASS
    assert "lacks WWW-Authenticate" in finding.reason


@pytest.mark.parametrize("where", ["/login", "https://sso.example/"])
def test_who_is_sent_elsewhere_to_sign_in_is_refused(where):
    def slip(request):
        if request.headers.get("Authorization") == GOOD:
            return None
        if where.startswith("https"):
            return Reply(request.url, 302, failure=Failure(FailureKind.REDIRECT, "off the target"))
        return Reply(f"{BASE}{where}", 200)

    assert measured(Locked(slip), AUTH | {"protected": [READS]}).outcome is Outcome.PASS


def test_a_page_that_answers_at_any_path_is_no_way_in():
    def slip(request):
        return 200 if urlsplit(request.url).path != "/orders" else None

    assert measured(Locked(slip)).outcome is Outcome.PASS


def test_an_undeclared_method_is_remarked_and_does_not_fail():
    def slip(request):
        return 200 if request.method == "GET" and urlsplit(request.url).path == "/orders" else None

    finding = measured(Locked(slip), AUTH | {"protected": [CHANGES]})
    assert finding.outcome is Outcome.PASS
    assert "declare it as protected" in finding.reason
    assert "the valid credential was not tried" in finding.reason


def test_the_right_credential_under_another_scheme_is_remarked():
    finding = measured(Locked(having(credential("Basic ${KEY}"))))
    assert finding.outcome is Outcome.PASS
    assert "under another scheme" in finding.reason


def test_who_refuses_everybody_proves_nothing():
    finding = measured(Locked(lambda request: 401))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "refuses everybody" in finding.reason
    assert finding.missing == "auth.valid"


def test_a_route_that_is_not_there_proves_nothing():
    finding = measured(Locked(lambda request: 404))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "auth.protected"


def test_a_route_that_fails_for_the_right_credential_proves_nothing():
    assert measured(Locked(having(credential(GOOD), 503))).outcome is Outcome.NOT_ASSESSED


def test_a_lock_that_breaks_on_a_credential_fails():
    finding = measured(Locked(having(credential(""), 500)))
    assert finding.outcome is Outcome.FAIL
    assert "The lock itself breaks" in finding.reason


def test_a_wrong_credential_that_reaches_the_validation_warns():
    service = Locked(having(credential(OLD), 422, "POST"))
    finding = measured(service, AUTH | {"protected": [CHANGES]})
    assert finding.outcome is Outcome.WARN
    assert "got 422 and not 401" in finding.reason


def test_without_an_expired_credential_half_is_earned_and_the_key_named():
    finding = measured(Locked(), {"valid": GOOD, "protected": [READS]})
    assert finding.outcome is Outcome.WARN
    assert finding.share == 0.5
    assert "[auth] expired" in finding.fix


def test_the_business_question_may_be_asked_with_the_right_credential():
    service = Locked(having(lambda request: request.url == "/api/chat" and credential(GOOD)(request)))
    service.slips = lambda request: (
        (200 if credential(GOOD)(request) else 401) if urlsplit(request.url).path == "/api/chat" else None
    )
    asks = {"method": "POST", "path": "/api/chat", "body": {"message": "{prompt}"}}
    finding = measured(service, AUTH | {"protected": [asks]})
    assert finding.outcome is Outcome.PASS
    assert "the valid credential was accepted" in finding.reason


def test_a_service_that_limits_the_rate_is_not_judged(monkeypatch):
    monkeypatch.setattr("checks.endpoint_health._pacing.WAITS_S", (0.0,))
    finding = measured(Locked(having(credential(OLD), 429)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "429" in finding.reason


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.RESET])
def test_a_service_that_does_not_reply_is_not_judged(kind):
    finding = measured(lambda request: Reply(request.url, failure=Failure(kind, "gone")))
    assert finding.outcome is Outcome.NOT_ASSESSED


def test_a_service_too_slow_for_all_attempts_is_not_judged(monkeypatch):
    monkeypatch.setattr(authentication, "ENOUGH_S", 0.0)
    finding = measured(Locked())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "before all attempts were made" in finding.reason


def test_the_most_that_evidence_can_be_is_within_its_bound():
    routes = [{"path": f"/orders/{number}", "headers": {"X-Long": "x" * 5_000}} for number in range(20)]
    http = ScriptedHttp({})
    http.replies = AnyRequest(lambda request: Reply(f"{BASE}/{'x' * 50_000}", 200))
    instruments = ScriptedInstruments(http=http, credentials=ScriptedCredentials(FORGED, FORGED, FORGED))
    evidence = gather(authentication, a_target(auth=AUTH | {"protected": routes}), instruments)
    assert len(json.dumps(dataclasses.asdict(evidence))) < MAX_EVIDENCE_BYTES


def test_a_target_that_is_public_has_no_lock_to_try():
    finding = measured(Locked(), None, public=True)
    assert finding.outcome is Outcome.NOT_APPLICABLE


def test_a_target_that_says_nothing_is_told_what_to_add():
    with pytest.raises(InstrumentFailure) as caught:
        measured(Locked(), None)
    assert caught.value.missing == "auth.protected"


def test_a_cookie_keeps_its_name():
    auth = {"header": "Cookie", "valid": "session=${KEY}", "expired": "session=${OLD}", "protected": [READS]}
    service = Locked(lambda request: 200 if request.headers.get("Cookie") == "session=${KEY}" else 403)
    assert measured(service, auth).outcome is Outcome.PASS
    assert "session=undefined" in {request.headers.get("Cookie") for request in service.sent}


def test_without_a_valid_credential_strangers_are_tried_all_the_same():
    auth = {"protected": [READS], "expired": OLD}
    assert measured(Locked(), auth).outcome is Outcome.PASS
    assert measured(Locked(having(credential("Bearer undefined"))), auth).outcome is Outcome.FAIL


def test_an_api_key_has_no_scheme():
    auth = {"header": "X-Api-Key", "valid": "${KEY}", "expired": "${OLD}", "protected": [READS]}
    service = Locked(lambda request: 200 if request.headers.get("X-Api-Key") == "${KEY}" else 401)
    finding = measured(service, auth)
    assert finding.outcome is Outcome.PASS
    assert {request.headers["X-Api-Key"] for request in service.sent if "X-Api-Key" in request.headers} >= {
        "",
        "undefined",
    }
