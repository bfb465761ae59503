"""Runs as processes of their own, against a small real HTTP service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from app import paths, runs, targets
from app.history.store import Store
from app.records import RunInfo, RunState
from app.samples.reading import open_samples
from checks.contract import Outcome

WAIT_S = 60.0


class Service(BaseHTTPRequestHandler):
    """Healthy at /health, unless the server is told to hold its answers back; a POST is answered at once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"answer": "Within 30 days."}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.held.wait()
        body = b'{"status": "healthy"}' if self.path == "/health" else b"{}"
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.held = threading.Event()
    server.held.set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.held.set()
    server.shutdown()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: ThreadingHTTPServer) -> Store:
    monkeypatch.setenv("GREENLIGHT_DATA", str(tmp_path))
    monkeypatch.delenv("GREENLIGHT_DB", raising=False)
    paths.targets_folder().mkdir()
    url = f"http://127.0.0.1:{service.server_address[1]}"
    text = f'url = "{url}"\nname = "Shop"\n[health]\nliveness = "/health"\n'
    (paths.targets_folder() / "shop.toml").write_text(text)
    return Store.open()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def ended(store: Store, run: RunInfo) -> RunInfo:
    wait_for(lambda: store.run(run.run_id).state.final)
    return store.run(run.run_id)


def start(store: Store) -> RunInfo:
    return runs.start(store, "shop", only=["endpoint_health.liveness"])


def held(store: Store, service: ThreadingHTTPServer) -> RunInfo:
    """A run that waits for an answer of the service."""
    service.held.clear()
    run = start(store)
    wait_for(lambda: store.run(run.run_id).state is RunState.RUNNING)
    wait_for(lambda: any(event.kind == "check" for event in store.events(run.run_id)))
    return run


def test_a_run_measures_scores_and_keeps_its_events(store: Store) -> None:
    run = ended(store, start(store))
    assert (run.state, run.planned, run.done > 1) == (RunState.FINISHED, ("endpoint_health.liveness",), True)
    card = store.snapshot(run.run_id).scorecard
    found = {finding.check: finding for finding in card.findings}
    assert found["endpoint_health.liveness"].outcome is Outcome.PASS
    assert found["cache.reachable"].reason == "Left out of this run."
    assert card.score == pytest.approx(found["endpoint_health.liveness"].points)
    assert [event.kind for event in store.events(run.run_id)] == ["run", "check", "check", "run"]


def test_a_run_of_a_service_that_is_down_is_broken_and_says_so(
    store: Store, service: ThreadingHTTPServer
) -> None:
    service.server_close()
    run = ended(store, start(store))
    assert run.state is RunState.BROKEN
    assert "connection refused. Start the service or change the URL." in run.message


def test_a_second_run_of_the_same_service_waits_for_the_first(
    store: Store, service: ThreadingHTTPServer
) -> None:
    first = held(store, service)
    second = start(store)
    wait_for(lambda: runs.is_alive(store, second.run_id))
    assert store.run(second.run_id).state is RunState.WAITING
    service.held.set()
    assert ended(store, first).state is RunState.FINISHED
    assert ended(store, second).state is RunState.FINISHED
    assert store.run(second.run_id).started_at >= store.run(first.run_id).finished_at


def test_cancelling_a_run_ends_it_and_keeps_what_it_found(store: Store, service: ThreadingHTTPServer) -> None:
    run = held(store, service)
    runs.cancel(store, run.run_id)
    found = ended(store, run)
    assert (found.state, found.message) == (RunState.CANCELLED, "Cancelled after 0 of 1 checks.")


def test_cancelling_a_waiting_run_ends_it_before_it_starts(
    store: Store, service: ThreadingHTTPServer
) -> None:
    first, second = held(store, service), start(store)
    runs.cancel(store, second.run_id)
    assert ended(store, second).state is RunState.CANCELLED
    assert store.run(second.run_id).started_at is None
    assert not store.run(first.run_id).state.final


def test_a_run_that_is_told_to_go_is_interrupted(store: Store, service: ThreadingHTTPServer) -> None:
    run = held(store, service)
    os.kill(store.owner(run.run_id)[0], signal.SIGTERM)
    assert ended(store, run).state is RunState.INTERRUPTED


def test_a_killed_run_is_found_and_marked_interrupted(store: Store, service: ThreadingHTTPServer) -> None:
    run = held(store, service)
    process = psutil.Process(store.owner(run.run_id)[0])
    assert runs.reconcile(store) == []
    process.kill()
    process.wait(10)
    assert [info.run_id for info in runs.reconcile(store)] == [run.run_id]
    assert store.run(run.run_id).state is RunState.INTERRUPTED
    assert runs.reconcile(store) == []


def under_load(store: Store) -> RunInfo:
    """A run amid its load scenario, two seconds of which are written."""
    ask = '[ask]\npath = "/ask"\nbody = { message = "{prompt}" }\nanswer = "answer"\n'
    file = paths.targets_folder() / "shop.toml"
    file.write_text(file.read_text() + ask)
    run = runs.start(store, "shop", only=["load_scenarios.light"])
    wait_for(lambda: sum(event.kind == "load" for event in store.events(run.run_id)) >= 2)
    return run


def test_a_run_that_is_killed_amid_a_load_keeps_what_was_measured_and_says_so(store: Store) -> None:
    run = under_load(store)
    process = psutil.Process(store.owner(run.run_id)[0])
    process.kill()
    process.wait(10)
    runs.reconcile(store)
    [result] = store.load_results(run.run_id)
    assert (result.scenario, result.users, result.partial) == ("light", 5, "the run's process is gone")
    assert result.validity == "suspect"
    assert result.total_requests > 20
    assert len(open_samples(Path(result.samples_file)).columns("user")["user"]) == result.total_requests


def test_a_run_that_is_cancelled_amid_a_load_keeps_what_was_measured_and_says_so(store: Store) -> None:
    run = under_load(store)
    runs.cancel(store, run.run_id)
    assert ended(store, run).state is RunState.CANCELLED
    [result] = store.load_results(run.run_id)
    assert "cancelled after" in result.partial
    assert result.total_requests > 20
    assert open_samples(Path(result.samples_file)).partial


def test_another_process_with_the_same_number_is_not_taken_for_the_run(store: Store) -> None:
    target = targets.load("shop")
    run = store.create_run(target, profile="quick", faults=True, started_by="test", planned=())
    store.own(run.run_id, os.getpid(), psutil.Process().create_time() - 1000)
    assert not runs.is_alive(store, run.run_id)


def test_a_check_can_be_run_again_into_an_assessment(store: Store) -> None:
    first = ended(store, runs.start(store, "shop", only=["endpoint_health.*"]))
    second = ended(store, runs.start(store, "shop", only=["endpoint_health.liveness"], into=first))
    before, after = (store.snapshot(run.run_id).scorecard for run in (first, second))
    assert (second.based_on, second.planned) == (first.number, ("endpoint_health.liveness",))
    assert after.score == before.score
    carried = {item.check: item for item in after.findings if item.measured_at}
    assert carried["endpoint_health.single_server"].measured_at < second.started_at
    assert carried["endpoint_health.liveness"].measured_at >= second.started_at


def test_evidence_older_than_a_month_is_not_carried_over(store: Store) -> None:
    first = ended(store, start(store))
    card = store.snapshot(first.run_id).scorecard
    old = [
        item.model_copy(update={"measured_at": item.measured_at and item.measured_at - timedelta(days=31)})
        for item in card.findings
    ]
    store.finish_run(first.run_id, card.model_copy(update={"findings": tuple(old)}))
    second = ended(store, runs.start(store, "shop", only=["monitoring.*"], into=first))
    found = {item.check: item for item in store.snapshot(second.run_id).scorecard.findings}
    assert found["endpoint_health.liveness"].outcome is Outcome.NOT_ASSESSED


def test_a_run_that_breaks_ends_as_broken_with_its_reason(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENLIGHT_RUBRIC", str(paths.data_folder() / "nowhere.toml"))
    run = ended(store, start(store))
    assert run.state is RunState.BROKEN
    assert "nowhere.toml: cannot be read" in run.message


def test_the_command_line_refuses_a_second_run_and_names_the_first(
    store: Store, service: ThreadingHTTPServer
) -> None:
    first = held(store, service)
    command = [sys.executable, "-m", "app", "assess", "shop", "--only", "endpoint_health.liveness"]
    refused = subprocess.run(
        command, cwd=paths.ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert refused.returncode == 2
    assert f"Run {first.run_id} of this service is in progress" in refused.stderr
