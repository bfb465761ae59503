"""Which processes serve a target, by the process table of this host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.instruments.processes import HostProcesses
from app.instruments.references import References
from checks.contract import Target
from tests.instruments.servers import free_port

SERVER = """
import os, socket, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
listener.listen()
if "--workers" in sys.argv and os.fork() == 0:
    pass
os.write(1, b"listening\\n")  # in one piece, though two processes write
time.sleep(120)
"""


@contextmanager
def serving(folder: Path, port: int, *arguments: str, name: str = "server.py") -> Iterator[int]:
    """A small server of its own process on ``port``; yields its pid."""
    (folder / name).write_text(SERVER)
    command = [sys.executable, name, "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, start_new_session=True)
    try:
        for _ in range(2 if "--workers" in arguments else 1):
            assert process.stdout.readline() == b"listening\n"
        yield process.pid
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


@pytest.fixture
def here() -> HostProcesses:
    return HostProcesses(Target(url="http://localhost:1"), References({}))


def test_a_listening_process_is_found_with_its_ports_command_and_start(here, tmp_path):
    port = free_port()
    with serving(tmp_path, port) as pid:
        (fact,) = here.listening(port)
    assert (fact.pid, fact.root_pid, fact.ports) == (pid, pid, (port,))
    assert fact.command.endswith(f"server.py --port {port}")
    assert fact.started_at > 1e9


def test_two_servers_that_share_a_port_are_two_trees_though_one_program_started_both(here, tmp_path):
    port = free_port()
    with serving(tmp_path, port) as one, serving(tmp_path, port) as other:
        facts = here.listening(port)
        (found,) = here.same_program(facts[0])
    assert {fact.root_pid for fact in facts} == {one, other}
    assert {facts[0].pid, found.pid} == {one, other}


def test_a_worker_belongs_to_the_tree_of_its_master(here, tmp_path):
    port = free_port()
    with serving(tmp_path, port, "--workers") as master:
        facts = here.listening(port)
        assert here.same_program(facts[0]) == []
    assert len(facts) == 2
    assert {fact.root_pid for fact in facts} == {master}


def test_the_same_program_on_another_port_is_found_and_other_programs_are_not(here, tmp_path):
    port, elsewhere, third, fourth = (free_port() for _ in range(4))
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    with (
        serving(tmp_path, port),
        serving(tmp_path, elsewhere) as stale,
        serving(tmp_path, third, "--mode", "different"),
        serving(other_folder, fourth),
    ):
        (fact,) = here.listening(port)
        found = here.same_program(fact)
    assert [(other.pid, other.ports) for other in found] == [(stale, (elsewhere,))]


def test_nothing_is_looked_at_where_the_target_is_elsewhere(tmp_path):
    port = free_port()
    with serving(tmp_path, port):
        assert HostProcesses(Target(url="http://example.com"), References({})).listening(port) == []


def test_secrets_in_a_command_line_are_not_shown(tmp_path):
    references = References({"TOKEN": "resolved-secret"})
    references.resolve("${TOKEN}")
    port = free_port()
    arguments = ("resolved-secret", "--password=hunter22", "--api-key", "abcdef", "redis://u:hunter33@host/0")
    with serving(tmp_path, port, *arguments):
        (fact,) = HostProcesses(Target(url="http://127.0.0.1"), references).listening(port)
    for secret in ("resolved-secret", "hunter22", "abcdef", "hunter33"):
        assert secret not in fact.command
    assert "$TOKEN" in fact.command


def test_a_connection_is_held_until_the_service_closes_its_end(here):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as caller:
        port = listener.getsockname()[1]
        caller.connect(("127.0.0.1", port))
        held, _ = listener.accept()
        mine = caller.getsockname()[1]
        assert here.listening(port)
        assert here.holds_connection(port, mine) is True
        caller.close()
        assert here.holds_connection(port, mine) is True
        held.close()
        assert here.holds_connection(port, mine) is False


def test_of_a_service_that_is_not_here_no_connection_is_seen(here):
    assert here.holds_connection(free_port(), 5) is None
