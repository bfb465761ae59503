"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.compare import CategoryChange
from app.views.charts.look import Figure, Palette, base, floats, palette, trace, words
from app.wording import ABSENT, category_title, signed


def dumbbells(found: Sequence[CategoryChange], labels: tuple[str, str], *, dark: bool) -> Figure:
    """Categories out of ten in two runs: hollow before, filled after, the change at the right."""
    colours = palette(dark)
    layout = base(colours, right=56, top=30)
    layout["yaxis"] |= {
        "range": [len(found) - 0.5, -0.7],
        "tickvals": list(range(len(found))),
        "ticktext": [category_title(category.name) for category in found],
        "showgrid": False,
        "tickfont": {"color": colours.text},
    }
    grid = {"showgrid": True, "gridcolor": colours.line, "showline": False, "ticks": ""}
    layout["xaxis"] |= {"range": [-0.4, 10.4], "tickvals": [0, 2, 4, 6, 8, 10], **grid}
    layout["shapes"] = [_bar(row, category, colours) for row, category in enumerate(found)]
    layout["annotations"] = [_change(row, category, colours) for row, category in enumerate(found)]
    rows = np.arange(len(found), dtype=float)
    ends = ([category.before for category in found], [category.after for category in found])
    edge = {"width": 1.6, "color": colours.muted}
    markers: tuple[dict[str, Any], ...] = ({"color": colours.surface, "line": edge}, {"color": colours.text})
    data = []
    for label, values, marker in zip(labels, ends, markers, strict=True):
        style = {"symbol": "circle", "size": 10} | marker
        template = f"{label}: %{{x}}<extra></extra>"
        data.append(trace(floats(values), rows, mode="markers", marker=style, hovertemplate=template))
        if values and values[0] is not None:
            layout["annotations"].append(words(label, x=values[0], y=0, yshift=17, colours=colours))
    return {"data": data, "layout": layout | {"height": 46 * len(found) + 60, "hovermode": "closest"}}


def _bar(row: int, category: CategoryChange, colours: Palette) -> dict[str, Any]:
    ends = (category.before, category.after) if category.change is not None else (0, 0)
    line = {"color": colours.axis, "width": 3 if category.change else 0}
    return {
        "type": "line",
        "x0": ends[0],
        "x1": ends[1],
        "y0": row,
        "y1": row,
        "line": line,
        "layer": "below",
    }


def _change(row: int, category: CategoryChange, colours: Palette) -> dict[str, Any]:
    if category.change is None:
        text = ABSENT
    else:
        text = f"<b>{signed(category.change)}</b>" if category.change else "same"
    font = {"color": colours.text if category.change else colours.faint}
    return words(text, x=1, xref="paper", y=row, xanchor="left", xshift=10, colours=colours, font=font)
