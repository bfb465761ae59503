"""Overview: the answer first, what blocks it by cause, and the states without a score."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.history.store import Store
from app.records import RunState
from checks.contract.findings import Outcome
from tests import records
from tests.views import story


def test_the_verdict_and_the_blockers_by_cause_come_first(dashboard, store: Store):
    run = story.keep(store, story.scored(records.as_found().scorecard))
    page = dashboard.open("overview", target="sample")
    text = page.text
    assert "NOT READY" in text
    assert f"Score {run.score:.1f} of 100" in text
    assert text.index("NOT READY") < text.index("What blocks the release") < text.index("Score over time")
    assert "Also fails 4\u00a0load scenarios: baseline, light, medium, heavy" in text
    assert "This is the first run." in text
    assert "claimed 60" in text


def test_a_blocker_row_leads_to_its_check_with_target_and_run(dashboard, store: Store):
    story.keep(store, story.scored(records.as_found().scorecard))
    page = dashboard.open("overview", target="sample")
    links = [link.proto for link in page.app.get("page_link")]
    [link] = [link for link in links if link.label == "Open The primary route answers with an error"]
    assert "target=sample" in link.query_string
    assert "run=1" in link.query_string
    assert "check=endpoint_health.primary_route" in link.query_string


def test_with_nothing_blocking_the_card_says_what_still_costs_points(dashboard, store: Store):
    story.tell(store)
    text = dashboard.open("overview", target="sample").text
    assert "PRODUCTION READY" in text
    assert "What still costs points" in text
    assert "Since run #12" in text


def test_what_was_not_measured_may_still_earn_points_and_is_nothing_to_fix(dashboard, store: Store):
    left_out = records.finding("cache.hit_rate", Outcome.NOT_ASSESSED, earned=0.0)
    story.keep(store, story.scored(records.card(left_out)))
    text = dashboard.open("overview", target="sample").text
    assert "<b>Nothing to fix.</b> What was not measured may still earn" in text
    assert "Every point that can be earned is earned" not in text


def test_an_older_run_says_what_the_newest_says(dashboard, store: Store):
    story.tell(store)
    text = dashboard.open("overview", target="sample", run="4").text
    assert "This is an older run. The newest is <b>run #13</b>: production ready" in text
    assert "Open for 4\u00a0runs" in text


def test_a_run_that_does_not_exist_leads_to_the_newest(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("overview", target="sample", run="99")
    assert "No run #99 for this service." in page.text
    assert page.click("centred_button").query == {"target": "sample"}


@pytest.mark.parametrize("run", ["0", "-1", "4e9", "99999999999999999999", "<script>", "٤"])
def test_a_run_number_that_is_none_is_not_an_error(dashboard, store: Store, run):
    story.tell(store)
    assert dashboard.open("overview", target="sample", run=run).text


def test_an_interrupted_newest_run_is_said_above_the_last_score(dashboard, store: Store):
    story.keep(store, story.card(), ago=timedelta(hours=3))
    story.keep_interrupted(store, ago=timedelta(hours=1))
    text = dashboard.open("overview", target="sample").text
    assert "Run #2 was interrupted after 8 of 17 checks." in text
    assert "PRODUCTION READY" in text


def test_a_broken_run_says_why(dashboard, store: Store):
    run = store.create_run(story.TARGET, profile="quick", faults=True, started_by="ci", planned=())
    store.end_run(run.run_id, RunState.BROKEN, "No answer from http://127.0.0.1:8003: connection refused.")
    text = dashboard.open("overview", target="sample").text
    assert "Run #1 stopped: No answer from http://127.0.0.1:8003: connection refused." in text


def test_a_declared_service_without_a_run_says_what_to_do(dashboard, declared):
    page = dashboard.open("overview", target="sample")
    assert "Not assessed yet." in page.text
    assert "No score yet" in page.text


def test_evidence_older_than_a_week_is_stale(dashboard, store: Store):
    story.keep(store, story.card(), ago=timedelta(days=9))
    text = dashboard.open("overview", target="sample").text
    assert "Evidence is 9\u00a0days old." in text
    assert "9\u00a0days old, stale" in text


def test_a_missing_claim_list_says_how_to_add_one(dashboard, store: Store):
    story.keep(store, records.card(claims=()))
    assert "No claim is written down." in dashboard.open("overview", target="sample").text


def test_hostile_text_is_escaped_wherever_it_shows(dashboard, store: Store):
    story.keep(store, story.scored(records.hostile().scorecard))
    text = dashboard.open("overview", target="sample").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_every_format_can_be_exported(dashboard, store: Store):
    story.keep(store, story.card())
    page = dashboard.open("overview", target="sample")
    labels = {button.proto.label for button in page.app.get("download_button")}
    assert {"JSON", "Markdown", "HTML page"} <= labels
