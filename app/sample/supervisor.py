"""``python -m app.sample.supervisor CONFIG``: keeps one program running, as a process manager does.

It starts the program again after any end that nobody asked for, passes SIGTERM and SIGINT on, and ends with
the program then. CONFIG is a JSON file ``{"command", "after_crash_s"}``: how long it waits after the program
was killed by a signal or failed, and null for ever. It shares neither command line nor socket with what it
keeps, so who signals the service never meets it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

TETHER_NAME = "GREENLIGHT_SAMPLE_TETHER"
SHORT_LIFE_S = 1.0
ORDERLY = (0, -signal.SIGTERM, -signal.SIGINT)  # many programs end by the signal when they have cleaned up
POLL_S = 0.05
PAUSE_S = 0.5  # after a short life, so that a program that cannot live does not take the machine with it


class Supervisor:
    """One program, again and again, until SIGTERM or SIGINT."""

    def __init__(self, command: list[str], after_crash_s: float | None) -> None:
        self._command = command
        self._after_crash_s = after_crash_s
        self._child: subprocess.Popen[bytes] | None = None
        self._told: int | None = None

    def run(self) -> int:
        """Returns the status with which the program ended at last."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        held, given = os.pipe()  # the program reads from it, and ends where this process is gone
        environment = {**os.environ, TETHER_NAME: str(held)}
        status = 0
        while self._told is None:
            began = time.monotonic()
            self._child = subprocess.Popen(self._command, env=environment, pass_fds=(held,))  # noqa: S603 - ours
            if self._told is not None:  # heard while there was no child to pass it on to
                self._pass_on(self._told)
            status = self._child.wait()
            if self._told is None:
                self._rest(status, time.monotonic() - began)
        os.close(given)
        return status

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._told = number
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        """A program that is stopped hears it when it goes on."""
        if self._child is not None:
            self._child.send_signal(number)
            self._child.send_signal(signal.SIGCONT)

    def _rest(self, status: int, lived_s: float) -> None:
        sys.stderr.write(f"the program ended with {status} after {lived_s:.1f} s\n")
        pause_s = PAUSE_S if lived_s < SHORT_LIFE_S else 0.0
        if status not in ORDERLY:
            pause_s = math.inf if self._after_crash_s is None else max(pause_s, self._after_crash_s)
        until = time.monotonic() + pause_s
        while self._told is None and time.monotonic() < until:
            time.sleep(POLL_S)


def end_with_supervisor() -> None:
    """End this process as soon as its supervisor is gone, however it went: it would keep the port."""
    tether = os.environ.pop(TETHER_NAME, "")
    if tether:
        threading.Thread(target=_wait_for_end, args=[int(tether)], daemon=True).start()


def _wait_for_end(tether: int) -> None:
    os.read(tether, 1)  # comes back when the other end is closed
    os._exit(1)


def main(config_file: str) -> int:
    """Keep the program of a configuration running."""
    config = json.loads(Path(config_file).read_text(encoding="utf-8"))
    return Supervisor(config["command"], config["after_crash_s"]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
