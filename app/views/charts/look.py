"""What every chart starts from: colours of both modes, layout, and small pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Figure = dict[str, Any]
CONFIG: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
FONT = "Inter, sans-serif"


@dataclass(frozen=True)
class Palette:
    """The colours of one mode, as in the style sheet."""

    text: str
    muted: str
    faint: str
    surface: str
    line: str
    axis: str
    green: str
    shade: str
    good_ink: str
    bad_ink: str
    fills: dict[str, str]
    strength: float

    def tint(self, tone: str, opacity: float) -> str:
        """A fill as rgba."""
        return rgba(self.fills[tone], opacity * self.strength)


LIGHT = Palette(
    text="#14181C",
    muted="#515A63",
    faint="#646D76",
    surface="#FFFFFF",
    line="#E9ECEE",
    axis="#C9CFD4",
    green="#00805D",
    shade="#EEF0F2",
    good_ink="#005E94",
    bad_ink="#B34700",
    fills={
        "pass": "#0072B2",
        "cond": "#3A9BD9",
        "warn": "#E69F00",
        "fail": "#D55E00",
        "error": "#A84B85",
        "none": "#868F98",
    },
    strength=1.0,
)


DARK = Palette(
    text="#E8EBED",
    muted="#A6AFB7",
    faint="#8A949D",
    surface="#14181B",
    line="#20262B",
    axis="#3A434A",
    green="#35B892",
    shade="#1D2327",
    good_ink="#62BAEC",
    bad_ink="#FF8D4D",
    fills={
        "pass": "#2E93D1",
        "cond": "#56B4E9",
        "warn": "#E69F00",
        "fail": "#E8701A",
        "error": "#DB8DBB",
        "none": "#5C666F",
    },
    strength=1.3,
)


def rgba(colour: str, opacity: float) -> str:
    """``#RRGGBB`` with an opacity."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{min(1.0, opacity):.3f})"


def palette(dark: bool) -> Palette:
    """The colours of the mode."""
    return DARK if dark else LIGHT


def base(colours: Palette, *, right: int = 8, top: int = 12) -> dict[str, Any]:
    """The layout every chart starts from."""
    axis = {
        "fixedrange": True,
        "zeroline": False,
        "showgrid": False,
        "linecolor": colours.axis,
        "tickcolor": colours.axis,
        "tickfont": {"color": colours.faint},
        "automargin": True,
    }
    return {
        "template": {},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": colours.muted},
        "margin": {"l": 4, "r": right, "t": top, "b": 4},
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": colours.surface,
            "bordercolor": colours.axis,
            "font": {"family": FONT, "size": 12, "color": colours.text},
        },
        "xaxis": {
            **axis,
            "showline": True,
            "ticks": "outside",
            "tickangle": 0,
            "spikecolor": colours.axis,
            "spikethickness": 1,
            "spikedash": "solid",
            "spikemode": "across",
        },
        "yaxis": {**axis, "showline": False, "ticks": "", "showgrid": True, "gridcolor": colours.line},
    }


def trace(x: Any, y: Any, *, mode: str = "lines", **more: Any) -> dict[str, Any]:
    """One line or row of markers. ``x`` and ``y`` are NumPy arrays: lists cost Plotly ten times as much."""
    return {"type": "scatter", "x": x, "y": y, "mode": mode, "connectgaps": False, **more}


def zone(low: float, high: float, colour: str) -> dict[str, Any]:
    """A tint from ``low`` to ``high`` across the whole width, below the data."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": low,
        "y1": high,
        "fillcolor": colour,
        "line": {"width": 0},
        "layer": "below",
    }


def words(text: str, *, colours: Palette, **place: Any) -> dict[str, Any]:
    """Words in a chart. ``text`` may hold Plotly's markup, so what a service sent is escaped before."""
    font = {"size": 12, "color": colours.muted} | place.pop("font", {})
    return {"text": text, "showarrow": False, "font": font, **place}


def floats(values: Sequence[float | None]) -> Any:
    """Numbers as an array, with gaps where there is none."""
    return np.array([np.nan if value is None else value for value in values])


def picked(event: Any) -> int | None:
    """The number of the run that was clicked in a chart, from what ``st.plotly_chart`` returned."""
    points = event["selection"]["points"] if event else []
    number = points[0].get("customdata") if points else None
    if isinstance(number, (list, tuple)):
        number = number[0] if number else None
    return None if number is None else int(number)
