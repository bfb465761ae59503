"""Whether the same server answers after a scenario as before it: a supervised crash looks like a blip.

Private to this family.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from checks.contract import Instruments, Request, Route, Target, at_path, plural

LOOKS = 5  # at the health route, over new connections, so that replicas show
CLOCK_GRAIN_S = 1.0  # a start time is counted from the boot, whose own time may be corrected
ANSWERS_WITHIN_S = 20.0
ASK_TIMEOUT_S = 10.0
RETRY_S = 0.5
MAX_CHARS = 80


@dataclass(frozen=True)
class Process:
    """A process of this host that listens on the target's port; ``started_at`` in epoch s."""

    pid: int
    root_pid: int
    started_at: float

    def same_as(self, other: Process) -> bool:
        """Whether this is the same process, and not another one with its number."""
        return self.pid == other.pid and abs(self.started_at - other.started_at) < CLOCK_GRAIN_S


@dataclass(frozen=True)
class Servers:
    """Who serves: processes, empty where the target is elsewhere, and the instances that health names."""

    processes: tuple[Process, ...]
    instances: tuple[str, ...]

    @property
    def visible(self) -> bool:
        """Whether a restart would show."""
        return bool(self.processes or self.instances)


async def servers_now(target: Target, instruments: Instruments) -> Servers:
    """Look at the process table, and at the declared instance id (not while a rolling deploy is declared)."""
    facts = instruments.processes.listening(target.port)
    processes = tuple(Process(fact.pid, fact.root_pid, fact.started_at) for fact in facts)
    marker = target.health.instance
    if marker is None or target.health.liveness is None or target.health.rolling_deploy:
        return Servers(processes, ())
    request = Request("GET", target.health.liveness, target.health.headers)
    names: set[str] = set()
    for _ in range(LOOKS):
        reply = await instruments.http.send(request, timeout_s=5.0, fresh_connection=True)
        found = (
            reply.headers.get(marker.header.lower())
            if marker.header is not None
            else at_path(reply.document(), marker.json_path or "")
        )
        if isinstance(found, (str, int)):
            names.add(str(found)[:MAX_CHARS])
    return Servers(processes, tuple(sorted(names)))


def restart_between(before: Servers, after: Servers, failed: int) -> str:
    """What ended in between, "" for nothing. ``failed`` requests tell a crash from a worker sent home.

    A server whose master lives may replace its workers on purpose; only where requests failed meanwhile is
    that a crash. Instances are compared as sets: several replicas may answer.
    """
    gone = [old for old in before.processes if not any(old.same_as(new) for new in after.processes)]
    if gone and not after.processes:
        return f"process {gone[0].pid} ended, and no other listens in its place"
    if gone and len(gone) == len(before.processes):
        return f"process {gone[0].pid} ended, and process {after.processes[0].pid} listens in its place"
    if before.processes and not gone:
        return ""  # what is seen to live on is not contradicted by which of several answered the looks
    roots = [old for old in gone if old.pid == old.root_pid]
    if roots or (gone and failed):
        return f"process {(roots or gone)[0].pid} ended, and {plural(failed, 'request')} failed"
    replaced = len(before.instances) == 1 and set(after.instances) - set(before.instances)
    if after.instances and (replaced or set(before.instances).isdisjoint(after.instances)):
        return f"instance {before.instances[0]} is gone, and {after.instances[0]} answers in its place"
    return ""


async def answers_within(
    instruments: Instruments, route: Route, wait_s: float = ANSWERS_WITHIN_S
) -> float | None:
    """Seconds until a never-seen question gets a good answer; None where none does within ``wait_s``."""
    started = time.monotonic()
    while True:
        [question] = instruments.prompts.fresh(1)
        answer = await instruments.questions.ask(question, route=route, timeout_s=ASK_TIMEOUT_S)
        waited_s = time.monotonic() - started
        if answer.good:
            return waited_s
        if waited_s > wait_s:
            return None
        await asyncio.sleep(RETRY_S)
