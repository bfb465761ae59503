"""Starts a service of this folder as a process of its own, with its target file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app import targets
from checks.contract.target import Target
from tests.instruments.servers import free_port

HERE = Path(__file__).parent
OPS_KEY = "only-for-this-test"
START_WITHIN_S = 20.0


@dataclass
class Service:
    """A running service. ``environment`` holds what its target file refers to."""

    process: subprocess.Popen[bytes]
    target_file: Path
    environment: dict[str, str]

    @property
    def target(self) -> Target:
        return targets.load(str(self.target_file))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


def start(
    folder: Path, name: str = "answers", environment: Mapping[str, str] | None = None, **places: str
) -> Service:
    """Start ``name`` on a free port, in a folder of its own. Fails the test where it does not listen.

    ``places`` are filled into its target file, beside its port.
    """
    port = free_port()
    given = {"ANSWERS_OPS_KEY": OPS_KEY} if environment is None else dict(environment)
    process = subprocess.Popen(
        [sys.executable, str(HERE / f"{name}.py"), str(port)], cwd=folder, env=os.environ | given
    )
    target_file = folder / f"{name}.toml"
    text = (HERE / f"{name}.toml").read_text(encoding="utf-8")
    for place, value in {"port": str(port), **places}.items():
        text = text.replace(f"@{place}@", value)
    target_file.write_text(text, encoding="utf-8")
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Service(process, target_file, given)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"{name}.py did not listen on port {port}")
