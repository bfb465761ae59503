"""Kills at random moments: of loads, whose samples can be read, and of runs amid drills, which are mended.

GREENLIGHT_PROVE_KILLS says how many loads are killed, GREENLIGHT_PROVE_DRILLS how many runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx
import psutil
import pytest

from app import paths, runs
from app.history.store import Store
from app.records import RunState
from app.sample import stack
from app.sample.processes import address, free_ports
from app.samples.reading import open_samples
from checks import all_checks
from checks.contract import Kind
from tests.instruments.load.threaded import answering
from tests.instruments.servers import Scripted

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("GREENLIGHT_PROVE_KILLS", "20"))
DRILLS = int(os.environ.get("GREENLIGHT_PROVE_DRILLS", "100"))
SECONDS = 8


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a load; the others that Python starts keep books of shared memory."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def start(server: Scripted, folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "app", "load", f"{server.url}/x", "--users", "6", "--think", "10",
        "--duration", str(SECONDS), "--workers", str(workers),
        "--samples", str(folder / "s.parquet"), "--json", str(folder / "out.json"),
    ]  # fmt: skip
    output = (folder / "output").open("wb")
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=output, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_a_random_moment_leaves_samples_that_can_be_read(number: int, tmp_path: Path) -> None:
    random = Random()
    workers = 1 + number % 3
    of_driver = workers == 1 or number % 2 == 0
    with answering() as server:
        process = start(server, tmp_path, workers)
        family: list[psutil.Process] = []
        try:
            while not server.visits:
                assert process.poll() is None, (tmp_path / "output").read_text()
                time.sleep(0.02)
            time.sleep(random.uniform(1.5, SECONDS - 3))
            family = workers_of(process)
            victim = psutil.Process(process.pid) if of_driver else random.choice(family)
            victim.kill()
            process.wait(60)
            _, alive = psutil.wait_procs(family, timeout=30)
            assert alive == []
        finally:
            for each in (process, *family):
                if each is process or each.is_running():
                    each.kill()
        left = open_samples(tmp_path / "s.parquet")
        rows = len(left.columns("status")["status"])
        what = f"{'the driver' if of_driver else 'a worker'} of {workers} killed"
        print(f"kill {number + 1}: {what}, {rows} of {len(server.visits)} requests read", flush=True)
    assert rows > 0
    if of_driver:
        assert left.partial
    else:
        told = json.loads((tmp_path / "out.json").read_text())
        assert "was lost after" in told["partial"]
        assert told["validity"] in ("suspect", "invalid")
        assert told["total_requests"] == rows


LONGEST_S = 90.0
SETTLES_S = 30.0
NOT_HERE = ("error_recovery.chaos_experiments",)  # the sample declares none
QUIET_CHECK = "cache.reachable"  # its run restores what an earlier one left broken, and breaks nothing


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own with a sample that is up."""
    monkeypatch.setenv("GREENLIGHT_DATA", str(tmp_path))
    monkeypatch.delenv("GREENLIGHT_DB", raising=False)
    stack.up(chat_port=free_ports(1)[0])
    yield tmp_path
    stack.down()


def greenlight(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app", *arguments]


def settles(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + SETTLES_S
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def wrong_with_sample() -> str:
    """What is not as it was; "" where all is."""
    state = stack.status()
    if state is None or not state.whole:
        return "a part of the sample is gone"
    part = next(part for part in state.parts if part.name == "chat")
    stopped = [child.pid for child in part.process().children() if child.status() == psutil.STATUS_STOPPED]
    if stopped:
        return f"process {stopped[0]} is stopped"
    with httpx.Client(trust_env=False, timeout=10) as client, suppress(httpx.TransportError):
        proxies = client.get(f"{address(state.ports['faults'])}/proxies").json()
        bad = [name for name, proxy in proxies.items() if proxy["enabled"] is not True or proxy["toxics"]]
        if bad:
            return f"proxy {bad[0]} is {proxies[bad[0]]}"
        question = {"message": f"What about {time.time_ns()}?", "session_id": "s"}
        reply = client.post(f"{state.url}/api/chat", json=question)
        health = client.get(f"{state.url}/health").json()
        pending = health["components"]["orders"]["pending_compensations"]
        if reply.status_code == 200 and health["status"] == "healthy" and not pending:
            return ""
        return f"a question is answered {reply.status_code}, {pending} compensations are pending"
    return "nobody answers"


def drill(data: Path, check: str, random: Random) -> float:
    """Start a run of one check that breaks something, and kill it at a random moment; how long it lived."""
    ledger, output = paths.levers_folder(), (data / "output").open("wb")
    command = greenlight("assess", "sample", "--profile", "quick", "--only", check)
    began = time.monotonic()
    run = subprocess.Popen(command, cwd=paths.ROOT, stdout=output, stderr=subprocess.STDOUT)
    until = began + random.uniform(2, LONGEST_S) if random.random() < 0.2 else began + LONGEST_S
    while run.poll() is None and time.monotonic() < until and not list(ledger.glob("*.json")):
        time.sleep(0.002)
    # something is, or is about to be, broken: most kills come amid breaking, some later
    pause_s = random.choice((0, random.uniform(0, 0.05), random.uniform(0, 0.5), random.uniform(0, 6)))
    with suppress(subprocess.TimeoutExpired):
        run.wait(pause_s)
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(run.pid).children(recursive=True)
        run.kill()
        psutil.wait_procs(started, timeout=20)
    run.wait(20)
    output.close()
    return time.monotonic() - began


def finished(store: Store) -> dict[int, str]:
    """Every run that has ended, in full."""
    ended = [info for info in store.runs("sample", limit=10_000) if info.state.final]
    return {info.run_id: store.snapshot(info.run_id).model_dump_json() for info in ended}


@pytest.mark.timeout(7200)
def test_a_run_that_is_killed_amid_a_drill_is_mended_by_one_restore(data: Path) -> None:
    random = Random()
    faults = [name for name, check in all_checks().items() if check.about.kind is Kind.FAULT]
    checks = [name for name in faults if name not in NOT_HERE]
    store, kept, amid = Store.open(), dict[int, str](), 0
    for number in range(DRILLS):
        check = checks[number % len(checks)]
        lived_s = drill(data, check, random)
        left = [json.loads(path.read_text()) for path in paths.levers_folder().glob("*.json")]
        amid += bool(left)
        by_hand = number % 2 == 0
        restore = ("faults", "restore") if by_hand else ("assess", "sample", "--only", QUIET_CHECK)
        command = greenlight(*restore)
        done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
        said = f"{done.stdout}{done.stderr}"
        broken = ", ".join(f"{entry['lever']} {entry['way']}" for entry in left) or "nothing"
        print(f"kill {number + 1}: {check} after {lived_s:.1f} s, {broken} left broken", flush=True)
        assert done.returncode == 0, said
        assert list(paths.levers_folder().glob("*.json")) == [], said
        assert settles(lambda: not wrong_with_sample()), f"{wrong_with_sample()}; {said}"
        runs.reconcile(store)
        now = finished(store)
        assert {run: text for run, text in now.items() if run in kept} == kept, "what had ended changed"
        kept = now
        states = {info.run_id: info.state for info in store.runs("sample", limit=10_000)}
        assert set(states.values()) <= {RunState.INTERRUPTED, RunState.FINISHED}, states
    print(f"{amid} of {DRILLS} kills came while something was broken", flush=True)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert amid >= DRILLS / 2
