"""The defect matrix: with each defect, exactly the checks that should notice it change outcome.

Four things keep it affordable. Scenarios are short and the paid model answers four times faster than a real
one. A defect is tried on the checks of its own family; those of the others are tried with many defects at
once that they should not notice. Defects that one check each notices, and each another one, are switched on
together. And scenarios and outages, which take most of the time, are left out where none should notice. The
proof (`make prove`) does none of this: every defect alone, every check, the quick profile, the model's own
pace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

import pytest

from app import profiles, rubric
from app.sample.defects import AS_FOUND, DEFECTS
from checks import all_checks
from checks.contract import Kind, Outcome
from tests.checks.sample import BRIEF, Sample

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(900)]
PROVE = bool(os.environ.get("GREENLIGHT_PROVE"))
PROFILE = profiles.named("quick") if PROVE else BRIEF
LOAD = "load_scenarios"
SHORT_LOADS = {f"{LOAD}.{name}" for name in ("baseline", "light", "medium", "heavy")}
AT_ONCE = 4
MANY = 12
LOOKS = 3
# Half of the first has no defect, the second is hidden by another way of sharing, and the others leave a
# service behind that no longer notices an outage.
BY_ITSELF = (
    "stale_server",
    "cache_shares_across_users",
    "cache_never_reconnects",
    "cache_given_up_in_silence",
)
# Load defects that neither change what the others' checks see nor last longer than their own.
TOGETHER = (
    ("crash_at_50_users", "memory_hungry", "metrics_undercount"),
    ("collapse_past_peak", "memory_leak"),
)


@cache
def tried() -> set[str]:
    """The checks of the matrix: an extra without points needs experiments, of which the sample has none."""
    return {name for name, entry in rubric.load().checks.items() if entry.points}


@cache
def slow_ones() -> set[str]:
    """The checks that load the service or break something."""
    return {name for name, check in all_checks().items() if check.about.kind in (Kind.LOAD, Kind.FAULT)}


@cache
def inside(*families: str) -> set[str]:
    """The checks of these families."""
    return {name for name in tried() if name.partition(".")[0] in families}


def checks_for(*defects: str) -> set[str]:
    """The checks to carry out for these defects: all in the proof and for a healthy sample."""
    if PROVE or not defects:
        return tried()
    own = inside(*{DEFECTS[name].group for name in defects})
    should = {check for name in defects for check in DEFECTS[name].notices}
    if all(DEFECTS[name].group == LOAD for name in defects):
        return own | should
    found = own - slow_ones() | should
    if should & inside(LOAD):
        found |= SHORT_LOADS
    return found | own if should & own & slow_ones() else found


def noticed(*defects: str) -> set[str]:
    """The checks that should notice these defects, of those that are carried out."""
    return {check for name in defects for check in DEFECTS[name].notices} & checks_for(*defects)


def groups() -> list[tuple[str, ...]]:
    """The defects that are tried at once; in the proof each alone."""
    if PROVE:
        return [(name,) for name in DEFECTS]
    rows: list[list[str]] = []
    alone = [
        name for name in DEFECTS if len(noticed(name)) > 1 or DEFECTS[name].group == LOAD or name in BY_ITSELF
    ]
    for name in (name for name in DEFECTS if name not in alone):
        alike = (row for row in rows if checks_for(*row) == checks_for(name))
        free = (row for row in alike if len(row) < AT_ONCE and not noticed(name) & noticed(*row))
        row = next(free, None)
        if row is None:
            rows.append(row := [])
        row.append(name)
    taken = {name for group in TOGETHER for name in group}
    return [*map(tuple, rows), *TOGETHER, *((name,) for name in alone if name not in taken)]


def unnoticed_elsewhere() -> list[tuple[str, ...]]:
    """Many defects of one family at once, none of which should be noticed outside of it."""
    found = []
    for family in {} if PROVE else dict.fromkeys(defect.group for defect in DEFECTS.values()):
        shy = [
            name
            for name, defect in DEFECTS.items()
            if defect.group == family and set(defect.notices) <= inside(family) and name not in BY_ITSELF
        ]
        found += [tuple(shy[place : place + MANY]) for place in range(0, len(shy), MANY)]
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A sample whose paid model takes its real time in the proof, and a quarter of it otherwise."""
    running = Sample.start(tmp_path_factory.mktemp("sample"), model_speed=1 if PROVE else 4)
    yield running
    running.stop()


def changed(sample: Sample, *defects: str, only: set[str] | None = None) -> dict[str, str]:
    """The checks, all or ``only`` some, that do not pass with these defects, each with its reason.

    Measured again where they are not as expected: other tests share the two cores, and a stall of the
    machine is no finding. The proof allows no second look.
    """
    found = {}
    only = checks_for(*defects) if only is None else only
    expected = noticed(*defects) & only
    for look in range(1 if PROVE else LOOKS):
        if look:
            sample.with_defects()  # so that the service is started anew: some have given up for good
        measured = sample.with_defects(*defects).assess(PROFILE, only)
        bad = [item for item in measured if item.finding.outcome is not Outcome.PASS]
        found = {item.check.id: item.finding.reason for item in bad}
        if set(found) == expected:
            break
    return found


def test_the_healthy_sample_passes_every_check(sample: Sample) -> None:
    assert changed(sample) == {}


@pytest.mark.parametrize("defects", groups(), ids="+".join)
def test_defects_move_exactly_the_checks_that_should_notice_them(
    sample: Sample, defects: tuple[str, ...]
) -> None:
    found = changed(sample, *defects)
    assert set(found) == noticed(*defects), found


@pytest.mark.parametrize("defects", unnoticed_elsewhere(), ids=lambda defects: DEFECTS[defects[0]].group)
def test_defects_of_a_family_move_no_check_of_another_one(sample: Sample, defects: tuple[str, ...]) -> None:
    others = tried() - inside(DEFECTS[defects[0]].group) - slow_ones()
    assert changed(sample, *defects, only=others) == {}


def test_every_defect_is_tried() -> None:
    assert sorted(name for group in groups() for name in group) == sorted(DEFECTS)


def test_as_found_is_noticed_by_the_checks_of_its_defects(sample: Sample) -> None:
    # Who watches it, and how it recovers, is tried with each of these defects alone.
    only = checks_for(*AS_FOUND) - inside("monitoring", "error_recovery") | {"error_recovery.compensation"}
    found = changed(sample, *AS_FOUND, only=only)
    assert set(found) == noticed(*AS_FOUND) & only, found
    assert "/api/v1/chat/stream" in found["endpoint_health.primary_route"]
    assert "never touched its cache" in found["cache.hit_rate"]
    assert "stock" in found["error_recovery.compensation"]
