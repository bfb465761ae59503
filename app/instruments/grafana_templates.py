"""Template variables of a Grafana dashboard, and how queries are filled in with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

ALL = "$__all"
WHATEVER = ".*"
MAX_VARIABLES = 100
MAX_OPTIONS = 1_000
REFERENCE = re.compile(
    r"\$\{(?P<braced>\w+)(?:\.\w+)?(?::(?P<format>\w+))?\}|\$(?P<plain>\w+)|\[\[(?P<old>\w+)(?::\w+)?\]\]"
)
LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?:(?P<series>.*),\s*)?(?P<label>\w+)\s*\)\s*", re.DOTALL)
SPECIAL = re.compile(r"([\\^$.|?*+()\[\]{}])")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable and the values that it has now; ``several`` where it may have more than one.

    ``pattern`` is what stands for all values where there is one. ``query`` is what its options come from,
    ``label`` the label whose values they are, ``series`` the selector among which. ``source`` is a data
    source as panels name one.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    pattern: str = ""
    several: bool = False
    query: str = ""
    label: str = ""
    series: str = ""
    source: object = None

    def chosen(self, *values: str) -> Variable:
        """The same variable with other values."""
        return replace(self, values=values, pattern="")


def variables_of(dashboard: Mapping[str, Any]) -> list[Variable]:
    """The variables of a dashboard, in order, with the values that it was saved with."""
    templating = dashboard.get("templating")
    found = templating.get("list") if isinstance(templating, dict) else None
    tables = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [_variable(each) for each in tables[:MAX_VARIABLES] if isinstance(each.get("name"), str)]


def _variable(table: Mapping[str, Any]) -> Variable:
    kind = table.get("type") if isinstance(table.get("type"), str) else ""
    query = table.get("query")
    query = query.get("query") if isinstance(query, dict) else query
    query = query if isinstance(query, str) else ""
    if not query and isinstance(table.get("definition"), str):
        query = table["definition"]
    # A regex changes what the label's values are; what was saved then stands.
    match = LABEL_VALUES.fullmatch(query) if kind == "query" and not table.get("regex") else None
    values = _saved(table, query)
    whole = table.get("allValue")
    variable = Variable(
        name=table["name"],
        kind=str(kind),
        values=values,
        several=table.get("multi") is True or table.get("includeAll") is True,
        query=query,
        label=match["label"] if match else "",
        series=(match["series"] or "").strip() if match else "",
        source=table.get("datasource"),
    )
    if ALL in values:
        pattern = whole if isinstance(whole, str) and whole else ""
        return replace(variable, values=() if pattern else _options(table), pattern=pattern)
    return variable


def _saved(table: Mapping[str, Any], query: str) -> tuple[str, ...]:
    current = table.get("current")
    values = _texts(current.get("value") if isinstance(current, dict) else None)
    if table.get("type") == "interval":
        return tuple(value for value in values if not value.startswith("$")) or ("1m",)
    if not values and table.get("type") in ("custom", "constant", "textbox"):
        first = query.partition(",")[0] if table.get("type") == "custom" else query
        return (first.partition(" : ")[2] or first,) if first else ()
    return values


def _options(table: Mapping[str, Any]) -> tuple[str, ...]:
    options = table.get("options")
    tables = [each for each in options if isinstance(each, dict)] if isinstance(options, list) else []
    values = (text for each in tables for text in _texts(each.get("value")))
    return tuple(value for value in values if value != ALL)[:MAX_OPTIONS]


def _texts(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(str(each) for each in many if isinstance(each, (str, int, float)) and each != "")


def filled(node: Any, variables: Mapping[str, Variable]) -> Any:
    """``node`` (of JSON) with its references to ``variables`` filled in, as Grafana does for Prometheus.

    A variable without a value matches whatever there is; what Grafana's own server fills in
    (``$__rate_interval``) and what nobody declares stays as it is.
    """
    if isinstance(node, str):
        return _filled_text(node, variables)
    if isinstance(node, list):
        return [filled(each, variables) for each in node]
    if isinstance(node, dict):
        return {key: filled(each, variables) for key, each in node.items()}
    return node


def _filled_text(text: str, variables: Mapping[str, Variable]) -> str:
    for name in (name for name, each in variables.items() if not each.values):
        # job="$job" can only match what is there as a pattern
        reference = rf"(\$\{{{name}(?::\w+)?\}}|\${name}\b|\[\[{name}\]\])"
        text = re.sub(rf'(?<![!=~])=(\s*"){reference}"', r'=~\1\2"', text)

    def value_of(match: re.Match[str]) -> str:
        variable = variables.get(match["braced"] or match["plain"] or match["old"])
        return match[0] if variable is None else _written(variable, match["format"] or "")

    return REFERENCE.sub(value_of, text)


def _written(variable: Variable, form: str) -> str:
    values = variable.values
    if not values:
        return variable.pattern or WHATEVER
    if form in ("csv", "pipe"):
        return {"csv": ",", "pipe": "|"}[form].join(values)
    if form == "raw" or variable.kind in ("interval", "constant", "datasource", "textbox"):
        return ",".join(values)
    if not variable.several and form != "regex":
        return values[0].replace("\\", "\\\\").replace('"', '\\"')
    escaped = [SPECIAL.sub(r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
