"""The defect matrix: with each defect alone, exactly the checks that should notice it change outcome.

Short scenarios and a paid model that answers four times faster than a real one keep it affordable; the proof
(`make prove`) runs it at the quick profile and the model's own pace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from app import profiles
from app.sample.defects import AS_FOUND, DEFECTS
from checks.contract import Outcome
from tests.checks.sample import BRIEF, Sample

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]
PROVE = bool(os.environ.get("GREENLIGHT_PROVE"))
PROFILE = profiles.named("quick") if PROVE else BRIEF


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A sample whose paid model takes its real time in the proof, and a quarter of it otherwise."""
    running = Sample.start(tmp_path_factory.mktemp("sample"), model_speed=1 if PROVE else 4)
    yield running
    running.stop()


def changed(sample: Sample, *defects: str, expected: set[str]) -> dict[str, str]:
    """The checks that do not pass with these defects, each with its reason.

    Measured once more where they are not as expected: other tests share the two cores, and a stall of the
    machine is no finding. The proof allows no second look.
    """
    found = {}
    for _ in range(1 if PROVE else 2):
        measured = sample.with_defects(*defects).assess(PROFILE)
        bad = [item for item in measured if item.finding.outcome is not Outcome.PASS]
        found = {item.check.id: item.finding.reason for item in bad}
        if set(found) == expected:
            break
    return found


def test_the_healthy_sample_passes_every_check(sample: Sample) -> None:
    assert changed(sample, expected=set()) == {}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_moves_exactly_the_checks_that_should_notice_it(sample: Sample, defect: str) -> None:
    expected = set(DEFECTS[defect].notices)
    found = changed(sample, defect, expected=expected)
    assert set(found) == expected, found


def test_as_found_is_noticed_by_the_checks_of_its_defects(sample: Sample) -> None:
    expected = {check for name in AS_FOUND for check in DEFECTS[name].notices}
    found = changed(sample, *AS_FOUND, expected=expected)
    assert set(found) == expected, found
    assert "/api/v1/chat/stream" in found["endpoint_health.primary_route"]
    assert "never touched its cache" in found["cache.hit_rate"]
    assert "stock" in found["error_recovery.compensation"]
