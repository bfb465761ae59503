"""Blockers by cause, and what fixing them gives."""

from hypothesis import HealthCheck, given, settings

from app import scoring
from app.causes import causes, costs, lost, next_fixes, next_goal
from app.records import Verdict
from checks.contract.findings import Outcome
from checks.contract.target.team import Waiver
from tests.records import RUBRIC, WHEN, as_found, card, finding, mended
from tests.reports.strategies import is_close, snapshots


def test_seven_open_p0s_read_as_three_causes_most_points_first():
    scorecard = as_found().scorecard
    found = causes(scorecard)
    assert [cause.root.check for cause in found] == [
        "endpoint_health.primary_route",
        "error_recovery.compensation",
        "error_recovery.upstream_hang",
    ]
    assert [len(cause.blockers) for cause in found] == [5, 1, 1]
    assert [cause.points for cause in found] == [33.0, 5.0, 2.0]
    assert found[0].also == "Also fails 4\u00a0load scenarios: baseline, light, medium, heavy"


def test_what_follows_is_named_by_its_ids_outside_the_load_scenarios():
    hit_rate = next(cause for cause in costs(as_found().scorecard) if cause.root.check == "cache.hit_rate")
    assert hit_rate.also == "Also fails cache.speedup, cache.cost_saving"
    assert hit_rate.points == 14.0


def test_load_scenarios_beside_others_are_counted_and_not_listed():
    failed = [
        finding(name, Outcome.FAIL, follows_from="cache.hit_rate")
        for name in ("cache.speedup", "load_scenarios.light", "load_scenarios.heavy")
    ]
    [cause] = causes(card(finding("cache.hit_rate", Outcome.FAIL), *failed))
    assert cause.also == "Also fails cache.speedup and 2\u00a0load scenarios"


def test_what_costs_points_without_blocking_is_listed_too():
    scorecard = mended().scorecard
    assert causes(scorecard) == []
    assert [(cause.root.check, cause.points) for cause in costs(scorecard)] == [("cache.speedup", 2.5)]


def test_a_chain_of_causes_ends_at_its_first():
    scorecard = card(
        finding("cache.hit_rate", Outcome.FAIL, follows_from="endpoint_health.primary_route"),
        finding("cache.speedup", Outcome.FAIL, follows_from="cache.hit_rate"),
        finding("endpoint_health.primary_route", Outcome.FAIL),
    )
    assert [cause.root.check for cause in costs(scorecard)] == ["endpoint_health.primary_route"]


def test_two_findings_that_blame_each_other_are_one_cause():
    scorecard = card(
        finding("cache.hit_rate", Outcome.FAIL, follows_from="cache.speedup"),
        finding("cache.speedup", Outcome.FAIL, follows_from="cache.hit_rate"),
    )
    (cause,) = costs(scorecard)
    assert cause.root.check == "cache.hit_rate"
    assert [item.check for item in cause.follows] == ["cache.speedup"]


def test_a_waived_failure_blocks_nothing_and_still_costs():
    waiver = Waiver(
        check="error_recovery.compensation", reason="r", owner="o", approver="a", until="2027-01-01"
    )
    scorecard = card(finding("error_recovery.compensation", Outcome.FAIL), waivers=[waiver])
    assert causes(scorecard) == []
    assert [cause.points for cause in costs(scorecard)] == [5.0]


def test_the_plan_closes_p0s_first_and_says_where_that_leads():
    plan = next_fixes(as_found().scorecard)
    assert plan.goal.title == "Acceptable for MVP"
    assert plan.goal.needs == "60\u00a0points and no open P0"
    assert [fix.score_after for fix in plan.fixes[:3]] == [69.5, 74.5, 76.5]
    assert [fix.open_p0_after for fix in plan.fixes[:3]] == [2, 1, 0]
    assert [fix.closes for fix in plan.fixes] == [5, 1, 1, 0, 0, 0]
    assert plan.steps_to_goal == 3
    assert plan.summary == "3\u00a0fixes close 7\u00a0P0s: Ready with conditions at 76.5."


def test_a_p0_that_stays_unmeasured_keeps_the_plan_from_the_best_verdict():
    last = next_fixes(as_found().scorecard).fixes[-1]
    assert last.score_after == 95.0
    assert last.verdict_after is Verdict.CONDITIONS


def test_fixing_what_the_plan_says_and_scoring_again_gives_the_promised_score_and_verdict():
    scorecard = as_found().scorecard
    fixed: set[str] = set()
    for fix in next_fixes(scorecard).fixes:
        fixed |= {item.check for item in fix.cause.findings}
        mend = [finding(item.check) if item.check in fixed else item for item in scorecard.findings]
        again = scoring.score(mend, RUBRIC, today=WHEN.date())
        assert again.score == fix.score_after
        assert again.verdict is fix.verdict_after


def test_under_the_best_verdict_the_goal_is_the_next_grade_and_at_the_top_there_is_none():
    ready = card(finding("cache.cost_saving", Outcome.FAIL), finding("cache.reachable", Outcome.WARN))
    goal = next_goal(ready)
    assert (ready.score, goal.title, goal.score) == (94.0, "Grade A+", 97.0)
    assert next_fixes(ready).summary == "1\u00a0fix: Grade A+ at 99.0."
    assert next_goal(card()) is None
    assert next_fixes(card()).fixes == ()


def test_a_capped_run_is_told_the_verdict_that_its_score_already_has():
    capped = card(finding("error_recovery.upstream_hang", Outcome.FAIL))
    assert (capped.verdict, capped.band) == (Verdict.NOT_READY, Verdict.PRODUCTION)
    plan = next_fixes(capped)
    assert plan.goal.verdict is Verdict.PRODUCTION
    assert plan.summary == "1\u00a0fix closes 1\u00a0P0: Production ready at 100.0."


def test_what_was_not_measured_is_not_promised():
    scorecard = card(
        finding("monitoring.metrics_exposed", Outcome.NOT_ASSESSED),
        finding("cache.reachable", Outcome.FAIL),
    )
    plan = next_fixes(scorecard)
    assert [fix.cause.root.check for fix in plan.fixes] == ["cache.reachable"]
    assert plan.fixes[0].score_after == 85.0


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_every_lost_point_has_one_cause_and_no_fix_makes_things_worse(snapshot):
    scorecard = snapshot.scorecard
    everything = costs(scorecard)
    assert is_close(sum(cause.points for cause in everything), sum(lost(item) for item in scorecard.findings))
    checks = [item.check for cause in everything for item in cause.findings]
    assert len(checks) == len(set(checks))
    plan = next_fixes(scorecard)
    scores = [scorecard.score or 0.0, *(fix.score_after for fix in plan.fixes)]
    assert scores == sorted(scores)
    assert scores[-1] <= 100
    if plan.fixes:
        assert plan.fixes[-1].open_p0_after == 0
