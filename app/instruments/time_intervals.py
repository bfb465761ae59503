"""Whether a time interval of Alertmanager covers all times, some, or none any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

Cover = Literal["always", "sometimes", "never"]
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
LAST_YEAR = 9_999


def cover_of(specs: Sequence[Mapping[str, Any]], now: float) -> Cover:
    """``specs`` are the alternatives of one named interval; all parts of one must hold at once."""
    this_year = datetime.fromtimestamp(now, UTC).year
    covers = [_one(spec, this_year) for spec in specs]
    if "always" in covers:
        return "always"
    return "sometimes" if "sometimes" in covers else "never"


def _one(spec: Mapping[str, Any], this_year: int) -> Cover:
    years = _ranges(spec.get("years"), ())
    if years and all(last < this_year for _, last in years):
        return "never"
    parts = (
        (years, this_year, LAST_YEAR),
        (_ranges(spec.get("weekdays"), WEEKDAYS, first=0), 0, 6),
        (_ranges(spec.get("months"), MONTHS), 1, 12),
        (_ranges(spec.get("days_of_month"), ()), 1, 31),
    )
    whole = all(ranges is None or _joined(ranges, first, last) for ranges, first, last in parts)
    return "always" if whole and _all_day(spec.get("times")) else "sometimes"


def _ranges(value: object, names: Sequence[str], first: int = 1) -> list[tuple[int, int]] | None:
    """The ranges of ``["monday:friday", "sunday"]`` as numbers; None where nothing is asked for."""
    if not isinstance(value, list) or not value:
        return None
    found = []
    for each in value:
        begin, _, end = str(each).lower().partition(":")
        numbers = [_number(part, names, first) for part in (begin, end or begin)]
        if numbers[0] is not None and numbers[1] is not None:
            found.append((numbers[0], numbers[1]))
    return found


def _number(text: str, names: Sequence[str], first: int) -> int | None:
    text = text.strip()
    if text in names:
        return list(names).index(text) + first
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 6 else None


def _joined(ranges: Iterable[tuple[int, int]], first: int, last: int) -> bool:
    """Whether ``ranges`` cover ``first`` to ``last``; a negative day counts from a month's end."""
    turned = [tuple(last + 1 + end if end < 0 else end for end in pair) for pair in ranges]
    reached = first - 1
    for begin, end in sorted(turned):
        if begin > reached + 1:
            return False
        reached = max(reached, end)
    return reached >= last


def _all_day(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return True
    pairs = [each for each in value if isinstance(each, dict)]
    return any(
        (str(each.get("start_time")), str(each.get("end_time"))) == ("00:00", "24:00") for each in pairs
    )
