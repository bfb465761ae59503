"""What watches the sample: Prometheus, Alertmanager and the pager, really running."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import targets
from app.sample import processes, stack
from app.sample.monitoring import files, servers
from app.sample.processes import address
from tests.instruments.prometheus_servers import needs_alertmanager
from tests.sample.client import Client, eventually, new_question
from tests.sample.watched import Watched

pytestmark = needs_alertmanager


@pytest.fixture
def watched(sample: Client) -> Watched:
    """The healthy sample, once Prometheus has scraped it."""
    found = Watched(sample.state)
    assert eventually(lambda: found.query('up{job="chat"} == 1'))
    assert eventually(lambda: all(rule["health"] == "ok" for rule in found.rules().values()))
    return found


@pytest.fixture
def drill(watched: Watched) -> Iterator[list[dict[str, Any]]]:
    """What an assessment hears that listens where the target file says."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(httpx.Response(200, content=self._body()).json())
            self.send_response(200)
            self.end_headers()

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", watched.state.ports["drill"]), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield heard
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_healthy_sample_fires_the_watchdog_alone_and_the_pager_hears_it(watched: Watched):
    assert eventually(lambda: watched.firing() == {"Watchdog"})
    assert eventually(lambda: [alert["receivers"] for alert in watched.routed()] == [[{"name": "heartbeat"}]])
    assert eventually(lambda: watched.pager()["last_heartbeat"] is not None)


def test_the_target_file_says_who_watches(watched: Watched):
    ports = watched.state.ports
    target = targets.load(str(watched.state.target_file))
    assert target.prometheus.url == address(ports["prometheus"])
    assert target.prometheus.labels == {"job": "chat"}
    assert target.alertmanager.url == address(ports["alertmanager"])
    assert target.grafana.url == address(ports["grafana"])
    assert target.notifications.listen == f"127.0.0.1:{ports['drill']}"
    assert target.alert_drill.alert in watched.rules()
    assert target.alert_drill.way in target.levers[target.alert_drill.lever].ways


def test_the_golden_signals_are_there_and_move(sample: Client, watched: Watched):
    signals = {
        "traffic": 'sum(http_requests_total{job="chat", route="/api/chat"}) or vector(0)',
        "latency": 'sum(http_request_duration_seconds_bucket{job="chat", route="/api/chat"}) or vector(0)',
        "hits": 'chat_cache_hits_total{job="chat"}',
        "misses": 'chat_cache_misses_total{job="chat"}',
        "errors": 'sum(http_requests_total{job="chat", status=~"5.."}) or vector(0)',
        "saturation": 'process_cpu_seconds_total{job="chat"}',
    }
    before = {name: float(watched.query(ask)[0]["value"][1]) for name, ask in signals.items()}
    question = new_question()
    sample.chat(question)
    sample.chat(question)
    with sample.refused("upstream"):
        assert sample.chat().status_code == 503
    for name, ask in signals.items():
        assert eventually(lambda ask=ask, name=name: float(watched.query(ask)[0]["value"][1]) > before[name])


def test_errors_are_notified_to_who_listens_and_resolved_when_they_end(
    sample: Client, watched: Watched, drill: list[dict[str, Any]]
):
    def told(status: str) -> bool:
        sample.chat()
        return any(
            (alert["status"], alert["labels"]["alertname"]) == (status, "ChatHighErrorRate")
            for notification in drill
            for alert in notification["alerts"]
        )

    unheard = failed_notifications(watched)  # of earlier tests, when nobody listened
    with sample.refused("upstream"):
        assert eventually(lambda: told("firing"))
    assert eventually(lambda: told("resolved"))
    assert failed_notifications(watched) == unheard


def failed_notifications(watched: Watched) -> list[str]:
    metrics = httpx.get(f"{address(watched.state.ports['alertmanager'])}/metrics", trust_env=False).text
    failed = [
        line for line in metrics.splitlines() if line.startswith("alertmanager_notifications_failed_total")
    ]
    assert failed
    return failed


def test_every_runbook_is_served_and_tells_of_its_alert(sample: Client, watched: Watched):
    alerts = {name: rule for name, rule in watched.rules().items() if rule["type"] == "alerting"}
    assert len(alerts) == 7
    for name, rule in alerts.items():
        page = httpx.get(rule["annotations"]["runbook_url"], trust_env=False)
        assert page.status_code == 200
        assert page.text.startswith(f"# {name}\n")
        assert page.url.path in sample.http.get("/runbooks/").text.splitlines()


@pytest.mark.parametrize("name", ["unknown", "..%2F..%2Fprometheus.yml", "high-latency.md"])
def test_what_is_no_runbook_is_not_served(sample: Client, name: str):
    assert sample.http.get(f"/runbooks/{name}").status_code == 404


def test_a_service_that_is_started_anew_has_no_past(with_defects: Callable[..., Client], watched: Watched):
    sample = with_defects()
    with sample.refused("upstream"):
        assert eventually(lambda: sample.chat() and "ChatHighErrorRate" in watched.firing())
    with_defects("health_slow")
    with_defects()
    assert watched.query('min_over_time(up{job="chat"}[5m])')[0]["value"][1] == "1"
    assert watched.value('sum(max_over_time(http_requests_total{job="chat", status="503"}[5m]))') == 0
    assert eventually(lambda: watched.firing() == {"Watchdog"}, within_s=3)


def test_what_watches_is_ended_found_again_and_replaced(tmp_path: Path):
    folder = tmp_path / "sample"
    [port] = processes.free_ports(1)
    options = {"chat_port": port, "folder": folder, "target_file": tmp_path / "sample.toml"}
    before = stack.up(**options)
    try:
        prometheus = next(part for part in before.parts if part.name == "prometheus")
        os.kill(prometheus.pid, signal.SIGKILL)
        assert eventually(lambda: not prometheus.alive)
        assert not stack.status(folder).whole
        after = stack.up(**options)
        assert after.whole
        assert not any(part.alive for part in before.parts)
    finally:
        stack.down(folder)
    assert not any(part.alive for part in after.parts)


def test_a_change_that_was_interrupted_is_completed_by_the_next(tmp_path: Path):
    folder = tmp_path / "sample"
    [port] = processes.free_ports(1)
    state = stack.up(chat_port=port, folder=folder, target_file=tmp_path / "sample.toml")
    try:
        # As if it was killed after the files were written and Alertmanager was ended.
        files.write(state.model_copy(update={"defects": ("no_watchdog",)}))
        gone = [part for part in state.parts if part.name == "alertmanager"]
        processes.end(gone)
        state.model_copy(update={"parts": tuple(part for part in state.parts if part not in gone)}).save()
        changed = stack.set_defects(["no_watchdog"], folder)
        assert {part.name for part in changed.parts} == {part.name for part in state.parts}
        assert changed.whole
        assert "Watchdog" not in Watched(changed).rules()
        assert Watched(changed).routing()["route"]["receiver"] == "on-call"
    finally:
        stack.down(folder)


def test_without_prometheus_the_sample_runs_unwatched_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "sample"
    [port] = processes.free_ports(1)
    monkeypatch.setenv("PATH", str(tmp_path))
    state = stack.up(chat_port=port, folder=folder, target_file=tmp_path / "sample.toml")
    try:
        assert state.unwatched == ("prometheus", "alertmanager")
        assert {part.name for part in state.parts} == {"valkey", "stub", "faultproxy", "chat"}
        assert "apt-get install prometheus prometheus-alertmanager" in servers.unwatched(state)
        target = targets.load(str(state.target_file))
        tables = (target.prometheus, target.alertmanager, target.grafana, target.notifications)
        assert [*tables, target.alert_drill] == [None] * 5
        assert stack.set_defects(["health_slow"], folder).whole
        assert stack.status(folder).unwatched == state.unwatched
    finally:
        stack.down(folder)
