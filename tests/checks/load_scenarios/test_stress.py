"""Fifty users against a scripted load driver and process table."""

from __future__ import annotations

import json

import pytest

from checks.contract import InstrumentFailure, Outcome, Reply
from checks.load_scenarios import _servers, stress
from tests.checks.load_scenarios.summaries import ProcessesInTurn, driven, process
from tests.checks.scripted import ScriptedHttp, ScriptedLoad, a_summary, a_target, gather, measure

NAMED = {"liveness": "/health", "instance": {"json": "instance", "present": True}}


def reporting(**changes) -> ScriptedLoad:
    return ScriptedLoad(lambda plan: a_summary(plan, **changes))


def stressed(*, answers=(True,), processes=None, **changes):
    given = {"processes": processes} if processes else {}
    return measure(stress, a_target(), driven(reporting(**changes), answers=answers, **given))


def health(*instances: str) -> ScriptedHttp:
    replies = [Reply("/health", 200, body=json.dumps({"instance": name}).encode()) for name in instances]
    return ScriptedHttp({("GET", "/health"): replies})


def test_a_service_that_answers_fifty_users_and_lives_passes():
    finding = stressed()
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert "The same process answers afterwards." in finding.reason
    assert "seq 50" in finding.reproduce


def test_the_plan_has_fifty_users_and_new_questions_so_that_calls_overlap():
    instruments = driven(reporting())
    gather(stress, a_target(), instruments)
    [plan] = instruments.load.plans
    assert (plan.users, plan.model, plan.timeout_s) == (50, "closed", 60)
    assert plan.fresh_share > 0


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"successful": 80, "failed": 20}, Outcome.PASS),
        ({"successful": 79, "failed": 21}, Outcome.WARN),
        ({"successful": 51, "failed": 49}, Outcome.WARN),
        ({"successful": 49, "failed": 51}, Outcome.FAIL),
        ({"mean_ms": 30_000.0}, Outcome.PASS),
        ({"mean_ms": 31_000.0}, Outcome.WARN),
    ],
)
def test_degraded_but_answering_warns(changes, outcome):
    assert stressed(**changes).outcome is outcome


def test_objectives_for_ordinary_load_do_not_bind():
    target = a_target(objectives={"mean_latency_ms": 10, "success_ratio": 1.0})
    instruments = driven(reporting(successful=95, failed=5))
    assert measure(stress, target, instruments).outcome is Outcome.PASS


def test_another_process_afterwards_is_a_crash_however_good_the_figures():
    finding = stressed(processes=ProcessesInTurn([process(70)], [process(90, started_at=2000.0)]))
    assert finding.outcome is Outcome.FAIL
    assert "process 70 ended, and process 90 listens in its place" in finding.reason


def test_the_same_number_started_later_is_another_process():
    finding = stressed(processes=ProcessesInTurn([process()], [process(started_at=1003.0)]))
    assert finding.outcome is Outcome.FAIL
    assert stressed(processes=ProcessesInTurn([process()], [process(started_at=1000.4)])).outcome is (
        Outcome.PASS
    )


def test_a_server_that_is_gone_is_a_crash(monkeypatch):
    monkeypatch.setattr(_servers, "RETRY_S", 0.0)
    finding = stressed(processes=ProcessesInTurn([process()], []), successful=10, failed=90)
    assert finding.outcome is Outcome.FAIL
    assert "no other listens in its place" in finding.reason
    assert finding.value == 0.1


def test_a_worker_that_its_master_replaced_counts_only_where_requests_failed():
    before = [process(70), process(71, root_pid=70)]
    after = [process(70), process(88, root_pid=70, started_at=1500.0)]
    assert stressed(processes=ProcessesInTurn(before, after)).outcome is Outcome.PASS
    crash = stressed(processes=ProcessesInTurn(before, after), successful=99, failed=1)
    assert crash.outcome is Outcome.FAIL
    assert "process 71 ended, and 1\u00a0request failed" in crash.reason


def test_elsewhere_the_instance_id_tells():
    nowhere = {"processes": ProcessesInTurn([])}
    target = a_target(health=NAMED)
    looks = _servers.LOOKS
    same = driven(reporting(), http=health("a"), **nowhere)
    assert "The same instance answers" in measure(stress, target, same).reason
    other = driven(reporting(), http=health(*["a"] * looks, "b"), **nowhere)
    finding = measure(stress, target, other)
    assert finding.outcome is Outcome.FAIL
    assert "instance a is gone, and b answers in its place" in finding.reason


def test_replicas_may_answer_in_turn():
    looks = _servers.LOOKS
    names = [*("a" if look % 2 else "b" for look in range(looks)), "b", "c"]
    instruments = driven(reporting(), http=health(*names), processes=ProcessesInTurn([]))
    assert measure(stress, a_target(health=NAMED), instruments).outcome is Outcome.PASS


def test_where_a_restart_cannot_be_seen_it_says_so():
    finding = stressed(processes=ProcessesInTurn([]))
    assert finding.outcome is Outcome.PASS
    assert "a restart could not be seen" in finding.reason


def test_a_service_that_no_longer_answers_hangs(monkeypatch):
    monkeypatch.setattr(_servers, "RETRY_S", 0.01)
    monkeypatch.setattr(stress, "ANSWERS_WITHIN_S", 0.05)
    finding = stressed(answers=(True, False), successful=90, failed=10)
    assert finding.outcome is Outcome.FAIL
    assert "still answers no question" in finding.reason
    assert finding.follows_from is None


def test_what_was_broken_before_follows_from_the_primary_route():
    finding = stressed(answers=(False,), successful=0, failed=100, mean_ms=None)
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_driver_that_could_not_keep_up_is_not_blamed_on_the_service():
    invalid = {"validity": "invalid", "validity_reasons": ("The driver was late.",)}
    assert stressed(**invalid).outcome is Outcome.NOT_ASSESSED
    crash = stressed(processes=ProcessesInTurn([process()], [process(90)]), **invalid)
    assert crash.outcome is Outcome.FAIL


def test_half_a_scenario_is_not_judged():
    finding = stressed(partial="worker 2 was lost after 3 s")
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "worker 2 was lost after 3 s." in finding.reason


def test_without_a_question_it_names_what_to_add():
    with pytest.raises(InstrumentFailure) as caught:
        gather(stress, a_target(ask=None, stream=None), driven(reporting()))
    assert caught.value.missing == "ask"
