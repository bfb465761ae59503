"""Where the dashboard opens, the Portfolio of several services, and what stops it."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.history.store import Store
from tests import records
from tests.views import story
from tests.views.conftest import ROOT


def test_an_empty_history_says_how_to_begin(dashboard):
    page = dashboard.open("home")
    assert "Nothing to assess yet." in page.text
    assert page.app.button(key="start_sample").label == "Start the sample"


def test_with_a_history_it_opens_on_the_newest_overview(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("home")
    assert page.query == {"target": "sample"}
    assert "PRODUCTION READY" in page.text


def test_a_run_that_goes_on_is_opened_live(dashboard, store: Store):
    process = subprocess.Popen(["sleep", "60"])
    try:
        story.keep_running(store, pid=process.pid)
        page = dashboard.open("home")
        assert page.query == {"target": "sample", "run": "1"}
        assert "Run #1 is in progress" in page.text
    finally:
        process.kill()
        process.wait()


def test_several_services_open_on_the_portfolio_worst_first(dashboard, store: Store):
    story.keep(store, story.card(), target=story.OTHER)
    story.keep(store, story.scored(records.as_found().scorecard))
    text = dashboard.open("home").text
    assert "1 of 2 services is production ready" in text
    cards = text[text.index("gl-card-top") :]
    assert cards.index("Support chat API") < cards.index("Order intake")


def test_a_stale_service_is_said_with_word_and_shape(dashboard, store: Store):
    story.keep(store, story.card(), target=story.OTHER, ago=timedelta(days=9))
    story.keep_interrupted(store)
    text = dashboard.open("portfolio").text
    assert "1\u00a0assessment stale" in text
    assert "gl-i-warn" in text
    assert "Not assessed yet" in text


def test_one_service_needs_no_portfolio_link(dashboard, store: Store):
    story.keep(store, story.card())
    labels = [link.proto.label for link in dashboard.open("overview").app.get("page_link")]
    assert "Portfolio" not in labels
    assert "Overview" in labels


def test_a_run_that_goes_on_has_a_card_on_every_page(dashboard, store: Store):
    story.keep(store, story.card())
    process = subprocess.Popen(["sleep", "60"])
    try:
        story.keep_running(store, pid=process.pid)
        for page in ("overview", "history", "sample"):
            text = dashboard.open(page, target="sample").text
            assert "Run in progress, " in text
    finally:
        process.kill()
        process.wait()


def test_a_broken_plug_in_is_one_clear_message(store: Store, tmp_path: Path, monkeypatch):
    (tmp_path / "plugins" / "mine").mkdir(parents=True)
    (tmp_path / "plugins" / "mine" / "broken.py").write_text("CHECK = 1\n")
    monkeypatch.setenv("GREENLIGHT_PLUGINS", str(tmp_path / "plugins"))
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    text = "\n".join(html.proto.body for html in app.get("html"))
    assert "The dashboard cannot start." in text
    assert "broken.py: lacks" in text
    assert not app.exception
