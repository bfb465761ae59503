from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.bench import __main__ as bench
from tests.bench import honesty, latency, memory, stall, streams, throughput
from tests.bench.processes import ROOT, BenchError, Cores, Ended, Program
from tests.bench.rows import Row, at_least_times, below, row, write
from tests.bench.servers import nginx_missing, scripted
from tests.bench.sizes import QUICK
from tests.bench.stall import Stall, percentile
from tests.bench.tools import Hey, Load, Locust, Ours, Tool, Wrk

KEYS = {"name", "ours", "peer", "peer_name", "unit", "ratio", "goal", "met"}
CORES = Cores.of_this_machine()
TINY = replace(
    QUICK,
    throughput_s=1,
    latency_s=1,
    latency_users=(50,),
    stall_s=3,
    streams=(2,),
    streams_s=1,
    samples=50_000,
    honesty_s=1,
    pairs=2,
)


def test_what_is_written_has_the_keys_that_programs_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "data" / "bench.json"
    write([row("throughput", 10.0, "requests/s", peer=5.0, peer_name="wrk", goal=at_least_times(3))], file)
    [line] = json.loads(file.read_text())
    assert set(line) >= KEYS
    assert (line["ratio"], line["goal"], line["met"]) == (2.0, "at least 3x", False)
    assert [path.name for path in file.parent.iterdir()] == ["bench.json"]


def test_a_goal_against_a_peer_that_is_missing_is_neither_met_nor_missed() -> None:
    assert row("throughput", 10.0, "requests/s", goal=at_least_times(1)).met is None


def test_a_goal_of_our_own_needs_no_peer() -> None:
    assert row("memory", 10.0, "MB", goal=below(11, "MB")).met is True
    assert row("memory", None, "MB", goal=below(11, "MB")).met is None


def test_the_truth_of_a_stall_follows_from_when_a_request_was_due() -> None:
    stall = Stall(from_s=10.0, to_s=12.0)
    due_and_true = {9.0: 0.1, 9.95: 2.05, 10.0: 2.1, 11.5: 0.6, 12.0: 0.1}
    for due_s, true_s in due_and_true.items():
        assert stall.true_latency_s(due_s) == pytest.approx(true_s)


def test_a_percentile_is_a_value_that_was_there() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([1.0, 2.0], 95) == 2.0


def test_the_scripted_server_tells_what_it_did() -> None:
    with scripted(CORES.server, delay_ms=20) as server:
        figures = Ours().run(Load(server.url, 2, 1), CORES.client)
    assert figures.failed == 0
    assert server.truth["requests"] >= figures.requests > 10
    assert server.truth["first_p50_ms"] >= 20
    assert figures.p50_ms >= 20


def test_a_program_that_fails_says_which_and_why() -> None:
    with pytest.raises(BenchError, match=r"exit status 3: sh .*\n?.*so it is"):
        Program(["sh", "-c", "echo so it is >&2; exit 3"], CORES.client).wait(10)


def test_a_program_that_never_ends_is_ended() -> None:
    program = Program(["sleep", "100"], CORES.client)
    with pytest.raises(BenchError, match="not done after"):
        program.wait(0.1)
    assert not program.running


def test_a_measurement_that_breaks_leaves_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> list[Row]:
        raise BenchError("no such server")

    monkeypatch.setattr(memory, "measure", breaks)
    [line] = bench.measured(TINY, "memory", lambda _: None)
    assert line.note == "broke: no such server"
    assert line.met is None


@pytest.mark.parametrize("tool", [Wrk(), Hey(), Locust()], ids=lambda tool: tool.name)
def test_a_peer_can_be_started_and_read(tool: Tool) -> None:
    if tool.missing:
        pytest.skip(tool.missing)
    with scripted(CORES.server, delay_ms=10) as server:
        figures = tool.run(Load(server.url, 2, 2), CORES.client)
    assert figures.failed == 0
    assert figures.requests > 10
    assert figures.p50_ms >= 9  # Locust rounds
    assert figures.cpu_us > 0


def test_failures_that_hey_reports_are_counted() -> None:
    report = """
  Requests/sec:	120.5
Latency distribution:
  50% in 0.1011 secs
  95% in 0.1102 secs
  99% in 0.1204 secs
Status code distribution:
  [200]	90 responses
  [503]	6 responses
Error distribution:
  [4]	Post "http://127.0.0.1:1/ask": dial tcp 127.0.0.1:1: connect: connection refused
"""
    figures = Hey().figures(Ended(report, cpu_s=0.5, peak_bytes=1))
    assert (figures.requests, figures.failed, figures.per_s) == (100, 10, 120.5)
    assert (figures.p50_ms, figures.p99_ms, figures.cpu_us) == pytest.approx((101.1, 120.4, 5000))


def test_throughput_gives_rows_for_every_peer() -> None:
    if missing := nginx_missing():
        pytest.skip(missing)
    peers: list[Tool] = [Locust(), Wrk(), Hey()]
    rows = throughput.measure(TINY, CORES, peers)
    assert {line.peer_name for line in rows} == {peer.name for peer in peers}
    assert {line.name for line in rows} == {"throughput a core, 20 users", "CPU a request, 20 users"}
    for line in rows:
        assert line.ours is not None
        assert line.peer is not None or "not installed" in line.note


def test_without_an_nginx_throughput_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        throughput, "nginx_missing", lambda: "nginx is not installed: apt-get install nginx-light"
    )
    [line] = throughput.measure(TINY, CORES, [])
    assert "apt-get install nginx-light" in line.note


def test_latency_gives_the_error_of_both_percentiles() -> None:
    hey = Hey()
    if hey.missing:
        pytest.skip(hey.missing)
    rows = latency.measure(TINY, CORES, [hey])
    assert [line.name for line in rows] == ["error of p50, 50 users", "error of p99, 50 users"]
    assert all(line.ours is not None and line.ours >= 0 for line in rows)


def test_the_stall_test_shows_both_models() -> None:
    rows = stall.measure(TINY, CORES, [])
    assert [(line.name[-3:], line.peer_name) for line in rows] == [
        ("p95", "Greenlight, closed"),
        ("p99", "Greenlight, closed"),
    ]
    assert all(line.ours and line.peer for line in rows)


def test_streams_are_held_against_what_the_server_sent() -> None:
    rows = streams.measure(TINY, CORES)
    assert [line.name.partition(",")[0] for line in rows] == [
        "first token",
        "gap between tokens",
        "gap between tokens",
    ]
    assert all(line.ours is not None and line.peer is None and line.note for line in rows)


def test_memory_is_of_as_many_samples_as_asked() -> None:
    [line] = memory.measure(TINY, CORES)
    assert line.name == "peak memory, 0.05 million samples"
    assert line.ours is not None
    assert line.ours > 10


def test_honesty_gives_a_verdict_and_its_reason() -> None:
    rows = honesty.measure(TINY, CORES)
    assert len(rows) == 3
    assert all(line.note and line.ours in (0, 1) for line in rows)


def test_a_server_that_was_late_itself_judges_nobody() -> None:
    goal, note = latency._goal(1.5, late_ms=2.0)
    assert goal is None
    assert "2.0 ms of it is the server's own lateness: too busy a machine" in note


def test_a_server_in_time_judges_its_client() -> None:
    goal, note = latency._goal(1.5, late_ms=0.1)
    assert goal is not None
    assert row("error", 1.6, "ms", goal=goal, note=note).met is False


@pytest.mark.parametrize("at_least", [1, 2, 3])
def test_a_benchmark_that_is_ended_leaves_nothing_running(at_least: int, tmp_path: Path) -> None:
    options = ["--quick", "--only", "honesty", "--json", str(tmp_path / "b")]
    marked = {"GREENLIGHT_TEST": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench", *options],
        cwd=ROOT,
        env={**os.environ, **marked},
        stdout=subprocess.DEVNULL,
    ) as process:
        await_children(process.pid, at_least)
        process.terminate()
        assert process.wait(30) == 143
    give_up_at = time.monotonic() + 10
    while running_with(marked) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert running_with(marked) == []


def running_with(variables: dict[str, str]) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if variables.items() <= process.environ().items():
                found.append(process.cmdline())
    return found


def await_children(pid: int, at_least: int) -> None:
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        if len(psutil.Process(pid).children(recursive=True)) >= at_least:
            return
        time.sleep(0.001)
    raise AssertionError("the benchmark starts nothing")
