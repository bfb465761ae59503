"""First contact: an empty history, a run that goes on, its end, and the way to the verdict."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from app.records import RunState
from tests import records
from tests.views import story
from tests.views.conftest import TARGET_FILE

pytestmark = pytest.mark.browser


@pytest.fixture
def other_process() -> Iterator[int]:
    """A process that stands for a run's."""
    process = subprocess.Popen(["sleep", "170"])
    yield process.pid
    process.kill()
    process.wait()


def test_an_empty_history_offers_to_start_the_sample(serve, visit):
    seen = visit(serve()).open("/")
    assert seen.page.get_by_text("Nothing to assess yet.").count() == 1
    assert seen.page.get_by_role("button", name="Start the sample").is_enabled()


def test_a_first_run_is_watched_live_and_ends_in_its_verdict(serve, visit, other_process):
    server = serve()
    run = story.keep_running(server.store, pid=other_process)
    seen = visit(server).open("/")
    assert seen.page.url.endswith("/run?target=sample&run=1")
    assert seen.page.locator("h1").inner_text() == "Run #1 is in progress"
    for_later = records.finding("load_scenarios.heavy")
    server.store.add_finding(run.run_id, for_later)
    seen.page.locator("[role=status]", has_text=for_later.title).wait_for(state="attached", timeout=20_000)
    server.store.finish_run(run.run_id, story.scored(records.as_found().scorecard))
    seen.page.get_by_role("heading", name="Run #1 is finished").wait_for(timeout=20_000)
    seen.settle()
    assert seen.page.get_by_text("NOT READY").count() == 1
    seen.page.get_by_role("button", name="Open the Overview").click()
    seen.page.wait_for_url("**/overview?*")
    assert seen.settle().page.get_by_text("What blocks the release").count() == 1


def test_a_refresh_and_a_closed_tab_lose_nothing(serve, visit, other_process):
    server = serve()
    story.keep_running(server.store, pid=other_process)
    first = visit(server).open("/run?target=sample")
    before = first.page.locator(".gl-events li").count()
    first.page.reload()
    assert first.settle().page.locator(".gl-events li").count() == before
    address = first.page.url.removeprefix(server.url)
    first.page.close()
    assert visit(server).open(address).page.locator(".gl-events li").count() == before


def test_a_run_that_ends_while_another_page_is_open_renews_that_page(serve, visit, other_process):
    server = serve(lambda store: story.keep(store, story.card()))
    run = story.keep_running(server.store, pid=other_process)
    seen = visit(server).open("/overview?target=sample")
    assert seen.page.get_by_text("PRODUCTION READY").count() == 1
    assert seen.page.get_by_role("link", name="Open the run of Support chat API").count() == 1
    server.store.finish_run(run.run_id, story.scored(records.as_found().scorecard))
    seen.page.get_by_text("NOT READY", exact=True).wait_for(timeout=20_000)


def test_cancel_is_one_click(serve, visit, other_process):
    server = serve()
    run = story.keep_running(server.store, pid=other_process)
    seen = visit(server).open("/")
    seen.page.get_by_role("button", name="Cancel run").click()
    seen.page.get_by_text("The run is asked to stop.").wait_for(timeout=20_000)
    assert server.store.cancel_asked(run.run_id)
    seen.page.get_by_role("heading", name="Run #1 was cancelled").wait_for(timeout=20_000)
    assert story.found(server.store, run.run_id).state is RunState.CANCELLED


def test_fault_checks_are_agreed_to_before_they_are_run(serve, visit):
    server = serve()
    file = server.folder / "targets" / "sample.toml"
    file.write_text(TARGET_FILE.replace("8003", "1"), encoding="utf-8")
    seen = visit(server).open("/run?target=sample")
    seen.page.get_by_role("button", name="Run assessment").click()
    dialog = seen.page.get_by_role("dialog")
    dialog.wait_for(timeout=20_000)
    launch = dialog.get_by_role("button", name="Run assessment")
    assert launch.is_disabled()
    dialog.get_by_text("Nobody depends on this service just now").click()
    seen.page.wait_for_function(
        "() => [...document.querySelectorAll('[role=dialog] button')].some("
        "b => b.textContent.includes('Run assessment') && !b.disabled)",
        timeout=20_000,
    )
    launch.click()
    seen.page.get_by_role("heading", name="Run #1 stopped").wait_for(timeout=60_000)
    assert "No answer from http://127.0.0.1:1" in seen.page.locator(".stMain").inner_text()
