"""axe-core over every page, in both modes and at phone width: no serious violation."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.test_pages import PAGES, tell_two
from tests.views import story

pytestmark = pytest.mark.browser
AXE = "axe-core@4.14"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script: from GREENLIGHT_AXE, or fetched with npm for this session."""
    given = os.environ.get("GREENLIGHT_AXE")
    if given:
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here to fetch axe-core; set GREENLIGHT_AXE to its axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", AXE],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm could not fetch {AXE}: {done.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(serve):
    return serve(tell_two)


def violations(page, script: str) -> list[str]:
    page.evaluate(script)
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", TAGS)["violations"]
    return [
        f"{item['impact']} {item['id']}: {item['nodes'][0]['html'][:160]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("looks", [(1440, "dark"), (390, "light")])
@pytest.mark.parametrize("name", PAGES)
def test_no_serious_violation(server, visit, axe, name, looks):
    width, scheme = looks
    seen = visit(server, width=width, scheme=scheme).open(PAGES[name][0])
    assert violations(seen.page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation_while_a_run_goes_on(serve, visit, axe, scheme):
    process = subprocess.Popen(["sleep", "120"])
    try:
        server = serve()
        story.keep_running(server.store, pid=process.pid)
        seen = visit(server, scheme=scheme).open("/run?target=sample")
        assert violations(seen.page, axe) == []
    finally:
        process.kill()
        process.wait()
