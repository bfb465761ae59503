"""Signals reach the service and nobody else, and whatever happens the service runs again afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.instruments.faults import process as process_lever
from app.instruments.faults import trees
from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger, restore_left_behind
from app.instruments.faults.lever import NotWholeError
from app.instruments.references import References
from checks.contract import InstrumentFailure, Target
from tests.instruments.faults.service import Service, serving
from tests.instruments.servers import free_port

Heard = list[tuple[str, str]]


def breaker(target: Target, folder: Path, heard: Heard | None = None) -> Breaker:
    def hear(lever: str, way: str, what: str, detail: str) -> None:
        if heard is not None:
            heard.append((what, detail))

    return Breaker(target, References({}), Ledger(folder), lambda _: None, hear)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service") as running:
        yield running


def statuses(processes: list[psutil.Process]) -> set[str]:
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(process.status())
    return found


def dead(processes: list[psutil.Process]) -> bool:
    return statuses(processes) <= {psutil.STATUS_ZOMBIE}


def entries(folder: Path) -> list[Path]:
    return list(folder.glob("*"))


async def test_a_kill_ends_the_whole_tree_and_its_supervisor_starts_it_again(service, tmp_path):
    ledger, tree, heard = tmp_path / "levers", service.tree(), []
    assert len(tree) == 2
    async with breaker(service.target(), ledger, heard).broken("process", "kill"):
        assert dead(tree)
        [entry] = entries(ledger)
        pins = json.loads(entry.read_text())["aim"]["pins"]
        assert {pin["pid"] for pin in pins} == {process.pid for process in tree}
    assert service.pid() not in (None, tree[0].pid)
    assert service.started.poll() is None, "the supervisor was not signalled"
    assert entries(ledger) == []
    assert [what for what, _ in heard] == ["broken", "restored"]


async def test_a_pause_stops_the_whole_tree_and_the_same_processes_go_on(service, tmp_path):
    tree = service.tree()
    async with breaker(service.target(), tmp_path / "levers").broken("process", "pause"):
        assert statuses(tree) == {psutil.STATUS_STOPPED}
    assert psutil.STATUS_STOPPED not in statuses(tree)
    assert service.wait() == tree[0].pid
    assert entries(tmp_path / "levers") == []


async def test_the_declared_stop_signal_goes_to_the_master_alone(service, tmp_path):
    master, worker = service.tree()
    async with breaker(service.target(), tmp_path / "levers").broken("process", "term"):
        psutil.wait_procs([master], timeout=5)
        assert dead([master])
        assert not dead([worker]), "the master was told, and tells its workers itself"
    assert service.pid() not in (None, master.pid)


async def test_a_service_that_is_deaf_to_its_stop_signal_and_serves_is_left_alone(tmp_path):
    with serving(tmp_path / "service", "deaf") as service:
        before = service.pid()
        async with breaker(service.target(), tmp_path / "levers").broken("process", "term"):
            pass
        assert service.pid() == before


async def test_a_service_that_neither_serves_nor_ends_is_ended(tmp_path):
    with serving(tmp_path / "service", "drains") as service:
        before = service.tree()
        began = time.monotonic()
        async with breaker(service.target(), tmp_path / "levers").broken("process", "term"):
            pass
        assert time.monotonic() - began > 1.9, "it had the time that it declares"
        assert service.pid() not in (None, before[0].pid)


async def test_without_a_supervisor_the_declared_command_starts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(process_lever, "SUPERVISOR_S", 0.3)
    with serving(tmp_path / "service", supervised=False) as service:
        start = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
        target = service.target(restore=[sys.executable, "-c", start, *service.command])
        before = service.pid()
        async with breaker(target, tmp_path / "levers").broken("process", "kill"):
            assert service.pid() is None
        assert service.wait() != before


async def test_a_supervisor_that_is_quick_enough_makes_the_command_needless(service, tmp_path):
    mark = tmp_path / "ran"
    target = service.target(restore=[sys.executable, "-c", f"open({str(mark)!r}, 'w')"])
    async with breaker(target, tmp_path / "levers").broken("process", "kill"):
        pass
    assert service.pid() is not None
    assert not mark.exists()


async def test_a_service_that_does_not_come_back_is_said_so_loudly(tmp_path, monkeypatch):
    monkeypatch.setattr(process_lever, "RESTART_S", 0.3)
    monkeypatch.setattr("app.instruments.faults.levers.PAUSE_S", 0.01)
    heard: Heard = []
    with serving(tmp_path / "service", supervised=False) as service:
        with pytest.raises(
            InstrumentFailure, match="nothing listens on port .* again. Restore it by hand: start"
        ):
            async with breaker(service.target(), tmp_path / "levers", heard).broken("process", "kill"):
                pass
        assert heard[-1][0] == "failed"
        assert f"so that it listens on port {service.port}. It ran as: " in heard[-1][1]
        assert "shop.py" in heard[-1][1]
    assert len(entries(tmp_path / "levers")) == 1, "the next start tries again"


async def test_what_it_started_in_a_session_of_its_own_is_another_service(tmp_path):
    with serving(tmp_path / "service", "daemon") as service:
        daemon = psutil.Process(int((service.folder / "daemon").read_text()))
        tree = service.tree()
        async with breaker(service.target(), tmp_path / "levers").broken("process", "kill"):
            assert dead(tree)
            assert not dead([daemon])
        daemon.kill()
        psutil.Process(int((service.folder / "daemon").read_text())).kill()


async def test_another_service_of_the_same_host_is_left_alone(service, tmp_path):
    with serving(tmp_path / "other") as other:
        before = other.pid()
        async with breaker(service.target(), tmp_path / "levers").broken("process", "kill"):
            assert other.pid() == before
        assert other.pid() == before


async def refused(target: Target, folder: Path, way: str = "kill") -> str:
    heard: Heard = []
    with pytest.raises(InstrumentFailure) as caught:
        async with breaker(target, folder, heard).broken("process", way):
            raise AssertionError("somebody was signalled")
    assert (heard, entries(folder)) == ([], []), "nothing was changed, so nothing is restored"
    return caught.value.reason


async def test_a_target_elsewhere_is_refused(service, tmp_path):
    target = service.target().model_copy(update={"url": f"http://shop.example:{service.port}"})
    assert "shop.example is not this host" in await refused(target, tmp_path / "levers")


async def test_a_port_that_nobody_listens_on_is_refused(service, tmp_path):
    reason = await refused(service.target(port=free_port()), tmp_path / "levers")
    assert "no process that may be looked at listens on port" in reason


async def test_this_run_itself_is_refused(service, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        reason = await refused(service.target(port=ours.getsockname()[1]), tmp_path / "levers")
    assert "is, or has started, this run" in reason


SHARER = """
import socket, sys, time
shared = socket.socket()
shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
shared.bind(("127.0.0.1", int(sys.argv[1])))
shared.listen()
print("up", flush=True)
time.sleep(600)
"""


def sharing(port: int, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SHARER, str(port), name], stdout=subprocess.PIPE)


async def test_two_programs_on_one_port_are_refused(tmp_path):
    port = free_port()
    running = [sharing(port, name) for name in ("one", "two")]
    try:
        assert [process.stdout.readline() for process in running] == [b"up\n", b"up\n"]
        declared = {"kind": "process", "ways": ["kill"]}
        target = Target.model_validate({"url": f"http://127.0.0.1:{port}", "levers": {"process": declared}})
        assert f"several programs listen on port {port}" in await refused(target, tmp_path / "levers")
        assert [process.poll() for process in running] == [None, None]
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()


async def test_a_process_of_another_user_is_refused(service, tmp_path, monkeypatch):
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(trees.os, "kill", forbidden)
    reason = await refused(service.target(), tmp_path / "levers")
    assert "belongs to another user" in reason


HOLDER = """
import os, socket, subprocess, sys
held = socket.create_server(("127.0.0.1", int(sys.argv[1])))
held.set_inheritable(True)
serve = "import sys, time; print('serving', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", serve, "shop"], pass_fds=[held.fileno()])
child.wait()
"""


@pytest.mark.parametrize("name", ["circusd", "keeper.py"])
def test_who_holds_the_socket_for_the_service_is_not_the_service(name, tmp_path):
    (tmp_path / name).write_text(HOLDER)
    port = free_port()
    keeper = subprocess.Popen([sys.executable, str(tmp_path / name), str(port)], stdout=subprocess.PIPE)
    try:
        assert keeper.stdout.readline() == b"serving\n"
        [child] = psutil.Process(keeper.pid).children()
        if name == "circusd":
            assert [process.pid for process in trees.service_on(port)] == [child.pid]
        else:  # it listens too, and nothing tells which of the two is the service
            with pytest.raises(NotWholeError, match="several programs listen"):
                trees.service_on(port)
        child.kill()
    finally:
        keeper.kill()
        keeper.wait()
        keeper.stdout.close()


def test_a_title_that_a_program_gave_itself_tells_master_and_worker():
    assert (
        trees._title(["gunicorn: master [shop]"]) == trees._title(["gunicorn: worker [shop]"]) == "gunicorn"
    )
    assert trees._title(["/usr/bin/python3.11", "keeper.py"]) == ""
    assert trees._title([]) == ""


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from app.instruments.faults import process, trees
from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger
from app.instruments.references import References
from checks.contract import Target

steps = int(sys.argv[4])

def step():
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(work):
    def then(*given):
        step()
        result = work(*given)
        step()
        return result
    return then

process.send = counted(process.send)
Ledger._put = counted(Ledger._put)
Ledger.erase = counted(Ledger.erase)

async def main():
    target = Target.model_validate_json(sys.argv[1])
    ledger = Ledger(Path(sys.argv[2]))
    levers = Breaker(target, References(os.environ), ledger, lambda _: None, lambda *_: None)
    async with levers.broken("process", sys.argv[3]):
        step()
    print("through", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["kill", "pause", "term"])
def test_a_run_that_is_killed_at_any_step_leaves_what_one_restore_mends(way, service, tmp_path):
    ledger = tmp_path / "levers"
    document = service.target().model_dump_json(by_alias=True, exclude_none=True)
    environment = {**os.environ, "PYTHONPATH": "."}
    for steps in range(1, 40):
        command = [sys.executable, "-c", CRASH, document, str(ledger), way, str(steps)]
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if run.stdout == "through\n":
            break
        assert run.returncode == -signal.SIGKILL, run.stderr
        restored = restore_left_behind(ledger, {})
        assert all(item.ok for item in restored), restored
        assert list(ledger.glob("*.json")) == []
        assert psutil.STATUS_STOPPED not in statuses(service.tree())
    assert steps > 6
    assert list(ledger.glob("*.json")) == []


async def test_a_cancellation_while_it_breaks_leaves_it_whole(service, tmp_path):
    for turns in range(0, 30, 6):

        async def drill() -> None:
            async with breaker(service.target(), tmp_path / "levers").broken("process", "pause"):
                await asyncio.Event().wait()

        task = asyncio.create_task(drill())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert psutil.STATUS_STOPPED not in statuses(service.tree())
    assert entries(tmp_path / "levers") == []
