"""The score of each run over the bands of its rubric."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Any

import numpy as np

from app import wording
from app.records import RubricRef, RunInfo, Verdict
from app.views.charts.look import Figure, Palette, base, floats, palette, trace, words
from app.views.charts.look import zone as fill
from app.wording import BAND_NAMES

MAX_LABELS = 6
BAND_STRENGTH = {Verdict.MVP: 0.10, Verdict.CONDITIONS: 0.09, Verdict.PRODUCTION: 0.18}
# Conditions is a hollow circle: a disc in the surface colour with an edge in its own.
VERDICT_SYMBOLS = {
    Verdict.NOT_READY: "octagon",
    Verdict.MVP: "triangle-up",
    Verdict.CONDITIONS: "circle",
    Verdict.PRODUCTION: "circle",
}


def score_history(runs: Sequence[RunInfo], rubric: RubricRef, zone: tzinfo, *, dark: bool) -> Figure:
    """Score of each run, oldest first, over the bands of ``rubric``; best possible dotted."""
    colours = palette(dark)
    layout = base(colours, right=78, top=22)
    layout["xaxis"] |= _run_axis(runs, zone)
    starts = [band.from_score for band in rubric.bands if band.from_score > 0]
    layout["yaxis"] |= {"range": [0, 107], "tickvals": [0, 30, *starts, 100], "showgrid": False}
    layout["shapes"] = [*_bands(rubric, colours), _line(30, colours), *_rubric_lines(runs, colours)]
    layout["annotations"] = [
        *_band_names(rubric, colours),
        *_last_scores(runs, colours),
        *_remarks(runs, colours),
    ]
    places = np.arange(len(runs), dtype=float)
    scores, best = (floats([getattr(run, name) for run in runs]) for name in ("score", "best_possible"))
    dotted = {"color": colours.faint, "width": 1.2, "dash": "dot"}
    data = [
        trace(places, best, line=dotted, hoverinfo="skip"),
        trace(places, scores, line={"color": colours.text, "width": 2}, hoverinfo="skip"),
        _markers(places, scores, runs, colours),
    ]
    return {"data": data, "layout": layout | {"height": 360, "hovermode": "closest"}}


def _markers(places: Any, scores: Any, runs: Sequence[RunInfo], colours: Palette) -> dict[str, Any]:
    """The verdict of each run as a shape in its colour; the run's number is what a click finds."""
    fills = [
        colours.fills[wording.VERDICT_TONES[run.verdict]] if run.verdict else colours.faint for run in runs
    ]
    hollow = [run.verdict is Verdict.CONDITIONS for run in runs]
    marker = {
        "size": 10,
        "symbol": [VERDICT_SYMBOLS[run.verdict] if run.verdict else "circle" for run in runs],
        "color": [colours.surface if open_ else fill for open_, fill in zip(hollow, fills, strict=True)],
        "line": {
            "width": 2,
            "color": [fill if open_ else colours.surface for open_, fill in zip(hollow, fills, strict=True)],
        },
        "opacity": 1,
    }
    return trace(
        places,
        scores,
        mode="markers",
        marker=marker,
        hovertext=[_run_hover(run) for run in runs],
        hovertemplate="%{hovertext}<extra></extra>",
        customdata=np.array([run.number for run in runs]),
        cliponaxis=False,
    )


def _run_axis(runs: Sequence[RunInfo], zone: tzinfo) -> dict[str, Any]:
    step = max(1, -(-len(runs) // MAX_LABELS))
    shown = [index for index in range(len(runs)) if (len(runs) - 1 - index) % step == 0]
    labels = []
    for index in shown:
        when = (runs[index].finished_at or runs[index].created_at).astimezone(zone)
        labels.append(f"#{runs[index].number}<br>{when.day} {when:%b}")
    pad = 0.4 if len(runs) > 1 else 0.6
    return {"range": [-pad, len(runs) - 1 + pad], "tickvals": shown, "ticktext": labels, "showspikes": False}


def _bands(rubric: RubricRef, colours: Palette) -> list[dict[str, Any]]:
    edges = [band.from_score for band in rubric.bands] + [100.0]
    return [
        fill(low, high, colours.tint(wording.VERDICT_TONES[band.verdict], BAND_STRENGTH[band.verdict]))
        for band, low, high in zip(rubric.bands, edges, edges[1:], strict=False)
        if band.verdict in BAND_STRENGTH
    ]


def _line(y: float, colours: Palette) -> dict[str, Any]:
    line = {"color": colours.line, "width": 1}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "line": line,
        "layer": "below",
    }


def _band_names(rubric: RubricRef, colours: Palette) -> list[dict[str, Any]]:
    edges = [band.from_score for band in rubric.bands] + [100.0]
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return [
        words(
            BAND_NAMES[band.verdict], x=1, y=middle, xref="paper", xanchor="left", xshift=8, colours=colours
        )
        for band, middle in zip(rubric.bands, middles, strict=False)
    ]


def _last_scores(runs: Sequence[RunInfo], colours: Palette) -> list[dict[str, Any]]:
    scored = [(index, run) for index, run in enumerate(runs) if run.score is not None]
    if not scored:
        return []
    index, run = scored[-1]
    score, best = run.score or 0.0, run.best_possible or 0.0
    below = best - score > 1 or score > 96
    font = {"color": colours.text, "size": 13}
    shift = -15 if below else 15
    found = [words(f"<b>{score:.1f}</b>", x=index, y=score, yshift=shift, font=font, colours=colours)]
    if best - score > 3:
        place = {"x": index, "y": best, "yshift": 10, "xanchor": "right" if index else "center"}
        found.append(words(f"best possible {best:.1f}", font={"size": 11}, colours=colours, **place))
    return found


def _remarks(runs: Sequence[RunInfo], colours: Palette) -> list[dict[str, Any]]:
    """Runs without a score, where another rubric begins, and the newest run that was capped."""
    found = []
    for index, run in enumerate(runs):
        if run.score is None:
            label = wording.STATE_WORDS[run.state].lower()
            place = {"x": index, "y": 5, "yanchor": "bottom", "textangle": -90}
            found.append(words(label, font={"size": 11}, colours=colours, **place))
    for index, version in _rubric_changes(runs):
        place = {"x": index - 0.5, "y": 4, "xanchor": "left", "xshift": 4}
        found.append(words(f"rubric {version}", font={"size": 11}, colours=colours, **place))
    capped = [
        (index, run) for index, run in enumerate(runs) if run.verdict is Verdict.NOT_READY and _above(run)
    ]
    return [*found, *(_capped(index, run, colours) for index, run in capped[-1:])]


def _above(run: RunInfo) -> bool:
    first = (
        next((band.from_score for band in run.rubric.bands if band.from_score > 0), 60) if run.rubric else 60
    )
    return run.score is not None and run.score >= first


def _capped(index: int, run: RunInfo, colours: Palette) -> dict[str, Any]:
    return {
        "text": f"capped at Not ready:<br>{run.open_p0} P0 open",
        "x": index,
        "y": (run.score or 0) - 3,
        "ax": 0,
        "ay": 46,
        "axref": "pixel",
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": colours.faint,
        "font": {"size": 11, "color": colours.muted},
        "align": "center",
        "yanchor": "top",
    }


def _rubric_changes(runs: Sequence[RunInfo]) -> list[tuple[int, int]]:
    """Where another rubric version begins, and which."""
    versions = [(index, run.rubric.version) for index, run in enumerate(runs) if run.rubric]
    return [(at, after) for (_, before), (at, after) in pairwise(versions) if before != after]


def _rubric_lines(runs: Sequence[RunInfo], colours: Palette) -> list[dict[str, Any]]:
    line = {"color": colours.faint, "width": 1, "dash": "dash"}
    return [
        {"type": "line", "x0": at - 0.5, "x1": at - 0.5, "yref": "paper", "y0": 0, "y1": 1, "line": line}
        for at, _ in _rubric_changes(runs)
    ]


def _run_hover(run: RunInfo) -> str:
    if run.score is None or run.verdict is None:
        return f"Run #{run.number}: {wording.STATE_WORDS[run.state].lower()}"
    line = wording.score_line(run.score, run.coverage, run.best_possible)
    return f"<b>Run #{run.number}</b>: {wording.VERDICT_TITLES[run.verdict]}<br>{line}"


def score_history_alt(runs: Sequence[RunInfo]) -> str:
    """The finding of the score history in a sentence."""
    scored = [run for run in runs if run.score is not None]
    if not scored:
        return "No run has a score yet."
    first, last = scored[0], scored[-1]
    if first is last:
        return f"Score of run #{first.number}: {wording.score_text(first.score)}."
    span = f"from {wording.score_text(first.score)} to {wording.score_text(last.score)}"
    return f"Score of {len(scored)} runs, {span}."
