"""A lever over signals to what listens on a port of this host: the service itself.

``kill`` ends the whole tree of its program at one moment, as a crash of the machine would; ``term`` sends
the declared stop signal to its masters, as whoever deploys it does; ``pause`` stops the tree. Whom it signals
is in the ledger before the signal is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial

import psutil

from app.instruments.faults import trees
from app.instruments.faults.command import CommandLever
from app.instruments.faults.lever import Aim, LeverFailureError, NotWholeError
from app.instruments.faults.trees import alive, pinned, send
from app.instruments.origins import is_loopback
from app.instruments.processes import shown_command
from app.instruments.references import References
from checks.contract.target.dependencies import Lever as Declared

WAYS = ("kill", "pause", "term")
STOPPED_WITHIN_S = 1.0
GONE_WITHIN_S = 10.0
SUPERVISOR_S = 5.0  # that a supervisor has before a declared `restore` is run instead
RESTART_S = 45.0
POLL_S = 0.02
CONNECT_S = 1.0
MOST_ROUNDS = 50
RESTING = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)


class ProcessLever:
    """Signals the service, and restores it: goes on with what was stopped, waits for what was ended."""

    def __init__(
        self, declared: Declared, references: References, aim: Aim, keep: Callable[[Aim], None]
    ) -> None:
        self.ways = tuple(way for way in declared.ways if way in WAYS)
        self._restore_command = declared.restore_command or ()
        self._command = CommandLever(declared, references)
        self._references = references
        self._aim = aim
        self._keep = keep
        self._until: float | None = None
        self._started = False

    async def break_it(self, way: str) -> None:
        """The service is dead, stopped or told to end on return.

        Raises NotWholeError where it cannot be told who it is or it is not ours to signal, LeverFailureError.
        """
        if not is_loopback(self._aim.host):
            raise NotWholeError(
                f"{self._aim.host} is not this host, and processes are signalled on this host only. Declare "
                "a lever of kind `command`"
            )
        await asyncio.to_thread(self._break, way)

    async def restore(self) -> None:
        """Raises LeverFailureError where nothing listens again in time."""
        left = alive(self._aim.pins)
        for process in left:
            send(process, signal.SIGCONT)
        if not await asyncio.to_thread(_in_time, partial(_none_rests, left), STOPPED_WITHIN_S):
            raise LeverFailureError("a process of the service stays stopped")
        if self._until is None:
            self._until = time.monotonic() + RESTART_S
        if self._aim.way == "term":
            await self._ended_or_serving()
        patience_s = SUPERVISOR_S if self._restore_command else self._until - time.monotonic()
        if await self._listens_within(patience_s):
            return
        if self._restore_command and not self._started:
            await self._command.restore()
            self._started = True
        if not await self._listens_within(self._until - time.monotonic()):
            raise LeverFailureError(f"nothing listens on port {self._aim.port} again")

    def by_hand(self) -> str:
        """The declared command, or what to do without one."""
        if self._restore_command:
            return self._command.by_hand()
        if self._aim.way == "pause" and (left := alive(self._aim.pins)):
            return f"kill -CONT {' '.join(str(process.pid) for process in left)}"
        ran = f" It ran as: {self._aim.command}" if self._aim.command else ""
        return f"start the service, so that it listens on port {self._aim.port}.{ran}"

    def _break(self, way: str) -> None:
        members = trees.service_on(self._aim.port)
        self._note(way, members)
        try:
            if way == "term":
                number = signal.Signals[self._aim.stop_signal]
                for master in trees.masters(members):
                    send(master, number)
                return
            members = self._stop(way, members)
            if way == "kill":
                for process in members:
                    send(process, signal.SIGKILL)
                if not _in_time(lambda: not alive(self._aim.pins), GONE_WITHIN_S):
                    raise LeverFailureError(f"the service did not die within {GONE_WITHIN_S:g} s of SIGKILL")
        except psutil.AccessDenied as error:
            raise LeverFailureError(f"process {error.pid} may not be signalled") from error

    def _stop(self, way: str, members: list[psutil.Process]) -> list[psutil.Process]:
        """Stop the tree: what is stopped starts nothing more, so the tree is whole once nothing is new."""
        stopped: list[psutil.Process] = []
        for _ in range(MOST_ROUNDS):
            new = [process for process in members if process not in stopped]
            if not new:
                return stopped
            if stopped:
                self._note(way, [*stopped, *new])
            for process in new:
                send(process, signal.SIGSTOP)
            rest = _in_time(partial(_all_rest, new), STOPPED_WITHIN_S)
            if not rest and way == "pause":
                raise LeverFailureError("a process of the service cannot be stopped")
            stopped += new
            members = trees.with_started(stopped)
        raise LeverFailureError("the service starts processes faster than they can be stopped")

    def _note(self, way: str, members: list[psutil.Process]) -> None:
        self._aim = self._aim.model_copy(
            update={
                "way": way,
                "broken_at": self._aim.broken_at or time.time(),
                "pins": pinned(members),
                "command": self._aim.command or shown_command(members[0], self._references.hide),
            }
        )
        self._keep(self._aim)

    async def _ended_or_serving(self) -> None:
        """Give what was asked to end its time, then end it as its supervisor would; not what still serves."""
        until = min(self._aim.broken_at + self._aim.within_s - time.time(), self._aim.within_s)
        until += time.monotonic()
        while left := alive(self._aim.pins):
            if await self._others_listen():
                return
            if time.monotonic() >= until:
                if not await self._listens():
                    for process in left:
                        send(process, signal.SIGKILL)
                return
            await asyncio.sleep(POLL_S * 5)

    async def _others_listen(self) -> bool:
        if not await self._listens():
            return False
        mine = {pin.pid for pin in self._aim.pins}
        holding = await asyncio.to_thread(trees.pids_on, self._aim.port)
        return bool(holding - mine)

    async def _listens_within(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while not await self._listens():
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _listens(self) -> bool:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(self._aim.host, self._aim.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True


def _in_time(holds: Callable[[], bool], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S / 4)
    return True


def _all_rest(processes: Iterable[psutil.Process]) -> bool:
    """Whether each is stopped, or has ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() not in RESTING:
                return False
    return True


def _none_rests(processes: Iterable[psutil.Process]) -> bool:
    """Whether each goes on, or has ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                return False
    return True
