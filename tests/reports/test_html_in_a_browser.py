"""The HTML report in a real browser: nothing fetched, nothing run, nothing wider than a phone."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from app.reports.html import render
from tests import records

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync")  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; Debian has it as `chromium`"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield running
        running.close()


@pytest.fixture
def opened(browser, tmp_path: Path):
    """Opens a report; gives the page and the list of everything it fetched or complained about."""

    def open_(snapshot, *, width: int, scheme: str):
        file = tmp_path / "report.html"
        file.write_text(render(snapshot, records.history()), encoding="utf-8")
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
        noise: list[str] = []
        page.on(
            "request", lambda request: noise.append(request.url) if request.url != file.as_uri() else None
        )
        page.on("console", lambda message: noise.append(message.text))
        page.on("dialog", lambda dialog: noise.append(dialog.message))
        page.goto(file.as_uri())
        return page, noise

    return open_


@pytest.mark.parametrize("width", [390, 1140])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("snapshot", [records.as_found(), records.mended(), records.hostile()])
def test_nothing_is_fetched_or_run_and_nothing_scrolls_sideways(opened, snapshot, width, scheme):
    page, noise = opened(snapshot, width=width, scheme=scheme)
    assert noise == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_the_page_follows_the_colour_scheme_of_its_reader_and_is_light_on_paper(opened):
    def background(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, _ = opened(records.as_found(), width=1140, scheme="light")
    dark, _ = opened(records.as_found(), width=1140, scheme="dark")
    assert background(light) == "rgb(246, 247, 248)"
    assert background(dark) == "rgb(13, 16, 18)"
    dark.emulate_media(media="print", color_scheme="dark")
    assert background(dark) == "rgb(255, 255, 255)"
    light.close()
    dark.close()


def test_a_phone_sees_one_chart_with_letters_of_a_readable_size(opened):
    page, _ = opened(records.mended(), width=390, scheme="light")
    shown = page.evaluate(
        "[...document.querySelectorAll('svg.trend')].filter(s => s.getBoundingClientRect().width).length"
    )
    assert shown == 1
    height = page.evaluate("document.querySelector('svg.trend.phone text').getBoundingClientRect().height")
    assert height >= 11
    page.close()
