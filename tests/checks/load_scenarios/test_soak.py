"""Long use against a scripted load driver and memory; the trends are the real statistics'."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.contract import InstrumentFailure, LoadPlan, LoadSummary, Outcome
from checks.load_scenarios import soak
from checks.load_scenarios._drift import drift_of
from checks.load_scenarios._servers import Process, Servers
from tests.checks.load_scenarios.summaries import ProcessesInTurn, a_step, driven, process
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedLoad,
    ScriptedMemory,
    a_summary,
    a_target,
    gather,
    judge,
    measure,
)

DURATION_S = 20.0
PLAN = LoadPlan("soak", 8, DURATION_S, ["What now?"], warmup_s=3.0)
INSTRUMENTS = ScriptedInstruments()
HERE = Servers((Process(70, 70, 1000.0),), ())
Curve = Callable[[float], float]


def steps_of(p95_ms: Curve, failed: Curve, noise: Random):
    part_s = DURATION_S / soak.PARTS
    return tuple(
        a_step(
            number * part_s,
            part_s,
            20 / part_s,
            p95_ms=p95_ms(number * part_s) * math.exp(noise.gauss(0, 0.2)),
            failed=round(20 * failed(number * part_s)),
        )
        for number in range(soak.PARTS)
    )


def used(
    memory: Curve = lambda _s: 1.5e8,
    p95_ms: Curve = lambda _s: 400.0,
    failed: Curve = lambda _s: 0.0,
    *,
    after: Servers = HERE,
    seed: int = 1,
    **changes,
) -> soak.Evidence:
    """Evidence of twenty seconds in which memory, latency and failures run as these curves say."""
    noise = Random(seed)
    steps = steps_of(p95_ms, failed, noise)
    total = sum(step.scheduled for step in steps)
    lost = sum(step.failed for step in steps)
    figures = {"total_requests": total, "failed": lost, "successful": total - lost, "warmup_s": 3.0}
    summary = a_summary(PLAN, steps=steps, **figures | changes)
    times = [number * 0.25 for number in range(80)]
    page = 4096
    points = [(at_s, memory(at_s) // page * page + noise.choice((0, page, 2 * page))) for at_s in times]
    return soak.Evidence(
        summary,
        drift_of(INSTRUMENTS, points, settles=True),
        "process",
        drift_of(INSTRUMENTS, [(step.start_s, step.p95_ms) for step in steps]),
        drift_of(INSTRUMENTS, [(step.start_s, step.failed / step.scheduled) for step in steps]),
        HERE,
        after,
        "python -m app load service",
    )


def test_a_service_that_stays_as_it_is_passes_and_says_what_would_have_shown():
    finding = judge(soak, used())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0
    assert "memory does not grow (from 4\u00a0MB, 8.3\u00a0kB a question, on it would have shown)" in (
        finding.reason
    )
    assert "after 3\u00a0s of warm-up" in finding.reason


def test_a_leak_of_200_kb_a_new_question_fails_in_twenty_seconds():
    finding = judge(soak, used(lambda at_s: 1.5e8 + 10 * 2e5 * at_s))
    assert finding.outcome is Outcome.FAIL
    assert "memory grows by 39.5\u00a0MB" in finding.reason
    assert "a question, beyond chance" in finding.reason
    assert "tracemalloc" in finding.fix


@pytest.mark.parametrize(
    "memory",
    [
        lambda at_s: 1.5e8 + (1e7 if at_s > 6 else 0),
        lambda at_s: 1.5e8 + (1e7 if at_s > 10 else 0),
        lambda at_s: 1.5e8 + (3e7 if at_s > 17 else 0),
        lambda at_s: 1.5e8 + 3e7 * (1 - math.exp(-at_s / 3)),
        lambda at_s: 1.5e8 + 1e5 * at_s,
        lambda at_s: 1.5e8 - 1e6 * at_s,
        lambda at_s: 1.5e8 + 5e6 * math.sin(at_s),
    ],
    ids=["step", "step in the middle", "late step", "warming up", "below the grain", "falling", "waving"],
)
def test_what_a_healthy_service_does_in_its_first_minutes_does_not_fail(memory):
    assert judge(soak, used(memory)).outcome is Outcome.PASS


def test_latency_that_grows_fails():
    finding = judge(soak, used(p95_ms=lambda at_s: 400 + 80 * at_s))
    assert finding.outcome is Outcome.FAIL
    assert "p95 grows by" in finding.reason


def test_errors_that_grow_fail():
    finding = judge(soak, used(failed=lambda at_s: at_s / 60))
    assert finding.outcome is Outcome.FAIL
    assert "the share of failures grows by" in finding.reason


def test_growth_below_five_percent_an_hour_warns():
    finding = judge(soak, hours_of(lambda at_s: 3e8 + 3e8 * 0.03 * at_s / 3600))
    assert finding.outcome is Outcome.WARN
    assert finding.value == pytest.approx(0.03, rel=0.1)
    assert 0 < finding.share < 1
    assert judge(soak, hours_of(lambda at_s: 3e8 + 3e8 * 0.06 * at_s / 3600)).outcome is Outcome.FAIL


def hours_of(memory: Curve) -> soak.Evidence:
    """Two hours instead of twenty seconds."""
    evidence = used()
    points = [(at_s, memory(at_s)) for at_s in range(0, 7200, 18)]
    return soak.Evidence(**vars(evidence) | {"memory": drift_of(INSTRUMENTS, points, settles=True)})


def test_what_is_slow_or_failing_from_the_first_is_no_drift():
    assert judge(soak, used(p95_ms=lambda _s: 9000.0, failed=lambda _s: 0.2)).outcome is Outcome.PASS


def test_a_process_that_ended_fails():
    finding = judge(soak, used(after=Servers((Process(90, 90, 2000.0),), ())))
    assert finding.outcome is Outcome.FAIL
    assert "did not live through the soak" in finding.reason


def test_a_service_that_answers_hardly_anything_is_not_assessed():
    finding = judge(soak, used(failed=lambda _s: 0.8))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_what_was_not_measured_whole_is_not_judged():
    assert judge(soak, used(validity="invalid")).outcome is Outcome.NOT_ASSESSED
    assert judge(soak, used(partial="cancelled after 4 s")).outcome is Outcome.NOT_ASSESSED


def test_too_few_readings_are_not_assessed_unless_another_figure_fails():
    short = soak.Evidence(**vars(used()) | {"memory": None})
    assert judge(soak, short).outcome is Outcome.NOT_ASSESSED
    failing = soak.Evidence(**vars(used(p95_ms=lambda at_s: 400 + 80 * at_s)) | {"memory": None})
    assert judge(soak, failing).outcome is Outcome.FAIL
    nothing = {"memory": None, "latency": None, "failures": None}
    assert judge(soak, soak.Evidence(**vars(used()) | nothing)).outcome is Outcome.NOT_ASSESSED


def test_memory_that_cannot_be_read_is_not_assessed():
    refusal = InstrumentFailure("No memory can be read.", missing="health.metrics")
    instruments = driven(ScriptedLoad(a_summary), memory=ScriptedMemory(lambda: refusal))
    with pytest.raises(InstrumentFailure):
        gather(soak, a_target(), instruments)
    assert instruments.load.plans == []


def test_memory_is_read_while_it_is_driven_and_the_plan_asks_for_parts():
    grown = [1.5e8]

    def leaking() -> float:
        grown[0] += 1e6
        return grown[0]

    def summarise(plan: LoadPlan) -> LoadSummary:
        return a_summary(plan, steps=steps_of(lambda _s: 400.0, lambda _s: 0.0, Random(1)))

    instruments = driven(ScriptedLoad(summarise, takes_s=0.4), memory=ScriptedMemory(leaking))
    finding = measure(soak, a_target(), instruments)
    assert finding.outcome is Outcome.FAIL
    [plan] = instruments.load.plans
    assert (plan.users, plan.model, plan.fresh_share, plan.parts) == (8, "closed", 0.5, 24)


def test_processes_are_looked_at_before_and_after():
    def summarise(plan: LoadPlan) -> LoadSummary:
        return a_summary(plan, steps=steps_of(lambda _s: 400.0, lambda _s: 0.0, Random(1)))

    instruments = driven(
        ScriptedLoad(summarise, takes_s=0.2),
        memory=ScriptedMemory(lambda: 1e8),
        processes=ProcessesInTurn([process(70)], [process(71)]),
    )
    assert measure(soak, a_target(), instruments).outcome is Outcome.FAIL


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_noise_alone_hardly_ever_fails(seed):
    random = Random(seed)
    level = [1.5e8]

    def wandering(_at_s: float) -> float:
        level[0] += random.choice((0, 0, 0, 0, 65536, 131072))
        return level[0]

    assert judge(soak, used(wandering, seed=seed)).outcome is Outcome.PASS
