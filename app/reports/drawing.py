"""Where the marks of the HTML report's drawings stand: ring, scale of a value, score history. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.records import RunInfo, RunState, ScoredFinding
from app.wording import BAND_NAMES, VERDICT_TONES, Tone
from checks.contract.findings import Limit
from checks.contract.wording import show

DASH, GAP = 0.9, 1.1  # percent of the ring: the hatching of what was not measured


def ring_dashes(score: float, best_possible: float) -> str:
    """The ``stroke-dasharray`` (of a path length of 100) that hatches from score to best possible."""
    lengths, at = [0.0, score + GAP], score + GAP
    while at + DASH <= best_possible:
        lengths += [DASH, GAP]
        at += DASH + GAP
    return " ".join(f"{length:g}" for length in (*lengths, 0, 200))


@dataclass(frozen=True, slots=True)
class Zone:
    """A stretch of a scale in percent of its width."""

    tone: Tone
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a value: zones from left to right, pointer, interval (start, width), the ends' labels."""

    zones: tuple[Zone, ...]
    pointer: float
    interval: tuple[float, float] | None
    low: str
    high: str


def scale(finding: ScoredFinding) -> Scale | None:
    """The scale of a finding's value, or None where it has no number, no limit or no width."""
    limit, value, unit = finding.limit, finding.value, finding.unit
    if limit is None or value is None or unit is None:
        return None
    low = min(limit.low, value, limit.pass_at, limit.warn_at)
    most = max(value, limit.pass_at, limit.warn_at)
    high = max(most, limit.high) if limit.high is not None else low + 1.25 * (most - low)
    if high <= low:
        return None

    def place(number: float) -> float:
        return min(100.0, max(0.0, 100 * (number - low) / (high - low)))

    interval = None
    if finding.interval:
        start, end = sorted(place(number) for number in finding.interval)
        interval = (start, end - start)
    zones = _zones(limit, place(limit.pass_at), place(limit.warn_at))
    return Scale(zones, place(value), interval, show(low, unit), show(high, unit))


def _zones(limit: Limit, pass_at: float, warn_at: float) -> tuple[Zone, ...]:
    if limit.better == "higher":
        zones = (
            Zone("fail", 0, warn_at),
            Zone("warn", warn_at, pass_at - warn_at),
            Zone("pass", pass_at, 100 - pass_at),
        )
    else:
        zones = (
            Zone("pass", 0, pass_at),
            Zone("warn", pass_at, warn_at - pass_at),
            Zone("fail", warn_at, 100 - warn_at),
        )
    return tuple(zone for zone in zones if zone.width > 0)


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the history: where it stands, and how it is called."""

    x: float
    y: float
    tone: Tone
    label: str
    date: str
    shown: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """The score history: bands, the line in its unbroken parts, points, and where something happened."""

    width: int
    height: int
    right: int
    bands: tuple[tuple[str, Tone, float, float], ...]
    ticks: tuple[tuple[int, float], ...]
    lines: tuple[str, ...]
    best: tuple[str, ...]
    points: tuple[Point, ...]
    gaps: tuple[tuple[float, str], ...]
    rubrics: tuple[tuple[float, str], ...]
    last: str
    summary: str


LEFT, RIGHT, TOP, BOTTOM, MARGIN = 34, 92, 14, 40, 16
HEIGHT = 240
TICKS = (0, 30, 60, 75, 90, 100)


def trend(runs: Sequence[RunInfo], width: int, labels: int) -> Trend | None:
    """The history of one service, oldest run first, ``width`` wide; None below two scored runs."""
    scored = [run for run in runs if run.score is not None]
    if len(scored) < 2:
        return None
    step_x = (width - LEFT - RIGHT - 2 * MARGIN) / max(1, len(runs) - 1)
    xs = {run.run_id: round(LEFT + MARGIN + number * step_x, 1) for number, run in enumerate(runs)}
    step = -(-len(scored) // labels)
    labelled = {run.run_id for run in scored[::-1][::step]}
    points = tuple(
        Point(
            x=xs[run.run_id],
            y=_y(run.score or 0.0),
            tone=VERDICT_TONES[run.verdict] if run.verdict else "none",
            label=f"#{run.number}",
            date=f"{run.created_at.day} {run.created_at:%b}",
            shown=run.run_id in labelled,
        )
        for run in scored
    )
    first, last = scored[0].score, scored[-1].score
    return Trend(
        width=width,
        right=width - RIGHT,
        height=HEIGHT,
        bands=_bands(scored[-1]),
        ticks=tuple((tick, _y(tick)) for tick in TICKS),
        lines=_lines(runs, xs, {run.run_id: run.score for run in runs}),
        best=_lines(runs, xs, {run.run_id: run.best_possible for run in runs}),
        points=points,
        gaps=tuple((xs[run.run_id], run.state.value) for run in runs if _unscored(run)),
        rubrics=_rubric_changes(scored, xs),
        last=f"{last:.1f}",
        summary=f"Score of {len(scored)} runs, from {first:.1f} to {last:.1f}",
    )


def _unscored(run: RunInfo) -> bool:
    return run.score is None and run.state in (RunState.INTERRUPTED, RunState.CANCELLED, RunState.BROKEN)


def _y(score: float) -> float:
    return round(TOP + (100 - score) * (HEIGHT - TOP - BOTTOM) / 100, 1)


def _bands(run: RunInfo) -> tuple[tuple[str, Tone, float, float], ...]:
    if run.rubric is None:
        return ()
    starts = [*run.rubric.bands]
    ends = [band.from_score for band in starts[1:]] + [100.0]
    return tuple(
        (
            BAND_NAMES[band.verdict],
            VERDICT_TONES[band.verdict],
            _y(end),
            round(_y(band.from_score) - _y(end), 1),
        )
        for band, end in zip(starts, ends, strict=True)
    )


def _lines(runs: Sequence[RunInfo], xs: dict[int, float], scores: dict[int, float | None]) -> tuple[str, ...]:
    """The corners of each unbroken part; a run without a score breaks the line."""
    parts: list[list[str]] = [[]]
    for run in runs:
        score = scores[run.run_id]
        if score is None:
            parts.append([])
        else:
            parts[-1].append(f"{xs[run.run_id]:g},{_y(score):g}")
    return tuple(" ".join(part) for part in parts if len(part) > 1)


def _rubric_changes(scored: Sequence[RunInfo], xs: dict[int, float]) -> tuple[tuple[float, str], ...]:
    return tuple(
        (round((xs[earlier.run_id] + xs[later.run_id]) / 2, 1), f"rubric {later.rubric.version}")
        for earlier, later in pairwise(scored)
        if earlier.rubric and later.rubric and earlier.rubric.version != later.rubric.version
    )
