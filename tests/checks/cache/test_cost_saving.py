"""cache.cost_saving against a scripted chat service and its meter."""

from __future__ import annotations

import pytest
from hypothesis import given

from checks.cache import cost_saving
from checks.cache._mix import ASKS, DISTINCT, Mix
from checks.contract import InstrumentFailure, Outcome
from tests.checks.cache.strategies import mixes
from tests.checks.scripted import ChatModel, ScriptedUpstream, a_bad_answer, a_target, judge, measure

COST = {"price_per_call_usd": 0.04, "calls_per_question": 3.5, "questions_per_day": 1000}


def test_repeats_that_cost_no_call_pass():
    finding = measure(cost_saving, a_target(), ChatModel().instruments())
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(7 / 8)
    assert "http://127.0.0.1:3/meter" in finding.reproduce


def test_a_declared_cost_is_projected_to_a_month():
    finding = measure(cost_saving, a_target(cost=COST), ChatModel(calls_per_question=3.5).instruments())
    assert "$525 a month instead of $4,200 a month" in finding.reason


def test_a_month_without_any_saving_costs_what_it_costs_without_a_cache():
    finding = measure(cost_saving, a_target(cost=COST), ChatModel(caches=False).instruments())
    assert "$4,200 a month, as without a cache" in finding.reason


def test_without_a_declared_cost_no_month_is_made_up():
    assert "month" not in measure(cost_saving, a_target(), ChatModel().instruments()).reason


def test_repeats_that_say_cached_and_are_paid_for_fail():
    finding = measure(cost_saving, a_target(), ChatModel(caches=False, marks="hit").instruments())
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert finding.follows_from == "cache.hit_rate"
    assert f"cost {DISTINCT * ASKS} paid calls" in finding.reason


@pytest.mark.parametrize(
    ("repeat_calls", "outcome", "share"),
    [(10, Outcome.PASS, 1), (11, Outcome.WARN, 29 / 30), (40, Outcome.WARN, 0), (41, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(repeat_calls, outcome, share):
    asked = Mix("ask", 100, 100, 90, first_asked=10, first_calls=10.0, repeat_calls=float(repeat_calls))
    finding = judge(cost_saving, cost_saving.Evidence(asked, 0, 0, ""))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)


def test_a_paid_question_that_failed_counts_against_the_saving():
    asked = Mix("ask", 100, 80, 70, first_asked=10, first_calls=10.0, repeat_calls=10.0)
    assert judge(cost_saving, cost_saving.Evidence(asked, 0, 0, "")).value == pytest.approx(60 / 80)


def test_first_asks_that_were_hits_do_not_make_calls_cheap():
    asked = Mix("ask", 100, 100, 90, first_asked=10, first_calls=2.0, repeat_calls=18.0)
    assert judge(cost_saving, cost_saving.Evidence(asked, 0, 0, "")).value == pytest.approx(0.8)


def test_a_meter_that_cannot_be_read_is_not_assessed_with_its_reason():
    broken = ScriptedUpstream(InstrumentFailure("The meter answers 404."))
    finding = measure(cost_saving, a_target(), ChatModel().instruments(upstream=broken))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.reason == "The meter answers 404."


def test_a_meter_that_does_not_move_counts_something_else():
    still = ScriptedUpstream(lambda: 7.0)
    finding = measure(cost_saving, a_target(), ChatModel().instruments(upstream=still))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "did not move" in finding.reason


def test_a_meter_that_is_set_back_says_nothing():
    readings = iter([100.0, 104.0, 3.0, *range(4, 100)])
    reset = ScriptedUpstream(lambda: float(next(readings)))
    finding = measure(cost_saving, a_target(), ChatModel().instruments(upstream=reset))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "went back" in finding.reason


def test_a_service_that_does_not_answer_is_not_assessed():
    for instruments in (
        ChatModel().instruments(working=None),
        ChatModel(broken=lambda prompt: a_bad_answer(503)).instruments(),
    ):
        finding = measure(cost_saving, a_target(), instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"


@given(mixes())
def test_any_evidence_gives_an_honest_finding(asked):
    finding = judge(cost_saving, cost_saving.Evidence(asked, 1000, 140, ""))
    if finding.outcome.measured:
        assert 0 <= finding.value <= 1
        assert asked.first_calls
