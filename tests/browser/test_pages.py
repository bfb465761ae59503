"""Every page in a real browser: by its address alone, in both modes, on a phone, over hostile text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import records
from tests.views import loads, story

pytestmark = pytest.mark.browser

PAGES = {
    "overview": ("/overview?target=sample", "Support chat API"),
    "older run": ("/overview?target=sample&run=4", "Support chat API"),
    "check": ("/check?target=sample&run=4&check=cache.hit_rate", "Repeated questions miss the cache"),
    "run": ("/run?target=sample&run=13", "Run #13 is finished"),
    "load": ("/load?target=sample&run=13&scenario=heavy", "Load results"),
    "saturation": ("/load?target=sample&run=13&scenario=saturation", "Load results"),
    "history": ("/history?target=sample&a=4&b=13", "History"),
    "sample": ("/sample", "Sample"),
    "portfolio": ("/portfolio", "1 of 2 services is production ready"),
}


def tell_two(store) -> None:
    story.keep(store, story.card(("endpoint_health.bad_input",)), target=story.OTHER)
    story.tell(store)
    loads.add(store, Path(str(store.engine.url.database)).parent / "samples")


@pytest.fixture(scope="module")
def server(serve):
    return serve(tell_two)


@pytest.fixture(scope="module")
def hostile(serve):
    return serve(lambda store: story.keep(store, story.scored(records.hostile().scorecard)))


@pytest.mark.parametrize("name", PAGES)
def test_each_page_opens_by_its_address_alone_right_after_the_server_started(serve, visit, name):
    """A new server has never run the main script: what it does once must not be needed by a page."""
    path, heading = PAGES[name]
    seen = visit(serve(tell_two)).open(path)
    assert seen.page.locator("h1").inner_text() == heading
    assert seen.page.get_by_role("dialog").count() == 0
    assert seen.errors == []


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_scrolls_sideways_and_nothing_is_fetched_from_elsewhere(server, visit, name, width):
    seen = visit(server, width=width, scheme="light" if width == 390 else "dark").open(PAGES[name][0])
    main = "document.querySelector('[data-testid=\"stMain\"]')"
    assert seen.page.evaluate(f"{main}.scrollWidth <= {main}.clientWidth")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.elsewhere == []
    assert seen.errors == []


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(246, 247, 248)"), ("dark", "rgb(13, 16, 18)")])
def test_the_page_follows_the_system_and_its_cards_with_it(server, visit, scheme, colour):
    seen = visit(server, scheme=scheme).open(PAGES["overview"][0])
    background = "e => getComputedStyle(e).backgroundColor"
    assert seen.page.locator(".stApp").evaluate(background) == colour
    surface = "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 27)"
    assert seen.page.locator(".st-key-card_verdict").evaluate(background) == surface


def test_the_fonts_are_the_local_ones(server, visit):
    seen = visit(server).open(PAGES["check"][0])
    assert seen.page.evaluate("document.fonts.check('650 16px Inter')")
    assert any(url.endswith("inter.woff2") for url in seen.fetched)
    assert any(url.endswith("jetbrains-mono.woff2") for url in seen.fetched)


@pytest.mark.parametrize(
    "path",
    ["/overview?target=sample", "/run?target=sample&run=1", "/history?target=sample", "/portfolio"],
)
def test_hostile_text_is_shown_and_not_run(hostile, visit, path):
    seen = visit(hostile).open(path)
    assert seen.dialogs == []
    assert seen.errors == []
    assert seen.elsewhere == []
    assert seen.page.locator("script", has_text="alert(1)").count() == 0


@pytest.mark.parametrize("check", ["cache.reachable", "cache.hit_rate", "monitoring.metrics_exposed"])
def test_a_hostile_finding_is_shown_as_text(hostile, visit, check):
    seen = visit(hostile).open(f"/check?target=sample&run=1&check={check}")
    assert "<script>alert(1)</script>" in seen.page.locator("h1").inner_text()
    assert seen.page.locator("img[src*='evil'], a[href^='javascript']").count() == 0
    assert seen.dialogs == []
    assert seen.elsewhere == []


def test_a_blocker_row_is_reached_by_keyboard_and_opens_its_check(server, visit):
    seen = visit(server).open("/overview?target=sample&run=4")
    link = seen.page.get_by_role("link", name="Open The primary route answers with an error")
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        if link.evaluate("e => e === document.activeElement"):
            break
    assert link.evaluate("e => e === document.activeElement")
    assert link.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url("**/check?*")
    seen.settle()
    assert "check=endpoint_health.primary_route" in seen.page.url
    assert "run=4" in seen.page.url
    assert seen.page.locator("h1").inner_text() == "The primary route answers with an error"


def test_navigation_keeps_the_service_and_the_tab_says_the_verdict(server, visit):
    seen = visit(server).open("/overview?target=orders")
    assert seen.page.title() == "Order intake: not ready, 85.0 · Greenlight"
    seen.page.get_by_role("link", name="History").click()
    seen.page.wait_for_url("**/history?*")
    seen.settle()
    assert "target=orders" in seen.page.url


def test_a_picked_pair_of_runs_stands_in_the_address_and_comes_back_with_it(server, visit):
    seen = visit(server).open("/history?target=sample&a=4&b=13")
    assert seen.page.get_by_role("heading", name="Run #4 to run #13").count() == 1
    assert "a=4" in seen.page.url
    seen.page.reload()
    seen.settle()
    assert seen.page.get_by_role("heading", name="Run #4 to run #13").count() == 1


def test_the_scenario_chosen_and_the_other_run_come_back_with_the_address(server, visit):
    seen = visit(server).open("/load?target=sample&run=13")
    seen.page.get_by_role("radio", name="Light 5").click()
    seen.page.wait_for_url("**scenario=light**")
    seen.settle()
    assert seen.page.get_by_role("heading", name="Light: 5 users").count() == 1
    assert "against=12" in seen.page.url
    seen.page.reload()
    seen.settle()
    assert seen.page.get_by_role("heading", name="Light: 5 users").count() == 1
    assert seen.page.get_by_role("heading", name="Run #13 against run #12").count() == 1


def test_every_chart_of_the_load_page_is_drawn_and_spoken(server, visit):
    seen = visit(server).open(PAGES["load"][0])
    charts = seen.page.locator(".stPlotlyChart")
    assert charts.count() == 6
    for number in range(6):
        assert charts.nth(number).locator(".main-svg").first.is_visible()
        assert len(charts.nth(number).get_attribute("aria-label") or "") > 20


def test_the_numbers_are_downloaded_as_csv(server, visit, tmp_path):
    seen = visit(server).open(PAGES["load"][0])
    seen.page.get_by_text("Numbers of all scenarios").click()
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Download CSV").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "sample-run-13-load.csv"
    lines = file.read_text().splitlines()
    assert lines[0].startswith("scenario,model,users")
    assert [line.partition(",")[0] for line in lines[1:]] == [
        "baseline",
        "light",
        "medium",
        "heavy",
        "saturation",
    ]


def test_an_export_is_downloaded_whole(server, visit, tmp_path):
    seen = visit(server).open("/overview?target=sample")
    seen.page.get_by_role("button", name="Export").click()
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="JSON", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "sample-run-13.json"
    assert '"schema_version": 1' in file.read_text()
