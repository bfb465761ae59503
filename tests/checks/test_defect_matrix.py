"""The defect matrix: with each defect, exactly the checks that should notice it change outcome.

Three things keep it affordable. Scenarios are short and the paid model answers four times faster than a real
one. Defects that one check each notices, and each another one, are switched on together. And a defect that
no load check should notice is tried without the longer load scenarios. The proof (`make prove`) does none of
this: every defect alone, every check, the quick profile, the model's own pace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from app import profiles
from app.sample.defects import AS_FOUND, DEFECTS
from checks import all_checks
from checks.contract import Outcome
from tests.checks.sample import BRIEF, Sample

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]
PROVE = bool(os.environ.get("GREENLIGHT_PROVE"))
PROFILE = profiles.named("quick") if PROVE else BRIEF
LOAD = "load_scenarios"
SHORT_LOADS = {f"{LOAD}.{name}" for name in ("baseline", "light", "medium", "heavy")}
AT_ONCE = 4
# Load defects that neither change what the others' checks see nor last longer than their own.
TOGETHER = (
    ("crash_at_50_users", "memory_hungry", "metrics_undercount"),
    ("collapse_past_peak", "memory_leak"),
)


def groups() -> list[tuple[str, ...]]:
    """The defects that are tried at once; in the proof each alone."""
    if PROVE:
        return [(name,) for name in DEFECTS]
    rows: list[list[str]] = []
    alone = [name for name, defect in DEFECTS.items() if len(defect.notices) > 1 or defect.group == LOAD]
    for name in (name for name in DEFECTS if name not in alone):
        [check] = DEFECTS[name].notices
        free = (
            row
            for row in rows
            if len(row) < AT_ONCE and all(DEFECTS[other].notices != (check,) for other in row)
        )
        row = next(free, None)
        if row is None:
            rows.append(row := [])
        row.append(name)
    taken = {name for group in TOGETHER for name in group}
    return [*map(tuple, rows), *TOGETHER, *((name,) for name in alone if name not in taken)]


def checks_for(expected: set[str]) -> list[str]:
    """The checks to carry out where ``expected`` are to notice something."""
    longer = PROVE or not expected or any(check.startswith(LOAD) for check in expected - SHORT_LOADS)
    return [check for check in all_checks() if longer or not check.startswith(LOAD) or check in SHORT_LOADS]


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
        measured = sample.with_defects(*defects).assess(PROFILE, checks_for(expected))
        bad = [item for item in measured if item.finding.outcome is not Outcome.PASS]
        found = {item.check.id: item.finding.reason for item in bad}
        if set(found) == expected:
            break
    return found


def test_the_healthy_sample_passes_every_check(sample: Sample) -> None:
    assert changed(sample, expected=set()) == {}


@pytest.mark.parametrize("defects", groups(), ids="+".join)
def test_defects_move_exactly_the_checks_that_should_notice_them(
    sample: Sample, defects: tuple[str, ...]
) -> None:
    expected = {check for name in defects for check in DEFECTS[name].notices}
    found = changed(sample, *defects, expected=expected)
    assert set(found) == expected, found


def test_every_defect_is_tried() -> None:
    assert sorted(name for group in groups() for name in group) == sorted(DEFECTS)


def test_as_found_is_noticed_by_the_checks_of_its_defects(sample: Sample) -> None:
    expected = {check for name in AS_FOUND for check in DEFECTS[name].notices}
    found = changed(sample, *AS_FOUND, expected=expected)
    assert set(found) == expected, found
    assert "/api/v1/chat/stream" in found["endpoint_health.primary_route"]
    assert "never touched its cache" in found["cache.hit_rate"]
    assert "stock" in found["error_recovery.compensation"]
