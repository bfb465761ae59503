"""A load scenario while it runs, and what its charts share: panels, percentiles in one ink, end labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.views.charts.look import Figure, Palette, base, palette, rgba, trace, words
from checks.contract.wording import show


def live_load(seconds: Sequence[dict[str, Any]], *, dark: bool) -> Figure:
    """A scenario second by second: latency above, answers a second below; the time to come is shaded.

    In the open model the rate at which requests were due is a thin line among the answers.
    """
    colours = palette(dark)
    layout = base(colours, right=84, top=24)
    at, rate, offered = (_numbers(seconds, key) for key in ("second", "answered", "offered_per_s"))
    x = float(at[-1])
    end = max(float(seconds[-1]["duration_s"]), x)
    lines = percentile_lines(colours)
    percentiles = {line.key: _numbers(seconds, line.key) / 1000 for line in lines}
    measured = [float(np.nanmax(values)) for values in percentiles.values() if not np.isnan(values).all()]
    high = max(measured, default=1.0)
    layout["yaxis"] |= {"domain": [0.4, 1], "range": [0, 1.12 * high], "ticksuffix": " s", "nticks": 5}
    most = float(np.nanmax([*rate, *offered]))
    below = {"domain": [0, 0.26], "range": [0, 1.25 * max(1.0, most)]}
    layout["yaxis2"] = layout["yaxis"] | below | {"ticksuffix": "", "nticks": 3}
    layout["xaxis"] |= {"range": [0, end], "ticksuffix": " s", "anchor": "y2", "nticks": 7}
    layout["shapes"] = [_to_come(x, end, axis, colours) for axis in ("y domain", "y2 domain")]
    last = f"<b>{rate[-1]:.0f}/s</b>"
    layout["annotations"] = [
        panel_name("Latency", 1.0, colours),
        panel_name("Answers a second", 0.27, colours),
        *end_labels(percentiles, x, high, "s", colours),
        at_end(last, x, colours, colours.green, y=float(rate[-1]), yref="y2"),
    ]
    data = [
        trace(
            at,
            percentiles[line.key],
            line=line.style,
            hovertemplate=f"{line.name} %{{y:.2f}} s<extra></extra>",
        )
        for line in lines
    ]
    data.append(answers(at, rate, colours))
    if not np.isnan(offered).all():
        data.append(due(at, offered, colours))
    return {"data": data, "layout": layout | {"height": 380, "hovermode": "x"}}


@dataclass(frozen=True)
class PercentileLine:
    """One percentile: the key of its values, its name, how it is drawn and labelled."""

    key: str
    name: str
    style: dict[str, Any]
    label: str


def percentile_lines(colours: Palette) -> list[PercentileLine]:
    """The percentiles in one ink, from the highest down."""
    return [
        PercentileLine("p99_ms", "p99", {"color": colours.text, "width": 1.4, "dash": "dot"}, colours.muted),
        PercentileLine("p95_ms", "p95", {"color": colours.text, "width": 2.2}, colours.text),
        PercentileLine("p50_ms", "p50", {"color": colours.faint, "width": 1.6}, colours.faint),
    ]


def answers(at: Any, rate: Any, colours: Palette) -> dict[str, Any]:
    """Answers a second, filled, in the second panel."""
    fill = {"fill": "tozeroy", "fillcolor": rgba(colours.green, 0.16), "yaxis": "y2"}
    line = {"color": colours.green, "width": 1.6}
    return trace(at, rate, line=line, hovertemplate="%{y:.0f}/s<extra></extra>", **fill)


def due(at: Any, rate: Any, colours: Palette) -> dict[str, Any]:
    """The arrivals that were due a second, as a thin line in the second panel."""
    line = {"color": colours.muted, "width": 1, "shape": "hv"}
    return trace(at, rate, line=line, yaxis="y2", hovertemplate="due %{y:.3~g}/s<extra></extra>")


def panel_name(name: str, y: float, colours: Palette) -> dict[str, Any]:
    """The name of a panel, above it at the left. ``name`` may hold Plotly's markup."""
    place = {"x": 0, "xref": "paper", "y": y, "yref": "paper", "yanchor": "bottom", "xanchor": "left"}
    return words(name, colours=colours, **place)


def _numbers(seconds: Sequence[dict[str, Any]], key: str) -> Any:
    return np.array([np.nan if item.get(key) is None else float(item[key]) for item in seconds])


def _to_come(start: float, end: float, axis: str, colours: Palette) -> dict[str, Any]:
    return {
        "type": "rect",
        "x0": start,
        "x1": end,
        "yref": axis,
        "y0": 0,
        "y1": 1,
        "fillcolor": colours.shade,
        "line": {"width": 0},
        "layer": "below",
    }


def end_labels(
    percentiles: Mapping[str, Any], x: float, high: float, unit: str, colours: Palette
) -> list[dict[str, Any]]:
    """Name and last value at the right end of each line, moved apart. ``high`` is the largest value shown."""
    known = [
        (line, percentiles[line.key][~np.isnan(percentiles[line.key])]) for line in percentile_lines(colours)
    ]
    ends = [(line, float(values[-1])) for line, values in known if len(values)]
    places = _apart([value for _, value in ends], 0.11 * high, 0.03 * high, 1.06 * high)
    return [
        at_end(f"{line.name} <b>{show(value, unit)}</b>", x, colours, line.label, y=y, yref="y")
        for (line, value), y in zip(ends, places, strict=True)
    ]


def _apart(values: Sequence[float], gap: float, lowest: float, highest: float) -> list[float]:
    """Places for ``values``, which fall, at least ``gap`` apart: pushed up first, then down from the top."""
    places, taken = [], lowest - gap
    for value in reversed(values):
        taken = max(value, taken + gap)
        places.append(taken)
    places.reverse()
    below = highest + gap
    for index, place in enumerate(places):
        below = min(place, below - gap)
        places[index] = below
    return places


def at_end(text: str, x: float, colours: Palette, colour: str, **place: Any) -> dict[str, Any]:
    """Words to the right of the last point of a line."""
    return words(text, colours=colours, font={"color": colour}, x=x, xanchor="left", xshift=7, **place)
