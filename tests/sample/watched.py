"""Asks what watches a running sample."""

from __future__ import annotations

from typing import Any

import httpx
import yaml

from app.sample import stack
from app.sample.processes import address


class Watched:
    """What Prometheus, Alertmanager and the pager of a sample say."""

    def __init__(self, state: stack.State) -> None:
        self.state = state

    def prometheus(self, path: str, **query: str) -> Any:
        url = f"{address(self.state.ports['prometheus'])}/api/v1/{path}"
        return httpx.get(url, params=query, trust_env=False).raise_for_status().json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.prometheus("query", query=expression)["result"]

    def value(self, expression: str) -> float | None:
        """The only value of an expression; None where it has none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def targets(self) -> list[dict[str, Any]]:
        return self.prometheus("targets", state="active")["activeTargets"]

    def rules(self) -> dict[str, dict[str, Any]]:
        groups = self.prometheus("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def firing(self) -> set[str]:
        """The names of alerts that fire, or soon will."""
        return {alert["labels"]["alertname"] for alert in self.prometheus("alerts")["alerts"]}

    def routed(self) -> list[dict[str, Any]]:
        return httpx.get(f"{address(self.state.ports['alertmanager'])}/api/v2/alerts", trust_env=False).json()

    def pager(self) -> dict[str, Any]:
        return httpx.get(f"{address(self.state.ports['stub'])}/pager", trust_env=False).json()

    def routing(self) -> dict[str, Any]:
        """Alertmanager's configuration."""
        url = f"{address(self.state.ports['alertmanager'])}/api/v2/status"
        return yaml.safe_load(httpx.get(url, trust_env=False).json()["config"]["original"])

    def grafana(self, path: str, body: Any = None) -> httpx.Response:
        """What the stand-in for Grafana answers; a POST where there is a body."""
        token = stack.environment(self.state)["GREENLIGHT_SAMPLE_GRAFANA_TOKEN"]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(
            base_url=address(self.state.ports["grafana"]), headers=headers, trust_env=False
        ) as client:
            return client.get(path) if body is None else client.post(path, json=body)
