"""The processes of this host that serve the target. It has nothing to say where the target is elsewhere."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from app.instruments.origins import Origin, is_loopback
from app.instruments.references import References
from checks.contract import ProcessFact, Target, printable

MAX_COMMAND_CHARS = 300
SECRET_ARGUMENT = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[-_]?key)[=: ]+)\S+|(://[^/@\s:]*:)[^/@\s]+(?=@)"
)
TCP_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
SAME_START_S = 1.0  # clocks of the process table are that coarse
LISTENS = "0A"  # the state's number in them
SPAWNED = "multiprocessing"  # Python's own marker in the command line of a worker that it spawned


class HostProcesses:
    """Who listens where, from the process table. Processes of other users may be hidden from us."""

    def __init__(
        self,
        target: Target,
        references: References,
        may_ask: Callable[[Origin], None] = lambda _origin: None,
    ) -> None:
        """``may_ask`` is told where another tree of the target's program listens."""
        self._here = is_loopback(target.host)
        self._references = references
        self._may_ask = may_ask
        self._seen: list[ProcessFact] = []

    def listening(self, port: int) -> list[ProcessFact]:
        """Each process that holds a listening TCP socket on ``port``, its own or its parent's."""
        self._seen = self._all()
        return [fact for fact in self._seen if port in fact.ports]

    def same_program(self, fact: ProcessFact) -> list[ProcessFact]:
        """The first process of each other tree that listens and runs what ``fact``'s tree runs.

        The same means: the same command line but for its own port numbers, in the same working folder. It
        looks at what ``listening`` saw last, since a walk through all processes takes some 0.1 to 0.5 s.
        Whether it is an older server of the same service, only asking it can tell: its ports on loopback may
        be asked from then on, without credentials.
        """
        mine = _program(fact.root_pid, fact.ports)
        others: dict[int, ProcessFact] = {}
        for other in self._seen or self._all():
            alike = mine is not None and _program(other.root_pid, other.ports) == mine
            if alike and other.root_pid != fact.root_pid:
                others.setdefault(other.root_pid, other)
                for port in other.ports:
                    self._may_ask(Origin("http", "127.0.0.1", port))
        return list(others.values())

    def holds_connection(self, port: int, peer_port: int) -> bool | None:
        """Whether one of those that ``listening`` saw on ``port`` has a socket whose peer is ``peer_port``.

        A connection that the peer closed counts until the service closes its end too (CLOSE_WAIT).
        """
        serving = [fact.pid for fact in self._seen or self._all() if port in fact.ports]
        if not serving:
            return None
        return any(_has_peer(pid, port, peer_port) for pid in serving)

    def runs(self, fact: ProcessFact) -> bool:
        """Whether this very process still runs, whether it listens or not."""
        try:
            process = psutil.Process(fact.pid)
            same = abs(process.create_time() - fact.started_at) <= SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def waiting(self, port: int) -> int | None:
        """How many connections of this process to ``port`` the service has not accepted yet.

        A socket that waits to be accepted belongs to no process. Whoever ``listening`` saw, and what it
        started, may have accepted it.
        """
        serving = {fact.root_pid for fact in self._seen or self._all() if port in fact.ports}
        if not serving:
            return None
        ours = {
            each.laddr.port
            for each in psutil.Process().net_connections(kind="tcp")
            if each.raddr and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        }
        for root in serving:
            ours -= _peers(root, port)
        return len(ours)

    def _all(self) -> list[ProcessFact]:
        if not self._here:
            return []
        ports: dict[int, set[int]] = defaultdict(set)
        for pid, port in listeners():
            ports[pid].add(port)
        facts = (self._fact(pid, ports) for pid in sorted(ports))
        return [fact for fact in facts if fact is not None]

    def _fact(self, pid: int, ports: dict[int, set[int]]) -> ProcessFact | None:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                command = shown_command(process, self._references.hide)
                fact = ProcessFact(pid, pid, process.create_time(), command, tuple(sorted(ports[pid])))
            return replace(fact, root_pid=_root(process, ports))
        except psutil.Error:
            return None


def shown_command(process: psutil.Process, hide: Callable[[str], str] = str) -> str:
    """The command line of a process, without what looks like a secret, short and printable."""
    try:
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "gone"
    return printable(SECRET_ARGUMENT.sub(r"\1\2***", hide(command))[:MAX_COMMAND_CHARS])


def listeners() -> Iterator[tuple[int, int]]:
    """Process and port of each listening TCP socket, of the processes that may be looked at."""
    return _listening_on_linux() if TCP_TABLES[0].exists() else _listening()


def _peers(root_pid: int, port: int) -> set[int]:
    """The ports of those whose connections to ``port`` a tree of processes holds."""
    try:
        root = psutil.Process(root_pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return set()
    found: set[int] = set()
    for process in tree:
        with suppress(psutil.Error):
            found |= {
                each.raddr.port
                for each in process.net_connections(kind="tcp")
                if each.raddr and each.laddr.port == port
            }
    return found


def _has_peer(pid: int, port: int, peer_port: int) -> bool:
    try:
        found = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:  # it ended, and its connections with it
        return False
    return any(each.laddr.port == port and each.raddr and each.raddr.port == peer_port for each in found)


def _listening_on_linux() -> Iterator[tuple[int, int]]:
    """Process and port of each listening socket, from one reading of the socket tables.

    psutil reads them again for each process: with thousands of closed connections in them, as any load
    leaves behind for a minute, that takes longer than a check may.
    """
    ports = {}
    for table in filter(Path.exists, TCP_TABLES):
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                ports[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    for pid in psutil.pids():
        with suppress(OSError):  # it ended, or belongs to somebody else
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    port = ports.get(os.readlink(descriptor))  # noqa: PTH115 - a Path for each takes twice as long
                    if port is not None:
                        yield pid, port


def _listening() -> Iterator[tuple[int, int]]:
    """The same where there are no such tables."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield process.pid, connection.laddr.port


def _root(process: psutil.Process, ports: dict[int, set[int]]) -> int:
    """The topmost ancestor that is the same server: same command line, shared socket, or its spawner."""
    while (parent := process.parent()) is not None:
        shares = ports.get(parent.pid, set()) & ports.get(process.pid, set())
        command = process.cmdline()
        spawned = any(SPAWNED in argument for argument in command[1:])
        if not (shares or spawned or (command and parent.cmdline() == command)):
            break
        process = parent
    return process.pid


def _program(pid: int, ports: tuple[int, ...]) -> tuple[str, list[str]] | None:
    """Working folder and command line, with the numbers of its own ports taken out."""
    try:
        process = psutil.Process(pid)
        folder, command = process.cwd(), process.cmdline()
    except psutil.Error:
        return None
    own = re.compile(r"\b(?:" + "|".join(str(port) for port in ports) + r")\b")
    return (folder, [own.sub("*", argument) for argument in command]) if ports and command else None
