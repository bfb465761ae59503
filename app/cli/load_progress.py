"""A load while it runs: a moving line on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from app.wording import ABSENT, DOT
from checks.contract.load import LoadPlan
from checks.contract.wording import show

PLAIN_EVERY_S = 5  # a log wants a sign of life, not a line for every second


class LoadProgress:
    """Shows each second of a load; call it with the data of a ``load`` event. A context manager."""

    def __init__(self, console: Console, plan: LoadPlan) -> None:
        self._console = console
        self._plan = plan
        self._spinner = Spinner("dots", text=Text("starting"))
        self._live = Live(self._spinner, console=console, transient=True, refresh_per_second=8)
        self._last_plain_s = 0
        self._failed = self._dropped = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def __call__(self, data: dict[str, Any]) -> None:
        """Show one second."""
        self._failed += int(data.get("failed", 0))
        self._dropped += int(data.get("dropped", 0))
        line = f"{self._left(data)}{DOT}{second_line(data, self._failed, self._dropped)}"
        second = int(data.get("second", 0))
        if self._console.is_terminal:
            self._spinner.update(text=Text(line, no_wrap=True, overflow="ellipsis"))
        elif second >= self._last_plain_s + PLAIN_EVERY_S:
            self._last_plain_s = second
            self._console.print(Text(line), soft_wrap=True)

    def _left(self, data: dict[str, Any]) -> str:
        left_s = self._plan.duration_s - float(data.get("second", 0))
        return f"{max(0, round(left_s))}\u00a0s left" if left_s > 0 else "waiting for the last answers"


def second_line(data: dict[str, Any], failed: int, dropped: int) -> str:
    """One second: rate and percentiles of its own, failures and drops since the start."""
    bound = "≤\u00a0" if data.get("bound") else ""  # of several workers: no worker's percentile is above it
    parts = [f"{int(data.get('answered', 0)):,}/s"]
    for name in ("p50", "p95", "p99"):
        value = data.get(f"{name}_ms")
        parts.append(f"{name} {ABSENT if value is None else bound + show(float(value), 'ms')}")
    parts.append(f"{failed:,} failed")
    if "offered" in data:
        offered = int(data["offered"])
        parts.append(f"offered {offered:,}/s, sent {offered - int(data.get('dropped', 0)):,}/s")
        parts.append(f"{dropped:,} dropped")
        if data.get("dispatch_p99_ms") is not None:
            parts.append(f"lag {bound}{show(float(data['dispatch_p99_ms']), 'ms')}")
    return DOT.join(parts)
