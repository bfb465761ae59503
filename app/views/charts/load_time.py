"""A finished load scenario over time: latency, answers and errors on one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.samples.aggregate import OverTime
from app.views.charts.load import answers, at_end, due, end_labels, panel_name, percentile_lines
from app.views.charts.look import Figure, Palette, base, palette, rgba, trace, words
from checks.contract.wording import show

MOST_TICKS = 6
TICK_STEPS_S = (
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14400,
    28800,
    86400,
)
FULL = {"latency": [0.47, 1], "answers": [0.19, 0.37], "errors": [0, 0.1]}
WITHOUT_ERRORS = {"latency": [0.36, 1], "answers": [0, 0.25]}
HIGHEST_OVER_P99 = 1.7  # a single worst answer does not flatten the lines: past this it is named at the top
Schedule = tuple[tuple[float, float, float], ...]


def over_time(found: OverTime, schedule: Schedule, settled_s: float | None, *, dark: bool) -> Figure:
    """Percentiles above, answers a second below, errors a second last where there is one.

    ``schedule`` has (from s, to s, arrivals a second) of an open run. ``settled_s`` is where the steady
    part begins.
    """
    colours = palette(dark)
    panels = FULL if found.failed else WITHOUT_ERRORS
    bottom = "y3" if found.failed else "y2"
    layout = base(colours, right=84, top=24)
    unit, scale, top = _axis(found)
    layout["xaxis"] |= {"range": [0, found.span_s], "anchor": bottom, **time_ticks(found.span_s)}
    layout["yaxis"] |= {"domain": panels["latency"], "range": [0, top], "ticksuffix": f" {unit}", "nticks": 6}
    rate = layout["yaxis"] | {"ticksuffix": "", "nticks": 4}
    most = max(float(found.answered_per_s.max()), *(per_s for _, _, per_s in schedule), 0.1)
    layout["yaxis2"] = rate | {"domain": panels["answers"], "range": [0, 1.2 * most]}
    layout["annotations"] = [
        panel_name(f"Latency, {show(found.step_s, 's')} buckets", 1.0, colours),
        panel_name(_answers_name(schedule), panels["answers"][1] + 0.01, colours),
        *_labels(found, scale, unit, top, colours),
    ]
    data = [*_latency(found, scale, unit, colours), answers(found.at_s, found.answered_per_s, colours)]
    if schedule:
        data.append(_schedule(schedule, colours))
    if found.failed:
        layout["yaxis3"] = rate | {
            "domain": panels["errors"],
            "nticks": 3,
            "range": [0, 1.15 * float(found.failed_per_s.max())],
        }
        layout["annotations"] += _errors_words(found, panels["errors"][1], colours)
        data.append(_errors(found, colours))
    if settled_s:
        layout["shapes"] = [_settled(settled_s, colours)]
        place = {"x": settled_s, "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "top", "xshift": 4}
        layout["annotations"].append(words("settled", font={"size": 11}, colours=colours, **place))
    return {"data": data, "layout": layout | {"height": 440 if found.failed else 400, "hovermode": "x"}}


def _axis(found: OverTime) -> tuple[str, float, float]:
    """Unit of the latency axis, what a millisecond is in it, and its top."""
    lines = (found.p99_ms, found.p95_ms, found.max_ms)
    high, _, longest = (float(np.nanmax(line)) if not np.isnan(line).all() else 1.0 for line in lines)
    top = 1.12 * min(longest, HIGHEST_OVER_P99 * high)
    return ("s", 1e-3, top * 1e-3) if top >= 1000 else ("ms", 1.0, top)


def _latency(found: OverTime, scale: float, unit: str, colours: Palette) -> list[dict[str, Any]]:
    drawn = []
    for line in percentile_lines(colours):
        values = getattr(found, line.key) * scale
        fill = {"fill": "tozeroy", "fillcolor": rgba(colours.faint, 0.1)} if line.name == "p99" else {}
        hover = f"{line.name} %{{y:.3~g}} {unit}<extra></extra>"
        drawn.append(trace(found.at_s, values, line=line.style, hovertemplate=hover, **fill))
    marker = {"color": colours.faint, "size": 3}
    longest = found.max_ms * scale
    hover = f"longest %{{y:.3~g}} {unit}<extra></extra>"
    return [*drawn, trace(found.at_s, longest, mode="markers", marker=marker, hovertemplate=hover)]


def _labels(found: OverTime, scale: float, unit: str, top: float, colours: Palette) -> list[dict[str, Any]]:
    percentiles = {line.key: getattr(found, line.key) * scale for line in percentile_lines(colours)}
    began = np.flatnonzero(~np.isnan(found.p95_ms))  # nothing begins while the last answers come in
    last = float(found.at_s[began[-1]]) if len(began) else found.span_s
    labels = end_labels(percentiles, last, top / 1.12, unit, colours)
    rate = f"<b>{show(found.mean_per_s, 'per_s')}</b> mean"
    labels.append(at_end(rate, found.span_s, colours, colours.green, y=found.mean_per_s, yref="y2"))
    if found.worst_ms is not None and found.worst_at_s is not None:
        early = found.worst_at_s < 0.6 * found.span_s
        anchor: dict[str, Any] = (
            {"xanchor": "left", "xshift": 6} if early else {"xanchor": "right", "xshift": -6}
        )
        y = min(found.worst_ms * scale, 0.95 * top)
        text = f"worst {show(found.worst_ms, 'ms')}"
        labels.append(words(text, x=found.worst_at_s, y=y, font={"size": 11}, colours=colours, **anchor))
    return labels


def _answers_name(schedule: Schedule) -> str:
    return "Answers a second, thin line: requests due" if schedule else "Answers a second"


def _schedule(schedule: Schedule, colours: Palette) -> dict[str, Any]:
    ends = [at for start, end, _ in schedule for at in (start, end)]
    rates = [per_s for _, _, per_s in schedule for _ in range(2)]
    return due(np.array(ends), np.array(rates), colours)


def _errors(found: OverTime, colours: Palette) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": found.at_s,
        "y": found.failed_per_s,
        "yaxis": "y3",
        "width": 0.9 * found.step_s,
        "marker": {"color": colours.fills["fail"]},
        "hovertemplate": "%{y:.3~g} errors/s<extra></extra>",
    }


def _errors_words(found: OverTime, y: float, colours: Palette) -> list[dict[str, Any]]:
    total = f"<b>{found.failed:,}</b> in all"
    return [
        panel_name("Errors a second", y + 0.01, colours),
        at_end(total, found.span_s, colours, colours.bad_ink, y=0, yref="y3", yanchor="bottom"),
    ]


def _settled(at_s: float, colours: Palette) -> dict[str, Any]:
    line = {"color": colours.faint, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": at_s, "x1": at_s, "yref": "y domain", "y0": 0, "y1": 1, "line": line}


def time_ticks(span_s: float) -> dict[str, Any]:
    """At most MOST_TICKS ticks, in seconds, minutes or hours."""
    step = next((step for step in TICK_STEPS_S if span_s / step < MOST_TICKS), span_s / MOST_TICKS)
    unit, size = ("h", 3600) if step >= 3600 else ("m", 60) if step >= 60 else ("s", 1)
    ticks = np.arange(0, span_s + 1e-9, step)
    return {"tickvals": ticks, "ticktext": [f"{tick / size:g} {unit}" for tick in ticks]}
