"""The memory of the service: of its processes on this host, else by its own metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from app.instruments.http import HttpProbe
from app.instruments.memory import ServiceMemory
from app.instruments.metrics import MetricsPage
from app.instruments.processes import HostProcesses
from app.instruments.references import References
from checks.contract import InstrumentFailure, Target
from tests.instruments.servers import free_port, scripted, wire_to

MB = 1_000_000
SERVER = """
import os, socket, sys, time
port, own, of_child = map(int, sys.argv[1:4])
held = b"." * own
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
if of_child and os.fork() == 0:
    listener.close()
    held = b"." * of_child
    os.write(1, b"ready\\n")
    time.sleep(120)
os.write(1, b"ready\\n")
time.sleep(120)
"""
PAGE = "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 7.5e+07\n"


@contextmanager
def serving(port: int, own_bytes: int, child_bytes: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on ``port`` and holds this much, beside what Python needs; so does its child."""
    command = [sys.executable, "-c", SERVER, str(port), str(own_bytes), str(child_bytes)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        for _ in range(2 if child_bytes else 1):
            assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def memory_of(target: Target, wire: object = None) -> ServiceMemory:
    probe = HttpProbe(wire)
    return ServiceMemory(target, HostProcesses(target, References({})), MetricsPage(target, probe))


def at(port: int, **more: object) -> Target:
    return Target.model_validate({"url": f"http://127.0.0.1:{port}", **more})


async def test_a_process_of_this_host_is_read_from_the_process_table():
    port = free_port()
    with serving(port, 50 * MB) as process:
        reading = await memory_of(at(port)).read()
        assert reading.resident_bytes == psutil.Process(process.pid).memory_info().rss
    assert reading.source == "process"
    assert reading.resident_bytes > 50 * MB


async def test_what_the_process_started_belongs_to_it():
    port = free_port()
    with serving(port, 20 * MB, child_bytes=60 * MB):
        assert (await memory_of(at(port)).read()).resident_bytes > 80 * MB


async def test_a_child_that_came_later_is_found_and_one_that_ended_holds_nothing(monkeypatch):
    monkeypatch.setattr("app.instruments.memory.LOOK_FOR_CHILDREN_EVERY_S", 0.0)
    port = free_port()
    with serving(port, 20 * MB, child_bytes=60 * MB) as process:
        memory = memory_of(at(port))
        assert (await memory.read()).resident_bytes > 80 * MB
        [child] = psutil.Process(process.pid).children()
        child.kill()
        psutil.wait_procs([child], timeout=5)
        assert (await memory.read()).resident_bytes < 60 * MB


async def test_later_readings_do_not_search_all_processes_again(monkeypatch):
    port = free_port()
    with serving(port, 1 * MB):
        memory = memory_of(at(port))
        first = await memory.read()
        monkeypatch.setattr(psutil, "process_iter", lambda *_: pytest.fail("searched again"))
        for _ in range(20):
            assert (await memory.read()).resident_bytes == pytest.approx(first.resident_bytes, rel=0.5)


async def test_a_service_that_was_started_again_is_found_again():
    port = free_port()
    with serving(port, 10 * MB):
        memory = memory_of(at(port))
        before = await memory.read()
    with pytest.raises(InstrumentFailure, match=f"No process listens on port {port} any more"):
        await memory.read()
    with serving(port, 60 * MB):
        again = await memory.read()
    assert again.resident_bytes > before.resident_bytes + 40 * MB


async def test_a_reading_leaves_the_event_loop_free(monkeypatch):
    port = free_port()
    target, ticks = at(port), 0

    class Slow(HostProcesses):
        def listening(self, port):
            time.sleep(0.3)
            return super().listening(port)

    async def ticking() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    with serving(port, 1 * MB):
        memory = ServiceMemory(
            target, Slow(target, References({})), MetricsPage(target, HttpProbe(wire_to(target)))
        )
        ticker = asyncio.create_task(ticking())
        await memory.read()
        ticker.cancel()
    assert ticks > 3


async def by_metrics(page: str, status: int = 200, url: str | None = None) -> float:
    async def talk(visit):
        await visit.reply(page, status, Content_Type="text/plain")

    async with scripted(talk) as server:
        target = Target.model_validate(
            {"url": url or "http://service.example", "health": {"metrics": f"{server.url}/metrics"}}
        )
        async with wire_to(target) as wire:
            reading = await memory_of(target, wire).read()
    assert reading.source == "metrics"
    return reading.resident_bytes


async def test_a_service_elsewhere_is_read_from_its_metrics():
    assert await by_metrics(PAGE) == 75 * MB


async def test_the_metrics_of_several_processes_are_added_up():
    lines = [f'process_resident_memory_bytes{{worker="{number}"}} 1e6' for number in range(3)]
    assert await by_metrics("\n".join(lines) + "\n") == 3 * MB


async def test_metrics_stand_in_where_no_process_can_be_seen():
    assert await by_metrics(PAGE, url=f"http://127.0.0.1:{free_port()}") == 75 * MB


async def test_a_forwarder_is_not_the_service(monkeypatch):
    port = free_port()
    monkeypatch.setattr(psutil.Process, "name", lambda _: "docker-proxy")
    with serving(port, 1 * MB):
        assert await by_metrics(PAGE, url=f"http://127.0.0.1:{port}") == 75 * MB


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target(url="http://service.example"), "its processes are not on this host"),
        (at(1), "no process that may be looked at listens on port 1"),
    ],
)
async def test_with_neither_the_key_to_add_is_named(target: Target, why: str):
    with pytest.raises(InstrumentFailure, match=why) as caught:
        await memory_of(target).read()
    assert caught.value.missing == "health.metrics"


@pytest.mark.parametrize(
    ("page", "status", "why"),
    [
        ("up 1\n", 200, "process_resident_memory_bytes is not on its metrics page"),
        (PAGE, 503, "cannot be read: status 503"),
        ("<html>", 200, "not a metrics page"),
        ("process_resident_memory_bytes NaN\n", 200, "is no count"),
    ],
)
async def test_a_page_that_does_not_say_it_says_why(page: str, status: int, why: str):
    with pytest.raises(InstrumentFailure, match=why):
        await by_metrics(page, status)
