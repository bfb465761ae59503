"""Rules that the corpus calls dead stay so in a storm: whatever is told, they never fire, or always do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.instruments.prometheus_servers import needs_prometheus
from tests.rules import corpus
from tests.rules.corpus import Truth
from tests.rules.exporters import STATES
from tests.rules.world import World, world

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600), needs_prometheus]
STORM_S = 60
SELF = '{job="prometheus"}'
CONSTANTS = [truth for truth in corpus.corpus() if truth.verdict in {"constant", "dead_selector"}]


def test_what_never_fires_and_what_always_does_is_so_in_a_storm(tmp_path: Path) -> None:
    with world("storm", tmp_path) as storm:
        storm.prometheus.until_found(
            f"time() - process_start_time_seconds{SELF} > {STORM_S + 20}", timeout_s=300
        )
        wrong = [fault for truth in CONSTANTS for fault in _departures(truth, storm)]
    print(f"{len(CONSTANTS)} dead rules, {STORM_S} s of a storm: {len(wrong)} moved")
    assert not wrong, "\n".join(wrong)


def _departures(truth: Truth, storm: World) -> list[str]:
    moments = _moments(truth.expression, storm)
    if not truth.returns and moments:
        return [f"{truth.where}: it returned something at {moments} moments"]
    if len(truth.returns) == len(STATES) and moments < STORM_S - 5:
        return [f"{truth.where}: it returned something at {moments} moments only"]
    return []


def _moments(expression: str, storm: World) -> int:
    """At how many of the last seconds ``expression`` returned something."""
    [now] = storm.prometheus.query("vector(time())")
    at = float(now["value"][1])
    reply: dict[str, Any] = storm.prometheus.get(
        "/api/v1/query_range", query=expression, start=str(at - STORM_S + 3), end=str(at), step="1"
    )
    return len({moment for series in reply["data"]["result"] for moment, _ in series["values"]})
