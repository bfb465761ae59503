"""Where a service breaks: answered against offered, and the latency below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.samples.aggregate import Numbers
from app.statistics.scalability import HANGING
from app.views.charts.load import panel_name
from app.views.charts.load_spread import log_ticks
from app.views.charts.look import Figure, Palette, base, floats, palette, rgba, trace, words
from checks.contract.load import Knee, LoadStep, Usl
from checks.contract.wording import show

SMALL: dict[str, Any] = {"font": {"size": 11}}


def knee_chart(
    steps: Sequence[LoadStep], knee: Knee | None, peak_per_s: float | None, *, dark: bool
) -> Figure:
    """Answers a second of each step against what was offered, with ideal and fit; p95 below on a log axis."""
    colours = palette(dark)
    layout = base(colours, right=16, top=58)
    offered = floats([step.offered_per_s for step in steps])
    answered = floats([step.answered_per_s for step in steps])
    p95 = floats([step.p95_ms for step in steps])
    end = 1.04 * max(float(offered.max()), peak_per_s or 0.0)
    layout["xaxis"] |= {"range": [0, end], "anchor": "y2", "nticks": 6, "title": _title(colours)}
    most = float(answered.max()) or 1.0
    top = 1.06 * min(max(float(offered.max()), most), 1.35 * most)
    layout["yaxis"] |= {"domain": [0.42, 1], "range": [0, top], "nticks": 5}
    layout["yaxis"] |= {"ticksuffix": "/s"}
    layout["yaxis2"] = layout["yaxis"] | {
        "domain": [0, 0.3],
        "ticksuffix": "",
        "type": "log",
        **_p95_axis(p95),
    }
    layout["annotations"] = [
        panel_name("Answered", 1.0, colours),
        panel_name("p95", 0.31, colours),
        *_line_names(knee, peak_per_s, end, colours),
        words("ideal", x=min(end, top), y=0.97 * top, xanchor="right", xshift=-14, colours=colours, **SMALL),
    ]
    layout["shapes"] = _lines(knee, peak_per_s, end, colours)
    data = [_ideal(end, colours)]
    if knee is not None and knee.usl is not None:
        at, fitted = fit(steps, knee.usl)
        line = {"color": colours.faint, "width": 1.4}
        data.append(trace(at, fitted, line=line, name="fit", hoverinfo="skip"))
        if len(at):
            y = min(float(fitted[-1]), 0.9 * top)
            place = {"x": float(at[-1]), "y": y, "xanchor": "right", "yanchor": "top", "yshift": -6}
            layout["annotations"].append(words("fit (USL)", colours=colours, **place, **SMALL))
    data += [_answered(offered, answered, colours), _latency(offered, p95, colours)]
    return {"data": data, "layout": layout | {"height": 380, "hovermode": "x"}}


def _title(colours: Palette) -> dict[str, Any]:
    return {"text": "Offered, requests a second", "font": {"size": 12, "color": colours.muted}, "standoff": 8}


def _p95_axis(p95: Numbers) -> dict[str, Any]:
    known = p95[p95 > 0]
    if not len(known):
        return {"range": [0, 1], "tickvals": np.array([])}
    low, high = float(np.log10(known.min())) - 0.15, float(np.log10(known.max())) + 0.15
    ticks = log_ticks(low, high)
    if len(ticks) > 4:
        ticks = [tick for tick in ticks if np.isclose(np.log10(tick) % 1, [0, 1]).any()]
    return {
        "range": [low, high],
        "tickvals": np.array(ticks),
        "ticktext": [show(tick, "ms") for tick in ticks],
    }


def _ideal(end: float, colours: Palette) -> dict[str, Any]:
    line = {"color": colours.faint, "width": 1, "dash": "dot"}
    ends = np.array([0.0, end])
    return trace(ends, ends, line=line, name="ideal", hoverinfo="skip")


def fit(steps: Sequence[LoadStep], law: Usl) -> tuple[Numbers, Numbers]:
    """The Universal Scalability Law at the steps it was fitted to: offered, and answered as it says.

    ``X(N) = g N / (1 + a (N - 1) + b N (N - 1))`` (Gunther 2007), with ``N`` under way by Little's law
    from the median latency, as in app.statistics.scalability.
    """
    told = [step for step in steps if step.p50_ms and step.timed_out <= HANGING * step.scheduled]
    under_way = np.array([step.answered_per_s * (step.p50_ms or 0.0) / 1000 for step in told])
    waits = law.contention * (under_way - 1) + law.coherency * under_way * (under_way - 1)
    return np.array([step.offered_per_s for step in told]), law.per_s_of_one * under_way / (1 + waits)


def _answered(offered: Numbers, answered: Numbers, colours: Palette) -> dict[str, Any]:
    marker = {"size": 8, "color": colours.green, "line": {"width": 2, "color": colours.surface}}
    line = {"color": colours.green, "width": 1.4}
    hover = "%{y:.4~g}/s answered of %{x:.4~g}/s<extra></extra>"
    return trace(offered, answered, mode="lines+markers", marker=marker, line=line, hovertemplate=hover)


def _latency(offered: Numbers, p95: Numbers, colours: Palette) -> dict[str, Any]:
    marker = {"size": 6, "color": colours.text}
    line = {"color": colours.text, "width": 2}
    hover = "p95 %{y:,.4~g} ms<extra></extra>"
    style = {"marker": marker, "line": line, "hovertemplate": hover, "yaxis": "y2"}
    return trace(offered, p95, mode="lines+markers", **style)


def _lines(knee: Knee | None, peak_per_s: float | None, end: float, colours: Palette) -> list[dict[str, Any]]:
    found = []
    if knee is not None and knee.per_s is not None:
        found += [_tint(knee.per_s, end, axis, colours) for axis in ("y domain", "y2 domain")]
        solid = {"color": colours.fills["fail"], "width": 1.6}
        found += [_upright(knee.per_s, axis, solid) for axis in ("y domain", "y2 domain")]
    if peak_per_s is not None:
        dashed = {"color": colours.muted, "width": 1.2, "dash": "dash"}
        found += [_upright(peak_per_s, axis, dashed) for axis in ("y domain", "y2 domain")]
    return found


def _upright(x: float, axis: str, line: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": x, "x1": x, "yref": axis, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def _tint(start: float, end: float, axis: str, colours: Palette) -> dict[str, Any]:
    place = {"x0": start, "x1": end, "yref": axis, "y0": 0, "y1": 1}
    fill = {"fillcolor": rgba(colours.fills["fail"], 0.08), "line": {"width": 0}, "layer": "below"}
    return {"type": "rect", **place, **fill}


def _line_names(
    knee: Knee | None, peak_per_s: float | None, end: float, colours: Palette
) -> list[dict[str, Any]]:
    """The names of the upright lines above the chart, one higher than the other."""
    names = []
    if peak_per_s is not None:
        names.append((f"declared peak {show(peak_per_s, 'per_s')}", peak_per_s, 17, colours.muted))
    if knee is not None and knee.per_s is not None:
        text = f"<b>knee {show(knee.per_s, 'per_s')}</b>"
        names.append((text, knee.per_s, 33 if peak_per_s is not None else 17, colours.bad_ink))
    return [
        words(
            text,
            x=x,
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=shift,
            xanchor="left" if x < 0.25 * end else "right" if x > 0.75 * end else "center",
            font={"color": colour},
            colours=colours,
        )
        for text, x, shift, colour in names
    ]
