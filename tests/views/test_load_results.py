"""Load results: what was measured, whether to trust it, against another run, and where the service breaks."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Iterator

import pytest

from app.history.store import Store
from app.records import RunState
from app.samples.writing import part_of
from app.views.load_numbers import as_csv
from checks.contract.findings import Outcome
from checks.contract.load import Arrivals
from tests import records
from tests.views import loads, story

UNANSWERED = {
    "successful": 0, "failed": 240, "success_rate": 0.0, "cache_hit_rate": None, "avg_latency_ms": None,
    "median_latency_ms": None, "p95_latency_ms": None, "p99_latency_ms": None, "failures": {"refused": 240},
    "failure_examples": {"refused": "Connection refused."},
}  # fmt: skip


@pytest.fixture
def other_process() -> Iterator[int]:
    """A process that stands for a run's."""
    process = subprocess.Popen(["sleep", "120"])
    yield process.pid
    process.kill()
    process.wait()


def charts(page) -> int:
    return len(page.app.get("plotly_chart"))


@pytest.fixture
def heavy(tmp_path):
    """``heavy(**changes)`` is the heavy scenario's result with its samples on disk."""

    def make(**changes):
        rows = changes.pop("rows", None) or loads.requests(seconds=12)
        file = changes.pop("file", None) or loads.write(tmp_path / "samples" / "heavy.parquet", rows)
        return loads.result("heavy", rows, file, **changes)

    return make


def test_a_run_shows_its_values_with_limits_its_charts_and_the_comparison(dashboard, store: Store, tmp_path):
    loads.tell(store, tmp_path / "samples", seconds=12)
    page = dashboard.open("load_results", target="sample", scenario="heavy")
    assert "Run #2" in page.text
    assert "Every sample kept" in page.text
    assert "Pass, " in page.text
    assert "needs ≥\u00a095\u00a0%" in page.text
    assert "needs ≤\u00a010\u00a0s" in page.text
    assert "First token and gaps" not in page.text
    assert "Gaps between tokens" in page.text
    assert "Run #2 against run #1" in page.text
    assert "<b>Faster.</b>" in page.text
    assert "Where it breaks" in page.text
    assert "<b>Answers keep up to" in page.text
    assert charts(page) == 6
    assert page.query == {"target": "sample", "scenario": "heavy", "against": "1"}


def test_the_scenario_and_the_other_run_stand_in_the_address(dashboard, store: Store, tmp_path):
    loads.tell(store, tmp_path / "samples", seconds=6)
    page = dashboard.open("load_results", target="sample", run="2")
    assert page.query["scenario"] == "baseline"
    page.app.button_group(key="scenario_2_5").set_value("light").run()
    assert page.query["scenario"] == "light"
    page.app.selectbox(key="against_2_light").set_value("none").run()
    assert page.query["against"] == "none"
    assert "Choose a run to compare with above." in page.text
    assert not page.app.exception


def test_an_address_that_is_followed_within_a_session_is_obeyed(dashboard, store: Store, tmp_path):
    loads.tell(store, tmp_path / "samples", seconds=6)
    dashboard.open("load_results", target="sample", run="2", scenario="light")
    page = dashboard.open("load_results", target="sample", run="2", scenario="heavy", against="none")
    assert "Heavy: " in page.text
    assert page.query["against"] == "none"


def test_nonsense_in_the_address_shows_the_first_scenario(dashboard, store: Store, heavy):
    loads.keep(store, heavy())
    page = dashboard.open(
        "load_results", target="sample", scenario="<script>", against="99999999999999999999"
    )
    assert "Heavy: " in page.text
    assert "<script>" not in page.text
    assert "No other run of this service has measured this scenario" in page.text
    assert "This run has not measured it." in page.text


def test_an_open_run_accounts_for_every_arrival_and_shows_three_latencies(dashboard, store: Store, tmp_path):
    loads.keep(store, loads.saturation(tmp_path / "samples", seconds=2))
    page = dashboard.open("load_results", target="sample")
    assert "Saturation: 12\u00a0steps" in page.text
    assert "Scheduled 792 = sent 780 + dropped 12." in page.text
    assert (
        "service 80\u00a0ms and 9\u00a0s, dispatch delay 0.2\u00a0ms and 3.1\u00a0ms, scheduled" in page.text
    )
    assert "with failures unbounded" in page.text
    assert "Not judged" in page.text


def test_an_open_run_shows_its_checks_words_and_no_limit_that_is_for_a_part_of_it(dashboard, store, heavy):
    loads.keep(store, heavy(model="open", rate_per_s=40.0), reason="Latency was back after 4 s, limit 30 s.")
    text = dashboard.open("load_results", target="sample").text
    assert "Latency was back after 4 s, limit 30 s." in text
    assert "needs ≥" not in text


@pytest.mark.parametrize(
    ("thresholds", "word"),
    [
        ({"pass_success_ratio": 0.9999, "warn_success_ratio": 0.5}, "Warn"),
        ({"pass_success_ratio": 0.9999, "warn_success_ratio": 0.9998}, "Fail"),
        ({"pass_success_ratio": 0.9999, "warn_within_ratio": 0.2}, "Warn"),
        ({"pass_success_ratio": 0.9999}, "Fail"),
        ({"pass_success_ratio": 0.5}, "Pass"),
    ],
)
def test_a_value_past_its_limit_warns_or_fails_as_its_check_has_it(dashboard, store, heavy, thresholds, word):
    rows = loads.requests(seconds=12, failing=0.02)
    loads.keep(store, heavy(rows=rows), thresholds=thresholds, outcome=Outcome.FAIL, earned=0.0)
    text = dashboard.open("load_results", target="sample").text
    needed = text.split("needs ≥")[1]
    assert needed.startswith("\u00a0")
    assert f'<span class="gl-vh">, {word}</span>' in needed[:80]


def test_arrivals_that_do_not_add_up_are_named(dashboard, store: Store, heavy):
    loads.keep(store, heavy(model="open", rate_per_s=40.0, arrivals=Arrivals(10, 8, 1)))
    text = dashboard.open("load_results", target="sample").text
    assert "Scheduled 10 = sent 8 + dropped 1.</b> They do not add up." in text
    assert "40 requests a second" in text


@pytest.mark.parametrize("validity", ["suspect", "invalid"])
def test_a_measurement_not_to_be_trusted_says_why_before_its_values(dashboard, store, heavy, validity):
    loads.keep(store, heavy(validity=validity, validity_reasons=("The event loop lagged 40 ms.",)))
    text = dashboard.open("load_results", target="sample").text
    assert text.index(f"<b>{validity.upper()}.</b> The event loop lagged 40 ms.") < text.index("Succeeded")


def test_a_valid_whole_measurement_says_nothing_of_it(dashboard, store: Store, heavy):
    loads.keep(store, heavy())
    text = dashboard.open("load_results", target="sample").text
    assert "VALID" not in text
    assert "Partial" not in text


def test_a_partial_result_is_marked_and_drawn_as_far_as_it_came(dashboard, store: Store, heavy, tmp_path):
    rows = loads.requests(seconds=6)
    file = loads.write(tmp_path / "cut" / "heavy.parquet", rows, finished=False)
    assert not file.exists()
    assert part_of(file).exists()
    run = loads.keep(store, heavy(rows=rows, file=file, partial="Its worker was killed after 6 of 30 s."))
    store._set(run.run_id, state=RunState.INTERRUPTED.value, score=None, scorecard=None)
    page = dashboard.open("load_results", target="sample", run="1")
    assert "<b>Run #1 was interrupted.</b>" in page.text
    assert "<b>Partial result.</b> Its worker was killed after 6 of 30 s." in page.text
    assert charts(page) == 2


def test_a_missing_sample_file_leaves_the_numbers_and_says_why_there_is_no_chart(
    dashboard, store, heavy, tmp_path
):
    result = heavy()
    (tmp_path / "samples" / "heavy.parquet").unlink()
    loads.keep(store, result)
    page = dashboard.open("load_results", target="sample")
    assert "there is no such file" in page.text
    assert "Succeeded" in page.text
    assert charts(page) == 0


def test_a_run_from_before_samples_were_kept_says_so(dashboard, store: Store):
    loads.keep(store, records.load_result("heavy"))
    text = dashboard.open("load_results", target="sample").text
    assert "The samples of this scenario were not kept" in text
    assert "Every sample kept" not in text


def test_replies_without_a_marker_have_one_distribution(dashboard, store: Store, heavy):
    loads.keep(store, heavy(rows=loads.unmarked(loads.requests(seconds=6))))
    text = dashboard.open("load_results", target="sample").text
    assert "How latency is spread" in text
    assert "No reply says whether it came from the cache." in text
    assert "not marked" in text


def test_a_scenario_without_an_answer_says_so_in_place_of_empty_charts(dashboard, store: Store):
    loads.keep(store, records.load_result("heavy", **UNANSWERED), outcome=Outcome.FAIL, earned=0.0)
    page = dashboard.open("load_results", target="sample")
    assert "No request was answered in this scenario: 0 of 240" in page.text
    assert "Connection refused." in page.text
    assert "All 240 requests failed." in page.text
    assert charts(page) == 0


def test_without_a_run_it_says_what_a_run_would_bring(dashboard, declared):
    text = dashboard.open("load_results", target="sample").text
    assert "No load has been measured yet." in text


def test_without_any_service_it_leads_to_one(dashboard):
    assert "Nothing to assess yet" in dashboard.open("load_results").text


def test_an_unknown_run_leads_to_the_newest(dashboard, store: Store, heavy):
    loads.keep(store, heavy())
    page = dashboard.open("load_results", target="sample", run="7")
    assert "No run #7 for this service." in page.text
    page.click("centred_button")
    assert "Heavy: " in page.text


def test_a_run_without_load_leads_to_one_that_has_it(dashboard, store: Store, heavy):
    loads.keep(store, heavy())
    story.keep(store, story.card())
    page = dashboard.open("load_results", target="sample", run="2")
    assert "Run #2 has no load results." in page.text
    assert page.click("centred_button").query["run"] == "1"


def test_the_newest_run_that_has_load_results_is_shown(dashboard, store: Store, heavy):
    loads.keep(store, heavy())
    story.keep(store, story.card())
    assert "Run #1" in dashboard.open("load_results", target="sample").text


def test_a_scenario_under_way_is_shown_live_with_what_is_already_through(
    dashboard, store: Store, heavy, other_process
):
    run = story.keep_running(store, pid=other_process)
    store.add_load_result(run.run_id, heavy())
    page = dashboard.open("load_results", target="sample")
    assert "19\u00a0s" not in page.text
    assert "load_scenarios.heavy" in page.text
    assert "Heavy: " in page.text
    assert charts(page) == 3


def test_an_open_scenario_under_way_says_what_is_due_and_dropped(dashboard, store: Store, other_process):
    story.keep_running(store, pid=other_process, model="open", offered_per_s=45.0, sent=44, dropped=3)
    text = dashboard.open("load_results", target="sample").text
    assert "45/s<small>3 dropped" in text


def test_between_scenarios_it_says_what_runs_instead(dashboard, store: Store, other_process):
    story.keep_running(store, seconds=0, pid=other_process)
    text = dashboard.open("load_results", target="sample").text
    assert "No load scenario runs just now" in text
    assert "None has been measured so far." in text


def test_a_waiting_run_says_so(dashboard, store: Store, other_process):
    story.keep_running(store, pid=other_process)
    store.create_run(story.TARGET, profile="quick", faults=True, started_by="ci", planned=())
    assert "Run #2 is waiting." in dashboard.open("load_results", target="sample", run="2").text


def test_hostile_words_are_shown_and_never_run(dashboard, store: Store, heavy):
    hostile = heavy(
        failed=3, failures={records.HOSTILE: 3}, failure_examples={records.HOSTILE: records.HOSTILE},
        validity="suspect", validity_reasons=(records.HOSTILE,), partial=records.HOSTILE,
    )  # fmt: skip
    loads.keep(store, hostile, heavy().model_copy(update={"scenario": records.HOSTILE[:100]}))
    text = dashboard.open("load_results", target="sample").text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_table_has_every_scenario(dashboard, store: Store, tmp_path):
    loads.tell(store, tmp_path / "samples", seconds=6)
    [table] = dashboard.open("load_results", target="sample").app.dataframe
    assert list(table.value["Scenario"]) == ["Baseline 1", "Light 5", "Medium 10", "Heavy 20", "Saturation"]


def test_no_cell_of_the_csv_is_a_formula():
    nasty = ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", " =1", "\t=1")
    results = [records.load_result("heavy", partial=cell, errors=[cell]) for cell in nasty]
    rows = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert len(rows) == len(nasty)
    for row in rows:
        assert row["partial"][0] == "'"
        assert row["errors"][0] == "'"
    assert rows[0]["total_requests"] == "240"
    assert rows[0]["p999_latency_ms"] == ""
