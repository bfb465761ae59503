"""endpoint_health.single_server against scripted replies and a scripted process table."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate

import pytest

from checks.contract import Failure, FailureKind, Outcome, ProcessFact, Reply
from checks.endpoint_health import single_server
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedProcesses,
    a_target,
    gather,
    judge,
)

HEALTH = ("GET", "/health")
INSTANCE = {"liveness": "/health", "instance": {"json": "instance", "present": True}}
OURS = ProcessFact(10, 10, 1000.0, "python -m chat chat.json", (1,))
OLDER = ProcessFact(20, 20, 400.0, "python -m chat chat.json", (7777,))


def reply(instance: str = "a", **headers: str) -> Reply:
    body = json.dumps({"status": "ok", "instance": instance}).encode()
    return Reply("http://127.0.0.1:1/health", 200, headers, body)


def measured(*replies, trees=(OURS,), others=(), elsewhere=None, target=None, **options):
    script = {HEALTH: replies, ("GET", "http://127.0.0.1:7777/health"): elsewhere or Reply("", None)}
    processes = ScriptedProcesses({1: trees}, {fact.pid: others for fact in trees})
    instruments = ScriptedInstruments(http=ScriptedHttp(script), processes=processes)
    target = target or a_target(health=INSTANCE)
    return judge(single_server, gather(single_server, target, instruments), target, **options)


def test_one_instance_and_one_tree_pass():
    finding = measured(reply())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert "50 new connections saw one instance" in finding.reason


def test_two_instances_behind_one_address_are_counted():
    finding = measured(*[reply("new"), reply("old")] * 30)
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 2
    assert "new (25)" in finding.reason
    assert "old (25)" in finding.reason


def test_a_declared_rolling_deploy_warns():
    target = a_target(health=INSTANCE | {"rolling_deploy": True})
    assert measured(reply("new"), reply("old"), target=target).outcome is Outcome.WARN


@pytest.mark.parametrize(("apart_s", "outcome"), [(5.0, Outcome.PASS), (5.1, Outcome.FAIL)])
def test_trees_on_one_port_are_one_deployment_if_they_began_together(apart_s, outcome):
    second = ProcessFact(11, 11, OURS.started_at + apart_s, OURS.command, (1,))
    assert measured(reply(), trees=(OURS, second)).outcome is outcome


def test_workers_of_one_master_are_one_tree():
    worker = ProcessFact(11, 10, OURS.started_at + 600, OURS.command, (1,))
    assert measured(reply(), trees=(OURS, worker)).outcome is Outcome.PASS


def test_an_older_instance_of_the_same_program_elsewhere_is_named():
    finding = measured(reply("new"), others=(OLDER,), elsewhere=reply("old"))
    assert finding.outcome is Outcome.FAIL
    assert "port 7777: process 20, instance old" in finding.reason


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (replace(OLDER, started_at=2000.0), reply("newer")),
        (OLDER, reply("new")),
        (OLDER, Reply("", 200, {}, b'{"status": "ok"}')),
        (OLDER, Reply("", 200, {}, b"OK")),
        (OLDER, Reply("", 404, {}, reply("old").body)),
        (OLDER, Reply("", None, failure=Failure(FailureKind.REFUSED, "refused"))),
    ],
    ids=["started later", "the same build", "another shape", "a bare word", "no such route", "refused"],
)
def test_the_same_command_line_alone_proves_nothing(other, answer):
    assert measured(reply("new"), others=(other,), elsewhere=answer).outcome is Outcome.PASS


def test_without_a_marker_a_usual_name_is_read():
    target = a_target(health={"liveness": "/health"})
    bodies = [Reply("", 200, {}, json.dumps({"version": version}).encode()) for version in ("1.0", "1.1")]
    assert measured(bodies[0], target=target).outcome is Outcome.PASS
    assert measured(*bodies * 25, target=target).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("bodies", "outcome"),
    [
        ([{"pid": 1}, {"pid": 2}], Outcome.PASS),
        ([{"build": "7", "hostname": "a"}, {"build": "7", "hostname": "b"}], Outcome.PASS),
        ([{"build": "7", "hostname": "a"}, {"build": "6", "hostname": "a"}], Outcome.FAIL),
        ([{"hostname": "a"}, {"hostname": "b"}], Outcome.FAIL),
    ],
    ids=["workers", "replicas of one build", "an older build", "who knows"],
)
def test_a_guessed_name_is_the_build_before_the_replica_and_never_a_worker(bodies, outcome):
    target = a_target(health={"liveness": "/health"})
    replies = [Reply("", 200, {}, json.dumps(body).encode()) for body in bodies]
    assert measured(*replies * 25, target=target).outcome is outcome


def test_without_any_name_header_and_clock_are_compared():
    target = a_target(health={"liveness": "/health"})
    now = [Reply("", 200, {"server": "x", "date": formatdate(1_000_000_000, usegmt=True)}, b"ok")]
    late = [Reply("", 200, {"server": "x", "date": formatdate(1_000_000_060, usegmt=True)}, b"ok")]
    other = [Reply("", 200, {"server": "y"}, b"ok")]
    assert measured(*now, target=target).outcome is Outcome.PASS
    assert "clocks differ" in measured(*(now + late) * 25, target=target).reason
    assert "2 kinds of server" in measured(*(now + other) * 25, target=target).reason


def test_a_target_elsewhere_is_judged_by_its_replies():
    finding = measured(reply(), trees=())
    assert finding.outcome is Outcome.PASS
    assert "process" not in finding.reason


@pytest.mark.parametrize(("answered", "outcome"), [(25, Outcome.PASS), (24, Outcome.NOT_ASSESSED)])
def test_too_few_replies_say_nothing(answered, outcome):
    refused = Reply("", None, failure=Failure(FailureKind.REFUSED, "connection refused"))
    finding = measured(*[reply()] * answered, refused)
    assert finding.outcome is outcome
    if outcome is Outcome.NOT_ASSESSED:
        assert finding.follows_from == "endpoint_health.liveness"
        assert "connection refused" in finding.reason


def test_a_slow_service_is_not_asked_until_the_check_runs_out_of_time(monkeypatch):
    monkeypatch.setattr(single_server, "PATIENCE_S", -1.0)
    finding = measured(reply())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "would take too long" in finding.reason


def test_a_service_that_is_down_is_not_asked_fifty_times():
    http = ScriptedHttp({HEALTH: Reply("", None, failure=Failure(FailureKind.TIMEOUT, "no reply"))})
    gather(single_server, a_target(), ScriptedInstruments(http=http, processes=ScriptedProcesses({})))
    assert len(http.sent) == single_server.GIVE_UP
