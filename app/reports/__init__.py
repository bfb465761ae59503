"""A run as a file. ``FORMATS`` is what the command line and the dashboard offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from app.records import RunInfo, Snapshot


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a run. ``module`` is imported when it is first rendered, since some need much."""

    label: str
    media_type: str
    extension: str
    module: str
    shows_history: bool = False

    def render(self, snapshot: Snapshot, history: Sequence[RunInfo] = ()) -> str:
        """Write ``snapshot``. ``history``, the service's runs up to it with the oldest first, is optional."""
        renderer: Callable[..., str] = import_module(f"app.reports.{self.module}").render
        return renderer(snapshot, history) if self.shows_history else renderer(snapshot)

    def filename(self, snapshot: Snapshot) -> str:
        """A name for the file, safe on every system: ``sample-run-4.html``."""
        kept = "".join(
            letter if letter.isascii() and letter.isalnum() else "-" for letter in snapshot.run.target
        )
        return f"{kept.strip('-')[:60] or 'service'}-run-{snapshot.run.number}.{self.extension}"


FORMATS = {
    "json": Format("JSON", "application/json", "json", "json_export"),
    "markdown": Format("Markdown", "text/markdown", "md", "markdown"),
    "html": Format("HTML page", "text/html", "html", "html", shows_history=True),
    "load-results": Format(
        "Load results (JSON)", "application/json", "load_test_results.json", "load_results"
    ),
}
