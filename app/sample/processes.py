"""The sample's processes: started in sessions of their own, known by pid and start time, ended with care."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, computed_field

from app.errors import UserError
from app.sample.serving import HOST, bind

START_WITHIN_S = 20.0
POLL_S = 0.02
SAME_START_S = 0.5  # start times of one process differ by rounding; a reused pid is never this young
PORTS_BELOW_EPHEMERAL = range(20_000, 32_000)  # so that no outgoing connection takes a port while it is cut


class SampleError(UserError):
    """The sample cannot do that; the message says what to do instead."""


class Part(BaseModel):
    """One process of the sample. ``started_at`` is its start time as seconds since the epoch."""

    name: str
    pid: int
    started_at: float
    url: str

    @computed_field  # type: ignore[prop-decorator]  # mypy's documented gap
    @property
    def alive(self) -> bool:
        """Whether this very process runs, not another with its pid."""
        return self.process() is not None

    def process(self) -> psutil.Process | None:
        """The process, or None when it has ended (or waits as a zombie to be collected)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start(
    name: str, url: str, command: list[str], *, environment: Mapping[str, str], log: Path, cwd: Path
) -> Part:
    """Start a process in a session of its own; what it says goes to ``log``. Raises OSError."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started_at = psutil.Process(process.pid).create_time()
    process.returncode = 0  # it outlives this object and is ended by pid, so Popen must not warn about it
    return Part(name=name, pid=process.pid, started_at=started_at, url=url)


def wait_listening(part: Part, port: int, log: Path) -> None:
    """Wait until ``part``, or what it supervises, listens on ``port``.

    Raises SampleError when it ends, or takes too long.
    """
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        process = part.process()
        if process is None:
            break
        with contextlib.suppress(psutil.NoSuchProcess):
            family = (process, *process.children())
            if any(_listens(each, port) for one in family for each in one.net_connections("tcp")):
                return
        time.sleep(POLL_S)
    last = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise SampleError(f"The sample's {part.name} did not start. Its log {log} ends with: {' / '.join(last)}")


def end(parts: Iterable[Part], *, grace_s: float = 6.0) -> None:
    """End exactly these processes and what they started: SIGTERM, ``grace_s`` to finish, then SIGKILL.

    Waits for it. A part that gets SIGTERM ends its own processes before itself.
    """
    running = _signal(parts, signal.SIGTERM)
    stubborn = _left_after(running, grace_s)
    started_by_them = [child for part in stubborn for child in _children(part)]
    _left_after(_signal(stubborn, signal.SIGKILL), grace_s)
    for child in started_by_them:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(started_by_them, timeout=grace_s)


def _children(part: Part) -> list[psutil.Process]:
    try:
        process = part.process()
        return process.children(recursive=True) if process else []
    except psutil.NoSuchProcess:
        return []


def _signal(parts: Iterable[Part], number: signal.Signals) -> list[Part]:
    signalled = []
    for part in parts:
        if process := part.process():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            signalled.append(part)
    return signalled


def _left_after(parts: list[Part], within_s: float) -> list[Part]:
    deadline = time.monotonic() + within_s
    while (left := [part for part in parts if part.process()]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for part in parts:
        with contextlib.suppress(ChildProcessError):  # another process started it, and collects it
            os.waitpid(part.pid, os.WNOHANG)
    return left


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS_BELOW_EPHEMERAL, len(PORTS_BELOW_EPHEMERAL)):
        if len(found) == count:
            return found
        if _unused(port):
            found.append(port)
    raise SampleError("There are not enough free ports on this host.")


def _unused(port: int) -> bool:
    """Whether nobody has the port, nor keeps it to listen again, as a fault proxy does that refuses."""
    with socket.socket() as probe:  # without SO_REUSEADDR, which would let it share a port that is kept
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(port: int) -> None:
    """Raises SampleError that names the port, who holds it, and how to choose another."""
    refusal = _refusal(port)
    if refusal is None:
        return
    other = nearest_free(port)
    choose = f"Choose another: `python -m app sample up --port {other}`" if other else "Choose another port"
    raise SampleError(f"Port {port} is not free: {refusal}{_holder(port)}. {choose}, or end that process.")


def nearest_free(port: int) -> int | None:
    """``port`` itself, or the next above it that is free; None where none of a hundred is."""
    return next((one for one in range(port, min(port + 100, 65_536)) if _refusal(one) is None), None)


def _refusal(port: int) -> str | None:
    try:
        bind(port).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _holder(port: int) -> str:
    try:
        listening = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if _listens(connection, port) and connection.pid
        ]
        if not listening:
            return ""
        command = " ".join(psutil.Process(listening[0]).cmdline())
    except psutil.Error:
        return ""  # other users' processes cannot be looked at on every system
    return f", process {listening[0]} ({command[:120]}) listens on it" if command else ""


def _listens(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port)


def python_environment(secrets: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part: this one's, and what the part is told in confidence."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **secrets}


def address(port: int) -> str:
    """The URL of a port on loopback."""
    return f"http://{HOST}:{port}"
