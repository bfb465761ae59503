"""Programs on a core of their own, what they cost, and their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil

from app.sample.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.02
END_S = 10.0


class BenchError(Exception):
    """A program of the benchmark did not do what it should; the text says which and what it wrote."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the client has and which the server; the same one where there is only one."""

    client: int
    server: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first and the last core that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1])


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended by itself: what it printed, the processor time and memory of all its processes.

    ``peak_bytes`` is of its largest process.
    """

    output: str
    cpu_s: float
    peak_bytes: int


class Program:
    """A program pinned to one core."""

    def __init__(
        self, command: Sequence[str], core: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self._output = TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._errors = TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> Ended:
        """Wait for its end. Raises BenchError where it fails or is not done in time; then it is ended."""
        give_up_at = time.monotonic() + timeout_s
        try:
            while True:
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > give_up_at:
                    raise BenchError(f"not done after {timeout_s:.0f} s: {self._about()}")
                time.sleep(POLL_S)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            if self._process.returncode:
                raise BenchError(f"exit status {self._process.returncode}: {self._about()}")
            return Ended(_text(self._output), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        finally:
            self.end()

    def end(self) -> str:
        """Ask it to end, insist where it does not, and give back what it printed."""
        if self._output.closed:
            return ""
        if self.running:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        output = _text(self._output)
        self._output.close()
        self._errors.close()
        return output

    def freeze(self) -> None:
        """Stop it, as a pause of its garbage collector or its machine would."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self.pid, number)  # its own session: nothing but the program and what it started

    def _about(self) -> str:
        return f"{' '.join(self.command)}\n{_text(self._errors)[-2000:]}{_text(self._output)[-2000:]}"


def run(command: Sequence[str], core: int, timeout_s: float, **environment: str) -> Ended:
    """Run a program to its end. Raises BenchError."""
    return Program(command, core, environment).wait(timeout_s)


def end_all() -> None:
    """End every program at once, as a signal may come before a program is known to whom shall end it."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def busy(core: int) -> Iterator[None]:
    """A program that wants all of a core, so that another one there gets half of it."""
    program = Program(["sh", "-c", "while :; do :; done"], core)
    try:
        yield
    finally:
        program.end()


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    return free_ports(1)[0]


def await_port(port: int, program: Program) -> None:
    """Return when ``program`` listens. Raises BenchError."""
    give_up_at = time.monotonic() + 10
    while program.running and time.monotonic() < give_up_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(POLL_S)
        else:
            return
    raise BenchError(f"{program.command[0]} does not listen on port {port}: {program._about()}")


def last_json(output: str) -> dict[str, Any]:
    """The JSON object on the last line that is one. Raises BenchError."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            document: dict[str, Any] = json.loads(line)
            return document
    raise BenchError(f"no JSON in: {output[-2000:]}")


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))
