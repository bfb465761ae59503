"""``python -m app.sample.monitoring.grafana CONFIG``: a stand-in for Grafana's HTTP API, as far as it reads.

It is not Grafana, and says so where it is asked who it is. It serves the dashboards of a folder, as they are
now, and asks Prometheus what their panels ask, in the format that Grafana documents for health, search,
dashboards by uid, data sources, queries and provisioned alert rules. Like Grafana it wants a token.

CONFIG is a JSON file ``{"port", "prometheus", "dashboards"}``: a port, a URL and a folder. The token is in
``GREENLIGHT_SAMPLE_GRAFANA_TOKEN``.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.sample.serving import serve

TOKEN_NAME = "GREENLIGHT_SAMPLE_GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
VERSION = "11.0.0-stand-in"
ABOUT = "A stand-in for the reading part of Grafana's HTTP API, by Greenlight's sample. It is not Grafana."
SOURCE_UID = "prometheus"
SOURCE = {
    "id": 1,
    "uid": SOURCE_UID,
    "orgId": 1,
    "name": "Prometheus",
    "type": "prometheus",
    "isDefault": True,
}
UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST_POINTS = 11_000  # what Prometheus gives for one series
LEAST_STEP_S = 1.0
SCRAPED_EVERY_S = 15  # what Grafana takes for granted of a data source that does not say


class StandIn:
    """Serves dashboards, and the data of their panels."""

    def __init__(self, folder: Path, prometheus: str, token: str) -> None:
        self.folder = folder
        self.prometheus = prometheus
        self.token = token

    @property
    def dashboards(self) -> dict[str, dict[str, Any]]:
        """The dashboards by uid."""
        boards = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(self.folder.glob("*.json"))]
        return {board["uid"]: board for board in boards}

    def app(self) -> Starlette:
        """The stand-in as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self.about),
                Route("/api/health", self.health),
                Route("/api/search", self.search),
                Route("/api/search/", self.search),
                Route("/api/dashboards/uid/{uid}", self.dashboard),
                Route("/api/datasources", self.sources),
                Route("/api/datasources/uid/{uid}", self.source),
                Route("/api/datasources/uid/{uid}/resources/api/v1/label/{label}/values", self.values),
                Route("/api/ds/query", self.query, methods=["POST"]),
                Route("/api/v1/provisioning/alert-rules", self.alert_rules),
            ],
            middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.behind_token)],
        )

    async def behind_token(self, request: Request, go_on: RequestResponseEndpoint) -> Response:
        """Let nobody without the token beyond the health route."""
        sent = request.headers.get("authorization", "").encode()
        if request.url.path not in ("/", "/api/health"):
            if not sent:
                return JSONResponse({"message": "Unauthorized"}, 401)
            if not hmac.compare_digest(sent, f"Bearer {self.token}".encode()):
                return JSONResponse({"message": "Invalid API key"}, 401)
        return await go_on(request)

    async def about(self, _: Request) -> Response:
        """What this is."""
        return JSONResponse({"about": ABOUT})

    async def health(self, _: Request) -> Response:
        """As Grafana's, and what this is."""
        return JSONResponse({"commit": "", "database": "ok", "version": VERSION, "about": ABOUT})

    async def search(self, request: Request) -> Response:
        """The dashboards whose title has the words asked for, and the tag."""
        words, tags = request.query_params.get("query", "").lower(), request.query_params.getlist("tag")
        kind, uids = (
            request.query_params.get("type", "dash-db"),
            request.query_params.getlist("dashboardUIDs"),
        )
        found = [
            {
                "id": number,
                "orgId": 1,
                "uid": uid,
                "title": board["title"],
                "uri": f"db/{_slug(board)}",
                "url": f"/d/{uid}/{_slug(board)}",
                "slug": "",
                "type": "dash-db",
                "tags": board.get("tags", []),
                "isStarred": False,
            }
            for number, (uid, board) in enumerate(self.dashboards.items(), 1)
            if words in board["title"].lower()
            and set(tags) <= set(board.get("tags", []))
            and (not uids or uid in uids)
        ]
        return JSONResponse(found if kind == "dash-db" else [])

    async def dashboard(self, request: Request) -> Response:
        """One dashboard and what is known about it."""
        board = self.dashboards.get(request.path_params["uid"])
        if board is None:
            return JSONResponse({"message": "Dashboard not found", "status": "not-found"}, 404)
        url = f"/d/{board['uid']}/{_slug(board)}"
        meta = {"type": "db", "canEdit": False, "slug": _slug(board), "url": url, "version": board["version"]}
        return JSONResponse({"meta": meta, "dashboard": board})

    async def sources(self, _: Request) -> Response:
        """The one data source."""
        return JSONResponse([SOURCE])

    async def source(self, request: Request) -> Response:
        """The data source by its uid."""
        known = request.path_params["uid"] == SOURCE_UID
        return JSONResponse(SOURCE) if known else JSONResponse({"message": "Data source not found"}, 404)

    async def values(self, request: Request) -> Response:
        """The values of a label, as a dashboard's variable asks for them."""
        if request.path_params["uid"] != SOURCE_UID:
            return JSONResponse({"message": "Data source not found"}, 404)
        path = f"/api/v1/label/{request.path_params['label']}/values"
        async with httpx.AsyncClient(base_url=self.prometheus, timeout=30, trust_env=False) as client:
            answer = await client.get(path, params=request.url.query)
        return Response(answer.content, answer.status_code, media_type="application/json")

    async def alert_rules(self, _: Request) -> Response:
        """None: the rules are Prometheus's."""
        return JSONResponse([])

    async def query(self, request: Request) -> Response:
        """Ask Prometheus what the queries ask, each by its ``refId``."""
        body = await request.json()
        results = {}
        async with httpx.AsyncClient(base_url=self.prometheus, timeout=30, trust_env=False) as client:
            for query in body["queries"]:
                uid = (query.get("datasource") or {}).get("uid")
                if uid != SOURCE_UID:
                    return JSONResponse({"message": "Data source not found"}, 404)
                results[query.get("refId", "A")] = await _asked(client, query, body)
        bad = any("error" in result for result in results.values())
        return JSONResponse({"results": results}, 400 if bad else 200)


async def _asked(client: httpx.AsyncClient, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    now = time.time()
    start, end = _moment(body.get("from", "now-1h"), now), _moment(body.get("to", "now"), now)
    points = min(int(query.get("maxDataPoints") or 1_000), MOST_POINTS)
    step_s = max(LEAST_STEP_S, float(query.get("intervalMs") or 0) / 1000, (end - start) / points)
    expression = _filled(query["expr"], step_s=step_s, range_s=end - start)
    if query.get("instant") and not query.get("range"):
        path, asked = "/api/v1/query", {"query": expression, "time": str(end)}
    else:
        asked = {"query": expression, "start": str(start), "end": str(end), "step": f"{step_s:.3f}"}
        path = "/api/v1/query_range"
    try:
        answer = (await client.post(path, data=asked)).json()
    except (httpx.HTTPError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}", "status": 502, "frames": []}
    if answer["status"] != "success":
        return {"error": f"{answer['errorType']}: {answer['error']}", "status": 400, "frames": []}
    return {"status": 200, "frames": _frames(query.get("refId", "A"), answer["data"])}


def _filled(expression: str, *, step_s: float, range_s: float) -> str:
    """The expression with the variables that Grafana's server fills in, for scrapes every 15 s."""
    values = {
        "__rate_interval_ms": f"{_rate_interval_s(step_s) * 1000:.0f}",
        "__rate_interval": f"{_rate_interval_s(step_s):.0f}s",
        "__interval_ms": f"{step_s * 1000:.0f}",
        "__interval": f"{math.ceil(step_s)}s",
        "__range_ms": f"{range_s * 1000:.0f}",
        "__range_s": f"{range_s:.0f}",
        "__range": f"{range_s:.0f}s",
    }
    return re.sub(
        r"\$(?:(\w+)|\{(\w+)\})", lambda found: values.get(found[1] or found[2], found[0]), expression
    )


def _rate_interval_s(step_s: float) -> float:
    return max(step_s + SCRAPED_EVERY_S, 4 * SCRAPED_EVERY_S)


def _frames(ref_id: str, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    if data["resultType"] in ("scalar", "string"):
        return [_frame(ref_id, {}, [data["result"]])]
    return [
        _frame(ref_id, series["metric"], series.get("values") or [series["value"]])
        for series in data["result"]
    ]


def _frame(ref_id: str, labels: Mapping[str, str], points: list[list[Any]]) -> dict[str, Any]:
    fields = [
        {"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}},
        {"name": "Value", "type": "number", "typeInfo": {"frame": "float64"}, "labels": dict(labels)},
    ]
    values = [float(value) for _, value in points]
    finite = [value if abs(value) < float("inf") else None for value in values]
    unusual: dict[str, list[int]] = {
        name: [place for place, value in enumerate(values) if str(value) == text]
        for name, text in (("NaN", "nan"), ("Inf", "inf"), ("NegInf", "-inf"))
    }
    entities = {name: places for name, places in unusual.items() if places}
    data = {"values": [[round(at * 1000) for at, _ in points], finite]}
    if entities:
        data["entities"] = [None, entities]  # type: ignore[list-item]  # as data frames write what JSON cannot
    return {"schema": {"refId": ref_id, "fields": fields}, "data": data}


def _moment(told: str | float, now: float) -> float:
    """``now``, ``now-6h``, or milliseconds since the epoch, as seconds since the epoch."""
    text = str(told).strip()
    if relative := re.fullmatch(r"now(?:-([0-9]+)(ms|s|m|h|d))?", text):
        return now - int(relative[1] or 0) * UNITS_S[relative[2] or "s"]
    return float(text) / 1000


def _slug(board: Mapping[str, Any]) -> str:
    return re.sub(r"\W+", "-", board["title"].lower()).strip("-")


def main(config_file: str) -> None:
    """Serve the stand-in."""
    config = json.loads(Path(config_file).read_text(encoding="utf-8"))
    stand_in = StandIn(Path(config["dashboards"]), config["prometheus"], os.environ[TOKEN_NAME])
    serve(stand_in.app(), config["port"])


if __name__ == "__main__":
    main(sys.argv[1])
