"""Marks: what a service sends is shown and never run; a status is a shape and a word."""

from __future__ import annotations

import pytest

from app.records import Verdict
from app.views import evidence, marks
from checks.contract.findings import Limit, Outcome
from tests import records


def test_words_from_outside_are_escaped_and_stay_on_one_line():
    shown = marks.text(records.HOSTILE)
    assert "<" not in shown
    assert "\n" not in shown
    assert "&lt;script&gt;" in shown


def test_a_label_takes_the_meaning_of_every_mark_of_markdown():
    assert marks.label("![i](http://e.example/i.png)") == r"\!\[i\]\(http\:\/\/e\.example\/i\.png\)"
    assert marks.label("**a** :red[b] $c$ <i>") == r"\*\*a\*\* \:red\[b\] \$c\$ \<i\>"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_shape_of_its_own_and_a_word(outcome):
    assert f"gl-i-{marks.OUTCOME_ICONS[outcome]}" in marks.outcome_badge(outcome)
    assert marks.wording.OUTCOME_WORDS[outcome] in marks.outcome_badge(outcome)
    assert len(set(marks.OUTCOME_ICONS.values())) == len(Outcome)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_badge_with_a_shape_and_a_word(verdict):
    badge = marks.verdict_badge(verdict)
    assert f"gl-i-{marks.VERDICT_ICONS[verdict]}" in badge
    assert marks.wording.VERDICT_TITLES[verdict] in badge


def test_the_ring_says_score_grade_and_best_possible_in_words():
    ring = marks.ring(37.5, "F", 44.6, "fail")
    assert 'aria-label="Score 37.5 of 100, grade F, best possible 44.6"' in ring
    assert ring.count("<span") == 3


def test_a_ring_without_a_score_is_its_track_only_and_shows_no_zero():
    ring = marks.ring(None, "", None, "none")
    assert ring.count("<span") == 1
    assert "<strong>–</strong>" in ring


def test_the_rail_marks_the_claim_and_names_the_bands():
    rail = marks.rail(37.5, 44.6, records.RUBRIC.ref, "fail", 60)
    assert "claimed 60" in rail
    assert "left:37.5%;width:7.1%" in rail.replace("7.100000000000001", "7.1")
    for words in ("MVP", "Conditions", "Production"):
        assert words in rail


def test_the_strip_has_one_cell_a_check_in_the_order_of_families():
    outcomes = {"cache.a": Outcome.PASS, "cache.b": Outcome.FAIL, "monitoring.c": Outcome.NOT_ASSESSED}
    strip = marks.strip([*outcomes, "monitoring.d"], outcomes, now=["monitoring.d"])
    assert strip.count("gl-cell") == 4
    assert strip.index("Cache") < strip.index("Monitoring")
    assert "o-fail" in strip
    assert "o-not_assessed" in strip
    assert strip.count(" now") == 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(0.7, 0.5, "higher", 0, 1), [(0, 0.5, "fail"), (0.5, 0.7, "warn"), (0.7, 1, "pass")]),
        (Limit(5, 50, "lower", 0, 60), [(0, 5, "pass"), (5, 50, "warn"), (50, 60, "fail")]),
        (Limit(0, 0, "lower", 0, 4), [(0, 4, "fail")]),
    ],
)
def test_zones_follow_the_direction_of_the_limit(limit, expected):
    assert [(low, high, out.value) for low, high, out in marks.zones(limit, 0, limit.high)] == expected


def test_the_scale_points_at_the_value_and_spans_its_interval():
    scale = marks.scale(records.finding("cache.hit_rate"))
    assert 'class="pointer" style="left:83.60%"' in scale
    assert 'class="span" style="left:79.00%;width:8.00%"' in scale
    assert "70\u00a0%" in scale


def test_a_finding_without_a_number_has_no_scale():
    assert marks.scale(records.finding("cache.hit_rate", Outcome.NOT_ASSESSED)) == ""


def test_a_value_beyond_the_scale_stays_on_it():
    far = records.finding("cache.reachable", value=4000.0)
    assert 'class="pointer" style="left:100.00%"' in marks.scale(far)


def test_a_table_without_rows_says_so():
    assert "Nothing here" in marks.table([("A", "")], [], label="x", empty="Nothing here")


def test_one_past_value_is_a_disc_and_not_a_line_of_two():
    assert marks.spark([5.0], 10).count("<i") == 1
    assert marks.spark([], 10).count("<i") == 0


def test_evidence_takes_units_from_its_keys():
    shown = evidence.tables({"median_ms": 339.2, "hit_ratio": 0.836, "wait_s": 1.84, "asked": 1204})
    for words in ("339\u00a0ms", "83.6\u00a0%", "1.84\u00a0s", "1,204", "Median", "Hit"):
        assert words in shown


def test_before_and_after_stand_side_by_side():
    counters = {"hits": 0, "misses": 3}
    shown = evidence.tables({"redis_before": counters, "redis_after": counters})
    assert shown.count("<table") == 1
    assert "Redis before" in shown
    assert "Redis after" in shown


def test_a_list_of_objects_is_a_table_and_a_long_list_of_numbers_a_summary():
    shown = evidence.tables({"tried": [{"path": "/a", "status": 500}] * 20, "latencies_ms": list(range(30))})
    assert "and 8 more" in shown
    assert "30\u00a0values: 0\u00a0ms to 29\u00a0ms" in shown


def test_hostile_evidence_is_escaped_at_every_depth():
    deep = {"a": {"b": {"c": {"<b>d</b>": ["<script>alert(1)</script>"]}}}, "<i>": [{"<u>": "<script>"}]}
    shown = evidence.tables(deep)
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "<u>" not in shown


def test_no_evidence_is_said():
    assert "kept no evidence" in evidence.tables({})
