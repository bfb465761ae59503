"""Reads how much memory the service holds: from the process table of this host, else from its metrics."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import psutil

from app.instruments.metrics import MetricsPage
from app.instruments.origins import is_loopback
from app.instruments.processes import HostProcesses
from checks.contract import InstrumentFailure, MemoryReading, Target

METRIC = "process_resident_memory_bytes"
LOOK_FOR_CHILDREN_EVERY_S = 2.0
# These listen on this host for a service that runs in a container or elsewhere; their memory is not its.
FORWARDERS = frozenset({"docker-proxy", "rootlessport", "pasta", "slirp4netns", "kubectl", "ssh", "socat"})


class ServiceMemory:
    """The service's resident memory; cheap enough to be read several times a second.

    Of its processes where the target is on this host and they may be looked at: the sum over all that listen
    on its port, their masters and everything these started. Pages that workers share count once for each of
    them, so the sum is an upper bound. Once read so, it is read so to the end, since the two sources differ.
    """

    def __init__(self, target: Target, processes: HostProcesses, metrics: MetricsPage) -> None:
        self._target = target
        self._processes = processes
        self._metrics = metrics
        self._roots: list[psutil.Process] = []
        self._children: list[psutil.Process] = []
        self._children_until = 0.0
        self._by_process: bool | None = None if is_loopback(target.host) else False

    async def read(self) -> MemoryReading:
        """Resident bytes now. A service that was started again is found again.

        Raises InstrumentFailure where neither its processes nor its metrics can be read.
        """
        if self._by_process is not False:
            found = await asyncio.to_thread(self._resident_bytes)  # a look at all processes takes up to 0.5 s
            if found is not None:
                self._by_process = True
                return MemoryReading(found, "process")
            if self._by_process:
                raise InstrumentFailure(f"No process listens on port {self._target.port} any more.")
            self._by_process = False
        return MemoryReading(await self._by_metrics(), "metrics")

    def _resident_bytes(self) -> float | None:
        self._look_for_processes()
        total = 0
        for process in (*self._roots, *self._children):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:  # ended just now, so it holds nothing
                continue
            except psutil.AccessDenied:  # a part would be taken for the whole
                return None
        return float(total) if total else None

    def _look_for_processes(self) -> None:
        if not self._roots or not all(_runs(root) for root in self._roots):
            self._roots = self._find_roots()
            self._children_until = 0.0
        if monotonic() < self._children_until:
            return
        known = set(self._roots)
        self._children = []
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                new = [child for child in root.children(recursive=True) if child not in known]
                self._children += new
                known.update(new)
        self._children_until = monotonic() + LOOK_FOR_CHILDREN_EVERY_S

    def _find_roots(self) -> list[psutil.Process]:
        roots = []
        for pid in sorted({fact.root_pid for fact in self._processes.listening(self._target.port)}):
            with suppress(psutil.Error):
                root = psutil.Process(pid)
                if root.name() not in FORWARDERS:
                    roots.append(root)
        return roots

    async def _by_metrics(self) -> float:
        if self._target.health.metrics is None:
            where = "its processes are not on this host" if not is_loopback(self._target.host) else (
                f"no process that may be looked at listens on port {self._target.port}"
            )  # fmt: skip
            raise InstrumentFailure(
                f"The service's memory cannot be read: {where}, and no metrics route is declared. Add "
                f"`[health] metrics` to the target file, with {METRIC} on the page.",
                missing="health.metrics",
            )
        found = await self._metrics.total(METRIC)
        if found is None:
            raise InstrumentFailure(
                f"The service's memory cannot be read: {METRIC} is not on its metrics page. Most Prometheus "
                "client libraries export it by their process collector.",
                missing="health.metrics",
            )
        return found


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
