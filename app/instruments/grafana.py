"""Reads a Grafana over its HTTP API: dashboards, their panels, and what their queries give.

It follows the documented formats of `/api/search`, `/api/dashboards/uid/:uid`, `/api/datasources`,
`/api/library-elements/:uid` and `/api/ds/query`, and was tried against servers that answer in them. It was
not run against a live Grafana.

`/api/ds/query` is a POST that only reads: it runs the query that it is sent, as an open dashboard does. The
wire to Grafana lets POSTs through for it alone, also for a passive check, and this is the one place that
sends any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, RootModel, ValidationError

from app.instruments.failures import one_line
from app.instruments.grafana_panels import Query, Source, Sources, panel_of, raw_panels
from app.instruments.grafana_templates import Variable, filled, variables_of
from app.instruments.server_api import OrEmpty, Read, ServerApi, path_part
from checks.contract import Reply, document_in
from checks.contract.instruments.monitoring import Dashboard, Panel, Shown
from checks.contract.target.monitoring import Grafana as Declared

MOST_FOUND = 5_000
MOST_LOOKED = 60  # dashboards that are opened to see whether they show the service
MOST_KEPT = 20
MAX_PANELS = 500
MAX_ERROR_CHARS = 300
QUERY = "/api/ds/query"
LAST = {"from": "now-1h", "to": "now"}
POINTS = {"maxDataPoints": 200, "intervalMs": 15_000}


class _Hit(Read):
    uid: str
    title: str = ""
    tags: Annotated[tuple[str, ...], OrEmpty] = ()
    url: str = ""


class _Hits(RootModel[tuple[_Hit, ...]]):
    pass


class _Stored(Read):
    dashboard: dict[str, Any]


class _Source(Read):
    uid: str
    name: str
    kind: str = Field(alias="type")
    default: bool = Field(default=False, alias="isDefault")


class _SourceList(RootModel[tuple[_Source, ...]]):
    pass


class _Element(Read):
    model: dict[str, Any]


class _Library(Read):
    result: _Element


class _Values(Read):
    data: Annotated[tuple[str, ...], OrEmpty]


class GrafanaReader:
    """Implements ``checks.contract.instruments.monitoring.Grafana``.

    ``labels`` are those of the service's series, ``words`` those by which a dashboard may name it.
    """

    def __init__(
        self, api: ServerApi, declared: Declared | None, labels: Mapping[str, str], words: Iterable[str]
    ) -> None:
        self._api = api
        self._declared = declared
        self._labels = dict(labels)
        self._words = {word.lower() for word in (*labels.values(), *words) if word}
        self._sources: Sources | None = None
        self._queries: dict[tuple[str, str], Query] = {}

    async def dashboards(self) -> tuple[Dashboard, ...]:
        """The declared dashboards that are there, or those that name the service."""
        wanted = self._declared.dashboards if self._declared else ()
        if wanted:
            declared = [await self._dashboard(_Hit(uid=uid)) for uid in wanted]
            return tuple(board for board in declared if board)
        hits = await self._api.get(_Hits, "/api/search", {"type": "dash-db", "limit": str(MOST_FOUND)})
        found: list[Dashboard] = []
        for hit in sorted(hits.root, key=lambda hit: not self._named_in(hit))[:MOST_LOOKED]:
            board = await self._dashboard(hit)
            if board and (self._named_in(hit) or self._shown_in(board)):
                found.append(board)
            if len(found) == MOST_KEPT:
                break
        return tuple(found)

    async def shows(self, panel: Panel, expression: str) -> Shown:
        """What one query of a panel gives for the last hour, asked through Grafana itself."""
        query = self._queries.get((panel.datasource, expression)) or self._of(panel, expression)
        known = self._sources.known if self._sources else ()
        if known and not any(query.source == each.uid for each in known):
            return Shown(data=False, error=f"Grafana knows no data source {one_line(query.source)!r}")
        asked = {
            "range": True,
            **query.model,
            **POINTS,
            "refId": "A",
            "datasource": {"uid": query.source, "type": query.kind},
        }
        reply = await self._api.post(QUERY, {"queries": [asked], **LAST})
        return self._shown(reply)

    def _of(self, panel: Panel, expression: str) -> Query:
        source = panel.datasource
        known = self._sources.known if self._sources else ()
        kind = next((each.kind for each in known if each.uid == source), "prometheus")
        return Query(source, kind, {"expr": expression}, expression)

    async def _dashboard(self, hit: _Hit) -> Dashboard | None:
        """The dashboard, or None where it is not there (any more)."""
        path = f"/api/dashboards/uid/{path_part(hit.uid)}"
        reply = await self._api.reply(path)
        if reply.status == 404 and document_in(reply.body) is not None:
            return None
        stored = self._api.parsed(_Stored, reply, path).dashboard
        sources = await self._known_sources()
        variables = await self._variables(stored, sources)
        panels = []
        for raw in list(raw_panels(stored))[:MAX_PANELS]:
            panel, queries = panel_of(await self._from_library(raw), variables, sources)
            panels.append(panel)
            for query in queries:
                self._queries.setdefault((panel.datasource, query.text), query)
        title = stored.get("title")
        return Dashboard(
            uid=hit.uid,
            title=title if isinstance(title, str) else hit.title,
            panels=tuple(panels),
            url=f"{self._api.place.url}/d/{path_part(hit.uid)}",
        )

    async def _known_sources(self) -> Sources:
        if self._sources is None:
            reply = await self._api.reply("/api/datasources")
            if reply.status in (401, 403):  # a viewer may not list them, and may ask them all the same
                self._sources = Sources(())
            else:
                listed = self._api.parsed(_SourceList, reply, "/api/datasources").root
                self._sources = Sources(
                    [Source(each.uid, each.name, each.kind, each.default) for each in listed]
                )
        return self._sources

    async def _from_library(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """A panel that stands in the library has nothing but its place in the dashboard."""
        library = raw.get("libraryPanel")
        uid = library.get("uid") if isinstance(library, dict) else None
        if not isinstance(uid, str) or raw.get("targets"):
            return raw
        path = f"/api/library-elements/{path_part(uid)}"
        reply = await self._api.reply(path)
        if reply.status == 404:  # the panel is blank, and has no query
            return {"type": "library panel", **raw}
        return self._api.parsed(_Library, reply, path).result.model

    async def _variables(self, stored: Mapping[str, Any], sources: Sources) -> dict[str, Variable]:
        """The variables as somebody has them who looks at this service."""
        known: dict[str, Variable] = {}
        for variable in variables_of(stored):
            known[variable.name] = variable
            if variable.kind == "datasource":
                known[variable.name] = _of_source(variable, sources)
            elif variable.label:
                known[variable.name] = await self._chosen(variable, known, sources)
        return known

    async def _chosen(self, variable: Variable, known: Mapping[str, Variable], sources: Sources) -> Variable:
        """The service's own value where it is among the options, the saved one, or the first."""
        source = sources.named(variable.source, known)
        options = await self._options(variable, known, source) if source and source.uid else None
        own = self._labels.get(variable.label)
        if options is None:
            return variable
        if own in options:
            return variable.chosen(own)
        if variable.pattern or set(variable.values) & set(options):
            return variable
        return variable.chosen(*options[:1])

    async def _options(
        self, variable: Variable, known: Mapping[str, Variable], source: Source
    ) -> tuple[str, ...] | None:
        """The values of its label now; None where Grafana does not tell."""
        before = {name: each for name, each in known.items() if name != variable.name}
        series = filled(variable.series, before)
        path = f"/api/datasources/uid/{path_part(source.uid)}/resources/api/v1/label"
        path = f"{path}/{path_part(variable.label)}/values"
        reply = await self._api.reply(path, {"match[]": series} if series else None)
        if reply.status != 200:
            return None
        try:
            return _Values.model_validate_json(reply.body).data
        except ValidationError:
            return None

    def _named_in(self, hit: _Hit) -> bool:
        said = f" {hit.title} {' '.join(hit.tags)} ".lower()
        return any(f" {word} " in said for word in self._words)

    def _shown_in(self, board: Dashboard) -> bool:
        """Whether a query asks for series of the service by its labels."""
        texts = [text.replace("\\", "") for panel in board.panels for text in panel.expressions]
        return any(
            name in text and f'"{value}"' in text for text in texts for name, value in self._labels.items()
        )

    def _shown(self, reply: Reply) -> Shown:
        if reply.status in (401, 403):
            raise self._api.refused(reply, QUERY)
        document = document_in(reply.body)
        if not isinstance(document, dict):
            raise self._api.refused(reply, QUERY)
        results = document.get("results")
        result = results.get("A") if isinstance(results, dict) else None
        error = result.get("error") if isinstance(result, dict) else document.get("message")
        if error:
            return Shown(data=False, error=one_line(str(error), MAX_ERROR_CHARS))
        if reply.status != 200 or not isinstance(result, dict):
            raise self._api.refused(reply, QUERY)
        frames = result.get("frames")
        return Shown(data=isinstance(frames, list) and any(map(_has_data, frames)))


def _of_source(variable: Variable, sources: Sources) -> Variable:
    """A variable that chooses a data source: the saved one where it is still there, or Grafana's choice."""
    saved = variable.values[0] if variable.values else ""
    if any(saved in (each.uid, each.name) for each in sources.known if each.kind == variable.query):
        return variable
    chosen = sources.of_kind(variable.query)
    return variable.chosen(chosen.uid) if chosen else variable


def _has_data(frame: object) -> bool:
    """Whether a data frame has a value that is no time; NaN is one, written among its entities."""
    data = frame.get("data") if isinstance(frame, dict) else None
    schema = frame.get("schema") if isinstance(frame, dict) else None
    columns = data.get("values") if isinstance(data, dict) else None
    fields = schema.get("fields") if isinstance(schema, dict) else None
    if not isinstance(columns, list) or not isinstance(fields, list) or not isinstance(data, dict):
        return False
    kinds = [field.get("type") if isinstance(field, dict) else None for field in fields]
    filled_in = any(
        isinstance(column, list) and any(value is not None for value in column)
        for column, kind in zip(columns, kinds, strict=False)
        if kind != "time"
    )
    entities = data.get("entities")
    return filled_in or (isinstance(entities, list) and any(entities))
