"""The recovery checks with real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.contract import Outcome
from tests.checks.sample import BRIEF, Sample

SHORT = replace(BRIEF, outage_s=0.1)  # what never comes back is not waited for


def test_levers_are_restored_and_the_service_answers_again(sample: Sample):
    sample.events.clear()
    found = sample.with_defects().gather("error_recovery.upstream_hang")
    assert sample.events == ["broken upstream hang", "restored upstream hang"]
    assert found.answered_again_s is not None
    assert {(caller.route, caller.status) for caller in found.callers} == {("ask", 504), ("stream", 504)}


def test_without_a_time_out_callers_are_said_to_hang_on_the_stream_route_too(sample: Sample):
    finding = sample.with_defects("primary_route_500", "no_upstream_timeout").measure(
        "error_recovery.upstream_hang"
    )
    assert finding.outcome is Outcome.FAIL
    assert "hang: no reply within 10" in finding.reason


def test_each_step_is_cut_by_its_own_lever(sample: Sample):
    sample.events.clear()
    finding = sample.with_defects().measure("error_recovery.compensation")
    assert finding.outcome is Outcome.PASS, finding.reason
    assert [event for event in sample.events if event.startswith("broken")] == [
        "broken stock refuse",
        "broken drafts refuse",
        "broken invoices refuse",
        "broken invoices slow",
    ]


def test_the_residue_of_each_step_is_named(sample: Sample):
    finding = sample.with_defects("no_compensation").measure("error_recovery.compensation")
    assert finding.outcome is Outcome.FAIL
    assert "Step draft order: 1 left in accounting.reservations" in finding.reason
    assert "accounting.stock.MUG-WHITE" in finding.reason


def test_an_undo_outlives_a_kill_of_the_service(sample: Sample):
    sample.events.clear()
    found = sample.with_defects().gather("error_recovery.compensation_failure")
    killed = found.attempts[-1]
    assert (killed.step, killed.killed, killed.skipped) == ("invoice", True, "")
    assert [change.path.split(".")[0] for change in killed.pending] == ["drafts"]
    assert killed.residue == ()
    assert sample.events[-2:] == ["restored service kill", "restored drafts refuse"]


def test_one_key_is_one_order_for_each_shop(sample: Sample):
    found = sample.with_defects().gather("error_recovery.idempotency")
    assert {trial.effects["accounting.invoices#"] for trial in (found.in_turn, *found.at_once)} == {1}
    assert (found.other_body.status, found.other_body.effect) == (422, False)
    assert (found.other_user.good, found.other_user.effect, found.other_user.same) == (True, True, False)


ENDING = ("error_recovery.crash_restart", "error_recovery.graceful_shutdown", "error_recovery.durability")


def test_a_service_that_is_ended_again_and_again_is_whole_each_time(sample: Sample):
    sample.events.clear()
    for measured in sample.with_defects().assess(only=ENDING):
        assert measured.finding.outcome is Outcome.PASS, measured.finding.reason
    ways = ["kill", "term", "kill"]
    assert sample.events == [f"{what} service {way}" for way in ways for what in ("broken", "restored")]
    assert list((sample.state.folder / "levers").glob("*")) == []


@pytest.mark.parametrize(
    ("defect", "check", "outcome", "words"),
    [
        ("streams_cut_on_sigterm", "graceful_shutdown", Outcome.WARN, "were cut"),
        ("restart_answers_500", "crash_restart", Outcome.WARN, "status 500"),
        ("order_ids_come_again", "durability", Outcome.FAIL, "The first transaction after the restart"),
    ],
)
def test_a_service_that_ends_badly_is_told_what_is_wrong(
    sample: Sample, defect: str, check: str, outcome: Outcome, words: str
):
    finding = sample.with_defects(defect).measure(f"error_recovery.{check}")
    assert finding.outcome is outcome, finding.reason
    assert words in finding.reason


def test_a_service_that_nothing_starts_again_is_named_as_the_cause_of_what_follows(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
):
    for patience in ("app.engine.RECOVERY_S", "app.instruments.faults.process.RESTART_S"):
        monkeypatch.setattr(patience, 1.0)
    first, *others = sample.with_defects("restart_never_comes").assess(SHORT, only=ENDING)
    assert first.check.id == "error_recovery.crash_restart"
    assert first.finding.outcome is Outcome.FAIL
    assert "Our probe broke it" in first.finding.reason
    assert "so that it listens on port" in first.finding.reason
    assert [each.finding.follows_from for each in others] == [first.check.id] * 2
    for entry in (sample.state.folder / "levers").glob("*"):
        entry.unlink()  # the next start would try again


def test_each_hiccup_and_failure_of_the_upstream_is_restored_and_counted(sample: Sample):
    sample.events.clear()
    found = sample.with_defects().gather("error_recovery.upstream_errors")
    assert sample.events == [
        *["broken upstream few_errors", "restored upstream few_errors"] * len(found.few),
        "broken upstream errors",
        "restored upstream errors",
    ]
    assert [(attempt.told.good, attempt.tries) for attempt in found.few] == [(True, 3)] * len(found.few)
    assert {attempt.told.route for attempt in found.always} == {"ask", "stream"}
    assert {(attempt.told.status, attempt.tries) for attempt in found.always} == {(503, 3)}


def test_no_trace_of_a_leak_is_kept_but_its_kind(sample: Sample):
    found = sample.with_defects("upstream_error_trace").gather("error_recovery.upstream_errors")
    assert {"a stack trace"} <= set(found.always[0].told.leaks)
    assert "site-packages" not in repr(found)


def test_the_breaker_of_both_routes_opens_within_a_second_or_two(sample: Sample):
    finding = sample.with_defects().measure("error_recovery.circuit_breaker")
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value >= 0.9
