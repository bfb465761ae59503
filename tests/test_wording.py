"""How things are written, everywhere."""

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import wording
from app.records import RunState, Verdict
from checks.contract.findings import Limit, Outcome
from checks.contract.target.dependencies import Way
from checks.contract.target.team import Waiver
from tests import records
from tests.records import as_found, card, finding, mended

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def test_every_outcome_verdict_and_state_has_its_words_and_a_sign_of_its_own():
    assert (
        set(wording.OUTCOME_WORDS) == set(wording.OUTCOME_ICONS) == set(wording.OUTCOME_TONES) == set(Outcome)
    )
    assert len(set(wording.OUTCOME_ICONS.values())) == len(Outcome)
    for table in (wording.VERDICT_TITLES, wording.VERDICT_ICONS, wording.VERDICT_TONES, wording.BAND_NAMES):
        assert set(table) == set(Verdict)
    assert set(wording.STATE_WORDS) == set(RunState)


@pytest.mark.parametrize(
    ("family", "title"),
    [("endpoint_health", "Endpoint health"), ("cost", "Cost efficiency"), ("my_plugin", "My plugin")],
)
def test_families_and_categories_are_written_in_sentence_case(family, title):
    assert wording.family_title(family) == wording.category_title(family) == title


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=12), "12\u00a0min ago"),
        (timedelta(hours=3, minutes=59), "3\u00a0h ago"),
        (timedelta(days=5, minutes=39), "18 Nov 14:21"),
        (timedelta(days=400), "19 Oct 2025 15:00"),
    ],
)
def test_a_moment_is_told_by_its_age_under_a_day_and_by_its_date_beyond(age, said):
    assert wording.ago(NOW - age, NOW) == said


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=5), "new"),
        (timedelta(minutes=12), "12\u00a0min old"),
        (timedelta(hours=25), "1\u00a0day old"),
        (timedelta(days=9), "9\u00a0days old"),
    ],
)
def test_evidence_has_an_age(age, said):
    assert wording.old(NOW - age, NOW) == said


@pytest.mark.parametrize(
    ("points", "written"),
    [(55.5, "+55.5"), (-2.0, "\u22122.0"), (0.0, "0.0"), (-0.04, "0.0"), (0.06, "+0.1")],
)
def test_points_have_a_true_sign_and_one_decimal(points, written):
    assert wording.signed(points) == written


@pytest.mark.parametrize(
    ("ratio", "written"),
    [(None, "–"), (0.996, "99\u00a0%"), (1.0, "100\u00a0%"), (0.29, "29\u00a0%"), (0.0, "0\u00a0%")],
)
def test_coverage_is_rounded_down(ratio, written):
    assert wording.percent(ratio) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.34, "340\u00a0ms"), (6.43, "6.4\u00a0s"), (41.27, "41\u00a0s"), (401.3, "6\u00a0m 41\u00a0s")],
)
def test_spans_are_short(seconds, written):
    assert wording.duration(seconds) == written


@pytest.mark.parametrize(
    ("parts", "written"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")]
)
def test_a_list_reads_as_a_sentence(parts, written):
    assert wording.listed(parts) == written


def test_score_coverage_and_best_possible_stand_together():
    assert wording.score_line(37.5, 0.93, 44.6) == "37.5 · coverage 93\u00a0% · best possible 44.6"
    assert wording.score_line(None, None, None) == "– · coverage – · best possible –"


def test_a_value_its_interval_and_what_it_needs_are_written_with_their_units():
    measured = finding("cache.hit_rate", value=0.836, interval=(0.79, 0.87))
    assert wording.value_text(measured) == "83.6\u00a0%"
    assert wording.interval_text(measured) == "79\u00a0% to 87\u00a0%"
    assert wording.limit_text(measured.limit, measured.unit) == "≥\u00a070\u00a0%"
    assert wording.limit_text(Limit(5, 50, "lower"), "ms") == "≤\u00a05\u00a0ms"
    unmeasured = finding("cache.hit_rate", Outcome.NOT_ASSESSED)
    assert (wording.value_text(unmeasured), wording.interval_text(unmeasured)) == ("–", "")


def test_the_verdict_is_explained_by_what_holds_it_down():
    waiver = Waiver(
        check="error_recovery.compensation", reason="r", owner="o", approver="a", until="2027-01-01"
    )
    hang, compensation = "error_recovery.upstream_hang", "error_recovery.compensation"
    said = {
        "found": wording.verdict_sentence(as_found().scorecard),
        "mended": wording.verdict_sentence(mended().scorecard),
        "capped": wording.verdict_sentence(card(finding(hang, Outcome.FAIL))),
        "waived": wording.verdict_sentence(card(finding(compensation, Outcome.FAIL), waivers=[waiver])),
        "unmeasured": wording.verdict_sentence(card(finding(hang, Outcome.ERROR))),
    }
    assert said == {
        "found": "7\u00a0open P0 checks block the release. "
        "If everything unmeasured passed, the score would be 41.5.",
        "mended": "No P0 is open, and every check was measured.",
        "capped": "1\u00a0open P0 check blocks the release. The score alone says Production ready.",
        "waived": "No P0 is open, and every check was measured.",
        "unmeasured": "1\u00a0P0 check was not measured. "
        "If everything unmeasured passed, the score would be 100.0.",
    }


def test_colours_of_a_terminal_leave_nothing_behind():
    assert wording.one_line("\x1b[1;31mred\x1b[0m\r\n\tand\x07 more") == "red and more"


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_and_no_longer_than_asked(text, limit):
    line = wording.one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", line)


@given(st.text())
def test_lines_stay_lines(text):
    kept = wording.many_lines(text)
    assert len(kept.split("\n")) == max(1, len(text.splitlines()))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", kept)


def test_an_open_run_is_named_by_its_arrivals_and_a_closed_one_by_its_users():
    assert wording.load_text(records.load_result("heavy")) == "20"
    assert wording.load_text(records.load_result("spike", model="open", rate_per_s=20.0)) == "20/s"
    assert wording.load_text(records.load_result("spike", model="open")) == wording.ABSENT
    steps = tuple(records.load_step(offered_per_s=rate) for rate in (5.0, 60.0))
    assert wording.load_text(records.load_result("saturation", model="open", steps=steps)) == "5 to 60/s"


def test_what_is_invalid_or_partial_is_doubted_in_words():
    assert wording.load_doubts(records.load_result("heavy")) == []
    doubtful = records.load_result(
        "heavy", validity="invalid", validity_reasons=("Late by 90 ms.", "Busy."), partial="Cut after 3 s."
    )
    assert wording.load_doubts(doubtful) == [
        "INVALID. Late by 90 ms. Busy.",
        "Partial result. Cut after 3 s.",
    ]


def test_every_way_to_break_a_thing_has_words():
    assert set(wording.WAYS) == set(get_args(Way))
