"""How latencies are spread: a histogram on a log axis, hits against misses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.samples.aggregate import Group, Numbers, Spread
from app.views.charts.look import Figure, Palette, base, palette, rgba, trace, words
from checks.contract.wording import NBSP, show

CLOSEST_TICKS = 0.11  # of the axis
LABEL_WIDTH, LABEL_HEIGHT = 0.42, 0.1  # of the chart


def histogram(spread: Spread, *, dark: bool, height: int = 270) -> Figure:
    """The groups of ``spread`` as stepped outlines; the name of each and its p50 stand above its peak."""
    colours = palette(dark)
    layout = base(colours, top=26)
    low, high = (math.log10(float(edge)) for edge in (spread.edges_ms[0], spread.edges_ms[-1]))
    top = 122 * max(float(group.shares.max()) for group in spread.groups)
    ticks = log_ticks(low, high)
    layout["xaxis"] |= {
        "type": "log",
        "range": [low, high],
        "tickvals": np.array(ticks),
        "ticktext": tick_words(ticks),
    }
    layout["yaxis"] |= {"range": [0, top], "ticksuffix": f"{NBSP}%", "nticks": 5}
    layout["annotations"] = _names(spread, low, high, top, colours)
    data = [_outline(group, spread.edges_ms, colours) for group in spread.groups]
    return {"data": data, "layout": layout | {"height": height, "hovermode": "closest"}}


def colour_of(name: str, colours: Palette) -> str:
    """Hits are green and misses purple, everywhere; what has no marker is ink."""
    return {"Hits": colours.green, "Misses": colours.fills["error"], "Not marked": colours.faint}.get(
        name, colours.text
    )


def _outline(group: Group, edges: Numbers, colours: Palette) -> dict[str, Any]:
    colour = colour_of(group.name, colours)
    return trace(
        edges,
        100 * np.append(group.shares, 0.0),
        line={"color": colour, "width": 1.5, "shape": "hv"},
        fill="tozeroy",
        fillcolor=rgba(colour, 0.2),
        hovertemplate=f"{group.name}: %{{y:.2~f}} % from %{{x:.3~g}} ms<extra></extra>",
    )


def _names(spread: Spread, low: float, high: float, top: float, colours: Palette) -> list[dict[str, Any]]:
    """The names above the peaks; one that would cover another goes higher."""
    placed: list[tuple[float, float]] = []
    names = []
    for group in sorted(spread.groups, key=lambda group: float(group.shares.max())):
        peak = int(np.argmax(group.shares))
        middle = math.log10(math.sqrt(float(spread.edges_ms[peak]) * float(spread.edges_ms[peak + 1])))
        share, y = (middle - low) / (high - low), 100 * float(group.shares[peak]) / top
        while any(abs(share - x) < LABEL_WIDTH and abs(y - at) < LABEL_HEIGHT for x, at in placed):
            y += LABEL_HEIGHT / 2
        placed.append((share, y))
        anchor = "left" if share < 0.2 else "right" if share > 0.8 else "center"
        text = f"<b>{group.name}</b>{NBSP} p50 {show(group.p50_ms, 'ms')}"
        font = {"color": colour_of(group.name, colours)}
        place = {"x": middle, "y": y * top, "xanchor": anchor, "yanchor": "bottom", "yshift": 4}
        names.append(words(text, font=font, colours=colours, **place))
    return names


def log_ticks(low: float, high: float) -> list[float]:
    """Round values between two powers of ten, as close as their labels can stand."""
    ticks: list[float] = []
    for steps, closest in (((1, 2, 5), 0.3), ((1, 3), 0.47), ((1,), 1.0)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        ticks = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if closest / (high - low) >= CLOSEST_TICKS:
            break
    return ticks


def tick_words(ticks: Sequence[float]) -> list[str]:
    """Milliseconds as ticks: the unit stands where it begins, ``20 ms, 50, 100, ..., 1 s, 2, 5``."""
    written, last = [], ""
    for tick in ticks:
        number, _, unit = show(tick, "ms").partition(NBSP)
        written.append(number if unit == last else f"{number}{NBSP}{unit}")
        last = unit
    return written
