"""``faults proxy`` as a user runs it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from checks.contract import Target
from tests.instruments.servers import free_port


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "app", "faults", "proxy", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def test_a_proxy_carries_and_can_be_broken_and_says_what_to_declare():
    api, port = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        behind = upstream.getsockname()[1]
        with running("--listen", str(port), "--upstream", f"127.0.0.1:{behind}", "--name", "model",
                     "--api", f"127.0.0.1:{api}") as process:  # fmt: skip
            said = [process.stdout.readline() for _ in range(7)]
            assert f"127.0.0.1:{port} leads to 127.0.0.1:{behind}" in said[0]
            declared = Target.model_validate(
                {"url": "http://127.0.0.1:1", **tomllib.loads("".join(said[1:]))}
            )
            assert (declared.levers["upstream"].kind, declared.levers["upstream"].proxy) == (
                "faultproxy",
                "model",
            )
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"hello")
                server, _ = upstream.accept()
                with server:
                    assert server.recv(10) == b"hello"
            shown = httpx.get(f"http://127.0.0.1:{api}/proxies", trust_env=False).json()
            assert shown["model"]["calls"] == 0
            process.send_signal(signal.SIGINT)
            assert process.wait(20) in (0, 130)
            assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("place", ["nowhere", "host:", "127.0.0.1:70000", "0", "-5"])
def test_an_address_that_is_none_is_said_so(place):
    with running("--listen", place, "--upstream", "9000") as process:
        assert process.wait(20) == 2
        assert "Traceback" not in (error := process.stderr.read())
        assert place in error


def test_a_port_that_is_taken_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options in (
            ["--listen", str(port), "--api", str(free_port())],
            ["--listen", str(free_port()), "--api", str(port)],
        ):
            with running(*options, "--upstream", "9000") as process:
                code, error = process.wait(20), process.stderr.read()
                assert "Traceback" not in error, error
                assert code == 2, error
                assert "in use" in error


def test_what_cannot_be_put_back_is_told_with_an_exit_code_of_its_own(greenlight, data):
    folder = data / "runs" / "levers"
    folder.mkdir(parents=True)
    (folder / "odd.json").write_text("{")
    told = greenlight("faults", "restore")
    assert told.returncode == 3
    assert "is not a ledger entry" in told.stdout
    (folder / "odd.json").unlink()
    assert greenlight("faults", "restore").returncode == 0
