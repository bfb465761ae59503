"""One cell of the matrix: some checks against one misbehaviour, with the instruments and engine of a run.

What is wrong with Greenlight, should anything be, is in ``Row.faults``; what is wrong with the service is in
the finding and of no interest here.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import psutil

from app import profiles, rubric
from app.engine import Engine, Measured, Watcher
from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.toolbox import Hooks, Toolbox
from checks import LoadedCheck, all_checks
from checks.contract import Finding, Instruments, Outcome, Target
from tests.hostile.plain import OTHER_TOKEN, TOKEN
from tests.hostile.server import Places, serve
from tests.hostile.visits import BEHAVIOURS

FAMILIES = ("cache", "endpoint_health")
MAX_MB = 300
LATE_S = 2.0  # stopping a check that ran out of time, on a busy machine
SETTLE_S = 2.0
MAX_REASON_CHARS = 1_500
MAX_FIX_CHARS = 4_000  # it may hold tables of a target file to paste
MAX_REPRODUCE_CHARS = 13_000  # three curl lines with a body each
ENVIRONMENT = {
    "HOSTILE_TOKEN": TOKEN,
    "HOSTILE_OTHER_TOKEN": OTHER_TOKEN,
    "HOSTILE_EXPIRED_TOKEN": "t0ken-that-has-run-out",
    "HOSTILE_PASSWORD": "passw0rd-of-the-target",
}
# An outage is not made to last: nothing here depends on how long a service that lies can bear one.
PROFILE = replace(profiles.named("quick"), outage_s=1.5)


@dataclass(frozen=True)
class Cell:
    """What to carry out."""

    behaviour: str
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What became of one check; ``peak_mb`` is the process's at the end of its cell."""

    behaviour: str
    check: str
    outcome: str
    seconds: float
    deadline_s: float
    reason: str
    peak_mb: float
    faults: tuple[str, ...]


def checks_to_try() -> dict[str, LoadedCheck]:
    """Every check of the families, whoever added it."""
    return {name: check for name, check in all_checks().items() if check.family in FAMILIES}


def target_at(places: Places) -> Target:
    """The service's target file: all that these checks can be told, with secrets wherever one may stand."""
    body = {"message": "{prompt}", "session_id": "{session}"}
    headers = {"Authorization": "Bearer ${HOSTILE_TOKEN}", "X-User-Id": "{user}"}
    cached = {"json": "metadata.from_cache", "equals": True}
    return Target.model_validate(
        {
            "key": "hostile",
            "url": places.url,
            "allow_faults": True,
            "ask": {
                "path": "/api/chat",
                "headers": headers,
                "body": body,
                "idempotency_header": "Idempotency-Key",
                "answer": "answer",
                "cached": cached,
            },
            "stream": {
                "path": "/api/v1/chat/stream",
                "headers": headers,
                "body": body,
                "token": "text",
                "end_event": "done",
                "cached": cached,
                "open": {"url": places.meter, "json": "streams_open"},
            },
            "auth": {
                "valid": "Bearer ${HOSTILE_TOKEN}",
                "other": "Bearer ${HOSTILE_OTHER_TOKEN}",
                "expired": "Bearer ${HOSTILE_EXPIRED_TOKEN}",
                "protected": [
                    {"path": "/api/orders"},
                    {"method": "POST", "path": "/api/orders", "body": body},
                ],
            },
            "prompts": {
                "near_duplicates": [
                    {"questions": ["Within 14 days?", "Within 41 days?"], "tells": ["14", "41"]}
                ],
                "context": {"tell": "Please remember that my code is {secret}.", "ask": "What is my code?"},
            },
            "web_origins": ["https://shop.example"],
            "health": {
                "liveness": "/health",
                "readiness": "/ready",
                "metrics": "/metrics",
                "headers": {"Authorization": "Bearer ${HOSTILE_TOKEN}"},
                "instance": {"json": "instance", "present": True},
                "requests": {"metric": "http_requests_total", "labels": {}},
            },
            "objectives": {
                "peak_per_s": 10,
                "answer_within_s": 5,
                "body_bytes": 64_000,
                "rate_limit": {"path": "/api/orders", "per_s": 10, "burst": 20},
            },
            "redis": {
                "url": f"redis://user:${{HOSTILE_PASSWORD}}@127.0.0.1:{places.redis}/0",
                "key_prefix": "chat:",
            },
            "upstream": {"calls": {"url": places.meter, "json": "calls"}},
            "cost": {"price_per_call_usd": 0.04, "questions_per_day": 3500, "budget_per_month_usd": 840},
            "levers": {
                "cache": {
                    "kind": "toxiproxy",
                    "api": places.lever,
                    "proxy": "cache",
                    "ways": ["refuse", "hang"],
                }
            },
        }
    )


def carry_out(cell: Cell, certificate: Path) -> list[Row]:
    """Serve the misbehaviour and measure it. Must be called in a process that has one thread."""
    known = checks_to_try()
    said: list[str] = []
    with serving(cell.behaviour, certificate) as (places, strays), tempfile.TemporaryDirectory() as folder:
        before = open_sockets()
        toolbox = WatchedToolbox(
            target_at(places),
            PROFILE,
            policy=Policy(),
            seed=Random().getrandbits(48),
            hooks=Hooks(
                said.append, lambda data: None, lambda result: None, lambda *change: said.append(str(change))
            ),
            ledger=Ledger(Path(folder)),
            samples_folder=None,
            environment=ENVIRONMENT,
        )
        watcher = Watcher(
            lambda check: None, lambda measured: None, lambda: False, lambda check: said.append("abandoned")
        )
        engine = Engine(target_at(places), toolbox, rubric.load(checks=all_checks()), PROFILE, watcher)
        measured = engine.run([known[name] for name in cell.checks])
        faults = left_behind(before, toolbox, strays())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << (20 if sys.platform == "darwin" else 10)
    )
    if peak > MAX_MB:
        faults.append(f"took {peak:.0f} MB of memory")
    faults += [f"said a secret: {text[:200]}" for text in said if tells_a_secret(text)]
    return [row_of(cell.behaviour, item, peak, faults) for item in measured]


@contextmanager
def serving(behaviour: str, certificate: Path) -> Iterator[tuple[Places, object]]:
    """A server of its own, and how to ask it how many were led off the target."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    server = fork.Process(target=serve, args=(BEHAVIOURS[behaviour], certificate, there))
    server.start()
    there.close()

    def strays() -> int:
        here.send("strays?")
        return int(here.recv())

    try:
        yield Places(**here.recv()), strays
    finally:
        server.kill()
        server.join()
        here.close()


class WatchedToolbox(Toolbox):
    """The real toolbox, which also looks for tasks that a check leaves running."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.tasks: list[str] = []

    @asynccontextmanager
    async def open(self, check: LoadedCheck) -> AsyncIterator[Instruments]:
        async with super().open(check) as instruments:
            yield instruments
        gc.collect()
        for _ in range(round(SETTLE_S / 0.02)):
            if not (tasks := asyncio.all_tasks() - {asyncio.current_task()}):
                break
            await asyncio.sleep(0.02)  # what was cancelled, or collected, may come to its end
        self.tasks += [repr(task)[:300] for task in tasks]


def open_sockets() -> int:
    """How many sockets this process holds."""
    return sum(connection.status != psutil.CONN_NONE for connection in psutil.Process().net_connections())


def left_behind(before: int, toolbox: WatchedToolbox, strays: int) -> list[str]:
    """Tasks, threads and sockets that outlive the checks, and whoever asked where nothing is declared."""
    end = time.monotonic() + SETTLE_S
    while (open_sockets() > before or threading.active_count() > 1) and time.monotonic() < end:
        time.sleep(0.05)
    faults = [f"left a task: {task}" for task in toolbox.tasks]
    faults += [
        f"left a thread: {thread.name}"
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    ]
    if open_sockets() > before:
        faults.append(f"left {open_sockets() - before} sockets open")
    if strays:
        faults.append(f"was led off the target {strays} times")
    return faults


def row_of(behaviour: str, measured: Measured, peak: float, faults: list[str]) -> Row:
    """The finding as a row, with what is wrong with it."""
    finding, deadline_s = measured.finding, measured.check.about.deadline_in(PROFILE)
    found = [*faults, *wrong_words(finding)]
    if finding.outcome is Outcome.ERROR:
        found.append(finding.reason)
    if measured.seconds > deadline_s + LATE_S:
        found.append(f"took {measured.seconds:.0f} s of {deadline_s:.0f} s")
    if tells_a_secret(json.dumps(measured.evidence, ensure_ascii=False)):
        found.append("keeps a secret in its evidence")
    return Row(
        behaviour,
        measured.check.id,
        finding.outcome.value,
        round(measured.seconds, 2),
        deadline_s,
        finding.reason,
        round(peak, 1),
        tuple(found),
    )


def wrong_words(finding: Finding) -> list[str]:
    """What is wrong with a finding's texts: control characters, their length, a secret."""
    texts = {
        "reason": (finding.reason, MAX_REASON_CHARS, ""),
        "fix": (finding.fix, MAX_FIX_CHARS, "\n"),
        "reproduce": (finding.reproduce, MAX_REPRODUCE_CHARS, "\n"),
        "missing": (finding.missing or "", 200, ""),
    }
    found = []
    for name, (text, longest, allowed) in texts.items():
        odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in allowed}
        if odd:
            found.append(f"its {name} holds {sorted(map(ascii, odd))}: {text[:300]!a}")
        if len(text) > longest:
            found.append(f"its {name} has {len(text)} characters")
        if tells_a_secret(text):
            found.append(f"its {name} tells a secret: {text[:300]!a}")
    return found


def tells_a_secret(text: str) -> bool:
    """Whether a value of the environment stands in ``text``."""
    return any(value in text for value in ENVIRONMENT.values())
