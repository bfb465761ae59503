"""cache.monthly_cost against a scripted chat service and its meter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import monthly_cost
from checks.cache._mix import ASKS, DISTINCT, Mix
from checks.contract import InstrumentFailure, Outcome
from tests.checks.cache.strategies import mixes
from tests.checks.scripted import (
    ChatModel,
    ScriptedUpstream,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
    measure,
)

COST = {
    "price_per_call_usd": 0.04,
    "calls_per_question": 3.5,
    "questions_per_day": 1000,
    "budget_per_month_usd": 840,
}
TARGET = a_target(cost=COST)


def evidence(*asked: Mix, **changes) -> monthly_cost.Evidence:
    fields = {
        "mixes": asked,
        "questions_per_day": 1000,
        "calls_per_question": 3.5,
        "price_per_call_usd": 0.04,
        "budget_per_month_usd": 840,
        "reproduce": "",
    }
    return monthly_cost.Evidence(**fields | changes)


def a_mix(paid: float, route="ask", **changes) -> Mix:
    fields = {"asked": 100, "answered": 100, "repeats_answered": 90, "first_asked": 10, "first_calls": 10.0}
    return Mix(route, **fields | {"repeat_calls": paid - 10} | changes)


def test_a_bill_within_the_budget_passes():
    finding = measure(monthly_cost, TARGET, ChatModel(calls_per_question=3.5).instruments())
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(525)
    assert finding.unit == "usd_month"
    assert "$525 a month, budget $840 a month" in finding.reason
    assert "http://127.0.0.1:3/meter" in finding.reproduce


@pytest.mark.parametrize(
    ("paid", "outcome", "share"),
    [(20, Outcome.PASS, 1), (21, Outcome.WARN, 0.8), (25, Outcome.WARN, 0), (26, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(paid, outcome, share):
    finding = judge(monthly_cost, evidence(a_mix(paid)))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)


def test_without_a_cache_the_bill_is_the_whole_one_and_follows_from_the_saving():
    finding = measure(monthly_cost, TARGET, ChatModel(caches=False, marks="hit").instruments())
    assert finding.outcome is Outcome.FAIL
    assert finding.value == pytest.approx(4200)
    assert finding.follows_from == "cache.cost_saving"


def test_a_stream_that_is_paid_each_time_is_half_of_the_bill():
    chat = ChatModel()

    def answer(prompt, route):
        if route == "ask":
            return chat.answer(prompt)
        chat.calls += 1
        return an_answer(f"About {prompt}", route="stream", cached=True)

    instruments = chat.instruments()
    instruments.questions.answer = answer
    finding = measure(monthly_cost, TARGET, instruments)
    assert finding.outcome is Outcome.FAIL
    assert finding.value == pytest.approx(4200 * (1 / 8 + 1) / 2)
    assert "100\u00a0% over `[stream]`" in finding.reason
    assert finding.follows_from is None


def test_both_routes_are_asked_where_both_answer():
    found = gather(monthly_cost, TARGET, ChatModel().instruments())
    assert [mix.route for mix in found.mixes] == ["ask", "stream"]
    assert all(mix.asked % (DISTINCT * ASKS) == 0 for mix in found.mixes)


def test_a_stream_that_does_not_answer_or_is_not_declared_is_left_out():
    broken = ChatModel().instruments()
    whole = broken.questions.answer
    broken.questions.answer = lambda prompt, route: (
        a_bad_answer(500) if route == "stream" else whole(prompt, route)
    )
    for target, instruments in ((TARGET, broken), (a_target(cost=COST, stream=None), None)):
        found = gather(monthly_cost, target, instruments or ChatModel().instruments())
        assert [mix.route for mix in found.mixes] == ["ask"]


def test_only_the_stream_is_asked_where_only_it_answers():
    found = gather(monthly_cost, TARGET, ChatModel().instruments(working="stream"))
    assert [mix.route for mix in found.mixes] == ["stream"]


def test_calls_that_are_made_twice_cost_more_than_was_declared():
    cheap = COST | {"calls_per_question": 1, "questions_per_day": 3500}
    once = measure(monthly_cost, a_target(cost=cheap), ChatModel().instruments())
    twice = measure(monthly_cost, a_target(cost=cheap), ChatModel(calls_per_question=2).instruments())
    assert once.value == pytest.approx(525)
    assert twice.value == pytest.approx(1050)
    assert "cost 2 paid calls, not 1 as declared" in twice.reason


def test_a_meter_that_sees_fewer_calls_than_are_declared_does_not_make_the_bill_cheap():
    assert measure(monthly_cost, TARGET, ChatModel().instruments()).value == pytest.approx(525)


def test_a_meter_that_says_nothing_is_not_assessed_with_the_reason():
    failing = ScriptedUpstream(InstrumentFailure("The meter answers 404."))
    finding = measure(monthly_cost, TARGET, ChatModel().instruments(upstream=failing))
    assert (finding.outcome, finding.reason) == (Outcome.NOT_ASSESSED, "The meter answers 404.")
    still = measure(monthly_cost, TARGET, ChatModel().instruments(upstream=ScriptedUpstream(lambda: 7.0)))
    assert still.outcome is Outcome.NOT_ASSESSED
    assert "did not move" in still.reason
    assert still.missing == "upstream.calls"


def test_a_service_that_does_not_answer_is_not_assessed():
    for instruments in (
        ChatModel().instruments(working=None),
        ChatModel(broken=lambda prompt: a_bad_answer(503)).instruments(),
    ):
        finding = measure(monthly_cost, TARGET, instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"


@given(st.lists(mixes(), max_size=2))
def test_any_evidence_gives_an_honest_finding(asked):
    finding = judge(monthly_cost, evidence(*asked))
    if finding.outcome.measured:
        assert finding.value > 0 or all(mix.paid == 0 for mix in asked)
        assert all(mix.first_calls for mix in asked)
