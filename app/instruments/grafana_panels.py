"""The panels of a dashboard: rows unfolded, data sources resolved, queries filled in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.instruments.grafana_templates import Variable, filled
from checks.contract.instruments.monitoring import Panel

MAX_PANELS = 500
MAX_QUERIES = 50  # of a panel
MAX_TITLE_CHARS = 200
MAX_EXPRESSION_CHARS = 10_000
MIXED = "-- Mixed --"
# What needs no query of its own: Grafana's own data, other panels' results, expressions over other queries.
OWN = frozenset(("-- Grafana --", "grafana", "-- Dashboard --", "__expr__"))
TEXTS = ("expr", "rawSql", "query", "expression", "target", "queryText")


@dataclass(frozen=True, slots=True)
class Source:
    """A data source of this Grafana."""

    uid: str
    name: str
    kind: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a source: the query as the panel has it, filled in."""

    source: str
    kind: str
    model: Mapping[str, Any]
    text: str


class Sources:
    """Resolves how panels name data sources: by uid, by name, by a variable, or not at all."""

    def __init__(self, known: Sequence[Source]) -> None:
        self.known = tuple(known)

    def named(self, reference: object, variables: Mapping[str, Variable]) -> Source | None:
        """The source that is meant, one of unknown kind where Grafana does not know it; None for its own."""
        uid = reference.get("uid") if isinstance(reference, dict) else reference
        text = filled(uid, variables) if isinstance(uid, str) else ""
        if text in OWN:
            return None
        if text in ("", "default"):
            return next((each for each in self.known if each.default), Source("", "the default source", ""))
        found = next((each for each in self.known if text in (each.uid, each.name)), None)
        if found is None and not self.known and isinstance(reference, dict):
            return Source(text, text, str(reference.get("type", "")))  # which there are is kept from us
        return found or Source("", text, "")

    def of_kind(self, kind: str) -> Source | None:
        """The one that Grafana chooses for a variable of this kind: the default, or else the first."""
        among = [each for each in self.known if each.kind == kind]
        return next((each for each in among if each.default), among[0] if among else None)


def raw_panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of all rows, folded ones too; rows of before version 16 as well."""
    for panel in _tables(dashboard.get("panels")):
        if panel.get("type") == "row":
            yield from _tables(panel.get("panels"))
        else:
            yield panel
    for row in _tables(dashboard.get("rows")):
        yield from _tables(row.get("panels"))


def panel_of(
    raw: Mapping[str, Any], variables: Mapping[str, Variable], sources: Sources
) -> tuple[Panel, list[Query]]:
    """A panel and the queries that it asks; of hidden ones and Grafana's own none."""
    of_panel = raw.get("datasource")
    mixed = of_panel == MIXED or (isinstance(of_panel, dict) and of_panel.get("uid") == MIXED)
    own = sources.named(None if mixed else of_panel, variables)
    queries = []
    for target in _tables(raw.get("targets"))[:MAX_QUERIES]:
        reference = target.get("datasource") or (None if mixed else of_panel)
        source = sources.named(reference, variables)
        if source is None or target.get("hide") is True:
            continue
        model = filled({key: value for key, value in target.items() if key != "datasource"}, variables)
        if text := _text(model):
            queries.append(Query(source.uid or source.name, source.kind, model, text))
    first = queries[0].source if queries else (own.uid or own.name if own else "")
    title, kind = raw.get("title"), raw.get("type")
    return (
        Panel(
            title=filled(title, variables)[:MAX_TITLE_CHARS] if isinstance(title, str) else "",
            kind=kind[:MAX_TITLE_CHARS] if isinstance(kind, str) else "",
            datasource=first,
            expressions=tuple(dict.fromkeys(query.text for query in queries)),
        ),
        queries,
    )


def _text(model: Mapping[str, Any]) -> str:
    """What a query asks, as people write it; "" for one that was never filled in."""
    for key in TEXTS:
        text = model.get(key)
        if isinstance(text, str) and text.strip():
            return text[:MAX_EXPRESSION_CHARS]
    if any(key in model for key in TEXTS):
        return ""
    rest = {key: value for key, value in model.items() if key not in ("refId", "hide")}
    return json.dumps(rest, sort_keys=True)[:MAX_EXPRESSION_CHARS] if rest else ""


def _tables(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)][:MAX_PANELS] if isinstance(value, list) else []
