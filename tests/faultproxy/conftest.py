"""The fault proxy as a process of its own, as users start it, with nothing before it yet."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.instruments.servers import free_port


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of its API."""
    port = free_port()
    config = tmp_path_factory.mktemp("faultproxy") / "config.json"
    config.write_text(json.dumps({"port": port, "proxies": []}))
    process = subprocess.Popen([sys.executable, "-m", "app.faultproxy", str(config)])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        try:
            _wait(client)
            yield client
        finally:
            process.terminate()
            process.wait(20)


def _wait(client: httpx.Client) -> None:
    for _ in range(400):
        try:
            client.get("/version")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the fault proxy did not start")
