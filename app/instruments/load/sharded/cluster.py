"""Workers of a Dask cluster, on other machines or on this one. There is no common disk, so samples are sent.

A worker sends the bytes of its sample file as they are written, once a second; what has come stays, whatever
becomes of the worker. Dask would start a lost worker's task again elsewhere: it is bound to its worker, and
a shard whose start is long past refuses to run.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import distributed
from distributed.client import ClosedClientError

from app.errors import UserError
from app.instruments.load.sharded.plans import ShardPlan, ShardResult
from app.instruments.load.sharded.running import prepare, run_shard
from app.samples.writing import part_of

# What a call to the scheduler raises where there is none any more ("ConnectionPool is closed" is the last).
GONE = (OSError, TimeoutError, ClosedClientError, RuntimeError)
SECOND, SAMPLES = "second", "samples"
PUMP_S = 1.0
SWITCH_S = 0.0005  # the worker's other threads hold up the load for no longer than this at a time
READY_S = 60.0
CLOCK_LOOKS = 5
BEAT_LOST_S = 6.0  # without a sign of life from the driver, a worker stops
CONNECT_S = 10.0
MAX_QUEUED = 1_000
SENT_BYTES = 4 << 20


class ClusterError(UserError):
    """The Dask cluster cannot be used; the message says why and what to do."""


class Cluster:
    """A connection to a Dask scheduler. Raises ClusterError."""

    def __init__(self, address: str) -> None:
        self.address = address
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # its losses are told in our words
        try:
            self._client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {address}. Start one with `python -m dask scheduler`, or "
                f"unset GREENLIGHT_DASK to use processes of this machine."
            ) from error

    def workers(self, count: int | None, samples: Callable[[int], Path]) -> list[ClusterWorker]:
        """``count`` of its workers, all without a number. Raises ClusterError where there are too few."""
        there = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
        if not there or (count or 0) > len(there):
            wanted = f"{count} are wanted" if count else "one is needed"
            raise ClusterError(
                f"The Dask scheduler {self.address} has {len(there)} workers, and {wanted}. Start more with "
                f"`python -m dask worker {self.address} --nthreads 1`."
            )
        return [
            ClusterWorker(self._client, address, samples(number))
            for number, address in enumerate(there[:count])
        ]

    def close(self) -> None:
        """Leave the cluster as it is."""
        self._client.close()


class ClusterWorker:
    """One worker of a cluster. What it sends of its samples is written to the part of ``samples``, here."""

    def __init__(self, client: distributed.Client, address: str, samples: Path) -> None:
        self.where = f" at {address}"
        bound = {"workers": [address], "allow_other_workers": False, "retries": 0, "pure": False}
        self._executor = client.get_executor(**bound)
        self._client = client
        self._address = address
        self._line = f"greenlight-{uuid4().hex}"
        self._queue = distributed.Queue(self._line, client=client)
        self._word = distributed.Variable(self._line, client=client)
        self._stopping = self._gone = self._cut_off = False
        self._beat_at = self._looked_at = 0.0
        self._beats = 0
        samples.parent.mkdir(parents=True, exist_ok=True)
        self._part = part_of(samples).open("wb")
        self._ready = self._executor.submit(prepare)
        self._beat()

    def ready(self) -> float:
        """Wait until the worker has loaded what it needs; how far its clock is ahead of this one's, in s.

        That is the offset of the exchange that took least, as NTP has it (RFC 5905, 8). Raises ClusterError.
        """
        try:
            self._ready.result(timeout=READY_S)
            looks = [self._clock() for _ in range(CLOCK_LOOKS)]
        except Exception as error:
            raise ClusterError(
                f"The Dask worker{self.where} cannot work: {type(error).__name__}: {error}. It needs the "
                f"same Greenlight and Python as here; start it in Greenlight's folder, with its .venv."
            ) from error
        return min(looks)[1]

    def _clock(self) -> tuple[float, float]:
        before = time.time()
        _, there = self._executor.submit(prepare).result(timeout=READY_S)
        took_s = time.time() - before
        return took_s, there - (before + took_s / 2)

    def samples(self, file: Path) -> None:
        """There is no common disk."""

    def line(self) -> Callable[[], _ClusterLine]:
        """What opens the worker's end of the line, in the worker."""
        return partial(_ClusterLine, self._line)

    def begin(self, shard: ShardPlan) -> Future[ShardResult]:
        """Carry out ``shard``; whether the worker is still there, ``lost`` says."""
        future: Future[ShardResult] = self._executor.submit(run_shard, shard)
        return future

    def heard(self) -> list[dict[str, Any]]:
        """The seconds that came since the last call; samples that came are on disk."""
        messages: list[tuple[str, Any]] = []
        if not self._cut_off:
            try:
                self._beat()
                messages = self._queue.get(batch=True)
                self._look_for_it()
            except GONE:
                self._cut_off = True
        for what, content in messages:
            if what == SAMPLES:
                self._part.write(content)
        self._part.flush()
        return [content for what, content in messages if what == SECOND]

    def _look_for_it(self) -> None:
        if time.monotonic() - self._looked_at >= PUMP_S:
            self._looked_at = time.monotonic()
            self._gone = self._address not in self._client.scheduler_info(n_workers=-1)["workers"]

    def stop(self) -> None:
        """Tell the worker to stop; it looks once a second."""
        self._stopping, self._beat_at = True, 0.0
        with contextlib.suppress(*GONE):
            self._beat()

    def lost(self) -> bool:
        """Whether the worker has left the cluster, or the scheduler cannot be reached."""
        return self._gone or self._cut_off

    def close(self) -> None:
        """Let go of the worker. One that is still at work hears no more from here, and stops."""
        self._part.close()
        with contextlib.suppress(*GONE):
            self._executor.shutdown(wait=False)
            self._queue.close()
            self._word.delete()

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at >= PUMP_S:
            self._beat_at = time.monotonic()
            self._beats += 1
            self._word.set([self._beats, self._stopping])


class _ClusterLine:
    """The worker's end: a thread sends what there is once a second, and looks whether it shall stop."""

    def __init__(self, name: str) -> None:
        client = distributed.get_client()
        self._queue = distributed.Queue(name, client=client, maxsize=MAX_QUEUED)
        self._word = distributed.Variable(name, client=client)
        self._seconds: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._sent_bytes = 0

    def open(self, stop: Callable[[], object], samples: Path) -> None:
        """Begin to send the part of ``samples``; ``stop`` when told to, or without a sign of life."""
        self._part = part_of(samples)
        self._stop = stop
        self._interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        self._thread = threading.Thread(target=self._pump, name="line", daemon=True)
        self._thread.start()

    def tell(self, second: dict[str, Any]) -> None:
        """Pass on a second with the next samples."""
        self._seconds.put(second)

    def close(self) -> None:
        """Send the rest."""
        self._over.set()
        if self._thread is None:  # it was never opened
            return
        self._thread.join()
        self._send()
        sys.setswitchinterval(self._interval_s)

    def _pump(self) -> None:
        beat, heard_at = 0, time.monotonic()
        stopped = False
        while not self._over.wait(PUMP_S):
            try:
                self._send()
                beats, stopping = self._word.get(timeout=BEAT_LOST_S)
            except GONE:
                beats, stopping = beat, False
            if beats != beat:
                beat, heard_at = beats, time.monotonic()
            if not stopped and (stopping or time.monotonic() - heard_at > BEAT_LOST_S):
                stopped = True
                self._stop()

    def _send(self) -> None:
        while not self._seconds.empty():
            self._queue.put([SECOND, self._seconds.get()], timeout=BEAT_LOST_S)
        if not self._part.exists():
            return
        with self._part.open("rb") as part:
            part.seek(self._sent_bytes)
            while piece := part.read(SENT_BYTES):
                self._queue.put([SAMPLES, piece], timeout=BEAT_LOST_S)
                self._sent_bytes += len(piece)
