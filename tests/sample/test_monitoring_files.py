"""The example files of data/monitoring, and what the sample makes of them, in the eyes of their own tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import paths
from app.sample.monitoring import files
from app.sample.monitoring.broken import CHANGES
from app.sample.state import State
from tests.instruments.prometheus_servers import INSTALL, needs_promtool

EXAMPLES = paths.monitoring_folder()
PORTS = {"alertmanager": 20_001, "chat": 20_002, "stub": 20_003, "prometheus": 20_004, "grafana": 20_005}
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason=f"amtool is not installed ({INSTALL})"
)


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """The folder of a sample's files."""
    files.write(state(tmp_path))
    return tmp_path / "monitoring"


def state(folder: Path, *defects: str) -> State:
    return State(
        url="http://127.0.0.1:20002", ports=PORTS, folder=folder, target_file=folder / "t", defects=defects
    )


def accepted(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return True


@needs_promtool
def test_prometheus_takes_the_examples():
    assert accepted("promtool", "check", "config", str(EXAMPLES / "prometheus.yml"))
    assert accepted("promtool", "check", "rules", "--lint-fatal", str(EXAMPLES / "chat.rules.yml"))


@needs_promtool
def test_each_alert_fires_when_it_should_and_not_otherwise():
    assert accepted("promtool", "test", "rules", str(EXAMPLES / "chat.test.yml"))


def test_every_alert_is_tried_both_ways():
    told = yaml.safe_load((EXAMPLES / "chat.test.yml").read_text())
    tried = {
        (one["alertname"], bool(one["exp_alerts"]))
        for test in told["tests"]
        for one in test["alert_rule_test"]
    }
    silent = {alert for alert, fires in tried if not fires}
    fired = {alert for alert, fires in tried if fires}
    names = {rule["alert"] for rule in rules(EXAMPLES) if "alert" in rule}
    assert fired == names
    assert silent == names - {"Watchdog"}


@needs_amtool
def test_alertmanager_takes_the_examples(rendered: Path):
    assert accepted("amtool", "check-config", str(EXAMPLES / "alertmanager.yml"))
    assert accepted("amtool", "check-config", str(rendered / "alertmanager.yml"))


@needs_promtool
def test_prometheus_takes_what_the_sample_makes_of_them(rendered: Path):
    assert accepted("promtool", "check", "config", str(rendered / "prometheus.yml"))


def test_the_sample_has_the_same_rules_in_seconds(rendered: Path):
    for example, fast in zip(rules(EXAMPLES), rules(rendered), strict=True):
        assert fast["expr"] == example["expr"].replace("5m]", "5s]")
        assert fast.get("for", "") == example.get("for", "").replace("m", "s")
        assert fast.get("labels") == example.get("labels")
    assert yaml.safe_load((rendered / "prometheus.yml").read_text())["global"] == {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }


def test_nothing_in_the_samples_files_leads_to_an_example_address(rendered: Path):
    for name in files.NAMES:
        text = (rendered / name).read_text()
        assert not re.search(r"\b(chat|pager|alertmanager)\.example", text)


def test_files_are_written_only_where_they_change(tmp_path: Path):
    assert files.write(state(tmp_path)) == set(files.NAMES)
    assert files.write(state(tmp_path)) == set()


def test_the_dashboard_asks_for_metrics_that_the_rules_know_or_the_service_has():
    board = json.loads((EXAMPLES / files.DASHBOARD).read_text())
    asked = [target["expr"] for panel in panels(board["panels"]) for target in panel.get("targets", ())]
    assert len(asked) == 16
    assert all('job="$job"' in expression for expression in asked)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = {name for expression in asked for name in re.findall(r"\$(\w+)", expression)}
    assert used <= variables | {"__rate_interval"}
    ids = [panel["id"] for panel in panels(board["panels"])]
    assert len(ids) == len(set(ids))


def rules(folder: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "chat.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(those: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in those:
        yield panel
        yield from panels(panel.get("panels", []))


@needs_promtool
@needs_amtool
@pytest.mark.parametrize("defect", CHANGES)
def test_a_defect_changes_a_file_which_its_tool_still_takes(tmp_path: Path, defect: str):
    healthy = files.rendered(state(tmp_path))
    broken = state(tmp_path, defect)
    assert files.rendered(broken) != healthy
    assert files.write(broken)
    folder = tmp_path / "monitoring"
    assert accepted("promtool", "check", "config", str(folder / "prometheus.yml"))
    assert accepted("amtool", "check-config", str(folder / "alertmanager.yml"))


def test_all_defects_at_once_change_the_files(tmp_path: Path):
    assert files.write(state(tmp_path, *CHANGES)) == set(files.NAMES) - {files.DASHBOARD}
    assert files.write(state(tmp_path)) == set(files.NAMES)
