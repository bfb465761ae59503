"""Which processes are the service: those that listen on its port, their masters and what these started.

A signal hits whom it is sent to, so what cannot be told for certain is refused: nothing that merely holds the
socket for the service (a supervisor, a forwarder), nothing that another service is, never this run.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence

import psutil

from app.instruments.faults.lever import NotWholeError, Pin
from app.instruments.memory import FORWARDERS
from app.instruments.processes import SAME_START_S, SPAWNED, listeners, shown_command

FIRST_PID = 1
INTERPRETERS = ("python", "node", "ruby", "perl", "php", "java", "bun", "deno", "beam", "dotnet")
# What keeps services running, by the name of the process or of the program that it runs. Some hold the
# service's socket and hand it on; none is the service.
SUPERVISORS = frozenset(
    {
        *("systemd", "init", "launchd", "openrc", "runit", "runsv", "runsvdir", "s6-supervise", "s6-svscan"),
        *("supervise", "supervisord", "circusd", "monit", "god", "PM2", "pm2", "foreman", "honcho"),
        *("tini", "dumb-init", "docker-init", "dockerd", "containerd", "containerd-shim", "conmon", "podman"),
        *("containerd-shim-runc-v2", "kubelet", "inetd", "xinetd", "sshd", "cron", "crond"),
    }
)


def service_on(port: int) -> list[psutil.Process]:
    """The processes of the one program that listens on ``port``, masters first.

    Raises NotWholeError where there is none, or where it is not certain, or not ours to signal.
    """
    holding = _listening_on(port)
    tops = {master.pid: master for process in holding.values() if (master := _master(process, holding))}
    programs = {(_executable(master), _command(master)) for master in tops.values()}
    if len(programs) > 1:
        told = " and ".join(_named(master) for master in tops.values())
        raise NotWholeError(f"several programs listen on port {port}, {told}: which is the service?")
    members = with_started(list(tops.values()))
    _refuse_ourselves(members, port)
    for member in members:
        _refuse_unless_ours(member)
    return members


def with_started(members: Sequence[psutil.Process]) -> list[psutil.Process]:
    """``members`` and what they have started since."""
    found = list(members)
    for member in members:
        found += [each for each in _started_by(member) if each not in found]
    return found


def masters(members: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of ``members`` that none of them started."""
    numbers = {member.pid for member in members}
    found = []
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            if member.ppid() not in numbers:
                found.append(member)
    return found


def pids_on(port: int) -> set[int]:
    """Who holds a socket that listens on ``port``."""
    return {pid for pid, held in listeners() if held == port}


def pinned(processes: Iterable[psutil.Process]) -> tuple[Pin, ...]:
    """What tells these very processes from others that get their numbers later."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(Pin(pid=process.pid, started_at=process.create_time()))
    return tuple(found)


def alive(pins: Iterable[Pin]) -> list[psutil.Process]:
    """Those of ``pins`` that still run: not ended, not waiting to be collected, no others."""
    found = []
    for pin in pins:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pin.pid)
            same = abs(process.create_time() - pin.started_at) <= SAME_START_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def send(process: psutil.Process, number: int) -> None:
    """Signal this very process; one that has ended needs none. Raises psutil.AccessDenied."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _listening_on(port: int) -> dict[int, psutil.Process]:
    found: dict[int, psutil.Process] = {}
    behind = []
    for pid in pids_on(port):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if pid == FIRST_PID or _keeps_others(process):
                behind.append(process)
            else:
                found[pid] = process
    if behind and not found:
        raise NotWholeError(
            f"{_named(behind[0])} listens on port {port} for a service that is no process of this host, or "
            "not yet. Declare a lever of kind `command` instead"
        )
    if not found:
        raise NotWholeError(
            f"no process that may be looked at listens on port {port} of this host. Run the assessment as "
            "the user of the service, or declare a lever of kind `command`"
        )
    return found


def _master(process: psutil.Process, holding: dict[int, psutil.Process]) -> psutil.Process:
    """The topmost ancestor that runs the same program as ``process``."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    while True:
        try:
            parent = process.parent()
            if parent is None or parent.pid == FIRST_PID or parent.pid in ours or _keeps_others(parent):
                return process
            if not _same_program(parent, process, shares=parent.pid in holding):
                return process
        except psutil.Error:  # it ended, or hides: then it is not known to be the same
            return process
        process = parent


def _same_program(parent: psutil.Process, child: psutil.Process, *, shares: bool) -> bool:
    """Whether ``parent`` is ``child``'s master, and not somebody who starts it and perhaps holds its socket.

    Raises psutil.Error.
    """
    executable, above, below = _executable(child), parent.cmdline(), child.cmdline()
    if not executable or _executable(parent) != executable:
        return False
    if above == below or any(SPAWNED in argument for argument in below[1:]):
        return True
    if not shares:
        return False
    if not os.path.basename(executable).startswith(INTERPRETERS):  # noqa: PTH119 - any text
        return True
    return _title(above) == _title(below) != ""


def _title(command: list[str]) -> str:
    """The program's own word where it gave itself a title ("gunicorn: master [shop]"), else nothing."""
    first = command[0] if command else ""
    if os.path.basename(first).startswith(INTERPRETERS):  # noqa: PTH119 - any text
        return ""
    found = re.match(r"\w+", first)
    return found[0] if found else ""


def _started_by(master: psutil.Process) -> list[psutil.Process]:
    """What it started, but for what has a session of its own and runs something else: that is not it."""
    found = []
    try:
        session, executable = os.getsid(master.pid), _executable(master)
        for child in master.children(recursive=True):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(child.pid) == session or _executable(child) == executable:
                    found.append(child)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return found
    return found


def _refuse_ourselves(members: list[psutil.Process], port: int) -> None:
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    mine = [member for member in members if member.pid in ours]
    if mine:
        raise NotWholeError(
            f"what listens on port {port} is, or has started, this run ({_named(mine[0])}); a signal would "
            "end the run too"
        )


def _refuse_unless_ours(member: psutil.Process) -> None:
    try:
        os.kill(member.pid, 0)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise NotWholeError(
            f"{_named(member)} belongs to another user, so it may not be signalled. Run the assessment as "
            "that user, or declare a lever of kind `command`"
        ) from error


def _keeps_others(process: psutil.Process) -> bool:
    try:
        words = [process.name(), *(os.path.basename(word) for word in process.cmdline()[:2])]  # noqa: PTH119 - any text
    except psutil.Error:
        return False
    names = {part for word in words for part in (word, word.split(" ", 1)[0].rstrip(":"))}
    return bool(names & (SUPERVISORS | FORWARDERS))


def _executable(process: psutil.Process) -> str:
    try:
        return process.exe()
    except psutil.Error:
        return ""


def _command(process: psutil.Process) -> tuple[str, ...]:
    try:
        return tuple(process.cmdline())
    except psutil.Error:
        return ()


def _named(process: psutil.Process) -> str:
    return f"process {process.pid} ({shown_command(process)})"
