"""The real servers that other tests start."""

from __future__ import annotations

from tests.instruments.prometheus_servers import (
    alertmanager_server,
    exporter,
    needs_alertmanager,
    prometheus_server,
)

RULES = """
groups:
  - name: g
    rules:
      - alert: Always
        expr: vector(1)
"""
CONFIG = {
    "route": {"receiver": "team", "group_wait": "0s"},
    "receivers": [{"name": "team", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}],
}


@needs_alertmanager
def test_prometheus_scrapes_an_exporter_and_sends_its_alerts_to_alertmanager(tmp_path):
    with (
        exporter("requests_total 1\n") as page,
        alertmanager_server(tmp_path / "alertmanager", CONFIG, prefix="/alerts") as alertmanager,
        prometheus_server(
            tmp_path / "prometheus",
            scrapes={"chat": [page.place]},
            rules={"rules.yml": RULES},
            config={
                "alerting": {
                    "alertmanagers": [
                        {
                            "path_prefix": "/alerts",
                            "static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}],
                        }
                    ]
                }
            },
            prefix="/prom",
        ) as prometheus,
    ):
        prometheus.until_found('requests_total{job="chat"} == 1')
        page.page = "requests_total 2\n"
        prometheus.until_found("requests_total == 2")
        alertmanager.until(lambda: alertmanager.get("/api/v2/alerts"))
