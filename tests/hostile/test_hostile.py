"""A few of the misbehaviours against every check; all of them are tests/proofs/test_hostile_matrix.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tests.hostile.behaviours  # noqa: F401 - registers them
from app import paths
from tests.hostile.cell import checks_to_try
from tests.hostile.visits import BEHAVIOURS

pytestmark = pytest.mark.timeout(600)  # half a minute where nothing else runs

# Words that are not to be printed, bytes that break off, and a Redis that never ends a reply.
FEW = (
    "is_well",
    "fills_every_field_with_control_characters",
    "resets_within_its_body",
    "redis_sends_an_endless_bulk",
)


def matrix(folder: Path, *options: str) -> list[dict[str, object]]:
    """The rows, from a process of its own: it forks, which one with threads must not."""
    file = folder / "rows.json"
    command = [sys.executable, "-m", "tests.hostile", "--json", str(file), *options]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert file.exists(), done.stdout + done.stderr
    rows: list[dict[str, object]] = json.loads(file.read_text())
    return rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return matrix(tmp_path_factory.mktemp("hostile"), "--only", ",".join(FEW), "--together", "10")


@pytest.mark.parametrize("behaviour", FEW)
def test_every_check_ends_in_a_finding_in_time_and_bounded(rows, behaviour):
    faults = {row["check"]: row["faults"] for row in rows if row["behaviour"] == behaviour and row["faults"]}
    assert faults == {}


def test_every_check_was_tried_against_the_service_that_is_well_and_reached_it(rows):
    """Else the matrix would prove nothing: the plain service must take a check to the end of its work."""
    outcomes = {row["check"]: row["outcome"] for row in rows if row["behaviour"] == "is_well"}
    assert set(outcomes) == set(checks_to_try())
    for check in ("endpoint_health.primary_route", "endpoint_health.liveness", "endpoint_health.bad_input"):
        assert outcomes[check] == "pass"
    for check in ("cache.hit_rate", "cache.reachable", "cache.outage_fallback"):
        assert outcomes[check] in ("pass", "warn", "fail")


def test_there_is_a_misbehaviour_for_every_door():
    assert len(BEHAVIOURS) > 150
    doors = {behaviour.part for behaviour in BEHAVIOURS.values()}
    assert doors >= {"target", "accept", "tls", "ask", "stream", "health", "openapi", "metrics"}
    assert doors >= {"redis", "meter", "lever"}
