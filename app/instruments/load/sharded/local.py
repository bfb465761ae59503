"""Workers that are processes of this machine, a pool of one for each: a lost one takes no other along."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.instruments.load.sharded.plans import ShardPlan, ShardResult
from app.instruments.load.sharded.running import prepare, run_shard

STOP = "stop"
LAST_WRITES_S = 2.0  # for a worker whose driver was killed, to close its sample file


class LocalWorker:
    """One process for one shard, as ``app.instruments.load.shards`` uses it. It ends when this one does."""

    def __init__(self) -> None:
        spawn = get_context("spawn")  # a fork would copy the locks of this process in whatever state they are
        self._mine, theirs = spawn.Pipe()
        self.where = ""
        self.pid: int | None = None  # until it is ready
        self._shard: Future[ShardResult] | None = None
        self._executor = ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(theirs,))
        self._ready: Future[tuple[int, float]] = self._executor.submit(prepare)
        theirs.close()  # the process has its copy, and its death alone then closes the line

    def ready(self) -> float:
        """Wait until the process has started and loaded what it needs. Raises BrokenProcessPool."""
        self.pid, _ = self._ready.result()
        return 0.0  # there is one clock

    def samples(self, file: Path) -> Path:
        """The same disk, the same file."""
        return file

    def line(self) -> Callable[[], _LocalLine]:
        """What opens the worker's end of the line, in the worker."""
        return _line

    def begin(self, shard: ShardPlan) -> Future[ShardResult]:
        """Carry out ``shard``; its future is broken where the process is lost."""
        self._shard = self._executor.submit(run_shard, shard)
        return self._shard

    def heard(self) -> list[dict[str, Any]]:
        """The seconds that came since the last call."""
        seconds = []
        with contextlib.suppress(EOFError, OSError):  # the worker is gone, which its future says too
            while self._mine.poll():
                seconds.append(self._mine.recv())
        return seconds

    def stop(self) -> None:
        """Tell the worker to stop."""
        with contextlib.suppress(OSError):
            self._mine.send(STOP)

    def lost(self) -> bool:
        """False: the future of a process that is lost breaks by itself."""
        return False

    def close(self) -> None:
        """End the process, at once where it is at work after all."""
        if self.pid is not None and not (self._shard and self._shard.done()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._mine.close()


class _LocalLine:
    """The worker's end. The other end closes when its process dies, however it dies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stop: Callable[[], object] | None = None
        self._over = threading.Event()
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    def open(self, stop: Callable[[], object], samples: Path) -> None:
        """Call ``stop`` when told to, and when nobody is there any more."""
        del samples  # on a disk that both processes see
        self._over.clear()
        self._stop = stop

    def tell(self, second: dict[str, Any]) -> None:
        """Pass on a second."""
        with contextlib.suppress(OSError):  # nobody is there: ``_listen`` hears of it too
            self._connection.send(second)

    def close(self) -> None:
        """The samples are on disk."""
        self._stop = None
        self._over.set()

    def _listen(self) -> None:
        try:
            while self._connection.recv():
                self._told()
        except (EOFError, OSError):
            if self._told():
                self._over.wait(LAST_WRITES_S)
            os._exit(1)  # a process of a pool would wait for work forever

    def _told(self) -> bool:
        stop = self._stop
        if stop is not None:
            stop()
        return stop is not None


_kept: list[_LocalLine] = []  # of this process, if it is a worker


def _begin(connection: Connection) -> None:
    """Ctrl-C reaches every process of a terminal; when a worker stops is for its driver to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _kept.append(_LocalLine(connection))


def _line() -> _LocalLine:
    return _kept[0]
