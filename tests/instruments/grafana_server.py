"""A server that answers as Grafana documents its API, for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.instruments.servers import Scripted, Visit, scripted

PROMETHEUS = {"id": 1, "uid": "prom", "name": "Prometheus", "type": "prometheus", "isDefault": True}
LOGS = {"id": 2, "uid": "logs", "name": "Logs", "type": "loki", "isDefault": False}


def a_frame(*values: float | None, entities: Any = None) -> dict[str, Any]:
    """A frame of one series with these values."""
    times = [1_700_000_000_000 + 15_000 * place for place in range(len(values))]
    fields = [
        {"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}},
        {"name": "Value", "type": "number", "typeInfo": {"frame": "float64"}, "labels": {"job": "chat"}},
    ]
    data: dict[str, Any] = {"values": [times, list(values)]}
    if entities is not None:
        data["entities"] = entities
    return {"schema": {"refId": "A", "fields": fields}, "data": data}


Gives = Callable[[Mapping[str, Any]], tuple[int, Any]]


def gives(*frames: Any) -> tuple[int, Any]:
    """The reply to a query that was carried out."""
    return 200, {"results": {"A": {"status": 200, "frames": list(frames)}}}


@asynccontextmanager
async def grafana(
    *boards: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]] | tuple[int, Any] = (PROMETHEUS, LOGS),
    query: Gives = lambda asked: gives(a_frame(1.0)),
    library: Mapping[str, Any] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> AsyncIterator[Scripted]:
    """Serve these dashboards; ``query`` answers what a panel asks, ``labels`` the values of a label."""
    by_uid = {board["uid"]: board for board in boards}

    def stored(visit: Visit) -> tuple[int, Any] | None:
        path = unquote(urlsplit(visit.path).path)
        last = path.rpartition("/")[2]
        hits = [
            {"uid": uid, "title": board.get("title"), "tags": board.get("tags", []), "type": "dash-db"}
            for uid, board in by_uid.items()
        ]
        listed = sources if isinstance(sources[0], int) else (200, list(sources))
        places = {"/api/search": (200, hits), "/api/datasources": listed}
        for uid, board in by_uid.items():
            places[f"/api/dashboards/uid/{uid}"] = 200, {"meta": {"slug": "x"}, "dashboard": board}
        for uid, model in (library or {}).items():
            places[f"/api/library-elements/{uid}"] = 200, {"result": {"uid": uid, "kind": 1, "model": model}}
        if labels is not None and last == "values":
            places[path] = 200, {"status": "success", "data": labels.get(path.split("/")[-2], [])}
        return places.get(path)

    def found(visit: Visit) -> tuple[int, Any]:
        if visit.path == "/api/ds/query" and visit.method == "POST":
            return query(json.loads(visit.body)["queries"][0])
        return stored(visit) or (404, {"message": "Not found", "status": "not-found"})

    async def talk(visit: Visit) -> None:
        status, body = found(visit)
        await visit.reply(json.dumps(body), status, Content_Type="application/json")

    async with scripted(talk) as served:
        yield served


def matched(visit: Visit) -> list[str]:
    """The selectors that a look for values of a label was limited to."""
    return parse_qs(urlsplit(visit.path).query).get("match[]", [])
