"""The Sample page over a real sample: as found, mended one by one, assessed again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.history.store import Store
from app.sample import stack
from app.sample.defects import AS_FOUND
from tests import records
from tests.views import story


@pytest.fixture
def running(data_folder: Path, sample_stack) -> Iterator[stack.State]:
    """A sample as found, in the folder that the dashboard looks at."""
    target_file = data_folder / "targets" / "sample.toml"
    yield sample_stack(*AS_FOUND, folder=data_folder / "sample", target_file=target_file)
    stack.down(data_folder / "sample")


def test_a_stopped_sample_offers_to_start_it(dashboard):
    page = dashboard.open("sample")
    assert "The sample is not running." in page.text
    assert {"start_as_found", "start_healthy"} <= {button.key for button in page.app.button}


def test_parts_and_defects_are_shown_as_they_are(dashboard, running):
    text = dashboard.open("sample").text
    for part in running.parts:
        assert str(part.pid) in text
    assert text.count("gl-badge gl-fail") == len(AS_FOUND)
    assert f"{len(AS_FOUND)}\u00a0defects switched on" in text


def test_a_sample_that_nothing_watches_says_how_to_get_what_would(dashboard, running):
    assert "apt-get install" not in dashboard.open("sample").text or running.unwatched
    running.model_copy(update={"unwatched": ("prometheus", "alertmanager")}).save()
    text = dashboard.open("sample").text
    assert "Prometheus and Alertmanager not found" in text
    assert "apt-get install prometheus prometheus-alertmanager" in text


def test_a_defect_is_mended_and_broken_again_from_its_row(dashboard, running, data_folder):
    page = dashboard.open("sample")
    page.app.button(key="switch_primary_route_500").click().run(timeout=60)
    state = stack.status(data_folder / "sample")
    assert state is not None
    assert "primary_route_500" not in state.defects
    assert "Mended" in page.text
    page.app.button(key="switch_primary_route_500").click().run(timeout=60)
    state = stack.status(data_folder / "sample")
    assert state is not None
    assert set(state.defects) == set(AS_FOUND)


def test_after_a_run_the_overview_mends_what_costs_most_and_then_offers_to_assess(
    dashboard, running, store: Store, data_folder
):
    story.keep(store, story.scored(records.as_found().scorecard), ago=timedelta(0))
    page = dashboard.open("overview", target="sample")
    assert "<b>The chat route answers Internal Server Error.</b>" in page.text
    assert page.app.button(key="offer_button").label == "Mend this defect"
    page.app.button(key="offer_button").click().run(timeout=60)
    state = stack.status(data_folder / "sample")
    assert state is not None
    assert "primary_route_500" not in state.defects
    assert "The sample was changed after this run" in page.text
    assert page.app.button(key="offer_button").label == "Assess again"
