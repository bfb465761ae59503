"""Summaries of open and closed runs for tests, made of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checks.contract import LoadPlan, LoadStep, LoadSummary, ProcessFact
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedLoad,
    ScriptedProcesses,
    ScriptedQuestions,
    a_bad_answer,
    a_summary,
    an_answer,
)


def a_step(start_s: float, duration_s: float, per_s: float, **changes: Any) -> LoadStep:
    """A stage in which all was answered, p95 300 ms."""
    scheduled = changes.get("scheduled", round(per_s * duration_s))
    lost = changes.get("failed", 0) + changes.get("dropped", 0)
    fields: dict[str, Any] = {
        "start_s": start_s,
        "duration_s": duration_s,
        "offered_per_s": per_s,
        "scheduled": scheduled,
        "dropped": 0,
        "answered": scheduled - lost,
        "failed": 0,
        "shed": 0,
        "timed_out": 0,
        "answered_per_s": (scheduled - lost) / duration_s,
        "p50_ms": 120.0,
        "p95_ms": 300.0,
    }
    return LoadStep(**fields | changes)


def of_steps(plan: LoadPlan, steps: Sequence[LoadStep], **changes: Any) -> LoadSummary:
    """The summary of an open run that consists of ``steps``."""
    failed = sum(step.failed for step in steps)
    sent = sum(step.scheduled - step.dropped for step in steps)
    fields: dict[str, Any] = {
        "model": "open",
        "steps": tuple(steps),
        "total_requests": sent,
        "failed": failed,
        "successful": sent - failed,
    }
    return a_summary(plan, **fields | changes)


def process(pid: int = 70, root_pid: int | None = None, started_at: float = 1000.0) -> ProcessFact:
    """A process that listens on the port of ``a_target()``."""
    return ProcessFact(pid, root_pid or pid, started_at, "serve", (1,))


class ProcessesInTurn(ScriptedProcesses):
    """Other processes at each look; the last stay."""

    def __init__(self, *looks: Sequence[ProcessFact]) -> None:
        super().__init__({})
        self.looks = list(looks)

    def listening(self, port: int) -> list[ProcessFact]:
        return list(self.looks.pop(0) if len(self.looks) > 1 else self.looks[0])


def driven(load: ScriptedLoad, *, answers: Sequence[bool] = (True,), **given: Any) -> ScriptedInstruments:
    """Instruments around ``load``. ``answers``: whether each single question is answered; the last stays."""
    left = list(answers)

    def answer(prompt: str, route: str):
        good = left.pop(0) if len(left) > 1 else left[0]
        return an_answer(route=route) if good else a_bad_answer(None)

    given.setdefault("processes", ProcessesInTurn([process()]))
    return ScriptedInstruments(load=load, questions=ScriptedQuestions(answer), **given)
