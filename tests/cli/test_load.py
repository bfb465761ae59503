"""``python -m app load`` as a user runs it: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app import paths
from app.samples.reading import open_samples
from tests.instruments.load.threaded import answering
from tests.instruments.servers import Scripted, free_port


@pytest.fixture
def server() -> Iterator[Scripted]:
    with answering() as served:
        yield served


@pytest.fixture
def loading(data: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a load and leave it running."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "GREENLIGHT_DATA": str(data), "COLUMNS": "200"}
        command = [sys.executable, "-m", "app", "load", *words]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=paths.ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(met: Callable[[], object], within_s: float = 60) -> None:
    """Wait for something. Fails where it does not come."""
    end = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_closed_load_is_shown_and_its_samples_are_kept(greenlight, server: Scripted, data: Path) -> None:
    result = greenlight("load", f"{server.url}/x", "--users", "3", "--duration", "1.5", "--think", "20")
    assert result.returncode in (0, 3), result.stderr  # 3 where this machine was too busy to measure
    assert f"GET {server.url}/x · closed model, 3\u00a0users" in result.stderr
    for words in ("Latency over answers", "p99", "100\u00a0% answered", "Samples: "):
        assert words in result.stdout
    (file,) = (data / "samples").iterdir()
    assert file.name in result.stdout
    assert len(open_samples(file).columns("status")["status"]) == len(server.visits)
    assert {visit.method for visit in server.visits} == {"GET"}


def test_an_open_load_as_json_on_standard_output_is_nothing_but_json(greenlight, server: Scripted) -> None:
    words = ("--rate", "40", "--spacing", "even", "--duration", "2", "--json", "-", "--goal-latency", "60000")
    result = greenlight(
        "load", f"{server.url}/x", *words, "--body", '{"n": "{nonce}"}', "--header", "X-A: ${WHO}", WHO="me"
    )
    told = json.loads(result.stdout)
    assert told["arrivals"] == {"scheduled": 80, "sent": 80, "dropped": 0}
    assert (told["model"], told["rate"], told["goodput_ratio"]) == ("open", 40.0, 1.0)
    assert told["validity"] in ("valid", "suspect", "invalid")
    assert {visit.method for visit in server.visits} == {"POST"}
    assert {visit.headers["x-a"] for visit in server.visits} == {"me"}
    assert len({visit.body for visit in server.visits}) == 80


def test_stages_questions_and_workers_are_taken_from_the_options(
    greenlight, server: Scripted, tmp_path: Path, data: Path
) -> None:
    (tmp_path / "q.jsonl").write_text('{"prompt": "One?"}\n{"prompt": "Two?"}\n')
    (data / "targets" / "shop.toml").write_text(
        f'url = "{server.url}"\n[ask]\npath = "/ask"\nbody = "{{prompt}}"\n'
    )
    words = (
        "--stage",
        "10:1",
        "--stage",
        "10:50:2",
        "--workers",
        "2",
        "--prompts",
        str(tmp_path / "q.jsonl"),
    )
    out = tmp_path / "out.json"
    result = greenlight("load", "shop", *words, "--json", str(out), "--samples", str(tmp_path / "s.parquet"))
    told = json.loads(out.read_text())
    assert told["workers"] == 2, result.stderr
    assert [step["offered_per_s"] for step in told["steps"]] == [10, 30]
    assert {visit.body for visit in server.visits} == {b"One?", b"Two?"}
    assert set(open_samples(tmp_path / "s.parquet").columns("worker")["worker"]) == {0, 1}
    assert "Steps" in result.stdout


def test_a_refused_port_is_measured_and_every_failure_is_classified(greenlight) -> None:
    result = greenlight("load", f"http://127.0.0.1:{free_port()}", "--users", "2", "--duration", "1.5")
    assert "Traceback" not in result.stderr
    assert "0\u00a0% answered" in result.stdout
    assert "connection refused" in result.stdout
    assert result.returncode in (0, 3)


def test_a_rule_that_is_broken_ends_it_before_its_time_with_exit_code_1(greenlight) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    words = ("--users", "2", "--duration", "60", "--stop-failures", "0.5", "--stop-after", "1")
    started = time.monotonic()
    result = greenlight("load", url, *words)
    assert time.monotonic() - started < 50
    assert "stopped after" in result.stdout
    assert result.returncode == 1 or "INVALID" in result.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("http://127.0.0.1:9/",), "Give one of --users N, --rate R, and --stage"),
        (("http://127.0.0.1:9/", "--users", "1", "--rate", "2"), "Give one of --users N"),
        (("http://127.0.0.1:9/", "--rate", "inf"), "inf is not a number that a load can have"),
        (("http://127.0.0.1:9/", "--stage", "9:1"), "--duration has no effect with --stage. Leave it out."),
        (("http://127.0.0.1:9/", "--rate", "9", "--think", "1"), "--think has no effect with --rate"),
        (
            ("http://127.0.0.1:9/", "--users", "9", "--spacing", "even"),
            "--spacing has no effect with --users",
        ),
        (("http://127.0.0.1:9/", "--users", "1", "--warmup", "inf"), "inf is not a number"),
        (("http://127.0.0.1:9/", "--users", "1", "--fresh", "0.5"), "nor body hold {prompt}"),
        (("shop", "--users", "1", "--method", "GET"), "--method, --header and --body are for a URL"),
        (("nowhere", "--users", "1"), "There is no target 'nowhere'"),
        (("http://[::1/", "--users", "1"), "Invalid IPv6 URL"),
        (("http://127.0.0.1:9/", "--users", "1", "--samples", "x.csv"), "that ends in .parquet"),
        (("http://127.0.0.1:9/", "--users", "1", "--samples", "/proc/x/y.parquet"), "cannot be written"),
        (("http://127.0.0.1:9/", "--users", "1", "--prompts", "/nowhere"), "cannot be read"),
        (
            ("http://127.0.0.1:9/", "--users", "3", "--workers", "4"),
            "3 users cannot be divided among 4 workers",
        ),
        (("http://127.0.0.1:9/", "--users", "1", "--route", "stream"), "No `[stream]` is declared"),
        (("http://127.0.0.1:9/", "--users", "1", "--header", "A: ${NOT_SET}"), "NOT_SET"),
        (("http://10.0.0.1/", "--users", "1"), "is not on the operator's allow-list"),
        (("http://127.0.0.1:9/", "--users", "5000"), "The operator raises this with GREENLIGHT_MAX_USERS"),
        (("http://127.0.0.1:9/", "--rate", "1e6"), "The operator raises this with GREENLIGHT_MAX_RATE"),
    ],
)
def test_what_makes_no_sense_or_is_not_allowed_is_one_message_and_exit_code_2(
    greenlight, words: tuple[str, ...], says: str
) -> None:
    result = greenlight("load", *words, "--duration", "1")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert says in result.stderr.splitlines()[-1]


def test_an_operators_ceiling_holds_and_one_that_is_no_number_is_named(greenlight) -> None:
    words = ("load", "http://127.0.0.1:9/", "--users", "3", "--duration", "1")
    refused = greenlight(*words, GREENLIGHT_MAX_USERS="2")
    assert "3 users; at most 2 are allowed" in refused.stderr
    assert "GREENLIGHT_MAX_USERS is 'many'" in greenlight(*words, GREENLIGHT_MAX_USERS="many").stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_load_that_is_interrupted_ends_at_once_and_writes_what_it_has(
    loading, server: Scripted, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    out, samples = tmp_path / "out.json", tmp_path / "s.parquet"
    process = loading(
        f"{server.url}/x", "--users", "4", "--duration", "120", "--think", "20", "--workers", workers,
        "--json", str(out), "--samples", str(samples),
    )  # fmt: skip
    until(lambda: len(server.visits) > 100)
    process.send_signal(number)
    started = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 20
    assert process.returncode == 3, errors
    told = json.loads(out.read_text())
    assert told["partial"].startswith("cancelled after ")
    assert told["total_requests"] == len(open_samples(samples).columns("status")["status"]) > 50
    assert "Not the whole of what was planned: cancelled after" in output
    assert "Traceback" not in errors


def test_a_load_that_is_killed_leaves_what_it_had_measured(loading, server: Scripted, tmp_path: Path) -> None:
    samples = tmp_path / "s.parquet"
    process = loading(
        f"{server.url}/x", "--users", "4", "--duration", "120", "--think", "20", "--samples", str(samples)
    )
    until(lambda: samples.with_name("s.parquet.part").exists() and len(server.visits) > 300)
    process.kill()
    process.wait()
    left = open_samples(samples)
    assert left.partial
    assert len(left.columns("status")["status"]) > 50


def test_the_workers_of_a_killed_load_end_by_themselves_and_what_they_had_stays_readable(
    loading, server: Scripted, tmp_path: Path
) -> None:
    samples = tmp_path / "s.parquet"
    process = loading(
        f"{server.url}/x", "--users", "4", "--duration", "120", "--think", "20", "--workers", "2",
        "--samples", str(samples),
    )  # fmt: skip
    until(lambda: len(server.visits) > 300)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    visits = len(server.visits)
    time.sleep(1)
    assert len(server.visits) == visits
    left = open_samples(samples)
    assert left.partial
    rows = left.columns("status", "worker")
    assert len(rows["status"]) > 50
    assert set(rows["worker"]) == {0, 1}


def test_a_cluster_that_is_not_there_is_one_message(greenlight) -> None:
    pytest.importorskip("distributed")
    words = ("load", "http://127.0.0.1:9/", "--users", "2", "--duration", "1")
    result = greenlight(*words, GREENLIGHT_DASK=f"tcp://127.0.0.1:{free_port()}")
    assert result.returncode == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:" in result.stderr
    assert "Traceback" not in result.stderr
    assert "give the scheduler's address" in greenlight(*words, GREENLIGHT_DASK="nowhere").stderr
