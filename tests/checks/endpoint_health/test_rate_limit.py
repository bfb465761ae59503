"""endpoint_health.rate_limit against a scripted limiter, with a clock of the test's own."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from checks.contract import Failure, FailureKind, InstrumentFailure, Outcome, Reply
from checks.endpoint_health import _burst, rate_limit
from tests.checks.scripted import ScriptedHttp, ScriptedInstruments, a_target, gather, judge

AUTH = {"valid": "Bearer ${KEY}", "other": "Bearer ${OTHER}"}
LIMIT = {"per_s": 10, "burst": 20, "path": "/list"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A limit held for a moment only, and no waiting after it."""
    monkeypatch.setattr(_burst, "HOLD_S", 0.05)
    monkeypatch.setattr(rate_limit, "RETRY_S", 0.0)
    monkeypatch.setattr(rate_limit, "LONGEST_WAIT_S", 0.01)


class Limiter(ScriptedHttp):
    """Serves each caller ``allows`` requests; ``caller`` says who a request is counted as."""

    def __init__(
        self,
        allows=20,
        caller=lambda request: request.headers.get("Authorization", ""),
        *,
        headers=None,
        refusal=429,
        forgives=True,
    ) -> None:
        super().__init__({})
        self.allows, self.caller, self.refusal = allows, caller, refusal
        self.headers = {"retry-after": "1"} if headers is None else headers
        self.forgives = forgives
        self.counts: dict[str, int] = {}
        self.quiet = 0.0

    async def send(self, request, *, timeout_s=10.0, fresh_connection=False) -> Reply:
        loop = asyncio.get_running_loop()
        if self.forgives and self.quiet and loop.time() - self.quiet > 0.009:
            self.counts.clear()  # the wait after the burst
        await asyncio.sleep(0.0005)
        self.quiet = loop.time()
        self.sent.append(request)
        who = self.caller(request)
        self.counts[who] = self.counts.get(who, 0) + 1
        if self.counts[who] > self.allows:
            return Reply(request.url, self.refusal, self.headers)
        return Reply(request.url, 200)


def measured(http, limit=LIMIT, auth=AUTH, **target):
    target = a_target(auth=auth, objectives={"rate_limit": limit}, **target)
    return judge(rate_limit, gather(rate_limit, target, ScriptedInstruments(http=http)), target)


def test_a_limit_by_user_that_says_when_to_come_back_passes():
    finding = measured(Limiter())
    assert finding.outcome is Outcome.PASS, finding.reason
    assert "another user was served meanwhile" in finding.reason
    assert finding.value < 2
    assert '"$OTHER"' in finding.reproduce


def test_the_credential_that_others_use_is_not_the_busy_one():
    http = Limiter()
    measured(http)
    ours = [request for request in http.sent if request.headers["Authorization"] == AUTH["valid"]]
    assert 1 <= len(ours) <= _burst.OTHERS


def test_no_limit_fails():
    finding = measured(Limiter(allows=100_000))
    assert finding.outcome is Outcome.FAIL
    assert "got no 429" in finding.reason
    assert "20 at once and 10/s are declared" in finding.reason


def test_another_status_than_429_is_no_limit_and_is_named():
    finding = measured(Limiter(3, refusal=503), {"per_s": 0.1, "burst": 3, "path": "/list"})
    assert finding.outcome is Outcome.FAIL
    assert "got 503" in finding.reason


@pytest.mark.parametrize(("allows", "outcome"), [(40, Outcome.PASS), (48, Outcome.FAIL)])
def test_twice_what_is_declared_is_the_limit(allows, outcome):
    limit = {"per_s": 0.001, "burst": 20, "path": "/list"}
    assert measured(Limiter(allows), limit).outcome is outcome


def test_a_limit_that_each_process_counts_for_itself_fails():
    turn = itertools.count()
    finding = measured(Limiter(caller=lambda request: str(next(turn) % 4)))
    assert finding.outcome is Outcome.FAIL
    assert "before and between" in finding.reason or "got no 429" in finding.reason


def test_a_limit_by_address_warns():
    finding = measured(Limiter(caller=lambda request: "127.0.0.1"))
    assert finding.outcome is Outcome.WARN
    assert "another user was refused too" in finding.reason
    assert finding.share == 0.5


def test_a_limit_that_is_declared_by_address_may_be_one():
    finding = measured(Limiter(caller=lambda request: "127.0.0.1"), {**LIMIT, "per": "address"})
    assert finding.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("headers", "words"), [({}, "no Retry-After"), ({"retry-after": "soon"}, "a Retry-After of 'soon'")]
)
def test_a_429_that_does_not_say_when_warns(headers, words):
    finding = measured(Limiter(headers=headers))
    assert finding.outcome is Outcome.WARN
    assert words in finding.reason


def test_who_is_refused_after_the_time_that_was_told_warns():
    finding = measured(Limiter(forgives=False))
    assert finding.outcome is Outcome.WARN
    assert "still refused" in finding.reason


def test_a_header_that_lifts_the_limit_fails():
    def by_forwarded(request):
        return f"{request.headers['Authorization']} {request.headers.get('X-Forwarded-For')}"

    finding = measured(Limiter(caller=by_forwarded))
    assert finding.outcome is Outcome.FAIL
    assert "X-Forwarded-For lifts the limit" in finding.reason


def test_a_limit_by_address_that_believes_a_proxy_warns_all_the_same():
    finding = measured(Limiter(caller=lambda request: request.headers.get("X-Forwarded-For", "127.0.0.1")))
    assert finding.outcome is Outcome.WARN
    assert "another user was refused too" in finding.reason


def test_without_a_path_the_same_question_is_asked_as_a_user_of_its_own():
    http = Limiter(caller=lambda request: request.headers.get("X-User"))
    ask = {"path": "/api/chat", "body": {"message": "{prompt}"}, "headers": {"X-User": "{user}"}}
    finding = measured(http, {"per_s": 10, "burst": 20}, None, ask=ask)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert len({request.body for request in http.sent}) == 1
    assert len({request.headers["X-User"] for request in http.sent}) == 2


def test_one_user_alone_shows_no_limit_by_user():
    with pytest.raises(InstrumentFailure) as caught:
        measured(Limiter(), {"per_s": 10, "burst": 20}, None)
    assert caught.value.missing == "auth.other"


def test_a_target_without_a_request_to_send_is_told_what_to_add():
    with pytest.raises(InstrumentFailure) as caught:
        measured(Limiter(), {"per_s": 10, "burst": 20}, ask=None)
    assert caught.value.missing == "objectives.rate_limit.path"


@pytest.mark.parametrize(
    "reply",
    [
        Reply("/list", 404),
        Reply("/list", failure=Failure(FailureKind.TIMEOUT, "slow")),
        Reply("/list", 200, failure=Failure(FailureKind.RESET, "amid its body")),
    ],
)
def test_a_route_that_does_not_answer_shows_no_limit(reply):
    http = ScriptedHttp({("GET", "/list"): reply})
    finding = measured(http)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "objectives.rate_limit.path"


def test_who_is_limited_beforehand_is_not_judged(monkeypatch):
    monkeypatch.setattr("checks.endpoint_health._pacing.WAITS_S", (0.0,))
    finding = measured(Limiter(allows=0))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "before any burst" in finding.reason


def test_a_route_that_breaks_during_the_burst_is_not_judged_and_left_alone():
    good, broken = Reply("/list", 200), Reply("/list", failure=Failure(FailureKind.RESET, "reset"))
    http = ScriptedHttp({("GET", "/list"): [good] * 5 + [broken]})
    finding = measured(http)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "no reply" in finding.reason
    assert len(http.sent) < 40


def test_a_limit_too_high_for_this_machine_is_not_judged(monkeypatch):
    monkeypatch.setattr(_burst, "MAX_SENT", 50)
    finding = measured(Limiter(allows=100_000), {"per_s": 10_000, "burst": 10_000, "path": "/list"})
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "too few to see the limit" in finding.reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("120", 120), ("-1", None), ("1.5", None), ("", None), ("²", None), ("soon", None)],
)
def test_a_retry_after_in_seconds_is_a_whole_number(text, seconds):
    assert rate_limit.seconds_of(text) == seconds


def test_a_retry_after_may_be_a_date():
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < rate_limit.seconds_of(in_a_minute) <= 60
    assert rate_limit.seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
