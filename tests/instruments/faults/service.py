"""A small service with a worker of its own, under a supervisor or alone, for tests of signals to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from app import paths
from app.sample.processes import free_ports
from checks.contract import Target

# Serves who it is on PORT. Arguments: port, then words that change it.
PROGRAM = """
import http.server, os, signal, subprocess, sys, threading, time
words = sys.argv[2:]
if "worker" in words:
    time.sleep(600)
worker = subprocess.Popen([sys.executable, __file__, "0", "worker"])
if "daemon" in words:
    daemon = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    open(os.path.join(os.path.dirname(__file__), "daemon"), "w").write(str(daemon.pid))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
def told(number, frame):
    if "deaf" in words:
        return
    if "drains" in words:
        threading.Thread(target=lambda: (server.shutdown(), server.server_close()), daemon=True).start()
        return
    os._exit(0)
signal.signal(signal.SIGTERM, told)
server.serve_forever()
time.sleep(600)
"""


@dataclass
class Service:
    """Where it runs, and what runs it."""

    folder: Path
    port: int
    words: tuple[str, ...]
    started: subprocess.Popen[bytes]
    seen: list[psutil.Process] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(self.folder / "shop.py"), str(self.port), *self.words]

    def pid(self) -> int | None:
        """Who answers, None where nobody does at once."""
        try:
            return int(httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1, trust_env=False).text)
        except httpx.TransportError:
            return None

    def tree(self) -> list[psutil.Process]:
        """The serving process and its worker."""
        master = psutil.Process(self.wait())
        return [master, *(child for child in master.children() if "worker" in child.cmdline())]

    def wait(self, within_s: float = 20.0) -> int:
        """The pid of who answers, as soon as somebody does."""
        until = time.monotonic() + within_s
        while (pid := self.pid()) is None:
            assert time.monotonic() < until, "nobody answers"
            time.sleep(0.02)
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            self.seen += [process, *process.children()]
        return pid

    def target(self, **lever: Any) -> Target:
        declared = {"kind": "process", "ways": ["kill", "pause", "term"], **lever}
        document = {"url": f"http://127.0.0.1:{self.port}", "levers": {"process": declared}}
        return Target.model_validate({**document, "allow_faults": True, "shutdown": {"within_s": 2}})


@contextmanager
def serving(folder: Path, *words: str, supervised: bool = True) -> Iterator[Service]:
    """The service from when it answers until the block ends."""
    folder.mkdir(exist_ok=True)
    (folder / "shop.py").write_text(PROGRAM)
    [port] = free_ports(1)
    command = [sys.executable, str(folder / "shop.py"), str(port), *words]
    if supervised:
        (folder / "supervisor.json").write_text(json.dumps({"command": command, "after_crash_s": 0}))
        command = [sys.executable, "-m", "app.sample.supervisor", str(folder / "supervisor.json")]
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    started = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    service = Service(folder, port, words, started)
    try:
        service.wait()
        yield service
    finally:
        with suppress(psutil.NoSuchProcess):
            service.seen += psutil.Process(started.pid).children(recursive=True)
        started.kill()
        started.wait()
        _end(service)


def _end(service: Service) -> None:
    for process in {process.pid: process for process in service.seen}.values():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(service.seen, timeout=10)
