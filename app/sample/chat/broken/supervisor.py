"""Starts the chat API again whenever it dies, as a process manager does: a crash is then only a blip."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType


@dataclass
class Child:
    """The process that serves now."""

    pid: int = 0
    ending: bool = False

    def end(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on; what ends then is not started again."""
        self.ending = True
        if self.pid:
            os.kill(self.pid, number)


def supervise(serve: Callable[[str], None]) -> int:
    """Run ``serve(instance)`` in a child process, again and again until told to end; returns its exit code.

    The caller holds the socket, which the first child listens on: from then on new connections wait while
    there is no child. A child never outlives this process: it would keep the port.
    """
    child = Child()
    signal.signal(signal.SIGTERM, child.end)
    while True:
        reading, writing = os.pipe()
        child.pid = os.fork()
        if child.pid == 0:
            os.close(writing)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            threading.Thread(target=_end_with_parent, args=[reading], daemon=True).start()
            serve(f"chat-{secrets.token_hex(4)}")
            os._exit(0)
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        child.pid = 0
        os.close(writing)
        if child.ending:
            return status


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # comes back when the other end is closed, however the parent ended
    os._exit(1)
