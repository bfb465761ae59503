"""A data folder and a history of a test's own, and the dashboard run without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.history.store import Store

ROOT = Path(__file__).parents[2]
TARGET_FILE = """
url = "http://127.0.0.1:8003"
name = "Support chat API"
allow_faults = true

[levers.cache]
kind = "toxiproxy"
api = "http://127.0.0.1:8474"
proxy = "cache"
ways = ["refuse", "hang"]
"""


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder that the dashboard uses."""
    monkeypatch.setenv("GREENLIGHT_DATA", str(tmp_path))
    monkeypatch.delenv("GREENLIGHT_DB", raising=False)
    (tmp_path / "targets").mkdir()
    return tmp_path


@pytest.fixture
def store(data_folder: Path) -> Store:
    """The history in that folder."""
    return Store.open(f"sqlite:///{data_folder / 'history.db'}")


@pytest.fixture
def declared(data_folder: Path) -> Path:
    """The target file of the service in tests/views/story.py."""
    file = data_folder / "targets" / "sample.toml"
    file.write_text(TARGET_FILE, encoding="utf-8")
    return file


class Dashboard:
    """One visitor's session."""

    def __init__(self) -> None:
        self.app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)

    def open(self, page: str = "home", **query: str) -> Dashboard:
        """Open a page as its address would."""
        self.app.run()
        self.app.query_params.clear()
        for name, value in query.items():
            self.app.query_params[name] = value
        self.app.switch_page(f"app/views/{page}.py").run()
        assert not self.app.exception, self.app.exception
        return self

    @property
    def text(self) -> str:
        """All HTML of the page, in order."""
        return "\n".join(self._html)

    @property
    def _html(self) -> list[str]:
        found = [html.proto.body for html in self.app.get("html")]
        return [html for html in found if not html.startswith("<style")]

    def click(self, key: str) -> Dashboard:
        """Click the button with that key."""
        self.app.button(key=key).click().run()
        assert not self.app.exception, self.app.exception
        return self

    @property
    def query(self) -> dict[str, str]:
        """The query string as it stands."""
        return {
            name: values[0] if isinstance(values, list) else values
            for name, values in self.app.query_params.items()
        }


@pytest.fixture
def dashboard(store: Store) -> Dashboard:
    """A visitor of the dashboard over that history."""
    return Dashboard()
