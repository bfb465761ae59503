"""A burst against a scripted load driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from checks.contract import LoadPlan, LoadStep, LoadSummary, Outcome
from checks.load_scenarios import spike
from tests.checks.load_scenarios.summaries import a_step, driven, of_steps
from tests.checks.scripted import ScriptedLoad, a_target, gather, measure

PEAK = {"peak_per_s": 40}
Change = Callable[[int, LoadStep], LoadStep]


def of_plan(plan: LoadPlan, change: Change, **changes) -> LoadSummary:
    """All stages of ``plan`` answered, each as ``change`` makes it."""
    steps: list[LoadStep] = []
    start_s = 0.0
    for number, stage in enumerate(plan.stages):
        steps.append(change(number, a_step(start_s, stage.duration_s, stage.from_per_s)))
        start_s += stage.duration_s
    return of_steps(plan, steps, duration_s=start_s, **changes)


def slow_for(seconds: float, **slow) -> Callable[[LoadPlan], LoadSummary]:
    """A service that is slow in the burst and for ``seconds`` after it."""
    since_s = [0.0]

    def summarise(plan: LoadPlan) -> LoadSummary:
        first = plan.scenario == "spike"
        burst_end_s = sum(stage.duration_s for stage in plan.stages[:2]) if first else 0.0
        offset_s = since_s[0]

        def change(number: int, step: LoadStep) -> LoadStep:
            until_s = offset_s + step.start_s + step.duration_s - burst_end_s
            calm = (first and number == 0) or until_s > seconds + 1e-9
            return step if calm else replace(step, **{"p95_ms": 4000.0, **slow})

        summary = of_plan(plan, change)
        since_s[0] = offset_s + plan.duration_s - burst_end_s
        return summary

    return summarise


def spiked(summarise: Callable[[LoadPlan], LoadSummary], objectives: dict | None = None):
    target = a_target(objectives=PEAK if objectives is None else objectives)
    return measure(spike, target, driven(ScriptedLoad(summarise)))


def calm(_number: int, step: LoadStep) -> LoadStep:
    return step


def test_a_service_that_a_burst_does_not_touch_passes_at_once():
    finding = spiked(lambda plan: of_plan(plan, calm))
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(1)
    assert "A burst of 60/s" in finding.reason
    assert "usual 12/s" in finding.reason
    assert "No peak is declared" not in finding.reason
    assert "python -m app load service --rate 60" in finding.reproduce


def test_arrivals_are_a_third_of_the_peak_then_five_times_as_many_then_in_short_windows():
    instruments = driven(ScriptedLoad(lambda plan: of_plan(plan, calm)))
    gather(spike, a_target(objectives=PEAK), instruments)
    [plan] = instruments.load.plans
    assert plan.model == "open"
    assert [round(stage.to_per_s, 6) for stage in plan.stages] == [12, 60, 12, 12, 12]
    assert plan.duration_s == pytest.approx(sum(stage.duration_s for stage in plan.stages))
    assert plan.fresh_share > 0


def test_each_window_has_enough_requests_for_a_percentile_however_low_the_rate():
    instruments = driven(ScriptedLoad(lambda plan: of_plan(plan, calm)))
    gather(spike, a_target(), instruments)
    [plan] = instruments.load.plans
    assert all(stage.duration_s * stage.to_per_s >= 6 for stage in plan.stages[2:])
    assert plan.stages[0].duration_s * plan.stages[0].to_per_s >= 15


def test_without_a_declared_peak_it_says_what_it_took():
    finding = spiked(lambda plan: of_plan(plan, calm), objectives={})
    assert finding.outcome is Outcome.PASS
    assert "No peak is declared, so 2/s was taken as usual" in finding.reason


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(0, Outcome.PASS), (2, Outcome.PASS), (28, Outcome.PASS), (31, Outcome.WARN), (100, Outcome.WARN)],
)
def test_it_looks_on_until_latency_is_back(seconds, outcome):
    finding = spiked(slow_for(seconds))
    assert finding.outcome is outcome
    assert finding.value == pytest.approx(seconds + 1, abs=0.05)


def test_latency_that_never_comes_back_fails_after_two_minutes():
    finding = spiked(slow_for(1e9))
    assert finding.outcome is Outcome.FAIL
    assert finding.value > 120
    assert "p95 is not back below 550\u00a0ms: it is 4\u00a0s" in finding.reason
    assert finding.fix


def test_a_service_that_answers_nothing_after_the_burst_is_not_back():
    finding = spiked(slow_for(1e9, p95_ms=None, answered=0, failed=12))
    assert finding.outcome is Outcome.FAIL
    assert "nothing is answered" in finding.reason


def test_a_fast_window_alone_is_chance():
    def change(number: int, step: LoadStep) -> LoadStep:
        return replace(step, p95_ms=3000.0) if number in (2, 4) else step

    load = ScriptedLoad(lambda plan: of_plan(plan, change if plan.scenario == "spike" else calm))
    finding = measure(spike, a_target(objectives=PEAK), driven(load))
    assert len(load.plans) == 2
    assert finding.value == pytest.approx(4, abs=0.05)


def test_windows_in_which_requests_fail_are_not_back():
    assert spiked(slow_for(2, p95_ms=300.0, failed=4, answered=8)).value == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize(
    ("failed", "outcome"),
    [(0, Outcome.PASS), (3, Outcome.PASS), (20, Outcome.WARN), (150, Outcome.FAIL)],
)
def test_failures_in_the_burst_count_beyond_chance(failed, outcome):
    assert spiked(losing(failed)).outcome is outcome


def losing(failed: int) -> Callable[[LoadPlan], LoadSummary]:
    def change(number: int, step: LoadStep) -> LoadStep:
        if number != 1:
            return step
        return replace(step, scheduled=240, failed=failed, answered=240 - failed)

    return lambda plan: of_plan(plan, change)


def test_arrivals_that_found_no_place_were_not_served():
    def change(number: int, step: LoadStep) -> LoadStep:
        return replace(step, scheduled=240, dropped=100, answered=140) if number == 1 else step

    assert spiked(lambda plan: of_plan(plan, change)).outcome is Outcome.FAIL


def test_the_targets_objectives_win():
    assert spiked(slow_for(9), {**PEAK, "recovery_s": 5}).outcome is Outcome.WARN
    assert spiked(losing(20), {**PEAK, "success_ratio": 0.9}).outcome is Outcome.PASS


def test_what_failed_before_the_burst_follows_from_the_primary_route():
    def nothing(_number: int, step: LoadStep) -> LoadStep:
        return replace(step, answered=0, failed=step.scheduled, p50_ms=None, p95_ms=None)

    finding = spiked(lambda plan: of_plan(plan, nothing))
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "endpoint_health.primary_route"


def test_an_invalid_burst_is_driven_three_times_and_not_judged():
    load = ScriptedLoad(lambda plan: of_plan(plan, calm, validity="invalid", validity_reasons=("Late.",)))
    finding = measure(spike, a_target(objectives=PEAK), driven(load))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "Late." in finding.reason
    assert len(load.plans) == 3


def test_half_a_burst_is_not_judged():
    finding = spiked(lambda plan: of_plan(plan, calm, partial="stopped after 4 s"))
    assert finding.outcome is Outcome.NOT_ASSESSED


def test_where_looking_on_is_in_vain_it_says_so():
    slow = slow_for(1e9)

    def summarise(plan: LoadPlan) -> LoadSummary:
        summary = slow(plan)
        late = {"validity": "invalid", "validity_reasons": ("The driver was late.",)}
        return summary if plan.scenario == "spike" else replace(summary, **late)

    finding = spiked(summarise)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "The driver was late." in finding.reason


def test_a_driver_without_stages_in_its_figures_is_not_judged():
    def none_of_them(plan: LoadPlan) -> LoadSummary:
        return replace(of_plan(plan, calm), steps=())

    assert spiked(none_of_them).outcome is Outcome.NOT_ASSESSED
