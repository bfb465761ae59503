"""Resident memory under load, read from a script."""

from __future__ import annotations

import pytest

from checks.contract import InstrumentFailure, Outcome
from checks.load_scenarios import memory_ceiling
from tests.checks.load_scenarios.summaries import driven
from tests.checks.scripted import ScriptedLoad, ScriptedMemory, a_summary, a_target, gather, measure


def readings(*values: float | InstrumentFailure, idle: float = 1e8):
    """Idle memory first, then ``values`` in turn; the last stays."""
    left = [idle, *values]
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def peaked(*values, objectives=None, idle=1e8, **changes):
    load = ScriptedLoad(lambda plan: a_summary(plan, **changes), takes_s=0.1)
    instruments = driven(load, memory=ScriptedMemory(readings(*values, idle=idle)))
    return measure(memory_ceiling, a_target(objectives=objectives or {}), instruments)


@pytest.mark.parametrize(
    ("peak", "outcome"),
    [(2.0e9, Outcome.PASS), (2.1e9, Outcome.WARN), (2.5e9, Outcome.WARN), (2.51e9, Outcome.FAIL)],
)
def test_the_highest_reading_is_judged(peak, outcome):
    finding = peaked(2e8, peak, 1.5e8)
    assert finding.outcome is outcome
    assert finding.value == peak


def test_what_it_needs_before_the_first_request_counts_too():
    assert peaked(1e9, idle=2.2e9).value == 2.2e9


def test_the_targets_own_ceiling_wins_and_warns_within_a_quarter():
    assert peaked(5e8, objectives={"memory_bytes": 5e8}).outcome is Outcome.PASS
    assert peaked(6e8, objectives={"memory_bytes": 5e8}).outcome is Outcome.WARN
    assert peaked(6.3e8, objectives={"memory_bytes": 5e8}).outcome is Outcome.FAIL


def test_memory_that_cannot_be_read_is_not_assessed():
    refusal = InstrumentFailure("No memory can be read.", missing="health.metrics")
    instruments = driven(ScriptedLoad(a_summary), memory=ScriptedMemory(lambda: refusal))
    with pytest.raises(InstrumentFailure) as caught:
        gather(memory_ceiling, a_target(), instruments)
    assert caught.value.missing == "health.metrics"
    assert instruments.load.plans == []


def test_a_reading_that_fails_in_between_is_skipped():
    assert peaked(3e8, InstrumentFailure("late"), 4e8).value == 4e8


def test_memory_without_load_says_nothing():
    finding = peaked(3e8, successful=0, failed=100)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"
    assert peaked(3e8, validity="invalid").outcome is Outcome.NOT_ASSESSED
    assert peaked(3e8, partial="Stopped.").outcome is Outcome.NOT_ASSESSED


def test_too_much_is_too_much_however_it_was_driven():
    assert peaked(3e9, validity="invalid").outcome is Outcome.FAIL


def test_ten_users_ask_new_questions_too():
    instruments = driven(ScriptedLoad(a_summary, takes_s=0.1), memory=ScriptedMemory(lambda: 1e8))
    gather(memory_ceiling, a_target(), instruments)
    [plan] = instruments.load.plans
    assert (plan.users, plan.fresh_share) == (10, 0.5)


def test_a_driver_that_cannot_run_is_heard_and_reading_ends():
    class Refusing(ScriptedLoad):
        async def run(self, plan):
            raise InstrumentFailure("Too many users.")

    instruments = driven(Refusing(a_summary), memory=ScriptedMemory(lambda: 1e8))
    with pytest.raises(InstrumentFailure, match="Too many users"):
        gather(memory_ceiling, a_target(), instruments)
