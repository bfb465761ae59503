"""Whole assessments through the command line: the sample as found, a bare URL, a service of another style."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from app.sample import stack
from app.sample.defects import AS_FOUND

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(700)]  # mostly waiting
Greenlight = Callable[..., "CompletedProcess[str]"]


def findings(result: CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_the_sample_as_found_is_not_ready_and_says_why(greenlight: Greenlight, sample_stack) -> None:
    state = sample_stack(*AS_FOUND, model_speed=4)
    variables = stack.environment(state)
    result = greenlight("assess", str(state.target_file), "--json", "-", **variables)
    found = findings(result)
    document = json.loads(result.stdout)
    assert document["verdict"] == "NOT READY"
    assert "endpoint_health.primary_route" in document["capped_by"]
    assert "/api/v1/chat/stream" in found["endpoint_health.primary_route"]["reason"]
    assert 'path = "/api/v1/chat/stream"' in found["endpoint_health.primary_route"]["fix"]
    assert "never touched its cache" in found["cache.hit_rate"]["reason"]
    assert "stock" in found["error_recovery.compensation"]["reason"]
    assert found["endpoint_health.single_server"]["outcome"] == "fail"
    assert found["load_scenarios.heavy"]["follows_from"] == "endpoint_health.primary_route"
    assert variables[stack.TOKEN_NAME] not in result.stdout + result.stderr


def test_a_bare_url_is_assessed_as_far_as_it_can_be_discovered_and_names_what_to_add(
    greenlight: Greenlight, sample_stack
) -> None:
    state = sample_stack(model_speed=4)
    found = findings(greenlight("assess", state.url, "--json", "-", "--skip", "load_scenarios.*"))
    for check in ("endpoint_health.primary_route", "endpoint_health.stream_first_token", "cache.speedup"):
        assert found[check]["outcome"] == "pass", found[check]["reason"]
    for check, key in (
        ("cache.reachable", "[redis] url"),
        ("cache.cost_saving", "[upstream] calls"),
        ("error_recovery.compensation", "[transaction]"),
    ):
        assert found[check]["outcome"] == "not_assessed"
        assert key in found[check]["reason"]


def test_what_is_discovered_is_a_target_file_that_can_be_assessed(
    greenlight: Greenlight, sample_stack, data
) -> None:
    state = sample_stack(model_speed=4)
    assert greenlight("discover", state.url, "-o", str(data / "targets" / "found.toml")).returncode == 0
    found = findings(greenlight("assess", "found", "--only", "endpoint_health.*", "--json", "-"))
    outcomes = {name: item["outcome"] for name, item in found.items() if name.startswith("endpoint_health")}
    assert not {"fail", "error"} & set(outcomes.values()), outcomes
    for check in ("liveness", "readiness", "primary_route", "bad_input", "stream_first_token"):
        assert outcomes[f"endpoint_health.{check}"] == "pass", outcomes
