"""The service's own processes: who they are, and when it answers again after they ended.

Private to this family.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from time import monotonic

from checks.contract import FailureKind, InstrumentFailure, Instruments, ProcessFact, Route, Target

LEVER = "service"
IN_A_ROW = 3  # a service that answers once and dies again is not back
TRY_S = 10.0
PAUSE_S = 0.1
CLOCK_GRAIN_S = 1.0  # a start time is counted from the boot, whose own time may be corrected
MAX_CHARS = 200


@dataclass(frozen=True)
class Process:
    """A process that listens for the service; ``started_at`` in s since 1970."""

    pid: int
    started_at: float

    def same_as(self, other: Process) -> bool:
        """Whether this is the same process, and not another one with its number."""
        return self.pid == other.pid and abs(self.started_at - other.started_at) < CLOCK_GRAIN_S


@dataclass(frozen=True)
class Again:
    """The service after its end: when it took a request again, and when it answered well from then on.

    Both in s from the end, None for never. ``seen`` counts what callers got meanwhile.
    """

    listens_s: float | None = None
    answers_s: float | None = None
    seen: dict[str, int] | None = None


def require_way(instruments: Instruments, way: str) -> None:
    """Raises InstrumentFailure where the lever cannot do it."""
    if way not in instruments.faults.ways(LEVER):
        raise InstrumentFailure(
            f'The lever `{LEVER}` has no way "{way}". Add it to `[levers.{LEVER}] ways`.',
            missing=f"levers.{LEVER}.ways",
        )


def facts_now(target: Target, instruments: Instruments) -> list[ProcessFact]:
    """Who listens where the lever looks; nobody where it is none of signals: then they may be anywhere."""
    lever = target.levers[LEVER]
    return instruments.processes.listening(lever.port or target.port) if lever.kind == "process" else []


def processes_of(facts: list[ProcessFact]) -> tuple[Process, ...]:
    """What of them is kept."""
    return tuple(Process(fact.pid, fact.started_at) for fact in facts)


async def answers_again(
    instruments: Instruments, route: Route, ended_at: float, watched_s: float, known: Again | None = None
) -> Again:
    """Ask never-seen questions until IN_A_ROW are answered well, or ``watched_s`` after the end are over."""
    listens_s, first_s, row = (known.listens_s if known else None), 0.0, 0
    seen: Counter[str] = Counter((known.seen if known else None) or {})
    while True:
        asked_s = monotonic() - ended_at
        [question] = instruments.prompts.fresh(1)
        answer = await instruments.questions.ask(question, route=route, timeout_s=TRY_S)
        now_s = monotonic() - ended_at
        if answer.status is not None and listens_s is None:
            listens_s = now_s
        if answer.good:
            first_s, row = (first_s if row else now_s), row + 1
            if row == IN_A_ROW:
                return Again(listens_s, first_s, dict(seen))
            continue
        row = 0
        kind = answer.failure.kind if answer.failure else None
        refused = kind in (FailureKind.REFUSED, FailureKind.RESET)
        seen["no connection" if refused else answer.problem[:MAX_CHARS] or "no answer"] += 1
        if asked_s >= watched_s:
            return Again(listens_s, None, dict(seen))
        await asyncio.sleep(PAUSE_S)
