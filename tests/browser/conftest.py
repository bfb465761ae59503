"""A real dashboard in a real Chromium: one server a history, one browser a module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from app.history.store import Store
from app.sample import processes

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_WITHIN_S = 60.0
SETTLED = """() => {
  const app = document.querySelector('.stApp');
  return app !== null && app.dataset.testScriptState === 'notRunning'
    && app.dataset.testConnectionState === 'CONNECTED'
    && document.querySelector('.stMainBlockContainer h1') !== null
    && document.querySelector('[data-testid="stSkeleton"]') === null
    && [...document.querySelectorAll('.stPlotlyChart')].every(chart => chart.querySelector('.main-svg'));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, a module long: Playwright keeps an event loop running that others would meet."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; Debian has it as `chromium`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


class Server:
    """The dashboard over one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "targets").mkdir(parents=True, exist_ok=True)
        self.store = Store.open(f"sqlite:///{folder / 'history.db'}")
        [self.port] = processes.free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {key: value for key, value in os.environ.items() if key != "GREENLIGHT_DB"}
        with (folder / "dashboard.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", f"--server.port={self.port}"],
                cwd=ROOT,
                env=environment | {"GREENLIGHT_DATA": str(folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> Server:
        """Until it answers."""
        end = time.monotonic() + START_WITHIN_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/_stcore/health", timeout=5).raise_for_status()
                return self  # noqa: TRY300 - the other way out of the loop is the error below
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "dashboard.log").read_text())

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=20)


class Visit:
    """A page that is open, with what it fetched and complained about."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.fetched: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, path: str) -> Visit:
        """Go to an address and wait until nothing moves any more."""
        self.page.goto(self.server.url + path)
        return self.settle()

    def settle(self) -> Visit:
        """Wait until the script has run and every chart is drawn, twice in a row."""
        for _ in range(2):
            self.page.wait_for_function(SETTLED, timeout=60_000)
            self.page.wait_for_timeout(200)
        return self

    @property
    def elsewhere(self) -> list[str]:
        """What was fetched from anywhere but this host."""
        own = f"127.0.0.1:{self.server.port}"
        return [url for url in self.fetched if url.startswith("http") and urlsplit(url).netloc != own]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """``serve(tell)`` starts a dashboard over the history that ``tell(store)`` writes."""
    servers: list[Server] = []

    def start(tell: Callable[[Store], object] | None = None) -> Server:
        server = Server(tmp_path_factory.mktemp("dashboard"))
        servers.append(server)
        if tell is not None:
            tell(server.store)
        return server.wait()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """``visit(server, width=..., scheme=...)`` is a fresh visitor."""
    contexts = []

    def come(server: Server, *, width: int = 1440, scheme: str = "light") -> Visit:
        height = 844 if width < 641 else 1000
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        return Visit(context.new_page(), server)

    yield come
    for context in contexts:
        context.close()
