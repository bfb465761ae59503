"""The stand-in for Grafana's API: what it serves, in the format that Grafana documents."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from app import paths
from app.sample.monitoring.files import DASHBOARD
from app.sample.monitoring.grafana import ABOUT, StandIn
from tests.instruments.prometheus_servers import exporter, needs_prometheus, prometheus_server

TOKEN = "a-token"
LAST = {"from": "now-5m", "to": "now"}


class Client:
    """Asks the stand-in over the dashboards of a folder, without a socket."""

    def __init__(self, folder: Path, prometheus: str) -> None:
        self.app = StandIn(folder, prometheus, TOKEN).app()
        self.headers = {"Authorization": f"Bearer {TOKEN}"}

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._send("GET", path, None))

    def post(self, path: str, *, json: object) -> httpx.Response:
        return asyncio.run(self._send("POST", path, json))

    async def _send(self, method: str, path: str, body: object) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://grafana") as client:
            return await client.request(method, path, json=body, headers=self.headers)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """The stand-in over the example dashboard, and no Prometheus."""
    (tmp_path / DASHBOARD).write_text((paths.monitoring_folder() / DASHBOARD).read_text())
    return Client(tmp_path, "http://127.0.0.1:9")


def test_it_says_that_it_is_not_grafana(client: Client):
    health = client.get("/api/health").json()
    assert health["database"] == "ok"
    assert "stand-in" in health["version"]
    assert health["about"] == client.get("/").json()["about"] == ABOUT


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
@pytest.mark.parametrize("path", ["/api/search", "/api/datasources", "/api/dashboards/uid/chat-service"])
def test_nobody_reads_without_its_token(client: Client, path: str, sent: dict[str, str]):
    client.headers = sent
    assert client.get(path).status_code == 401
    assert client.get("/api/health").status_code == 200


def test_dashboards_are_found_by_words_tags_and_uid(client: Client):
    [found] = client.get("/api/search?type=dash-db&query=CHAT").json()
    assert (found["uid"], found["title"], found["type"]) == ("chat-service", "Chat service", "dash-db")
    assert client.get("/api/search?query=orders").json() == []
    assert client.get("/api/search?tag=chat").json() == [found]
    assert client.get("/api/search?tag=orders").json() == []
    assert client.get("/api/search?dashboardUIDs=chat-service").json() == [found]
    assert client.get("/api/search?type=dash-folder").json() == []
    board = client.get("/api/dashboards/uid/chat-service").json()
    assert board["dashboard"]["title"] == "Chat service"
    assert board["meta"]["url"] == found["url"]
    assert client.get("/api/dashboards/uid/another").status_code == 404


def test_dashboards_are_served_as_they_are_now(client: Client, tmp_path: Path):
    (tmp_path / DASHBOARD).unlink()
    assert client.get("/api/search").json() == []
    assert client.get("/api/dashboards/uid/chat-service").status_code == 404


def test_there_is_one_data_source_and_no_rule(client: Client):
    [source] = client.get("/api/datasources").json()
    assert source["type"] == "prometheus"
    assert client.get(f"/api/datasources/uid/{source['uid']}").json() == source
    assert client.get("/api/datasources/uid/another").status_code == 404
    assert client.get("/api/v1/provisioning/alert-rules").json() == []


def test_a_prometheus_that_is_away_is_an_error_of_the_query(client: Client):
    reply = client.post("/api/ds/query", json={"queries": [query("up")], **LAST})
    assert reply.status_code == 400
    assert reply.json()["results"]["A"]["status"] == 502


def test_a_data_source_that_is_gone_is_a_404(client: Client):
    asked = {**query("up"), "datasource": {"uid": "gone", "type": "prometheus"}}
    assert client.post("/api/ds/query", json={"queries": [asked], **LAST}).status_code == 404
    assert client.get("/api/datasources/uid/gone/resources/api/v1/label/job/values").status_code == 404


@needs_prometheus
def test_queries_are_asked_of_prometheus(tmp_path: Path):
    page = "asked_total 5\nodd NaN\nodd2 +Inf\n"
    with (
        exporter(page) as page_server,
        prometheus_server(tmp_path / "prometheus", scrapes={"chat": [page_server.place]}) as prometheus,
    ):
        prometheus.until_found("asked_total")
        client = Client(tmp_path, prometheus.url)

        def asked(expression: str, **more: object) -> dict[str, object]:
            body = {"queries": [query(expression, **more)], **LAST}
            return client.post("/api/ds/query", json=body).json()["results"]["A"]

        [frame] = asked("asked_total")["frames"]
        assert [field["type"] for field in frame["schema"]["fields"]] == ["time", "number"]
        assert frame["schema"]["fields"][1]["labels"]["job"] == "chat"
        assert frame["data"]["values"][1][-1] == 5
        [frame] = asked("asked_total", instant=True, range=False)["frames"]
        assert frame["data"]["values"][1] == [5]
        assert asked("asked_total[$__rate_interval]", instant=True, range=False)["status"] == 200
        assert len(asked("rate(asked_total[${__rate_interval}])")["frames"]) <= 1
        assert asked("nothing")["frames"] == []
        assert asked("sum(")["status"] == 400
        for name, entity in (("odd", "NaN"), ("odd2", "Inf")):
            [frame] = asked(name, instant=True, range=False)["frames"]
            assert frame["data"]["values"][1] == [None]
            assert frame["data"]["entities"] == [None, {entity: [0]}]
        json.dumps(asked("odd"), allow_nan=False)
        values = client.get("/api/datasources/uid/prometheus/resources/api/v1/label/job/values")
        assert values.json()["data"] == ["chat"]


def query(expression: str, **more: object) -> dict[str, object]:
    source = {"uid": "prometheus", "type": "prometheus"}
    return {"refId": "A", "expr": expression, "range": True, "datasource": source, **more}
