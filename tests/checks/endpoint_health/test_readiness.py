"""endpoint_health.readiness against scripted replies."""

from __future__ import annotations

import json

import pytest

from checks.contract import Failure, FailureKind, Outcome, Reply
from checks.endpoint_health import readiness
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedUpstream,
    a_target,
    gather,
    measure,
)

READY = {"status": "ready", "dependencies": {"model": "up", "cache": "standby"}}
ALIVE = {"status": "healthy"}
DECLARED = {"liveness": "/health", "readiness": "/ready"}


def reply(body: object = READY, status: int | None = 200, ms: float = 5.0, **fields) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply("http://127.0.0.1:1/ready", status, {}, text.encode(), elapsed_ms=ms, **fields)


def measured(ready: Reply, alive: object = ALIVE, health=None, **given):
    http = ScriptedHttp({("GET", "/ready"): ready, ("GET", "/health"): reply(alive)})
    target = a_target(health=DECLARED if health is None else health)
    return measure(readiness, target, ScriptedInstruments(http=http, **given))


def test_a_route_of_its_own_that_names_its_dependencies_passes():
    finding = measured(reply())
    assert finding.outcome is Outcome.PASS
    assert "cache, model" in finding.reason
    assert finding.reproduce == "curl -sS -i -X GET http://127.0.0.1:1/ready"


def test_one_that_is_not_declared_is_found_at_a_usual_place():
    finding = measured(reply(), health={"liveness": "/health"})
    assert finding.outcome is Outcome.PASS
    assert "/ready" in finding.reason


@pytest.mark.parametrize(
    "body",
    [
        {"status": "UP", "components": {"db": {"status": "UP"}}},
        {"status": "ok", "checks": [{"name": "db", "status": "UP"}]},
        {"ready": True, "database": True},
        {"database": "ok", "redis": "ok"},
        {"status": "pass", "checks": {"db:time": [{"status": "pass"}]}},
        "[+]ping ok\n[+]etcd ok\nreadyz check passed\n",
    ],
    ids=str,
)
def test_dependencies_are_read_in_the_usual_forms(body):
    assert measured(reply(body)).outcome is Outcome.PASS


def test_a_name_is_no_dependency_of_its_own():
    finding = measured(reply({"ready": True, "checks": [{"name": "disk", "ok": True}]}))
    assert "names 1\xa0dependency: disk." in finding.reason


@pytest.mark.parametrize(("ms", "outcome"), [(1000.0, Outcome.PASS), (1000.1, Outcome.WARN)])
def test_on_the_limit_is_within_it(ms, outcome):
    assert measured(reply(ms=ms)).outcome is outcome


@pytest.mark.parametrize("body", ["ok", "", {"status": "ready"}, {"ready": True}, "[" * 100_000], ids=str)
def test_one_that_names_no_dependency_is_a_warning(body):
    finding = measured(reply(body))
    assert finding.outcome is Outcome.WARN
    assert "names no dependency" in finding.reason


@pytest.mark.parametrize("place", ["/health", "/health/", "http://127.0.0.1:1/health"])
def test_the_same_url_as_liveness_is_a_warning(place):
    http = ScriptedHttp({("GET", url): reply() for url in ("/health", "/health/", place)})
    target = a_target(health={"liveness": "/health", "readiness": place})
    finding = measure(readiness, target, ScriptedInstruments(http=http))
    assert finding.outcome is Outcome.WARN
    assert "same route" in finding.reason


def test_an_alias_of_liveness_is_a_warning_whatever_its_clock_says():
    finding = measured(reply({**READY, "uptime": 12}), alive={**READY, "uptime": 11})
    assert finding.outcome is Outcome.WARN
    assert "word for word" in finding.reason


@pytest.mark.parametrize("status", [503, 500, 404])
def test_a_declared_route_that_is_not_2xx_fails(status):
    finding = measured(reply(status=status))
    assert finding.outcome is Outcome.FAIL
    assert str(status) in finding.reason


def test_no_reply_of_a_declared_route_fails():
    finding = measured(reply("", status=None, failure=Failure(FailureKind.TIMEOUT, "no reply within 5 s")))
    assert finding.outcome is Outcome.FAIL
    assert "gives no reply" in finding.reason


def test_a_dependency_that_is_down_contradicts_a_reply_that_says_ready():
    finding = measured(reply({"status": "ready", "dependencies": {"model": "down"}}))
    assert finding.outcome is Outcome.FAIL
    assert '"down" at `dependencies.model`' in finding.reason


def test_none_anywhere_fails_and_names_the_places():
    finding = measured(reply(status=404), health={"liveness": "/health"})
    assert finding.outcome is Outcome.FAIL
    assert "/readyz" in finding.reason
    assert "`[health] readiness`" in finding.fix


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (reply(status=401), "health.headers"),
        (reply(status=302, failure=Failure(FailureKind.REDIRECT, "off target")), "health.readiness"),
        (reply(status=429), "health.readiness"),
    ],
    ids=["401", "redirect", "429"],
)
def test_a_credential_a_redirect_or_a_rate_limit_proves_nothing(answer, missing, monkeypatch):
    monkeypatch.setattr("checks.endpoint_health._pacing.WAITS_S", ())
    finding = measured(answer)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == missing


class AnswersAll(ScriptedHttp):
    async def send(self, request, **how):
        return reply("{}", 200)


def test_a_service_that_answers_any_path_proves_nothing():
    instruments = ScriptedInstruments(http=AnswersAll({}))
    finding = measure(readiness, a_target(health={"liveness": "/health"}), instruments)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "health.readiness"


class Silent(ScriptedHttp):
    async def send(self, request, **how):
        return reply("", None, failure=Failure(FailureKind.REFUSED, "refused"))


def test_a_service_that_is_down_follows_from_liveness():
    finding = measure(readiness, a_target(health={}), ScriptedInstruments(http=Silent({})))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.liveness"


def test_a_route_that_pays_upstream_is_a_warning():
    calls = iter([10.0, 15.0])
    finding = measured(reply(), upstream=ScriptedUpstream(lambda: next(calls)))
    assert finding.outcome is Outcome.WARN
    assert "5 paid upstream calls" in finding.reason


def test_hostile_names_are_bounded_and_printable():
    body = {"status": "ready", "dependencies": {f"\x1b[31m{n}" * 50: "up" for n in range(500)}}
    http = ScriptedHttp({("GET", "/ready"): reply(body)})
    found = gather(readiness, a_target(health=DECLARED), ScriptedInstruments(http=http))
    assert len(found.names) <= readiness.MAX_NAMES
    assert all(name.isprintable() and len(name) < 500 for name in found.names)
