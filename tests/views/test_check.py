"""A check's page: value against limits, evidence, what it costs, its history; findings without a number."""

from __future__ import annotations

import pytest

from app.history.store import Store
from checks.contract.findings import Outcome
from tests import records
from tests.views import story


def open_check(dashboard, check: str, run: int = 1):
    return dashboard.open("check", target="sample", run=str(run), check=check)


def test_value_limits_evidence_reproduce_and_cost_are_shown(dashboard, store: Store):
    story.keep(store, story.scored(records.as_found().scorecard))
    page = open_check(dashboard, "endpoint_health.primary_route")
    text = page.text
    for words in (
        "Passes from",
        "Evidence",
        "Reproduce",
        "What it costs",
        "4\u00a0more checks follow from it",
    ):
        assert words in text
    assert any("curl -sS -X POST" in code.value for code in page.app.code)
    assert "<code>500</code>" in text or "500" in text


def test_its_points_and_the_score_with_it_fixed_agree_with_the_scorecard(dashboard, store: Store):
    run = story.keep(store, story.card(("error_recovery.compensation",)))
    text = open_check(dashboard, "error_recovery.compensation").text
    assert f"{run.score:.1f} <small>to</small> 100.0" in text


def test_a_check_that_follows_from_another_says_so(dashboard, store: Store):
    story.keep(store, story.scored(records.as_found().scorecard))
    text = open_check(dashboard, "cache.speedup").text
    assert "It follows from <code>cache.hit_rate</code>; fix that first" in text


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.NOT_ASSESSED, "<b>Not assessed.</b>"),
        (Outcome.NOT_APPLICABLE, "<b>Not applicable.</b>"),
        (Outcome.ERROR, "<b>The check itself broke.</b>"),
    ],
)
def test_what_was_not_measured_shows_a_sentence_and_no_scale(dashboard, store: Store, outcome, words):
    story.keep(store, records.card(records.finding("cache.hit_rate", outcome, missing="[redis] url")))
    text = open_check(dashboard, "cache.hit_rate").text
    assert words in text
    assert "gl-scale" not in text
    assert ("Add <code>[redis] url</code>" in text) is (outcome is Outcome.NOT_ASSESSED)


def test_an_older_run_says_what_the_newest_found(dashboard, store: Store):
    story.tell(store)
    text = open_check(dashboard, "error_recovery.compensation", 4).text
    assert "In the newest, <b>run #13</b>: pass." in text
    assert "This check in 13\u00a0runs" in text


def test_the_history_is_a_chart_and_a_table(dashboard, store: Store):
    story.tell(store)
    page = open_check(dashboard, "cache.hit_rate", 4)
    assert len(page.app.get("plotly_chart")) == 1
    assert "Fail" in page.text
    assert "#10" in page.text


def test_a_finding_of_an_interrupted_run_can_be_read(dashboard, store: Store):
    story.keep_interrupted(store)
    check = records.as_found().scorecard.findings[0].check
    assert check in open_check(dashboard, check).text


@pytest.mark.parametrize("check", ["", "no.such", "<script>alert(1)</script>"])
def test_an_unknown_check_is_said_and_not_an_error(dashboard, store: Store, check):
    story.keep(store, story.card())
    text = open_check(dashboard, check).text
    assert "Run #1 has no finding of" in text
    assert "<script" not in text


def test_hostile_evidence_is_text(dashboard, store: Store):
    card = story.scored(records.hostile().scorecard)
    story.keep(store, card)
    text = open_check(dashboard, card.findings[0].check).text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_run_again_opens_the_form_with_that_check_alone(dashboard, store: Store, declared):
    story.keep(store, story.card())
    page = open_check(dashboard, "cache.reachable").click("again")
    assert page.query == {"target": "sample", "only": "cache.reachable"}
    assert "<b>1\u00a0check</b>" in page.text
