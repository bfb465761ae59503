"""Two runs compared, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from checks.contract.wording import show

if TYPE_CHECKING:
    from app.statistics.comparing import Figure

# Which row says best what became of latency, where several are shown.
MOST_TELLING = ("p95", "p99", "Mean", "p50", "Typical")
NAMES = {"Mean": "The mean"}


def sentence(verdict: str, figures: Sequence[Figure]) -> str:
    """What changed: ``Faster. p95 fell from 2.75 s to 1.84 s. The first token came 34 % later.``."""
    rows = {figure.name: figure for figure in figures}
    latency = [rows[name] for name in MOST_TELLING if name in rows]
    parts = [f"{verdict[0].upper()}{verdict[1:]}."]
    if verdict == "no difference shown":
        parts.append(_not_shown(rows))
    else:
        way = "worse" if verdict == "slower" else "better"
        parts.append(_latency(next(figure for figure in latency if figure.verdict == way)))
        against = [figure for figure in latency if figure.verdict not in (way, "no difference shown")]
        parts += ["But " + _lower(_latency(against[0]))] if against else []
    parts += [
        _first_token(rows),
        _throughput(rows) if verdict == "no difference shown" else "",
        _errors(rows),
    ]
    return " ".join(part for part in parts if part)


def _not_shown(rows: Mapping[str, Figure]) -> str:
    smallest = rows["Typical"].smallest_shown
    if smallest is None:
        return "There are too few answers to compare."
    return f"A typical request would have had to change by {_percent(smallest)} to be seen."


def _latency(figure: Figure) -> str:
    longer = figure.verdict == "worse"
    if figure.before is None or figure.after is None:
        change = _percent(figure.ratio)
        return f"A typical request took {change} {'longer' if longer else 'less time'}."
    before, after = show(figure.before, figure.unit), show(figure.after, figure.unit)
    name = NAMES.get(figure.name, figure.name)
    return f"{name} {'rose' if longer else 'fell'} from {before} to {after}."


def _first_token(rows: Mapping[str, Figure]) -> str:
    figure = rows.get("First token")
    if figure is None or figure.verdict == "no difference shown":
        return ""
    return (
        f"The first token came {_percent(figure.ratio)} {'later' if figure.verdict == 'worse' else 'sooner'}."
    )


def _throughput(rows: Mapping[str, Figure]) -> str:
    figure = rows["Throughput"]
    if figure.verdict == "no difference shown":
        return ""
    return f"{_percent(figure.ratio)} {figure.words} answers came a second."


def _errors(rows: Mapping[str, Figure]) -> str:
    figure = rows["Errors"]
    if figure.verdict == "no difference shown" or figure.before is None or figure.after is None:
        return ""
    before, after = show(figure.before, "ratio"), show(figure.after, "ratio")
    return f"{figure.words.capitalize()} requests failed: {after} instead of {before}."


def _percent(ratio: float | None) -> str:
    """By how much a ratio is off 1, in whole percent from one percent on."""
    change = abs((ratio or 1.0) - 1)
    return show(round(change, 2 if change >= 0.01 else 3), "ratio")


def _lower(text: str) -> str:
    return text if text.startswith("p") else text[0].lower() + text[1:]
