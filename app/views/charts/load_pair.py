"""One load run against another: each figure as a ratio with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from app.views.charts.look import Figure, Palette, base, palette, trace, words

ROW_HEIGHT = 34
TICKS = {
    0.1: "1/10x",
    0.25: "¼x",
    0.5: "½x",
    0.75: "¾x",
    1.0: "1x",
    1.5: "1½x",
    2.0: "2x",
    4.0: "4x",
    10.0: "10x",
}
LEAST, MOST = math.log10(0.72), math.log10(1.4)  # of the axis, around 1
ENDS = (0.05, 20.0)  # what is further out is cut


class Compared(Protocol):
    """One figure of two runs, as app.statistics.comparing has it. ``ratio`` is after over before."""

    @property
    def name(self) -> str:
        """What was measured."""

    @property
    def ratio(self) -> float | None:
        """None where one of the two is missing or zero."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ratio's 95 % interval."""

    @property
    def noise(self) -> tuple[float, float] | None:
        """The band in which repeated runs of one service lie, where there were some."""

    @property
    def smallest_shown(self) -> float | None:
        """The smallest ratio above 1 that these samples would have shown; as much less as well."""

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``no difference shown``."""

    @property
    def words(self) -> str:
        """The verdict in a word or three."""


TONES = {"better": "pass", "worse": "fail"}


def ratios(figures: Sequence[Compared], *, dark: bool) -> Figure:
    """A row a figure: dot and interval on a log axis around 1x, words at the right.

    Grey behind is the noise between runs; where that is not known, what would be too small to be shown.
    """
    colours = palette(dark)
    layout = base(colours, right=142, top=26)
    low, high = _ends(figures)
    layout["xaxis"] |= {
        "type": "log",
        "range": [low, high],
        **_ticks(low, high),
        "showgrid": True,
        "gridcolor": colours.line,
    }
    layout["yaxis"] |= {
        "range": [len(figures) - 0.5, -0.6],
        "tickvals": np.arange(len(figures)),
        "ticktext": [figure.name for figure in figures],
        "showgrid": False,
        "tickfont": {"color": colours.text},
    }
    layout["shapes"] = [
        shape for row, figure in enumerate(figures) for shape in _shapes(row, figure, colours)
    ]
    layout["annotations"] = [_words(row, figure, colours) for row, figure in enumerate(figures)]
    named = "noise" if any(figure.noise for figure in figures) else "too small to be shown"
    if any(_band(figure) for figure in figures):
        place = {"x": 0, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 4}
        layout["annotations"].append(words(named, font={"size": 11}, colours=colours, **place))
    height = ROW_HEIGHT * len(figures) + 70
    return {"data": [_dots(figures, colours)], "layout": layout | {"height": height, "hovermode": "closest"}}


def colour_of(figure: Compared, colours: Palette) -> str:
    """The verdict's fill; grey where no difference was shown."""
    return colours.fills.get(TONES.get(figure.verdict, ""), colours.muted)


def _band(figure: Compared) -> tuple[float, float] | None:
    """What says nothing of the service: noise between runs, or else what the samples are too few for."""
    if figure.noise is not None or figure.smallest_shown is None:
        return figure.noise
    return 1 / figure.smallest_shown, figure.smallest_shown


def _cut(ratio: float) -> float:
    return math.log10(min(max(ratio, ENDS[0]), ENDS[1]))


def _ends(figures: Sequence[Compared]) -> tuple[float, float]:
    ends = [LEAST, MOST]
    for figure in figures:
        ends += [_cut(end) for end in figure.interval or ()]
        ends += [_cut(figure.ratio)] if figure.ratio is not None else []
    return min(ends) - 0.03, max(ends) + 0.03


def _ticks(low: float, high: float) -> dict[str, Any]:
    wide = high - low > 0.9
    shown = [tick for tick in TICKS if low <= math.log10(tick) <= high and not (wide and tick in (0.75, 1.5))]
    return {"tickvals": np.array(shown), "ticktext": [TICKS[tick] for tick in shown]}


def _shapes(row: int, figure: Compared, colours: Palette) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    band = _band(figure)
    if band is not None:
        place = {"x0": 10 ** _cut(band[0]), "x1": 10 ** _cut(band[1]), "y0": row - 0.5, "y1": row + 0.5}
        fill = {"fillcolor": colours.shade, "line": {"width": 0}, "layer": "below"}
        found.append({"type": "rect", **place, **fill})
    if figure.interval is not None:
        start, end = (10 ** _cut(end) for end in figure.interval)
        line = {"color": colour_of(figure, colours), "width": 3}
        found.append({"type": "line", "x0": start, "x1": end, "y0": row, "y1": row, "line": line})
    return found


def _dots(figures: Sequence[Compared], colours: Palette) -> dict[str, Any]:
    known = [(row, figure) for row, figure in enumerate(figures) if figure.ratio is not None]
    return trace(
        np.array([10 ** _cut(figure.ratio or 1.0) for _, figure in known]),
        np.array([row for row, _ in known]),
        mode="markers",
        marker={
            "size": 10,
            "color": [colour_of(figure, colours) for _, figure in known],
            "line": {"width": 2, "color": colours.surface},
        },
        hovertext=[_hover(figure) for _, figure in known],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _hover(figure: Compared) -> str:
    if figure.interval is None:
        return f"{figure.name}: {times(figure.ratio)}, no interval: too few samples"
    low, high = figure.interval
    return f"{figure.name}: {times(figure.ratio)}, 95 % interval {times(low)} to {times(high)}"


def times(ratio: float | None) -> str:
    """``0.67x``."""
    return "–" if ratio is None else f"{ratio:,.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def _words(row: int, figure: Compared, colours: Palette) -> dict[str, Any]:
    tone = TONES.get(figure.verdict)
    text = f"<b>{figure.words}</b>{'&nbsp;'} {times(figure.ratio)}" if tone else figure.words
    colour = {"pass": colours.good_ink, "fail": colours.bad_ink}.get(tone or "", colours.muted)
    place = {"x": 1, "xref": "paper", "y": row, "xanchor": "left", "xshift": 10}
    return words(text, font={"color": colour}, colours=colours, **place)
