"""What a team claimed stands beside what was measured, in every export and in words of one place."""

from __future__ import annotations

import html
import json
import re

import pytest

from app import wording
from app.reports import json_export, markdown
from app.reports.html import render as render_html
from checks.contract.findings import Outcome
from checks.contract.target.team import Claim
from tests import records

BILL = Claim(text="$840 a month instead of $4,200", check="cache.cost_saving", value=840, better="lower")
SCORE = Claim(text="About 60 points", check="score", value=60)


def snapshot(value: float | None):
    measured = {"value": value, "unit": "usd_month"} if value is not None else {}
    outcome = Outcome.NOT_ASSESSED if value is None else Outcome.PASS if value <= 840 else Outcome.FAIL
    card = records.card(records.finding("cache.cost_saving", outcome, **measured), claims=(BILL, SCORE))
    return records.as_found().model_copy(update={"scorecard": card})


def shown(text: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>|\\", " ", text))
    return " ".join(text.replace("|", " ").split())


@pytest.mark.parametrize(
    ("value", "measured", "verdict"),
    [
        (525.0, "$525 a month", "Verified"),
        (840.0, "$840 a month", "Verified"),
        (4200.0, "$4,200 a month", "Refuted"),
        (None, wording.ABSENT, "Not measured"),
    ],
)
def test_a_bill_is_better_the_lower_it_is_in_every_export(value, measured, verdict):
    run = snapshot(value)
    claimed = "at most $840 a month" if value is not None else "at most 840"
    for text in (markdown.render(run), render_html(run)):
        row = shown(text).partition("$840 a month instead of $4,200")[2][:80]
        assert row.startswith(f" {claimed} {measured} ")
        assert verdict in row
    [bill, score] = json.loads(json_export.render(run))["claims"]
    assert (bill["claimed"], bill["measured"], bill["better"]) == (840, value, "lower")
    assert bill["verdict"] == verdict.lower()
    assert score["verdict"] == "verified"


def test_a_claimed_score_stands_as_it_was_written_down():
    [_, score] = snapshot(525.0).scorecard.claims
    assert wording.claim_texts(score) == ("60", f"{score.measured:.1f}")
