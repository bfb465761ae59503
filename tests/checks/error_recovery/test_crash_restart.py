"""error_recovery.crash_restart against a service in memory that dies."""

from __future__ import annotations

import pytest

from checks.contract import LEAST_SHARE, InstrumentFailure, Outcome, curve_limit
from checks.error_recovery import crash_restart
from checks.error_recovery._lifetime import Again, Process
from checks.error_recovery.crash_restart import Evidence
from tests.checks.error_recovery.mortal import Mortal, a_mortal_target
from tests.checks.scripted import ScriptedFaults, gather, judge

OLD, NEW = Process(7, 100.0), Process(9, 200.0)


def measured(service: Mortal, target=None):
    target = target or a_mortal_target()
    return judge(crash_restart, gather(crash_restart, target, service.instruments()), target)


def after(seconds: float | None, **changes):
    again = changes.pop("again", Again(seconds, seconds, {"no connection": 9}))
    fields = {"route": "ask", "watched_s": 120.0, "before": (OLD,), "after": (NEW,), "again": again}
    return judge(crash_restart, Evidence(**fields | changes), changes.pop("target", a_mortal_target()))


def test_a_service_that_is_started_again_at_once_passes():
    finding = measured(Mortal())
    assert finding.outcome is Outcome.PASS
    assert 0.05 <= finding.value < 2
    assert "curl" in finding.reproduce


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(10.0, Outcome.PASS), (10.01, Outcome.WARN), (60.0, Outcome.WARN), (1000.0, Outcome.FAIL)],
)
def test_on_the_curve(seconds, outcome):
    assert after(seconds).outcome is outcome


def test_a_minute_earns_about_half():
    assert after(60.0).share == pytest.approx(0.5 / 0.9)
    least = curve_limit(p10=10, median=60).warn_at
    assert after(least).share == pytest.approx(LEAST_SHARE)


def test_the_teams_own_time_to_recover_wins():
    target = a_mortal_target(objectives={"recovery_s": 30})
    evidence = Evidence("ask", 120.0, (OLD,), (NEW,), Again(29.0, 29.0, {}))
    assert judge(crash_restart, evidence, target).outcome is Outcome.PASS


def test_one_that_never_comes_back_fails_and_the_lever_says_what_to_do():
    finding = measured(Mortal(down_s=None, raises="Restore it by hand: systemctl start shop"))
    assert finding.outcome is Outcome.FAIL
    assert "there is no good answer" in finding.reason
    assert "systemctl start shop" in finding.reason


def test_one_that_listens_and_answers_errors_is_not_back():
    finding = measured(Mortal(cold_s=0.4))
    assert finding.value >= 0.4
    assert "status 500" in finding.reason
    assert "got" in finding.reason


def test_one_good_answer_before_it_dies_again_does_not_count():
    service, answers = Mortal(), iter([200, 500, 200, 200, 200])
    service.status = lambda: next(answers, 200) if service.generation else 200
    found = gather(crash_restart, a_mortal_target(), service.instruments())
    assert found.again.seen["status 500"] == 1
    assert found.again.answers_s > found.again.listens_s


def test_the_same_process_afterwards_measures_nothing():
    finding = measured(Mortal(never_dies=True))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.service.port"


def test_a_process_with_an_old_number_is_another_one():
    assert after(1.0, after=(Process(7, 300.0),)).outcome is Outcome.PASS


def test_where_a_command_starts_it_the_lever_is_let_go_at_once():
    lever = {"kind": "process", "ways": ["kill"], "restore": ["systemctl", "start", "shop"]}
    service = Mortal()
    finding = measured(service, a_mortal_target(levers={"service": lever}))
    assert finding.outcome is Outcome.PASS
    assert "the declared `restore` may have started it" in finding.reason
    assert service.faults.events == ["broke service kill", "restored service kill"]


def test_where_nothing_answers_it_follows_from_the_primary_route():
    service = Mortal(working=None)
    finding = measured(service)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"
    assert service.faults.events == [], "nobody was killed for nothing"


def test_a_lever_without_the_way_is_named():
    instruments = Mortal().instruments(faults=ScriptedFaults({"service": ("pause",)}))
    with pytest.raises(InstrumentFailure) as raised:
        gather(crash_restart, a_mortal_target(), instruments)
    assert raised.value.missing == "levers.service.ways"


def test_a_lever_that_refuses_says_why():
    service = Mortal()
    refusal = InstrumentFailure("Lever service does not work: several programs listen.")
    instruments = service.instruments(faults=ScriptedFaults({"service": ("kill",)}, refusal=refusal))
    with pytest.raises(InstrumentFailure, match="several programs"):
        gather(crash_restart, a_mortal_target(), instruments)


def test_a_service_in_a_container_is_timed_whoever_listens_for_it():
    lever = {"kind": "command", "ways": ["kill"], "break": ["docker", "kill"], "restore": ["docker", "start"]}
    finding = measured(Mortal(never_dies=True), a_mortal_target(levers={"service": lever}))
    assert finding.outcome is Outcome.PASS
