"""Run: the form, launching for real, watching, cancelling, and what a run left behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.history.store import Store
from app.records import RunEvent, RunState
from app.sample import processes
from app.views.run_live import Progress
from checks import all_checks
from tests import records
from tests.views import story

PATIENCE_S = 60.0


@pytest.fixture
def other_process() -> Iterator[int]:
    """A process that stands for a run's."""
    process = subprocess.Popen(["sleep", "120"])
    yield process.pid
    process.kill()
    process.wait()


def until_final(store: Store, run_id: int) -> RunState:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        run = story.found(store, run_id)
        if run.state.final:
            return run.state
        time.sleep(0.1)
    raise AssertionError(f"run {run_id} did not end in {PATIENCE_S} s")


def test_the_form_counts_checks_and_names_what_breaks_something(dashboard, declared):
    page = dashboard.open("run", target="sample")
    assert f"<b>{len(all_checks())}\u00a0checks</b>" in page.text
    assert "break something on purpose and put it back" in page.text


def test_a_family_is_chosen_or_left_as_a_whole(dashboard, declared):
    every = len(all_checks())
    inside = sum(check.startswith("load_scenarios.") for check in all_checks())
    page = dashboard.open("run", target="sample")
    page.app.checkbox(key="pick_sample_load_scenarios").uncheck().run()
    assert f"<b>{every - inside}\u00a0checks</b>" in page.text
    page.app.checkbox(key="pick_sample_load_scenarios.heavy").check().run()
    assert f"<b>{every - inside + 1}\u00a0checks</b>" in page.text
    assert page.app.checkbox(key="pick_sample_load_scenarios").value is False


def test_without_a_check_nothing_can_be_run(dashboard, declared):
    page = dashboard.open("run", target="sample")
    families = [box.key for box in page.app.checkbox if "." not in box.key.removeprefix("pick_sample_")]
    for key in families:
        page.app.checkbox(key=key).uncheck()
    page.app.run()
    assert "No check is chosen." in page.text
    assert page.app.button(key="launch").disabled


def test_fault_checks_wait_for_an_answer_that_names_the_levers(dashboard, store: Store, declared):
    page = dashboard.open("run", target="sample").click("launch")
    assert page.app.button(key="launch_faults").disabled
    assert "<b>cache</b>: refuse, hang, by toxiproxy" in page.text
    assert store.runs("sample") == []


def test_a_run_is_launched_as_a_process_and_its_end_is_shown(dashboard, store: Store, declared):
    [port] = processes.free_ports(1)
    declared.write_text(f'url = "http://127.0.0.1:{port}"\n', encoding="utf-8")
    page = dashboard.open("run", target="sample").click("launch")
    [run] = store.runs("sample")
    assert page.query == {"target": "sample", "run": "1"}
    assert until_final(store, run.run_id) is RunState.BROKEN
    text = dashboard.open("run", target="sample", run="1").text
    assert "Run #1 stopped" in text
    assert f"No answer from http://127.0.0.1:{port}" in text


def test_a_run_that_goes_on_is_shown_from_the_history_alone(dashboard, store: Store, other_process):
    story.keep_running(store, pid=other_process)
    page = dashboard.open("run", target="sample")
    text = page.text
    assert page.query["run"] == "1"
    assert "Run #1 is in progress" in text
    assert "of 17</b> checks" in text
    assert "cache restored" in text
    assert 'role="status"' in text
    assert "Succeeded" in text
    assert len(page.app.get("plotly_chart")) == 1


def test_checks_that_run_side_by_side_are_all_under_way_and_the_latest_is_told_of(store, other_process):
    run = story.keep_running(store, seconds=0, pid=other_process)
    seq = store.events(run.run_id)[-1].seq
    for name in ("cache.latency", "cache.reachable"):
        seq += 1
        at = datetime.now(UTC)
        store.add_event(run.run_id, RunEvent(seq=seq, at=at, kind="check", check=name, text=name, data={}))
    progress = Progress(run, store.findings(run.run_id), store.events(run.run_id))
    under_way = [event.check for event in progress.running]
    assert under_way == ["load_scenarios.heavy", "cache.latency", "cache.reachable"]
    assert progress.current.check == "cache.reachable"


def test_a_scenario_without_an_answer_says_so_in_place_of_an_empty_chart(dashboard, store, other_process):
    run = story.keep_running(store, seconds=0, pid=other_process)
    last = store.events(run.run_id)[-1]
    silent = story.second_of_load(1, answered=0, failed=240, p50_ms=None, p95_ms=None, p99_ms=None)
    data = {"seq": last.seq + 1, "at": last.at, "kind": "load", "text": "heavy", "data": silent}
    store.add_event(run.run_id, RunEvent(**data))
    page = dashboard.open("run", target="sample", run="1")
    assert "<b>No request was answered in this scenario</b>: 0 of 240 so far." in page.text
    assert not page.app.get("plotly_chart")


def test_cancel_asks_the_run_to_stop(dashboard, store: Store, other_process):
    run = story.keep_running(store, pid=other_process)
    dashboard.open("run", target="sample", run="1").click("cancel")
    assert store.cancel_asked(run.run_id)


def test_a_run_whose_process_is_gone_is_shown_as_ended(dashboard, store: Store):
    gone = subprocess.Popen(["sleep", "60"])
    run = story.keep_running(store, pid=gone.pid)
    gone.kill()
    gone.wait()
    page = dashboard.open("run", target="sample", run="1")
    assert story.found(store, run.run_id).state is RunState.INTERRUPTED
    assert "Run #1 was interrupted" in page.text


def test_a_waiting_run_says_what_it_waits_for(dashboard, store: Store, other_process):
    story.keep_running(store, pid=other_process)
    store.create_run(story.TARGET, profile="quick", faults=True, started_by="ci", planned=())
    text = dashboard.open("run", target="sample", run="2").text
    assert "Waiting for run #2 of this service." in text
    assert "Started by ci. It begins when run #1 has ended." in text


def test_a_finished_run_lists_every_finding_with_a_way_to_it(dashboard, store: Store):
    story.keep(store, story.scored(records.as_found().scorecard))
    page = dashboard.open("run", target="sample", run="1")
    links = [link.proto for link in page.app.get("page_link")]
    assert sum("check=" in link.query_string for link in links) == 17
    assert page.click("open_overview").query == {"target": "sample", "run": "1"}


def test_a_run_of_some_checks_says_what_the_others_count_as(dashboard, store: Store):
    run = story.keep(store, story.card())
    store._set(run.run_id, planned=["cache.reachable"])
    text = dashboard.open("run", target="sample", run="1").text
    assert f"1 of {len(all_checks())} checks were run; the others count as not assessed." in text


def test_an_unknown_run_leads_to_the_newest(dashboard, store: Store):
    story.keep(store, story.card())
    assert "No run #7 for this service." in dashboard.open("run", target="sample", run="7").text


def test_a_target_file_that_is_broken_says_where(dashboard, declared):
    declared.write_text('url = "http://127.0.0.1:8003"\nurlx = 1\n', encoding="utf-8")
    declared.rename(declared.with_name("other.toml"))
    text = dashboard.open("run", target="other").text
    assert "This service cannot be assessed." in text
    assert "urlx" in text
