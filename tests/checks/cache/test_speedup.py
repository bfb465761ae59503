"""cache.speedup against a scripted chat service with set latencies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import speedup
from checks.contract import Outcome
from tests.checks.scripted import TINY, ChatModel, Undeclared, a_bad_answer, a_target, judge, measure


def evidence(pairs, **changes) -> speedup.Evidence:
    fields = {
        "unanswered": 0,
        "problem": "",
        "cold_marked": 0,
        "cold_calls": None,
        "warm_calls": None,
        "reproduce": "",
    }
    return speedup.Evidence(tuple(pairs), **fields | changes)


def test_a_fast_cache_passes_with_ratio_and_interval():
    finding = measure(speedup, a_target(), ChatModel(cold_ms=300, warm_ms=4).instruments())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 75
    assert finding.interval == (75, 75)
    assert finding.unit == "x"
    assert "curl" in finding.reproduce


def test_each_question_is_new_and_asked_twice():
    instruments = ChatModel().instruments()
    measure(speedup, a_target(), instruments)
    asked = instruments.questions.asked
    assert len(asked) == 2 * len(set(asked)) == 40


@pytest.mark.parametrize(
    ("warm_ms", "outcome", "share"),
    [
        (60.0, Outcome.PASS, 1),
        (75.0, Outcome.WARN, 2 / 3),
        (150.0, Outcome.WARN, 0),
        (151.0, Outcome.FAIL, 0),
        (300.0, Outcome.FAIL, 0),
    ],
)
def test_the_limits_themselves_are_within(warm_ms, outcome, share):
    finding = judge(speedup, evidence([(300.0, warm_ms)] * 20))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)


def test_the_lower_end_of_the_interval_is_judged_and_the_median_is_shown():
    pairs = [(300.0 if n % 2 else 2000.0, 50.0) for n in range(21)]
    finding = judge(speedup, evidence(pairs))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 40
    assert finding.interval[0] == 6
    assert judge(speedup, evidence([(cold / 2, warm) for cold, warm in pairs])).outcome is Outcome.WARN


def test_an_uncached_service_fails_and_follows_from_the_hit_rate():
    finding = measure(speedup, a_target(), ChatModel(caches=False).instruments())
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 1
    assert finding.follows_from == "cache.hit_rate"


def test_fast_repeats_that_were_paid_again_are_not_the_caches_merit():
    finding = judge(speedup, evidence([(300.0, 10.0)] * 20, cold_calls=20.0, warm_calls=11.0))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 30
    assert "11 upstream calls" in finding.reason
    half = judge(speedup, evidence([(300.0, 10.0)] * 20, cold_calls=20.0, warm_calls=10.0))
    assert half.outcome is Outcome.PASS


def test_without_a_meter_the_latencies_decide():
    instruments = ChatModel(marks=None).instruments(upstream=Undeclared("upstream"))
    assert measure(speedup, a_target(upstream=None), instruments).outcome is Outcome.PASS


def test_first_asks_that_are_marked_as_cached_are_named():
    finding = measure(speedup, a_target(), ChatModel(marks="hit").instruments())
    assert "20\u00a0never-seen questions came back marked as cached" in finding.reason


def test_pairs_with_a_failed_ask_are_left_out_and_named():
    chat = ChatModel(broken=lambda prompt: a_bad_answer(500) if prompt.endswith("3?") else None)
    finding = measure(speedup, a_target(), chat.instruments())
    assert finding.outcome is Outcome.PASS
    assert "were left out: status 500" in finding.reason


def test_too_few_answers_are_not_assessed():
    for instruments in (
        ChatModel().instruments(working=None),
        ChatModel(broken=lambda prompt: a_bad_answer(429)).instruments(),
    ):
        finding = measure(speedup, a_target(), instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"


def test_a_wide_interval_earns_more_questions_up_to_twice_as_many():
    chat = ChatModel()

    def erratic(prompt, route="ask"):
        chat.cold_ms = 100.0 if len(chat.seen) % 2 else 900.0
        return ChatModel.answer(chat, prompt, route)

    instruments = chat.instruments()
    instruments.questions.answer = erratic
    measure(speedup, a_target(), instruments)
    assert len(set(instruments.questions.asked)) == 40


def test_a_slow_service_is_judged_on_fewer_questions():
    hurried = replace(TINY, samples=200, deadline_factor=0)
    instruments = ChatModel().instruments(profile=hurried)
    assert measure(speedup, a_target(), instruments).outcome is Outcome.PASS
    assert speedup.MIN_PAIRS <= len(set(instruments.questions.asked)) < speedup.MIN_PAIRS + speedup.BATCH


def test_a_team_may_state_its_own_limit():
    target = a_target(objectives={"cache_speedup": 1.5})
    assert judge(speedup, evidence([(300.0, 180.0)] * 20), target).outcome is Outcome.PASS


MS = st.floats(0, 1e5)


@given(st.lists(st.tuples(MS, MS), max_size=25), st.none() | MS, st.none() | MS, st.integers(0, 9))
def test_any_evidence_gives_an_honest_finding(pairs, cold_calls, warm_calls, unanswered):
    finding = judge(
        speedup,
        evidence(pairs, cold_calls=cold_calls, warm_calls=warm_calls, unanswered=unanswered, problem="odd"),
    )
    assert finding.outcome.measured is (len(pairs) >= 10)
    if finding.outcome is Outcome.PASS:
        assert finding.interval[0] >= 5
