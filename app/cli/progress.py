"""How a live run is shown: what is measured now, how it went, how long it will take.

On a terminal one line at the bottom moves, and what has ended stands above it; elsewhere it is plain lines.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from app.cli.show import STYLES
from app.records import RunEvent
from app.wording import ABSENT, DOT, OUTCOME_ICONS, OUTCOME_TONES, OUTCOME_WORDS, duration, one_line
from checks.contract.findings import Outcome
from checks.contract.wording import plural, show

PLAIN_LOAD_EVERY_S = 5  # a log wants a sign of life, not a line for every second


class Progress:
    """Shows the events of a run as they come; call it with each. A context manager.

    Events may come from any thread. How much time is left is known once the run's first event has said how
    many checks there are and how long they take (``data.checks``, ``data.typical_s``).
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._now = Text()
        self._spinner = Spinner("dots", text=self._now)
        self._live = Live(self._spinner, console=console, transient=True, refresh_per_second=8)
        self._began = time.monotonic()
        self._ended = 0
        self._checks: int | None = None
        self._typical_s = 0.0  # of the whole run
        self._typical_done_s = 0.0
        self._began_with: dict[str | None, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        with self._lock:
            if event.kind == "run":
                self._run(event)
            elif event.kind == "check":
                self._check(event)
            elif event.kind == "load":
                self._load(event)
            else:
                self._print(Text(f"  {one_line(event.text)}{_detail(event)}", style="dim"))

    def seconds_left(self) -> float | None:
        """How long the rest usually takes, or None where that is not known."""
        if not self._typical_s:
            return None
        return max(0.0, self._typical_s - self._typical_done_s)

    def _run(self, event: RunEvent) -> None:
        self._checks = event.data.get("checks", self._checks)
        self._typical_s = float(event.data.get("typical_s", self._typical_s))
        about = f", about {duration(self._typical_s)}" if "typical_s" in event.data else ""
        self._print(Text(f"{one_line(event.text)}{about}", style="bold"))

    def _check(self, event: RunEvent) -> None:
        if "outcome" not in event.data:
            self._began_with[event.check] = dict(event.data)
            self._show_now(
                f"{one_line(event.text, 120)}{DOT}{one_line(str(event.data.get('does', '')), 120)}"
            )
            return
        self._ended += 1
        began = self._began_with.pop(event.check, {})
        self._typical_done_s += float(began.get("typical_s", 0.0))
        outcome = Outcome(event.data["outcome"])
        line = Text(f"{self._place()}  ", style="dim")
        line.append(
            f"{OUTCOME_ICONS[outcome]} {OUTCOME_WORDS[outcome]:<14}", style=STYLES[OUTCOME_TONES[outcome]]
        )
        line.append(one_line(event.text, 120), style="default")
        if seconds := float(event.data.get("seconds", 0.0)):
            line.append(f"{DOT}{duration(seconds)}")
        self._print(line)
        if outcome is not Outcome.PASS:
            self._print(Text(f"{' ' * len(self._place())}  {one_line(str(event.data.get('reason', '')))}"))

    def _load(self, event: RunEvent) -> None:
        line = load_line(event.data)
        if self._console.is_terminal:
            self._show_now(line)
        elif int(event.data.get("second", 0)) % PLAIN_LOAD_EVERY_S == 0:
            self._print(Text(f"  {line}"))

    def _place(self) -> str:
        return f"{self._ended:>2} of {self._checks}" if self._checks else f"{self._ended:>2}"

    def _show_now(self, words: str) -> None:
        if not self._console.is_terminal:
            return
        times = f"{duration(int(time.monotonic() - self._began))} gone"
        left = self.seconds_left()
        if left is not None:
            times += f", about {duration(round(left))} left"
        line = Text(times, style="dim", no_wrap=True, overflow="ellipsis")
        self._spinner.update(text=line.append(f"{DOT}{words}", style="default"))

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=not self._console.is_terminal)


def load_line(data: dict[str, Any]) -> str:
    """One second of a scenario: ``heavy: 4 of 6 s · 20 users · 35/s answered · p95 2.53 s · 1 failed``."""
    p95 = data.get("p95_ms")
    elapsed = f"{data.get('second', 0):.0f} of {data.get('duration_s', 0):.0f} s"
    parts = [
        f"{one_line(str(data.get('scenario', '')), 40)}: {elapsed}",
        _load(data),
        f"{data.get('answered', 0)}/s answered",
        f"p95 {ABSENT if p95 is None else show(float(p95), 'ms')}",
        f"{data.get('failed', 0)} failed",
    ]
    return DOT.join(parts)


def _load(data: dict[str, Any]) -> str:
    """How much is asked: users who wait for their answers, or arrivals that wait for nobody."""
    if data.get("model") != "open":
        return plural(int(data.get("users", 0)), "user")
    dropped = int(data.get("dropped", 0))
    return f"{data.get('offered', 0)}/s due" + (f", {dropped} dropped" if dropped else "")


def _detail(event: RunEvent) -> str:
    if event.data.get("what") == "broken":  # the line to restore by hand is for the report
        return ""
    detail = one_line(str(event.data.get("detail") or ""), 200)
    return f"{DOT}{detail}" if detail else ""
