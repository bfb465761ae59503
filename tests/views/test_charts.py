"""Charts: plain dicts that Plotly accepts, in both modes, with gaps where nothing was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from app.compare import CategoryChange
from app.records import RunState
from app.samples.aggregate import over_time as buckets
from app.samples.aggregate import spread
from app.statistics.knees import knee
from app.views.charts import load_knee, load_pair, load_spread, load_time
from app.views.charts.check import check_history
from app.views.charts.load import end_labels, live_load
from app.views.charts.look import palette, picked
from app.views.charts.pair import dumbbells
from app.views.charts.score import score_history, score_history_alt
from checks.contract.findings import Limit
from tests import records
from tests.views import loads, story


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


@dataclass(frozen=True)
class Row:
    """A compared figure."""

    name: str = "p95"
    ratio: float | None = 0.67
    interval: tuple[float, float] | None = (0.62, 0.73)
    verdict: str = "better"
    words: str = "faster"
    smallest_shown: float | None = 1.1
    noise: tuple[float, float] | None = None


def over_time(*, failing: float = 0.01, **given):
    rows = loads.requests(failing=failing)
    answered = np.array([kind is None for kind in rows["failure"]])
    found = buckets(rows["start_s"], rows["latency_ms"], answered)
    return load_time.over_time(found, **{"schedule": (), "settled_s": None, "dark": False} | given)


@pytest.mark.parametrize("dark", [False, True])
def test_plotly_accepts_every_load_chart(dark):
    steps = loads.steps()
    values = [("Hits", np.array([59.0])), ("Misses", np.array([1480.0]))]
    for figure in (
        over_time(dark=dark),
        over_time(dark=dark, failing=0, schedule=((0, 15, 5.0), (15, 30, 10.0)), settled_s=4.0),
        load_spread.histogram(spread(values, 2), dark=dark),
        load_pair.ratios([Row(), Row(ratio=None, interval=None)], dark=dark),
        load_knee.knee_chart(steps, knee(steps), 20.0, dark=dark),
        load_knee.knee_chart(steps[:1], None, None, dark=dark),
    ):
        go.Figure(figure)


def test_a_run_over_time_names_its_last_percentiles_its_mean_rate_and_its_errors():
    found = texts(over_time())
    assert any(words.startswith("p95 <b>") for words in found)
    assert any(words.endswith("/s</b> mean") for words in found)
    assert any(words.endswith("</b> in all") for words in found)
    assert "Errors a second" in found


def test_without_an_error_there_is_no_panel_of_errors():
    figure = over_time(failing=0)
    assert "Errors a second" not in texts(figure)
    assert "yaxis3" not in figure["layout"]


def test_the_schedule_of_an_open_run_is_a_line_of_its_own():
    figure = over_time(schedule=((0, 15, 5.0), (15, 30, 10.0)))
    assert any(list(drawn["x"]) == [0, 15, 15, 30] for drawn in figure["data"])
    assert "Answers a second, thin line: requests due" in texts(figure)


def test_labels_at_the_end_of_lines_never_cover_each_other():
    ends = {"p99_ms": np.array([2.0]), "p95_ms": np.array([1.99]), "p50_ms": np.array([0.001])}
    places = [label["y"] for label in end_labels(ends, 1.0, 100.0, "ms", palette(False))]
    assert len(places) == 3
    assert all(high - low >= 10.9 for high, low in pairwise(places))
    assert all(0 < place <= 106 for place in places)


@pytest.mark.parametrize("span_s", [0.4, 6, 30, 120, 600, 7200, 100_000])
def test_a_time_axis_has_room_for_its_ticks(span_s):
    ticks = load_time.time_ticks(span_s)
    assert 2 <= len(ticks["tickvals"]) <= 7
    assert len(set(ticks["ticktext"])) == len(ticks["ticktext"])


@pytest.mark.parametrize(("low", "high"), [(0.3, 1.2), (1.3, 4.0), (-2.0, 7.0), (1.0, 1.2)])
def test_ticks_of_a_log_axis_are_round_and_apart(low, high):
    ticks = load_spread.log_ticks(low, high)
    assert all(low <= math.log10(tick) <= high + 1e-6 for tick in ticks)
    assert len(ticks) <= 10


def test_a_unit_stands_where_it_begins():
    assert load_spread.tick_words([200, 500, 1000, 2000]) == ["200\u00a0ms", "500", "1\u00a0s", "2"]


def test_a_better_figure_is_blue_and_an_undecided_one_grey_with_its_words():
    undecided = Row(name="Errors", verdict="no difference shown", words="no difference shown")
    figure = load_pair.ratios([Row(), undecided], dark=False)
    assert figure["data"][0]["marker"]["color"] == ["#0072B2", "#515A63"]
    assert any(words.startswith("<b>faster</b>") and words.endswith("0.67x") for words in texts(figure))
    assert "no difference shown" in texts(figure)


def test_what_is_behind_the_ratios_is_called_what_it_is():
    assert "too small to be shown" in texts(load_pair.ratios([Row()], dark=False))
    assert "noise" in texts(load_pair.ratios([Row(noise=(0.95, 1.05))], dark=False))
    plain = texts(load_pair.ratios([Row(smallest_shown=None)], dark=False))
    assert not {"noise", "too small to be shown"} & set(plain)


def test_a_ratio_far_out_is_cut_and_still_drawn():
    figure = load_pair.ratios([Row(ratio=900.0, interval=(0.0001, 5000.0))], dark=False)
    low, high = figure["layout"]["xaxis"]["range"]
    assert -1.5 < low < high < 1.5
    assert figure["data"][0]["x"][0] == pytest.approx(20)


def test_the_knee_and_the_declared_peak_stand_as_lines_and_what_is_past_the_knee_is_tinted():
    steps = loads.steps()
    found = knee(steps)
    figure = load_knee.knee_chart(steps, found, 20.0, dark=False)
    lines = {shape["x0"] for shape in figure["layout"]["shapes"] if shape["type"] == "line"}
    assert lines == {found.per_s, 20.0}
    assert {shape["x0"] for shape in figure["layout"]["shapes"] if shape["type"] == "rect"} == {found.per_s}
    assert "declared peak 20/s" in texts(figure)
    assert any(words.startswith("<b>knee ") for words in texts(figure))


def test_a_service_that_held_every_step_has_no_knee_in_its_chart():
    steps = loads.steps()[:6]
    figure = load_knee.knee_chart(steps, knee(steps), None, dark=False)
    assert figure["layout"]["shapes"] == []
    assert not any("knee" in words for words in texts(figure))


def test_steps_without_an_answer_leave_a_gap_in_the_latency():
    silent = replace(loads.steps()[-1], answered=0, answered_per_s=0.0, p50_ms=None, p95_ms=None)
    figure = load_knee.knee_chart((*loads.steps()[:-1], silent), None, None, dark=False)
    assert np.isnan(figure["data"][-1]["y"][-1])


def test_an_open_scenario_under_way_shows_what_is_due_beside_what_is_answered():
    seconds = [story.second_of_load(second, model="open", offered_per_s=45.0) for second in (1, 2)]
    figure = live_load(seconds, dark=False)
    assert list(figure["data"][-1]["y"]) == [45.0, 45.0]
    assert figure["layout"]["yaxis2"]["range"][1] > 45
