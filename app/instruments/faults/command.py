"""A lever made of two declared commands, run without a shell on this machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from app.instruments.failures import one_line
from app.instruments.faults.lever import LeverFailureError
from app.instruments.references import References
from checks.contract import InstrumentFailure
from checks.contract.reproduce import quoted
from checks.contract.target.dependencies import Lever as Declared

TIMEOUT_S = 30.0
KEPT_BYTES = 2_000


class CommandLever:
    """Runs ``break`` (``{way}`` in an argument is filled in) and ``restore``. Exit status 0 means done."""

    def __init__(self, declared: Declared, references: References, *, timeout_s: float = TIMEOUT_S) -> None:
        self.ways: tuple[str, ...] = declared.ways
        self._break = declared.break_command or ()
        self._restore = declared.restore_command or ()
        self._references = references
        self._timeout_s = timeout_s

    async def break_it(self, way: str) -> None:
        """Raises LeverFailureError where the command fails or does not end in time."""
        await self._run([argument.replace("{way}", way) for argument in self._break])

    async def restore(self) -> None:
        """Raises LeverFailureError where the command fails or does not end in time."""
        await self._run(self._restore)

    def by_hand(self) -> str:
        """The restore command as a shell line."""
        return " ".join(map(quoted, self._restore))

    async def _run(self, command: Sequence[str]) -> None:
        try:
            resolved = [self._references.resolve(argument) for argument in command]
            await asyncio.to_thread(_run_to_end, resolved, self._timeout_s)
        except InstrumentFailure as error:
            raise LeverFailureError(error.reason) from error
        except LeverFailureError as error:
            raise LeverFailureError(f"{shlex.join(command)}: {self._references.hide(str(error))}") from None


def _run_to_end(command: list[str], timeout_s: float) -> None:
    """Wait for the command itself only: a server that it starts may go on and keep its output open."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise LeverFailureError(f"cannot be started: {error.strerror}") from error
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise LeverFailureError(f"did not end within {timeout_s:g} s") from error
        if status != 0:
            output.seek(0)
            said = one_line(output.read(KEPT_BYTES).decode("utf-8", "replace"), KEPT_BYTES)
            raise LeverFailureError(f"ended with status {status}{': ' + said if said else ''}")
