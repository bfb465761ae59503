"""One line of the benchmark's table, and how it is written down."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of ours beside one of a peer. ``ratio`` is ours / peer; ``met`` is None without a goal.

    ``note`` says why a figure is missing, or what else there is to know about it.
    """

    name: str
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    ratio: float | None
    goal: str | None
    met: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should reach: in words, and as a test of it, or of its ratio where ``against_peer``."""

    words: str
    reached: Callable[[float], bool]
    against_peer: bool = False


def at_least_times(factor: float) -> Goal:
    """Ours is at least ``factor`` times the peer's."""
    return Goal(f"at least {factor:g}x", lambda ratio: ratio >= factor, against_peer=True)


def below(limit: float, unit: str) -> Goal:
    """Ours is below ``limit``."""
    return Goal(f"below {limit:g} {unit}", lambda ours: ours < limit)


def row(
    name: str,
    ours: float | None,
    unit: str,
    *,
    peer: float | None = None,
    peer_name: str = "",
    ratio: float | None = None,
    goal: Goal | None = None,
    note: str = "",
) -> Row:
    """A row with its ratio and verdict. A goal that cannot be judged, for want of a figure, has none.

    ``ratio`` replaces that of the two figures, where it was measured in pairs.
    """
    if ratio is None:
        ratio = ours / peer if ours is not None and peer else None
    judged = None if goal is None else ratio if goal.against_peer else ours
    met = goal.reached(judged) if goal is not None and judged is not None else None
    return Row(name, ours, peer, peer_name, unit, ratio, goal.words if goal else None, met, note)


def table(rows: Sequence[Row], title: str) -> Table:
    """The rows for people."""
    drawn = Table(title=title, title_justify="left")
    for heading in ("", "ours", "peer"):
        drawn.add_column(heading, justify="left" if not heading else "right")
    for heading in ("", "ratio", "goal", "met", "note"):
        drawn.add_column(heading, justify="right" if heading == "ratio" else "left")
    for line in rows:
        met = {True: "yes", False: "[bold red]NO[/]", None: ""}[line.met]
        ours = f"{_number(line.ours)} {line.unit}"
        ratio = _number(line.ratio)
        drawn.add_row(
            line.name, ours, _number(line.peer), line.peer_name, ratio, line.goal or "", met, line.note
        )
    return drawn


def screen() -> Console:
    """Where to print: as wide as the table needs, where nobody's terminal limits it."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=200, highlight=False)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON; the file appears whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(json.dumps([asdict(line) for line in rows], indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
