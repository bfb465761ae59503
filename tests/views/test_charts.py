"""Charts: plain dicts that Plotly accepts, in both modes, with gaps where nothing was measured."""

from __future__ import annotations

from datetime import UTC

import numpy as np
import plotly.graph_objects as go
import pytest

from app.compare import CategoryChange
from app.records import RunState
from app.views.charts.check import check_history
from app.views.charts.load import live_load
from app.views.charts.look import picked
from app.views.charts.pair import dumbbells
from app.views.charts.score import score_history, score_history_alt
from checks.findings import Limit
from tests import records
from tests.views import story


def texts(figure):
    return [item["text"] for item in figure["layout"]["annotations"]]


@pytest.mark.parametrize("dark", [False, True])
def test_plotly_accepts_every_chart(dark):
    runs = records.history()
    limit = Limit(0.7, 0.5, "higher", 0, 1)
    found = [(run, records.finding("cache.hit_rate") if run.score else None) for run in runs]
    seconds = [story.second_of_load(second) for second in range(1, 5)]
    changes = [CategoryChange("performance", 1.2, 9.2), CategoryChange("cost", None, 3.0)]
    for figure in (
        score_history(runs, runs[-1].rubric, UTC, dark=dark),
        check_history(found, limit, "ratio", 13, dark=dark),
        live_load(seconds, dark=dark),
        dumbbells(changes, ("#1", "#2"), dark=dark),
    ):
        go.Figure(figure)


def test_the_score_history_names_the_interrupted_run_the_new_rubric_and_the_last_score():
    runs = records.history()
    figure = score_history(runs, runs[-1].rubric, UTC, dark=False)
    assert "interrupted" in texts(figure)
    assert "rubric 2" in texts(figure)
    assert "<b>97.4</b>" in texts(figure)
    assert any(words.startswith("capped at Not ready") for words in texts(figure))
    assert np.isnan(figure["data"][1]["y"][9])


def test_a_run_without_a_rubric_is_no_change_of_rubric():
    runs = [records.run_info(1, story.card()), records.run_info(2, state=RunState.CANCELLED)]
    figure = score_history([*runs, records.run_info(3, story.card())], runs[0].rubric, UTC, dark=False)
    assert not any(words.startswith("rubric") for words in texts(figure))


def test_each_verdict_has_a_marker_of_its_own():
    runs = records.history()
    symbols = score_history(runs, runs[-1].rubric, UTC, dark=False)["data"][2]["marker"]["symbol"]
    assert symbols[0] == "octagon"
    assert symbols[-1] == "circle"


def test_the_score_history_in_words():
    assert score_history_alt(records.history()) == "Score of 12 runs, from 34.2 to 97.4."
    assert score_history_alt([]) == "No run has a score yet."


def test_a_check_history_marks_this_run_and_leaves_a_gap():
    runs = records.history()
    found = [(run, records.finding("cache.hit_rate") if run.score else None) for run in runs]
    figure = check_history(found, Limit(0.7, 0.5, "higher", 0, 1), "ratio", 4, dark=False)
    assert "<b>this run</b>" in texts(figure)
    assert "interrupted" in texts(figure)
    assert np.isnan(figure["data"][0]["y"][9])


def test_a_limit_of_nothing_still_has_an_axis():
    found = [(records.run_info(1), records.finding("error_recovery.compensation"))]
    figure = check_history(found, Limit(0, 0, "lower", 0, 4), "count", 1, dark=False)
    assert figure["layout"]["yaxis"]["range"][1] > 0


def test_the_time_still_to_come_is_shaded():
    figure = live_load([story.second_of_load(second) for second in (1, 2)], dark=False)
    assert {(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]} == {(2.0, 6.0)}


def test_a_second_without_answers_leaves_a_gap_and_no_label():
    silent = story.second_of_load(1, answered=0, p50_ms=None, p95_ms=None, p99_ms=None)
    figure = live_load([silent], dark=False)
    assert texts(figure) == ["Latency", "Answers a second", "<b>0/s</b>"]


@pytest.mark.parametrize(
    ("event", "number"),
    [
        (None, None),
        ({"selection": {"points": []}}, None),
        ({"selection": {"points": [{"customdata": 4}]}}, 4),
        ({"selection": {"points": [{"customdata": [4]}]}}, 4),
        ({"selection": {"points": [{"x": 1}]}}, None),
    ],
)
def test_a_click_finds_the_number_of_a_run(event, number):
    assert picked(event) == number
