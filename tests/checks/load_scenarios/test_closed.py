"""The four closed-model scenarios against a scripted load driver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.contract import InstrumentFailure, LoadPlan, LoadSummary, Outcome
from checks.load_scenarios import baseline, heavy, light, medium
from checks.load_scenarios._closed import Evidence
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedLoad,
    ScriptedQuestions,
    a_summary,
    a_target,
    an_answer,
    gather,
    judge,
    measure,
)

SCENARIOS = [
    (baseline, "baseline", 1, 3000, 0.5),
    (light, "light", 5, 4000, 0.7),
    (medium, "medium", 10, 5000, 0.75),
    (heavy, "heavy", 20, 10000, 0.8),
]
each_scenario = pytest.mark.parametrize(("module", "name", "users", "mean_ms", "hit_ratio"), SCENARIOS)
PLAN = LoadPlan("light", 5, 6.0, ["What now?"])


def driven(**changes) -> ScriptedInstruments:
    """Instruments whose load driver reports ``changes``."""
    return ScriptedInstruments(
        load=ScriptedLoad(lambda plan: a_summary(plan, **changes)),
        questions=ScriptedQuestions(lambda prompt, route: an_answer()),
    )


def of_light(**changes) -> Evidence:
    return Evidence(a_summary(PLAN, **changes), "curl ...")


@each_scenario
def test_a_good_service_passes_and_all_three_measures_are_named(module, name, users, mean_ms, hit_ratio):
    instruments = driven()
    finding = measure(module, a_target(), instruments)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert finding.reason.startswith(
        "100\u00a0% of 100\u00a0requests were answered (limit 95\u00a0%), 90\u00a0% from"
    )
    assert "in 40\u00a0ms on average" in finding.reason
    assert finding.fix == ""
    assert f"seq {users}" in finding.reproduce


@each_scenario
def test_the_plan_is_what_the_scenario_says(module, name, users, mean_ms, hit_ratio):
    instruments = driven()
    gather(module, a_target(), instruments)
    [plan] = instruments.load.plans
    assert (plan.scenario, plan.users, plan.route, plan.warmup_s) == (name, users, "ask", 0)
    assert len(set(plan.prompts)) == 10
    scenario = instruments.profile.scenarios[name]
    assert (plan.duration_s, plan.min_requests) == (scenario.duration_s, scenario.min_requests)


@each_scenario
def test_each_measure_passes_on_its_limit_and_warns_within_a_fifth(module, name, users, mean_ms, hit_ratio):
    hits = round(hit_ratio * 1000)
    for changes, outcome in [
        ({"successful": 950, "failed": 50, "total_requests": 1000}, Outcome.PASS),
        ({"successful": 949, "failed": 51, "total_requests": 1000}, Outcome.WARN),
        ({"successful": 759, "failed": 241, "total_requests": 1000}, Outcome.FAIL),
        ({"mean_ms": float(mean_ms)}, Outcome.PASS),
        ({"mean_ms": mean_ms * 1.19}, Outcome.WARN),
        ({"mean_ms": mean_ms * 1.21}, Outcome.FAIL),
        ({"marked": 1000, "cached": hits}, Outcome.PASS),
        ({"marked": 1000, "cached": hits - 1}, Outcome.WARN),
        ({"marked": 1000, "cached": round(hits * 0.79)}, Outcome.FAIL),
    ]:
        assert measure(module, a_target(), driven(**changes)).outcome is outcome, changes


def test_the_worst_measure_decides_the_share():
    finding = judge(light, of_light(total_requests=1000, successful=940, mean_ms=4400.0))
    assert finding.outcome is Outcome.WARN
    assert finding.share == pytest.approx(0.5)
    assert finding.value == 0.94
    assert finding.follows_from is None  # latency is the worst here, and no check explains it
    assert judge(light, of_light(total_requests=1000, successful=940)).follows_from is not None


def test_when_no_request_is_answered_it_follows_from_the_primary_route():
    nothing = of_light(
        successful=0,
        failed=100,
        cached=0,
        marked=0,
        mean_ms=None,
        failures={"status": 100},
        failure_examples={"status": "HTTP 500; the body begins 'Internal Server Error'"},
    )
    finding = judge(light, nothing)
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert finding.follows_from == "endpoint_health.primary_route"
    assert "Internal Server Error" in finding.reason


def test_misses_alone_follow_from_the_hit_rate():
    finding = judge(light, of_light(cached=0, mean_ms=9000.0))
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "cache.hit_rate"
    assert judge(light, of_light(mean_ms=9000.0)).follows_from is None


def test_a_rate_limit_is_named():
    limited = of_light(
        successful=50,
        failed=50,
        failures={"status": 50},
        failure_examples={"status": "HTTP 429, the service is rate limiting (Retry-After: 1)"},
    )
    assert "HTTP 429" in judge(light, limited).reason


def test_without_a_marker_hits_are_not_judged_and_it_says_so():
    finding = judge(light, of_light(cached=0, marked=0))
    assert finding.outcome is Outcome.PASS
    assert "hits are not judged" in finding.reason


def test_a_driver_that_was_the_bottleneck_judges_nothing():
    finding = judge(light, of_light(validity="invalid", validity_reasons=("The driver was late by 90 ms.",)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "late by 90 ms" in finding.reason


def test_a_scenario_that_the_driver_could_not_measure_is_measured_again_with_other_questions():
    validities = iter(["invalid", "invalid", "valid"])
    load = ScriptedLoad(lambda plan: a_summary(plan, validity=next(validities)))
    instruments = ScriptedInstruments(load=load, questions=driven().questions)
    assert gather(light, a_target(), instruments).summary.validity == "valid"
    assert len(load.plans) == 3


def test_a_driver_that_never_keeps_up_is_asked_three_times_at_most():
    instruments = driven(validity="invalid", validity_reasons=("late",))
    assert judge(light, gather(light, a_target(), instruments)).outcome is Outcome.NOT_ASSESSED
    assert len(instruments.load.plans) == 3


def test_a_suspect_measurement_is_judged_and_named():
    finding = judge(light, of_light(validity="suspect", validity_reasons=("Only 12 requests were made.",)))
    assert finding.outcome is Outcome.PASS
    assert "suspect: Only 12 requests" in finding.reason


def test_no_request_at_all_is_not_assessed():
    assert judge(light, of_light(total_requests=0, successful=0)).outcome is Outcome.NOT_ASSESSED


def test_a_success_ratio_near_its_limit_is_called_close():
    assert "Too close to be sure" in judge(light, of_light(successful=97, failed=3)).reason
    assert "Too close to be sure" not in judge(light, of_light()).reason


def test_a_target_may_state_its_own_objectives():
    target = a_target(objectives={"success_ratio": 0.99, "mean_latency_ms": 30, "hit_ratio": 0.95})
    assert judge(light, of_light(successful=98, failed=2), target).outcome is Outcome.FAIL
    assert judge(light, of_light(mean_ms=36.0, cached=100), target).outcome is Outcome.WARN
    assert judge(light, of_light(mean_ms=30.0, cached=94), target).outcome is Outcome.WARN


def test_a_target_with_a_stream_only_is_driven_there():
    instruments = driven()
    gather(light, a_target(ask=None), instruments)
    assert instruments.load.plans[0].route == "stream"


def test_a_target_without_a_question_names_what_to_add():
    with pytest.raises(InstrumentFailure) as caught:
        gather(light, a_target(ask=None, stream=None), driven())
    assert caught.value.missing == "ask"


@st.composite
def summaries(draw) -> LoadSummary:
    total = draw(st.integers(0, 500))
    answered = draw(st.integers(0, total))
    marked = draw(st.integers(0, answered))
    return replace(
        a_summary(PLAN),
        total_requests=total,
        successful=answered,
        failed=total - answered,
        marked=marked,
        cached=draw(st.integers(0, marked)),
        mean_ms=draw(st.floats(0.1, 1e5)) if answered else None,
        failures=draw(st.dictionaries(st.sampled_from(["status", "timeout"]), st.integers(1, 9))),
        validity=draw(st.sampled_from(["valid", "suspect", "invalid"])),
    )


@given(summaries(), st.sampled_from([module for module, *_ in SCENARIOS]))
def test_any_summary_gives_an_honest_finding(summary, module):
    finding = judge(module, Evidence(summary, ""))
    if finding.outcome in (Outcome.PASS, Outcome.WARN):
        assert summary.successful / summary.total_requests >= 0.75
        assert summary.validity != "invalid"
