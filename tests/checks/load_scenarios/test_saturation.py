"""Rising arrival rates against a scripted load driver; the knee is the real statistics'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks.contract import InstrumentFailure, LoadPlan, LoadStep, LoadSummary, Outcome
from checks.load_scenarios import saturation
from tests.checks.load_scenarios.summaries import a_step, driven, of_steps
from tests.checks.scripted import TINY, ScriptedLoad, a_target, gather, measure

PEAK = 40.0
LONG = replace(
    TINY,
    scenarios={**TINY.scenarios, "saturation": replace(TINY.scenarios["saturation"], duration_s=2.5)},
)
REFUSED = {"failures": {"status": 9}, "failure_examples": {"status": "HTTP 503, Retry-After: 1"}}


def service(
    capacity_per_s: float, *, lost: Callable[[int], dict[str, int]], steps: int = 99, **changes: Any
) -> Callable[[LoadPlan], LoadSummary]:
    """A service that answers at most ``capacity_per_s``; ``lost`` says what becomes of what is more."""

    def summarise(plan: LoadPlan) -> LoadSummary:
        made: list[LoadStep] = []
        start_s = 0.0
        for stage in plan.stages[:steps]:
            scheduled = round(stage.from_per_s * stage.duration_s)
            surplus = max(0, round(scheduled - capacity_per_s * stage.duration_s))
            became = lost(surplus) if surplus else {}
            made.append(a_step(start_s, stage.duration_s, stage.from_per_s, **became))
            start_s += stage.duration_s
        return of_steps(plan, made, **changes)

    return summarise


def sheds(surplus: int) -> dict[str, int]:
    return {"failed": surplus, "shed": surplus}


def hangs(surplus: int) -> dict[str, int]:
    return {"failed": surplus, "timed_out": surplus}


def errs(surplus: int) -> dict[str, int]:
    return {"failed": surplus}


def mixed(surplus: int) -> dict[str, int]:
    return {"failed": surplus, "shed": round(surplus * 0.7), "timed_out": round(surplus * 0.3)}


def drops(surplus: int) -> dict[str, int]:
    return {"dropped": surplus}


def saturated(summarise, **overrides):
    target = a_target(objectives={"peak_per_s": PEAK})
    return measure(saturation, target, driven(ScriptedLoad(summarise), profile=LONG), **overrides)


def test_a_knee_above_twice_the_peak_with_shedding_passes():
    finding = saturated(service(100, lost=sheds, **REFUSED))
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(100, rel=0.1)
    assert finding.unit == "per_s"
    assert finding.interval is not None
    assert "were shed with 429 or 503" in finding.reason
    assert "rate limit" not in finding.reason


def test_the_plan_rises_in_steps_of_the_peak_with_new_questions_and_ends_when_clearly_broken():
    instruments = driven(ScriptedLoad(service(1000, lost=sheds)), profile=LONG)
    gather(saturation, a_target(objectives={"peak_per_s": PEAK}), instruments)
    [plan] = instruments.load.plans
    assert [stage.from_per_s / PEAK for stage in plan.stages] == [0.5, 1, 1.5, 2, 3, 4, 6, 8]
    assert (plan.fresh_share, plan.timeout_s, plan.model) == (1, 6, "open")
    assert plan.stop.max_failure_ratio == 0.5
    assert plan.users >= 8 * PEAK * plan.timeout_s


@pytest.mark.parametrize(
    ("capacity", "outcome"),
    [(30, Outcome.FAIL), (55, Outcome.WARN), (75, Outcome.WARN), (95, Outcome.PASS)],
)
def test_the_knee_decides_where_the_rest_is_shed(capacity, outcome):
    finding = saturated(service(capacity, lost=sheds))
    assert finding.outcome is outcome
    assert bool(finding.fix) is (outcome is not Outcome.PASS)


def test_hanging_past_the_knee_fails_whatever_the_knee():
    finding = saturated(service(150, lost=hangs))
    assert finding.outcome is Outcome.FAIL
    assert finding.share == 0
    assert finding.value > 2 * PEAK
    assert "it hangs" in finding.reason
    assert "refuse the rest at once" in finding.fix


def test_arrivals_that_found_no_place_hang_too():
    assert saturated(service(150, lost=drops)).outcome is Outcome.FAIL


@pytest.mark.parametrize("lost", [errs, mixed])
def test_what_is_lost_otherwise_than_by_shedding_warns(lost):
    finding = saturated(service(100, lost=lost))
    assert finding.outcome is Outcome.WARN
    assert finding.share <= 0.5


def test_a_service_that_nothing_breaks_passes_and_says_that_shedding_was_not_seen():
    finding = saturated(service(1000, lost=sheds))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 8 * PEAK
    assert "Held 320/s, 8x the declared peak" in finding.reason
    assert "whether it sheds was not seen" in finding.reason


def test_a_run_that_ended_before_twice_the_peak_does_not_pass():
    finding = saturated(service(1000, lost=sheds, steps=3, partial="stopped after 8 s: p95"))
    assert finding.outcome is Outcome.WARN
    assert "It ended early: stopped after 8 s: p95." in finding.reason


def test_its_own_early_end_is_no_reason_not_to_judge():
    finding = saturated(service(50, lost=hangs, steps=5, partial="stopped after 14 s: 60 % failed"))
    assert finding.outcome is Outcome.FAIL


def test_steps_that_were_never_driven_say_nothing():
    def summarise(plan: LoadPlan) -> LoadSummary:
        summary = service(100, lost=sheds)(plan)
        cut = [
            step if number < 6 else replace(step, scheduled=0, answered=0, failed=0, shed=0, p95_ms=None)
            for number, step in enumerate(summary.steps)
        ]
        return replace(summary, steps=tuple(cut), partial="stopped after 15 s")

    assert saturated(summarise).outcome is Outcome.PASS


def test_a_rate_limit_that_refused_us_is_named():
    limited = {"failures": {"status": 9}, "failure_examples": {"status": "HTTP 429, the service is limiting"}}
    finding = saturated(service(30, lost=sheds, **limited))
    assert finding.outcome is Outcome.FAIL
    assert "It was a rate limit that refused us" in finding.reason


def test_a_service_that_answers_nothing_follows_from_the_primary_route():
    finding = saturated(service(0, lost=errs))
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "endpoint_health.primary_route"


def test_without_a_declared_peak_it_names_the_key():
    with pytest.raises(InstrumentFailure) as caught:
        gather(saturation, a_target(), driven(ScriptedLoad(service(100, lost=sheds))))
    assert caught.value.missing == "objectives.peak_per_s"
    assert "target.objectives.peak_per_s" in saturation.CHECK.needs


def test_a_driver_that_could_not_keep_the_schedule_judges_nothing():
    late = {"validity": "invalid", "validity_reasons": ("Sent late.",)}
    finding = saturated(service(100, lost=sheds, **late))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "Sent late." in finding.reason


def test_no_request_at_all_is_not_assessed():
    finding = saturated(lambda plan: of_steps(plan, [], partial="cancelled"))
    assert finding.outcome is Outcome.NOT_ASSESSED
