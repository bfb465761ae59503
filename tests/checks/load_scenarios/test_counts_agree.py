"""The service's own counter against a scripted load driver."""

from __future__ import annotations

from itertools import count

import pytest

from checks.contract import InstrumentFailure, Outcome
from checks.load_scenarios import counts_agree
from tests.checks.load_scenarios.summaries import driven
from tests.checks.scripted import ScriptedLoad, ScriptedMetrics, a_summary, a_target, gather, measure


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(counts_agree, "REST_S", 0.0)
    monkeypatch.setattr(counts_agree, "REST_WITHIN_S", 0.05)


class Counter:
    """A counter that grows by what the driver sends, times ``factor``."""

    def __init__(self, counted: float, **changes) -> None:
        self.value = 5000.0
        self.counted = counted
        self.changes = changes

    def summarise(self, plan):
        self.value += self.counted
        return a_summary(plan, **self.changes)

    def instruments(self):
        metrics = ScriptedMetrics(requests=lambda: self.value)
        return driven(ScriptedLoad(self.summarise), metrics=metrics)


def counted(number: float, **changes):
    return measure(counts_agree, a_target(), Counter(number, **changes).instruments())


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (100, Outcome.PASS),
        (99, Outcome.PASS),
        (101, Outcome.PASS),
        (98, Outcome.WARN),
        (105, Outcome.WARN),
        (94, Outcome.FAIL),
        (200, Outcome.FAIL),
        (0, Outcome.FAIL),
    ],
)
def test_within_one_percent_passes_and_within_five_warns(number, outcome):
    finding = counted(number)
    assert finding.outcome is outcome
    assert f"counted {number}\u00a0requests where 100 were sent" in finding.reason


def test_the_warm_up_was_sent_too():
    assert counted(130, warmup_requests=30).outcome is Outcome.PASS


def test_what_never_arrived_need_not_be_counted():
    refused = {"successful": 60, "failed": 40, "failures": {"refused": 40}}
    assert counted(60, **refused).outcome is Outcome.PASS
    assert counted(100, **refused).outcome is Outcome.FAIL


@pytest.mark.parametrize(("number", "outcome"), [(80, "pass"), (91, "pass"), (100, "pass"), (70, "fail")])
def test_what_was_cut_may_have_been_counted(number, outcome):
    finding = counted(number, successful=80, failed=20, failures={"timeout": 12, "reset": 8})
    assert finding.outcome == outcome
    assert "80 to 100 reached it whole" in finding.reason


def test_where_nothing_arrived_there_is_nothing_to_compare():
    finding = counted(0, successful=0, failed=100, failures={"refused": 100})
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_counter_that_went_down_is_no_measure():
    finding = counted(-4000)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "restarted" in finding.reason


def test_a_counter_that_others_move_is_no_measure():
    ticking = count()
    metrics = ScriptedMetrics(requests=lambda: float(next(ticking)))
    with pytest.raises(InstrumentFailure, match="others use the service"):
        gather(counts_agree, a_target(), driven(ScriptedLoad(a_summary), metrics=metrics))


def test_it_waits_until_the_counter_rests():
    readings = iter([7.0, 7.0, 90.0, 104.0, 107.0])
    last = [0.0]

    def read() -> float:
        last[0] = next(readings, last[0])
        return last[0]

    instruments = driven(ScriptedLoad(a_summary), metrics=ScriptedMetrics(requests=read))
    assert measure(counts_agree, a_target(), instruments).value == 0


def test_without_a_declared_counter_it_names_the_key():
    metrics = ScriptedMetrics(requests=None)
    with pytest.raises(InstrumentFailure) as caught:
        gather(counts_agree, a_target(), driven(ScriptedLoad(a_summary), metrics=metrics))
    assert caught.value.missing == "health.requests"
    assert "target.health.requests" in counts_agree.CHECK.needs


def test_an_attempt_that_is_driven_again_is_counted_again():
    validities = iter(["invalid", "valid"])
    counter = Counter(100)
    load = ScriptedLoad(lambda plan: grow(counter, plan, next(validities)))
    finding = measure(
        counts_agree,
        a_target(),
        driven(load, metrics=ScriptedMetrics(requests=lambda: counter.value)),
    )
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0)


def grow(counter: Counter, plan, validity):
    counter.value += 100
    return a_summary(plan, validity=validity)


def test_nothing_of_ours_asks_between_the_readings():
    instruments = Counter(100).instruments()
    gather(counts_agree, a_target(), instruments)
    assert instruments.questions.asked == []


def test_half_a_scenario_is_not_judged():
    assert counted(100, partial="Worker 1 was lost.").outcome is Outcome.NOT_ASSESSED
    assert counted(100, validity="invalid").outcome is Outcome.NOT_ASSESSED
