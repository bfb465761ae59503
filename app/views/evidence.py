"""Evidence as tables to read: whatever shape a check kept it in, with units from the names of its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from app import wording
from app.views import marks
from app.wording import ABSENT
from checks.contract.wording import NBSP, plural, show

MOST_ROWS = 12
MOST_COLUMNS = 6
MOST_DEPTH = 3
MOST_JSON = 20_000
UNITS = {"_ms": "ms", "_s": "s", "_ratio": "ratio", "_bytes": "bytes"}
SHORT_LIST = 6
NOTHING: tuple[Any, ...] = (None, "", [], {}, ())  # left out: the whole stands below, as it is kept


def tables(evidence: Mapping[str, Any]) -> str:
    """Evidence as HTML: single facts in one table, then each group and each list in a table of its own."""
    plain = {key: value for key, value in evidence.items() if key != "reproduce"}
    return _facts(plain, depth=0) or '<p class="gl-quiet">This check kept no evidence.</p>'


def as_json(evidence: Mapping[str, Any]) -> str:
    """Evidence as it is kept, bounded."""
    return wording.many_lines(json.dumps(evidence, indent=2, ensure_ascii=False), MOST_JSON)


def _facts(group: Mapping[str, Any], *, depth: int, title: str = "Evidence") -> str:
    single = {key: value for key, value in group.items() if not _is_nested(value) and value not in NOTHING}
    parts = []
    if single:
        rows = [[marks.text(name(key)), cell(key, value)] for key, value in single.items()]
        parts.append(marks.table([("Fact", ""), ("Measured", "n")], rows, label=title, headless=depth > 0))
    nested = [(key, value) for key, value in group.items() if _is_nested(value)]
    parts += [
        _nested(*alike[0], depth + 1) if len(alike) == 1 else _side_by_side(alike) for alike in _alike(nested)
    ]
    return "".join(parts)


def _alike(nested: Sequence[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Neighbouring groups of plain values with the same keys belong side by side: before and after."""
    found: list[list[tuple[str, Any]]] = []
    for key, value in nested:
        same = (
            found and _is_flat(value) and _is_flat(found[-1][0][1]) and list(value) == list(found[-1][0][1])
        )
        if same and len(found[-1]) < MOST_COLUMNS - 1:
            found[-1].append((key, value))
        else:
            found.append([(key, value)])
    return found


def _is_flat(value: Any) -> bool:
    return isinstance(value, Mapping) and not any(_is_nested(item) for item in value.values())


def _side_by_side(groups: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    columns = [("Fact", ""), *((name(key), "n") for key, _ in groups)]
    rows = [
        [marks.text(name(fact)), *(cell(fact, values[fact]) for _, values in groups)] for fact in groups[0][1]
    ]
    label = " and ".join(name(key) for key, _ in groups)
    return f'<div class="gl-gap">{marks.table(columns, rows, label=label)}</div>'


def _nested(key: str, value: Any, depth: int) -> str:
    title = name(key)
    if isinstance(value, Mapping):
        if depth >= MOST_DEPTH:
            return _under(
                title, f'<p class="gl-quiet">{marks.text(json.dumps(value, ensure_ascii=False))}</p>'
            )
        return _under(title, _facts(value, depth=depth, title=title))
    return _under(title, _rows(title, value))


def _under(title: str, html: str) -> str:
    return f'<h3 class="gl-group">{marks.text(title)}</h3>{html}'


def _rows(title: str, items: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for item in items[:MOST_ROWS] for key in item))[:MOST_COLUMNS]
    columns = [(name(key), _kind(items, key)) for key in keys]
    rows = [[cell(key, item.get(key)) for key in keys] for item in items[:MOST_ROWS]]
    more = len(items) - MOST_ROWS
    rest = f'<p class="gl-quiet">and {more} more</p>' if more > 0 else ""
    return f'<div class="gl-scrollx" tabindex="0" role="group" aria-label="{marks.text(title)}">' + (
        marks.table(columns, rows, label=title) + f"</div>{rest}"
    )


def _kind(items: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [item.get(key) for item in items[:MOST_ROWS]]
    numeric = all(isinstance(value, (int, float)) or value is None for value in values)
    return "n" if numeric else ""


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value)
    return (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, Mapping) for item in value)
    )


def name(key: str) -> str:
    """``redis_before`` is ``Redis before``; a unit at the end goes to the value."""
    if not key.isidentifier():  # a path or a name of the service's own
        return key
    for ending in UNITS:
        key = key.removesuffix(ending) if len(key) > len(ending) else key
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def cell(key: str, value: Any) -> str:
    """One value as HTML, with the unit that its key names."""
    if value in NOTHING:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return marks.text(_number(key, value))
    if isinstance(value, (list, tuple)):
        return _list(key, value)
    if isinstance(value, Mapping):
        return marks.text(", ".join(f"{inner} {_plain(item)}" for inner, item in value.items()), 240)
    return _words(str(value))


def _words(value: str) -> str:
    if "\n" in value:
        return f'<code class="gl-pre">{escape(wording.many_lines(value, 600))}</code>'
    return f"<code>{marks.text(value, 240)}</code>"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(key: str, value: float) -> str:
    unit = next((unit for ending, unit in UNITS.items() if key.endswith(ending)), "")
    if unit:
        return show(value, unit)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _list(key: str, values: Sequence[Any]) -> str:
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        if len(values) <= SHORT_LIST:
            return marks.text(", ".join(_number(key, value) for value in values))
        low, middle, high = min(values), median(values), max(values)
        spread = f"{_number(key, low)} to {_number(key, high)}, median {_number(key, middle)}"
        return marks.text(f"{plural(len(values), 'value')}: {spread}")
    shown = [wording.one_line(str(value), 80) for value in values[:SHORT_LIST]]
    more = f" and {len(values) - SHORT_LIST}{NBSP}more" if len(values) > SHORT_LIST else ""
    return marks.text(", ".join(shown) + more, 500)
