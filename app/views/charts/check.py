"""The value of one check in each run, over its zones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app import wording
from app.records import RunInfo, RunState, ScoredFinding
from app.views.charts.look import Figure, Palette, base, floats, palette, trace, words, zone
from app.views.marks import Zone, zones
from checks.contract.findings import Limit, Outcome
from checks.contract.wording import show

History = Sequence[tuple[RunInfo, ScoredFinding | None]]
OUTCOME_SYMBOLS = {
    Outcome.PASS: "circle",
    Outcome.WARN: "triangle-up",
    Outcome.FAIL: "octagon",
    Outcome.ERROR: "diamond",
    Outcome.NOT_ASSESSED: "circle-open",
    Outcome.NOT_APPLICABLE: "circle-open",
}


def check_history(found: History, limit: Limit, unit: str, this: int, *, dark: bool) -> Figure:
    """The value of one check in each run, oldest first, over its zones; ``this`` is the run that is shown."""
    colours = palette(dark)
    values = floats([item.value if item and item.unit == unit else None for _, item in found])
    top = _top(limit, values)
    inside = zones(limit, 0.0, top)
    layout = base(colours, right=52, top=14)
    layout["yaxis"] |= _value_axis(limit, unit, top)
    layout["xaxis"] |= {
        "range": [-0.5, len(found) - 0.5],
        "tickvals": list(range(len(found))),
        "ticktext": _thinned([f"#{run.number}" for run, _ in found]),
    }
    layout["shapes"] = [
        zone(low, high, colours.tint(wording.OUTCOME_TONES[outcome], 0.08)) for low, high, outcome in inside
    ]
    layout["annotations"] = [
        *_zone_names(inside, top, colours),
        *_remarks(found, values, this, top, colours),
    ]
    line = {"color": colours.text, "width": 1.6}
    places = np.arange(len(found), dtype=float)
    data = [trace(places, values, line=line, hoverinfo="skip"), _markers(places, values, found, colours)]
    return {"data": data, "layout": layout | {"height": 220, "hovermode": "closest"}}


def _top(limit: Limit, values: Any) -> float:
    """Where the axis ends. Past a limit that is not to be exceeded little room is enough."""
    measured = [float(value) for value in values[~np.isnan(values)]]
    if limit.better == "lower" or limit.high is None:
        ends = [1.25 * max(limit.pass_at, limit.warn_at)]
    else:
        ends = [limit.pass_at, limit.warn_at, limit.high]
    return max([*ends, *measured]) or 1.0


def _remarks(found: History, values: Any, this: int, top: float, colours: Palette) -> list[dict[str, Any]]:
    """``this run`` at its value, and the state of runs that never came to this check."""
    remarks = []
    for index, (run, item) in enumerate(found):
        if item is None and run.state is not RunState.FINISHED:
            label = wording.STATE_WORDS[run.state].lower()
            place = {"x": index, "y": 0.04 * top, "yanchor": "bottom", "textangle": -90}
            remarks.append(words(label, font={"size": 11}, colours=colours, **place))
        if run.number == this and not np.isnan(values[index]):
            shift = -15 if values[index] > 0.85 * top else 15
            place = {"x": index, "y": float(values[index]), "yshift": shift}
            remarks.append(words("<b>this run</b>", font={"color": colours.text}, colours=colours, **place))
    return remarks


def _markers(places: Any, values: Any, found: History, colours: Palette) -> dict[str, Any]:
    """The outcome in each run as a shape in its colour; the run's number is what a click finds."""
    tones = [wording.OUTCOME_TONES[item.outcome] if item else "none" for _, item in found]
    marker = {
        "size": 9,
        "symbol": [OUTCOME_SYMBOLS[item.outcome] if item else "circle" for _, item in found],
        "color": [colours.fills[tone] for tone in tones],
        "line": {"width": 2, "color": colours.surface},
    }
    return trace(
        places,
        values,
        mode="markers",
        marker=marker,
        hovertext=[f"Run #{run.number}: {wording.value_text(item) if item else ''}" for run, item in found],
        hovertemplate="%{hovertext}<extra></extra>",
        customdata=np.array([run.number for run, _ in found]),
        cliponaxis=False,
    )


def _thinned(labels: Sequence[str], most: int = 14) -> list[str]:
    step = max(1, -(-len(labels) // most))
    return [label if (len(labels) - 1 - index) % step == 0 else "" for index, label in enumerate(labels)]


def _value_axis(limit: Limit, unit: str, top: float) -> dict[str, Any]:
    ticks: list[float] = [0.0]
    for tick in sorted({limit.pass_at, limit.warn_at, top}):
        if tick <= top and tick - ticks[-1] > 0.08 * top:
            ticks.append(tick)
    return {
        "range": [-0.04 * top, 1.06 * top],
        "tickvals": ticks,
        "ticktext": [show(tick, unit) for tick in ticks],
        "showgrid": False,
    }


def _zone_names(inside: Sequence[Zone], top: float, colours: Palette) -> list[dict[str, Any]]:
    place = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8}
    return [
        words(wording.OUTCOME_WORDS[outcome], y=(low + high) / 2, colours=colours, **place)
        for low, high, outcome in inside
        if high - low > 0.08 * top
    ]
