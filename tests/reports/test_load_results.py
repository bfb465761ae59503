"""The load results in the brief's format."""

import json

from hypothesis import HealthCheck, given, settings

from app.reports.load_results import render
from tests import records
from tests.reports.strategies import snapshots

RESULT_KEYS = [
    "scenario",
    "total_requests",
    "successful",
    "failed",
    "success_rate",
    "cached_responses",
    "cache_hit_rate",
    "total_time_seconds",
    "requests_per_second",
    "avg_latency_ms",
    "median_latency_ms",
    "p95_latency_ms",
    "p99_latency_ms",
    "min_latency_ms",
    "max_latency_ms",
    "errors",
]


def test_the_keys_are_exactly_those_of_the_brief():
    document = json.loads(render(records.mended()))
    assert list(document) == ["timestamp", "test_results", "summary"]
    assert [list(result) for result in document["test_results"]] == [RESULT_KEYS] * 4
    assert document["summary"] == {
        "total_scenarios": 4,
        "scenarios_passed": 4,
        "average_cache_hit_rate": 200 / 240,
    }
    assert document["timestamp"].startswith("2026-11-20T")


def test_a_scenario_that_was_never_answered_has_null_latencies_and_no_hit_rate():
    document = json.loads(render(records.as_found()))
    assert [result["p95_latency_ms"] for result in document["test_results"]] == [None] * 4
    assert document["test_results"][0]["errors"] == ["status: 500 Internal Server Error"]
    assert document["summary"] == {
        "total_scenarios": 4,
        "scenarios_passed": 0,
        "average_cache_hit_rate": None,
    }


def test_a_run_without_load_says_so():
    summary = json.loads(render(records.interrupted()))["summary"]
    assert summary == {"total_scenarios": 0, "scenarios_passed": 0, "average_cache_hit_rate": None}


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_any_run_gives_strict_json(snapshot):
    document = json.loads(
        render(snapshot), parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name))
    )
    assert document["summary"]["total_scenarios"] == len(snapshot.load_results)
