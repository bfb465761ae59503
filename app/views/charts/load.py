"""A load scenario while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.views.charts.look import Figure, Palette, base, palette, rgba, trace, words
from checks.wording import show


def live_load(seconds: Sequence[dict[str, Any]], *, dark: bool) -> Figure:
    """A scenario second by second: latency above, answers a second below; the time to come is shaded."""
    colours = palette(dark)
    layout = base(colours, right=84, top=24)
    at, rate = _numbers(seconds, "second"), _numbers(seconds, "answered")
    x = float(at[-1])
    end = max(float(seconds[-1]["duration_s"]), x)
    lines = _lines(colours)
    percentiles = [_numbers(seconds, line.key) / 1000 for line in lines]
    measured = [float(np.nanmax(values)) for values in percentiles if not np.isnan(values).all()]
    high = max(measured, default=1.0)
    layout["yaxis"] |= {"domain": [0.4, 1], "range": [0, 1.12 * high], "ticksuffix": " s", "nticks": 5}
    below = {"domain": [0, 0.26], "range": [0, 1.25 * max(1.0, float(np.nanmax(rate)))]}
    layout["yaxis2"] = layout["yaxis"] | below | {"ticksuffix": "", "nticks": 3}
    layout["xaxis"] |= {"range": [0, end], "ticksuffix": " s", "anchor": "y2", "nticks": 7}
    layout["shapes"] = [_to_come(x, end, axis, colours) for axis in ("y domain", "y2 domain")]
    layout["annotations"] = [
        _panel("Latency", 1.0, colours),
        _panel("Answers a second", 0.27, colours),
        *_end_labels(lines, percentiles, x, high, colours),
        _at_end(
            f"<b>{rate[-1]:.0f}/s</b>", float(at[-1]), colours, colours.green, y=float(rate[-1]), yref="y2"
        ),
    ]
    data = [
        trace(at, values, line=line.style, hovertemplate=f"{line.name} %{{y:.2f}} s<extra></extra>")
        for line, values in zip(lines, percentiles, strict=True)
    ]
    return {
        "data": [*data, _answers(at, rate, colours)],
        "layout": layout | {"height": 380, "hovermode": "x"},
    }


@dataclass(frozen=True)
class _Line:
    """One percentile: the key of its values, its name, how it is drawn and labelled."""

    key: str
    name: str
    style: dict[str, Any]
    label: str


def _lines(colours: Palette) -> list[_Line]:
    """The percentiles in one ink, from the highest down."""
    return [
        _Line("p99_ms", "p99", {"color": colours.text, "width": 1.4, "dash": "dot"}, colours.muted),
        _Line("p95_ms", "p95", {"color": colours.text, "width": 2.2}, colours.text),
        _Line("p50_ms", "p50", {"color": colours.faint, "width": 1.6}, colours.faint),
    ]


def _answers(at: Any, rate: Any, colours: Palette) -> dict[str, Any]:
    fill = {"fill": "tozeroy", "fillcolor": rgba(colours.green, 0.16), "yaxis": "y2"}
    line = {"color": colours.green, "width": 1.6}
    return trace(at, rate, line=line, hovertemplate="%{y:.0f}/s<extra></extra>", **fill)


def _panel(name: str, y: float, colours: Palette) -> dict[str, Any]:
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


def _end_labels(
    lines: Sequence[_Line], percentiles: Sequence[Any], x: float, high: float, colours: Palette
) -> list[dict[str, Any]]:
    labels, taken = [], 2 * high
    for line, values in zip(lines, percentiles, strict=True):  # each is pushed below the one before
        value = float(values[-1])
        if np.isnan(value):
            continue
        taken = min(value, taken - 0.11 * high)
        text = f"{line.name} <b>{show(value, 's')}</b>"
        labels.append(_at_end(text, x, colours, line.label, y=max(taken, 0.03 * high), yref="y"))
    return labels


def _at_end(text: str, x: float, colours: Palette, colour: str, **place: Any) -> dict[str, Any]:
    return words(text, colours=colours, font={"color": colour}, x=x, xanchor="left", xshift=7, **place)
