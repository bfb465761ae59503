"""Never-seen questions against a scripted load driver."""

from __future__ import annotations

import pytest

from checks.contract import Outcome
from checks.load_scenarios import cache_hostile
from tests.checks.load_scenarios.summaries import driven
from tests.checks.scripted import ScriptedLoad, a_summary, a_target, gather, measure

SERVER_ERROR = {"failures": {"status": 5}, "failure_examples": {"status": "HTTP 500; the body begins 'oops'"}}
REFUSED = {
    "failures": {"status": 5},
    "failure_examples": {"status": "HTTP 429, the service is rate limiting"},
}


def driven_with(objectives=None, **changes):
    changes = {"cached": 0, **changes}
    instruments = driven(ScriptedLoad(lambda plan: a_summary(plan, **changes)))
    return measure(cache_hostile, a_target(objectives=objectives or {}), instruments)


def test_every_question_is_new():
    instruments = driven(ScriptedLoad(a_summary))
    gather(cache_hostile, a_target(), instruments)
    [plan] = instruments.load.plans
    assert (plan.fresh_share, list(plan.prompts), plan.users, plan.model) == (1, [], 5, "closed")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"successful": 95, "failed": 5}, Outcome.PASS),
        ({"successful": 94, "failed": 6}, Outcome.WARN),
        ({"successful": 49, "failed": 51}, Outcome.FAIL),
        ({"mean_ms": 5000.0}, Outcome.PASS),
        ({"mean_ms": 5001.0}, Outcome.WARN),
        ({"mean_ms": 30_001.0}, Outcome.FAIL),
        ({"successful": 94, "failed": 6, **REFUSED}, Outcome.WARN),
        ({"successful": 94, "failed": 6, **SERVER_ERROR}, Outcome.FAIL),
        ({"successful": 95, "failed": 5, **SERVER_ERROR}, Outcome.FAIL),
        ({"successful": 99, "failed": 1, **SERVER_ERROR}, Outcome.PASS),
    ],
)
def test_objectives_pass_slowness_warns_server_errors_and_collapse_fail(changes, outcome):
    assert driven_with(**changes).outcome is outcome


def test_the_targets_objectives_win():
    assert driven_with({"mean_latency_ms": 30}, mean_ms=40.0).outcome is Outcome.WARN
    assert driven_with({"success_ratio": 0.9}, successful=91, failed=9).outcome is Outcome.PASS


def test_a_server_error_is_shown_and_follows_from_the_primary_route():
    finding = driven_with(successful=90, failed=10, **SERVER_ERROR)
    assert "HTTP 500" in finding.reason
    assert finding.share == 0
    assert finding.follows_from == "endpoint_health.primary_route"


def test_hits_on_questions_that_nobody_asked_are_told():
    assert "20\u00a0% were marked as cached although" in driven_with(cached=20).reason


def test_what_could_not_be_driven_is_not_assessed():
    assert driven_with(validity="invalid").outcome is Outcome.NOT_ASSESSED
    assert driven_with(partial="Stopped early.").outcome is Outcome.NOT_ASSESSED
    assert driven_with(total_requests=0, successful=0).outcome is Outcome.NOT_ASSESSED


def test_a_suspect_measurement_says_so():
    assert "suspect: Few." in driven_with(validity="suspect", validity_reasons=("Few.",)).reason


def test_it_can_be_driven_by_hand():
    assert "python -m app load service --users 5" in driven_with().reproduce
