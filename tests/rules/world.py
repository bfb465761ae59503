"""A real Prometheus with the rules of the corpus, scraping its exporters in one state."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.sample.processes import free_ports
from tests.instruments.prometheus_servers import Server, prometheus_server
from tests.rules import corpus, exporters

ROOT = Path(__file__).parents[2]
# Long enough that an incident, which begins at ONSET_S, has been scraped several times over.
SCRAPES = 9
STEADY_S = 5
INTERVAL = "2s"  # a busy machine does not answer thirty scrapes within one
GLOBAL = {
    "scrape_interval": INTERVAL,
    "scrape_timeout": INTERVAL,
    "evaluation_interval": INTERVAL,
    "external_labels": {"cluster": "eu-1"},
}


@dataclass
class World:
    """A state, and the Prometheus that sees it."""

    state: str
    prometheus: Server

    def rules(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """What Prometheus says of each rule, by file, group and position."""
        groups = self.prometheus.get("/api/v1/rules")["data"]["groups"]
        return {
            (Path(group["file"]).name, group["name"], position): rule
            for group in groups
            for position, rule in enumerate(group["rules"])
        }

    def answer(self, expression: str) -> dict[str, Any]:
        """What Prometheus says to an expression, be it an error."""
        try:
            return self.prometheus.get("/api/v1/query", query=expression)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def settle(self) -> None:
        """Wait until enough has been scraped, the incident of the state has come, and nothing else is down.

        On a busy machine a scrape may take too long, and what it would have told is then gone for a moment.
        """
        down = {
            f"{target.labels['job']} {target.labels['instance']}"
            for page in exporters.pages().values()
            for target in page.targets
            if target.down in {"always", self.state}
        }
        age = 'min(count_over_time(up{job!~"mysqld-exporter|meter"}[5m]))'

        def settled() -> bool:
            silent = self.prometheus.query(f"min_over_time(up{{job!='edge-api'}}[{STEADY_S}s]) == 0")
            names = {f"{each['metric']['job']} {each['metric']['instance']}" for each in silent}
            return _value(self.prometheus.query(age)) >= SCRAPES and names == down

        self.prometheus.until(settled, timeout_s=170)


def _value(result: list[dict[str, Any]]) -> float:
    return float(result[0]["value"][1]) if result else 0.0


@contextmanager
def world(state: str, folder: Path) -> Iterator[World]:
    """Start both. The state begins with the first scrape; it has not settled yet."""
    port, own = free_ports(2)
    exporting = subprocess.Popen([sys.executable, "-m", "tests.rules.exporters", state, str(port)], cwd=ROOT)
    try:
        _wait_for(port)
        rules = {file.name: file.read_text(encoding="utf-8") for file in corpus.FILES}
        config = {"global": GLOBAL, "scrape_configs": _scrape_configs(port, own)}
        with prometheus_server(folder, rules=rules, config=config, port=own) as server:
            yield World(state, server)
    finally:
        exporting.terminate()
        exporting.wait(20)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, "the exporters did not start"
            time.sleep(0.05)
        else:
            return


def _scrape_configs(port: int, own: int) -> list[dict[str, Any]]:
    configs: list[dict[str, Any]] = [
        {
            "job_name": "prometheus",
            "static_configs": [{"targets": [f"127.0.0.1:{own}"], "labels": {"instance": "prometheus:9090"}}],
        }
    ]
    for name, page in exporters.pages().items():
        for number, target in enumerate(page.targets, 1):
            labels = {label: value for label, value in target.labels.items() if label != "job"}
            placed = {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {**labels, "__metrics_path__": f"/{name}/{number}"},
            }
            same = [config for config in configs if config["job_name"] == target.labels["job"]]
            if same:
                same[0]["static_configs"].append(placed)
            else:
                configs.append(
                    {
                        "job_name": target.labels["job"],
                        "scrape_interval": target.interval or INTERVAL,
                        "honor_labels": target.honor_labels,
                        "static_configs": [placed],
                    }
                )
    return configs
