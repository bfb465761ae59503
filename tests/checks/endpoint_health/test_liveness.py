"""endpoint_health.liveness against scripted replies."""

from __future__ import annotations

import json

import pytest

from checks.contract import Failure, FailureKind, Outcome, Reply
from checks.endpoint_health import liveness
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedUpstream,
    a_target,
    gather,
    measure,
)

PLACE = ("GET", "/health")


def reply(body: object = '{"status": "healthy"}', status: int = 200, ms: float = 5.0, **fields) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply(
        "http://127.0.0.1:1/health", status, fields.pop("headers", {}), text.encode(), elapsed_ms=ms, **fields
    )


def measured(*replies: Reply, target=None, **thresholds):
    instruments = ScriptedInstruments(http=ScriptedHttp({PLACE: replies}))
    return measure(liveness, target or a_target(), instruments, **thresholds)


def test_a_healthy_word_in_time_passes_and_quotes_the_limit():
    finding = measured(reply())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 5
    assert "limit 200" in finding.reason
    assert finding.reproduce == "curl -sS -i -X GET http://127.0.0.1:1/health"


@pytest.mark.parametrize(
    ("ms", "outcome"),
    [(200.0, Outcome.PASS), (200.1, Outcome.WARN), (1000.0, Outcome.WARN), (1000.1, Outcome.FAIL)],
)
def test_on_the_limit_is_within_it(ms, outcome):
    assert measured(reply(ms=ms)).outcome is outcome


def test_the_target_may_promise_another_time():
    target = a_target(objectives={"health_p95_ms": 20})
    assert measured(reply(ms=21), target=target).outcome is Outcome.WARN


@pytest.mark.parametrize(
    "body",
    [
        "UP",
        '"UP"',
        "OK - all fine",
        "",
        {"status": "pass"},
        {"status": "UP", "components": {"db": {"status": "UP"}}},
        {"status": "Healthy", "entries": {"db": {"status": "Healthy", "tags": ["error"]}}},
        {"healthy": True, "log_level": "error"},
        {"status": "ok", "components": {"cache": {"status": "standby", "standby": "memory"}}},
        {"uptime_s": 12},
        {"status": "ok", "error": None, "errors": [], "components": {"db": {"status": "up", "error": ""}}},
        {"status": "ok", "details": {"db": {"healthy": True, "error": "none"}}},
    ],
    ids=str,
)
def test_bodies_of_healthy_services_pass(body):
    assert measured(reply(body)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("body", "outcome", "place"),
    [
        ({"status": "degraded"}, Outcome.WARN, "`status`"),
        (
            {"status": "ok", "checks": {"db:time": [{"status": "warn"}]}},
            Outcome.WARN,
            "checks.db:time.status",
        ),
        ({"status": "ok", "components": {"db": {"status": "down"}}}, Outcome.FAIL, "components.db.status"),
        ({"status": "ok", "dependencies": {"redis": "error"}}, Outcome.FAIL, "dependencies.redis"),
        ({"status": "ok", "dependencies": {"redis": False}}, Outcome.FAIL, "dependencies.redis"),
        ({"status": "ok", "redis": "disconnected"}, Outcome.FAIL, "redis"),
        ({"status": "ok", "db": {"connection": "unreachable"}}, Outcome.FAIL, "db.connection"),
        (
            {"status": "ok", "components": {"db": {"error": "ECONNREFUSED"}}},
            Outcome.FAIL,
            "components.db.error",
        ),
        ({"status": "ok", "errors": ["stock is gone"]}, Outcome.FAIL, "stock is gone"),
        ({"status": "ok", "checks": [{"name": "db", "status": "error"}]}, Outcome.FAIL, "checks.status"),
        ({"healthy": False}, Outcome.FAIL, "healthy"),
        ("not ready", Outcome.FAIL, "not ready"),
        ({"status": "booting"}, Outcome.WARN, "booting"),
        ("<html><body>Welcome</body></html>", Outcome.FAIL, "HTML"),
    ],
    ids=str,
)
def test_a_component_that_is_ill_is_named(body, outcome, place):
    finding = measured(reply(body))
    assert finding.outcome is outcome
    assert place in finding.reason
    assert finding.fix


def test_one_ill_reply_among_many_counts():
    assert measured(*[reply()] * 7, reply({"status": "down"}), reply()).outcome is Outcome.FAIL


def test_a_declared_marker_wins_over_words():
    target = a_target(health={"liveness": "/health", "healthy": {"json": "code", "equals": 0}})
    assert measured(reply({"status": "down", "code": 0}), target=target).outcome is Outcome.PASS
    assert measured(reply({"status": "up", "code": 1}), target=target).outcome is Outcome.FAIL


@pytest.mark.parametrize("status", [500, 503, 404])
def test_a_status_that_is_not_2xx_fails(status):
    finding = measured(reply(status=status))
    assert finding.outcome is Outcome.FAIL
    assert str(status) in finding.reason


def test_no_reply_fails():
    finding = measured(reply("", status=None, failure=Failure(FailureKind.TIMEOUT, "no reply within 5 s")))
    assert finding.outcome is Outcome.FAIL
    assert "no reply within 5 s" in finding.reason


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (reply(status=401), "health.headers"),
        (reply(status=403), "health.headers"),
        (reply(status=302, failure=Failure(FailureKind.REDIRECT, "off target")), "health.liveness"),
        (Reply("http://127.0.0.1:1/login", 200, {}, b"<html>Log in</html>"), "health.liveness"),
    ],
    ids=["401", "403", "redirect", "login page"],
)
def test_a_redirect_or_a_credential_proves_nothing(answer, missing):
    finding = measured(answer)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == missing


def test_a_health_route_that_pays_upstream_is_told_and_not_repeated():
    calls = iter([10.0, 13.0])
    http = ScriptedHttp({PLACE: reply()})
    instruments = ScriptedInstruments(http=http, upstream=ScriptedUpstream(lambda: next(calls)))
    finding = measure(liveness, a_target(), instruments)
    assert finding.outcome is Outcome.WARN
    assert "3 paid upstream calls" in finding.reason
    assert len(http.sent) == liveness.METERED


def test_hostile_words_are_bounded_and_printable():
    body = {
        "status": "\x1b[31m" + "x" * 5000,
        "components": {str(n): {"status": "down\n"} for n in range(500)},
    }
    found = gather(liveness, a_target(), ScriptedInstruments(http=ScriptedHttp({PLACE: reply(body)})))
    assert len(found.words) <= 30
    assert all(word.isprintable() and len(word) < 600 for _, word in found.words)


def test_a_body_nested_beyond_reason_does_not_break_the_check():
    assert measured(reply("[" * 100_000)).outcome is Outcome.WARN
