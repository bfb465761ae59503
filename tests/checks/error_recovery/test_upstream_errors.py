"""error_recovery.upstream_errors against a scripted chat service and fault proxy."""

from __future__ import annotations

from random import Random

import pytest

from checks.contract import InstrumentFailure, Outcome, Reply
from checks.error_recovery import _erring, upstream_errors
from tests.checks.error_recovery.chats import DROPS, HANGS, PROBLEM, Chat, same
from tests.checks.scripted import a_target, gather, judge

BOTH = a_target(objectives={"answer_within_s": 5})
ASK = a_target(objectives={"answer_within_s": 5}, stream=None)
TRACE = b'Traceback (most recent call last):\n  File "/srv/app/chat.py", line 3, in ask\nhttpx.ConnectError'


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(_erring, "LATE_S", 0.0)


def measured(chat: Chat, target=BOTH):
    return judge(upstream_errors, gather(upstream_errors, target, chat.instruments()), target)


@pytest.mark.parametrize("target", [BOTH, ASK])
def test_three_tries_after_random_pauses_and_a_clean_error_pass(target):
    chat = Chat()
    finding = measured(chat, target)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value == 3
    assert "5 of 5 callers got an answer" in finding.reason.replace("\u00a0", " ")
    assert "status 503 (3 times)" in finding.reason
    assert "curl" in finding.reproduce
    assert chat.faults.events[-2:] == ["broke upstream errors", "restored upstream errors"]


@pytest.mark.parametrize(
    ("tries", "outcome"),
    [(2, Outcome.PASS), (3, Outcome.PASS), (4, Outcome.WARN), (5, Outcome.WARN), (6, Outcome.FAIL)],
)
def test_on_the_limit_of_tries(tries, outcome):
    finding = measured(Chat(tries=tries))
    assert (finding.outcome, finding.value) == (outcome, tries)


def test_a_storm_on_the_stream_route_alone_is_seen():
    finding = measured(Chat(stream_tries=9))
    assert finding.outcome is Outcome.FAIL
    assert "9 times" in finding.reason


def test_a_service_that_never_asks_again_warns_and_says_what_users_got():
    chat = Chat(tries=1)
    finding = measured(chat)
    assert finding.outcome is Outcome.WARN
    assert "not tried again" in finding.reason
    assert "0 of 4 callers got an answer" in finding.reason.replace("\u00a0", " ")


def test_the_same_pause_each_time_warns():
    finding = measured(Chat(gaps_s=same(0.2)))
    assert finding.outcome is Outcome.WARN
    assert "after 201 ms and 201 ms, the same each time" in finding.reason.replace("\u00a0", " ")


def test_pauses_that_grow_and_are_the_same_for_all_warn_too():
    fixed = {1: same(0.1), 2: same(0.2)}
    assert measured(Chat(gaps_s=lambda tried: fixed[tried](tried))).outcome is Outcome.WARN


def test_a_little_jitter_is_jitter():
    """As some libraries have it: up to a quarter less than the nominal pause."""
    random = Random(7)
    for _ in range(20):
        chat = Chat(gaps_s=lambda tried: 0.5 * 2 ** (tried - 1) * (1 - 0.25 * random.random()))
        assert measured(chat).outcome is Outcome.PASS


def test_no_pause_at_all_warns():
    finding = measured(Chat(gaps_s=lambda tried: 0.0))
    assert finding.outcome is Outcome.WARN
    assert "without a pause" in finding.reason


@pytest.mark.parametrize("status", [500, 503])
def test_a_trace_fails_whatever_the_status(status):
    finding = measured(Chat(says=Reply("/api/chat", status, body=TRACE)))
    assert finding.outcome is Outcome.FAIL
    assert "stack trace" in finding.reason
    assert "srv" not in finding.reason


@pytest.mark.parametrize("status", [500, 400])
def test_a_clean_crash_or_blame_warns(status):
    finding = measured(Chat(says=Reply("/api/chat", status, body=PROBLEM)))
    assert finding.outcome is Outcome.WARN
    assert str(status) in finding.reason


@pytest.mark.parametrize("says", [HANGS, DROPS])
def test_no_reply_fails(says):
    assert measured(Chat(says=says)).outcome is Outcome.FAIL


def test_a_stand_in_warns_and_one_that_stays_fails():
    apology = lambda prompt: "Sorry, try again later."  # noqa: E731 - used twice
    assert measured(Chat(stands_in=apology), ASK).outcome is Outcome.WARN
    finding = measured(Chat(stands_in=apology, keeps_stand_in=True), ASK)
    assert finding.outcome is Outcome.FAIL
    assert "still the answer" in finding.reason


def test_another_provider_that_answers_is_no_stand_in():
    finding = measured(Chat(stands_in=lambda prompt: f"Elsewhere: {prompt}"), ASK)
    assert finding.outcome is Outcome.PASS, finding.reason


def test_calls_that_somebody_polls_with_are_not_taken_for_tries():
    assert measured(Chat(calls_of=("POST /v1/embed", "POST /v1/complete"))).value == 3
    chat = Chat()
    instruments = chat.instruments()
    ask = chat.answer

    def asked_and_polled(prompt, route):
        if chat.was_broken:
            for _ in range(8):
                chat.call("GET /health")
        return ask(prompt, route)

    instruments.questions.answer = asked_and_polled
    finding = judge(upstream_errors, gather(upstream_errors, BOTH, instruments), BOTH)
    assert finding.value <= 3, finding.reason


def test_a_question_that_calls_two_routes_may_try_each_three_times():
    finding = measured(Chat(calls_of=("POST /v1/embed", "POST /v1/complete")))
    assert finding.outcome is Outcome.PASS, finding.reason


def test_calls_that_are_made_twice_at_once_are_no_retries_without_a_pause():
    finding = measured(Chat(calls_of=("POST /v1/complete", "POST /v1/complete")))
    assert finding.outcome is Outcome.PASS, finding.reason
    assert "cannot be told apart" in finding.reason


def test_an_upstream_with_an_address_of_its_own_for_each_call_is_told_by_method():
    class Ids(Chat):
        def call(self, request):
            return super().call(f"PUT /answers/{len(self.proxied)}")

    assert measured(Ids()).value == 3
    assert measured(Ids(tries=7)).outcome is Outcome.FAIL


def test_a_service_that_does_not_come_back_fails(monkeypatch):
    monkeypatch.setattr("checks.error_recovery._callers.RECOVERY_S", 0.05)
    monkeypatch.setattr("checks.error_recovery._callers.RETRY_S", 0.01)
    finding = measured(Chat(gone_after="errors"))
    assert finding.outcome is Outcome.FAIL
    assert "not every route answers" in finding.reason


def test_where_nothing_answers_it_follows_from_the_primary_route():
    finding = measured(Chat(working=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_proxy_that_no_call_comes_through_measures_nothing():
    finding = measured(Chat(calls_of=()))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.upstream"


def test_only_rate_limits_say_nothing():
    finding = measured(Chat(says=Reply("/api/chat", 429, body=PROBLEM)))
    assert finding.outcome is Outcome.NOT_ASSESSED


def test_a_lever_without_errors_says_what_to_start_and_declare():
    with pytest.raises(InstrumentFailure, match='python -m app faults proxy.*kind = "faultproxy"') as caught:
        measured(Chat(ways=("refuse", "hang")))
    assert caught.value.missing == "levers.upstream.ways"


def test_without_a_count_of_calls_it_is_not_assessed():
    with pytest.raises(InstrumentFailure) as caught:
        measured(Chat(counts=False))
    assert caught.value.missing == "levers.upstream.kind"


def metered(**changes):
    return Chat(counts=False, meter=lambda chat: len(chat.proxied), **changes)


def test_a_meter_that_counts_failed_calls_shows_a_storm_and_no_pauses():
    assert measured(metered(tries=9)).outcome is Outcome.FAIL
    finding = measured(metered())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.upstream.kind"
    assert "3 calls at most" in finding.reason


def test_a_meter_that_does_not_count_failed_calls_is_said_so():
    answered = Chat(counts=False, meter=lambda chat: sum(not call.refused for call in chat.proxied), tries=1)
    finding = measured(answered)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "does not count calls that fail" in finding.reason


def test_a_fault_proxy_that_was_started_anew_is_said_so():
    chat = Chat()
    instruments = chat.instruments()
    ask = chat.answer

    def restarting(prompt, route):
        answer = ask(prompt, route)
        if chat.was_broken:
            del chat.proxied[:]
        return answer

    instruments.questions.answer = restarting
    with pytest.raises(InstrumentFailure, match="started anew"):
        gather(upstream_errors, BOTH, instruments)
