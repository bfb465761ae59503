"""What changed between two runs."""

import pytest
from hypothesis import HealthCheck, given, settings

from app.compare import NotScoredError, compare
from app.records import ScoredFinding, Snapshot
from checks.contract.findings import Outcome
from tests.records import as_found, card, finding, interrupted, mended, run_info
from tests.reports.strategies import snapshots

HIT_RATE, SPEEDUP = "cache.hit_rate", "cache.speedup"


def run(*changed: ScoredFinding) -> Snapshot:
    scorecard = card(*changed)
    return Snapshot(run=run_info(4, scorecard), scorecard=scorecard)


def kinds(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    found = compare(before, after)
    names = ("better", "worse", "noise", "other", "added", "removed")
    return {name: [change.check for change in getattr(found, name)] for name in names if getattr(found, name)}


def test_mending_the_service_shows_what_got_better_largest_first():
    found = compare(as_found(), mended())
    assert found.score_change == 60.9
    assert [(change.check, change.points) for change in found.better[:2]] == [
        ("load_scenarios.heavy", 15.0),
        ("endpoint_health.primary_route", 7.0),
    ]
    texts = {change.check: change.text for change in found.better}
    assert texts[HIT_RATE] == "0\u00a0% to 83.6\u00a0%"
    assert texts["cache.outage_fallback"] == "Not assessed to pass"
    assert found.worse == found.noise == ()
    assert [(item.name, item.change) for item in found.categories][:2] == [
        ("performance", 8.0),
        ("reliability", 8.4),
    ]


def test_the_other_way_round_it_is_worse():
    assert next(change.check for change in compare(mended(), as_found()).worse) == "load_scenarios.heavy"
    assert compare(mended(), as_found()).score_change == -60.9


def test_a_move_within_the_intervals_is_noise():
    before, after = finding(HIT_RATE, value=0.836), finding(HIT_RATE, value=0.80, interval=(0.76, 0.84))
    assert kinds(run(before), run(after)) == {"noise": [HIT_RATE]}


def test_a_move_beyond_the_intervals_counts_even_when_no_point_moved():
    before, after = finding(SPEEDUP, value=84.0), finding(SPEEDUP, value=40.0, interval=(37.0, 43.0))
    assert kinds(run(before), run(after)) == {"worse": [SPEEDUP]}
    assert kinds(run(after), run(before)) == {"better": [SPEEDUP]}


@pytest.mark.parametrize("value", [0.41, 0.6, 0.2])
def test_without_intervals_any_move_within_the_limit_is_noise(value):
    before, after = finding("cache.reachable", value=0.4), finding("cache.reachable", value=value)
    assert kinds(run(before), run(after)) == {"noise": ["cache.reachable"]}


@pytest.mark.parametrize(("value", "kind"), [(20.5, "noise"), (30.0, "worse"), (10.0, "better")])
def test_without_intervals_a_few_percent_past_the_limit_are_noise(value, kind):
    before, after = (finding("cache.reachable", Outcome.WARN, value=one, earned=1.0) for one in (20.0, value))
    assert kinds(run(before), run(after)) == {kind: ["cache.reachable"]}


def test_points_that_move_within_the_noise_of_a_warning_are_noise():
    limits = {"interval": (3.0, 4.0)}
    before = finding(SPEEDUP, Outcome.WARN, value=3.5, earned=2.5, **limits)
    after = finding(SPEEDUP, Outcome.WARN, value=3.4, earned=2.3, **limits)
    found = compare(run(before), run(after))
    assert [round(change.points, 6) for change in found.noise] == [-0.2]


def test_a_value_without_a_limit_has_no_good_direction():
    name = "monitoring.metrics_exposed"
    assert kinds(run(finding(name, value=41.0)), run(finding(name, value=90.0))) == {}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (Outcome.PASS, Outcome.FAIL, "worse"),
        (Outcome.PASS, Outcome.ERROR, "worse"),
        (Outcome.PASS, Outcome.NOT_ASSESSED, "worse"),
        (Outcome.NOT_ASSESSED, Outcome.FAIL, "worse"),
        (Outcome.WARN, Outcome.PASS, "better"),
        (Outcome.ERROR, Outcome.PASS, "better"),
        (Outcome.FAIL, Outcome.WARN, "better"),
        (Outcome.FAIL, Outcome.NOT_ASSESSED, "other"),
        (Outcome.FAIL, Outcome.NOT_APPLICABLE, "other"),
        (Outcome.PASS, Outcome.NOT_APPLICABLE, "other"),
        (Outcome.ERROR, Outcome.NOT_ASSESSED, "other"),
    ],
)
def test_a_change_of_outcome_is_never_noise_and_hiding_a_failure_is_not_better(before, after, kind):
    assert kinds(run(finding(HIT_RATE, before)), run(finding(HIT_RATE, after))) == {kind: [HIT_RATE]}


def test_checks_of_one_run_only_are_named():
    whole = run()
    part = whole.model_copy(
        update={"scorecard": whole.scorecard.model_copy(update={"findings": whole.scorecard.findings[1:]})}
    )
    gone = whole.scorecard.findings[0].check
    assert kinds(whole, part) == {"removed": [gone]}
    assert kinds(part, whole) == {"added": [gone]}


def test_another_rubric_is_said_and_moved_points_alone_change_nothing():
    before = run()
    dearer = [item.model_copy(update={"points": 2 * item.points, "earned": 2 * item.earned})
              for item in before.scorecard.findings]  # fmt: skip
    rubric = before.scorecard.rubric.model_copy(update={"version": 2, "sha256": "0" * 64})
    scorecard = before.scorecard.model_copy(update={"findings": tuple(dearer), "rubric": rubric})
    found = compare(before, before.model_copy(update={"scorecard": scorecard}))
    assert found.rubric_changed
    assert found.unchanged == len(dearer)


def test_a_run_without_a_score_cannot_be_compared():
    with pytest.raises(NotScoredError, match="run #10 has no score"):
        compare(interrupted(), mended())


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_a_run_compared_with_itself_shows_nothing(snapshot):
    if snapshot.scorecard.score is None:
        return
    found = compare(snapshot, snapshot)
    assert kinds(snapshot, snapshot) == {}
    assert found.unchanged == len(snapshot.scorecard.findings)
    assert (found.score_change, found.rubric_changed) == (0.0, False)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(snapshots(), snapshots())
def test_every_check_falls_in_exactly_one_list_and_turning_the_runs_round_turns_the_signs(before, after):
    if before.scorecard.score is None or after.scorecard.score is None:
        return
    there, back = compare(before, after), compare(after, before)
    counted = sum(
        len(getattr(there, name)) for name in ("better", "worse", "noise", "other", "added", "removed")
    )
    assert counted + there.unchanged == len(before.scorecard.findings)
    assert there.score_change == -back.score_change
    assert {change.check for change in there.noise} == {change.check for change in back.noise}
