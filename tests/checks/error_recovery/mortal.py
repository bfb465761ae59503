"""A service in memory that dies and comes back, for tests of checks that end it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import SimpleNamespace
from typing import Any

from checks.contract import (
    Answer,
    Event,
    Failure,
    FailureKind,
    InstrumentFailure,
    ProcessFact,
    Reply,
    Request,
    Route,
)
from tests.checks.scripted import (
    ScriptedFaults,
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedProcesses,
    ScriptedQuestions,
    a_bad_answer,
    a_target,
    an_answer,
)

PORT = 1
PROCESS = {"kind": "process", "ways": ["kill", "pause", "term"]}
REFUSED = Failure(FailureKind.REFUSED, "connection refused")
CUT = Failure(FailureKind.RESET, "the reply was cut short")


def a_mortal_target(**changes: Any):
    return a_target(
        **{"levers": {"service": PROCESS}, "shutdown": {"within_s": 0.5}, "redis": None, **changes}
    )


@dataclass
class Mortal:
    """``down_s``: how long it is away after its end, None for ever. ``cold_s``: how long it then answers 500.

    ``takes_s`` an answer takes. What is under way when it is told to end comes to ``ends`` of its kind:
    "well", "cut", or a status. It is gone ``ends_in_s`` after that, None for never. ``never_ends``: it
    survives a kill. ``raises``: the lever's last words.
    """

    down_s: float | None = 0.05
    cold_s: float = 0.0
    takes_s: float = 0.15
    ends: dict[str, Any] = field(default_factory=lambda: {"answer": "well", "stream": "well"})
    ends_in_s: float | None = 0.1
    never_dies: bool = False
    raises: str = ""
    working: Route | None = "ask"
    queued: int | None = 0
    fails_before: bool = False
    generation: int = 0
    ended_at: float = 0.0
    told_at: float = 0.0
    asked_as: list[tuple[str, str]] = field(default_factory=list)

    def instruments(self, **changes: Any) -> ScriptedInstruments:
        self.faults = Levers(self)
        given = {
            "questions": Asked(self),
            "http": Http(self),
            "sse": SimpleNamespace(opened=self.stream),
            "processes": Processes(self),
            "faults": self.faults,
        }
        return ScriptedInstruments(**given | changes)

    def up(self) -> bool:
        return not self.generation or (self.down_s is not None and monotonic() - self.ended_at >= self.down_s)

    def status(self) -> int | None:
        if not self.up():
            return None
        cold = self.generation and monotonic() - self.ended_at < (self.down_s or 0) + self.cold_s
        return 500 if cold else 200

    def end(self) -> None:
        self.generation += 1
        self.ended_at = monotonic()

    async def reply(self, kind: str) -> int | str:
        """A status, "refused" or "cut"."""
        began, generation = monotonic(), self.generation
        if self.told_at and not self.generation:
            return "refused"
        if self.status() is None:
            return "refused"
        while True:
            await asyncio.sleep(0.005)
            if self.told_at >= began and self.ends[kind] != "well":
                return self.ends[kind]
            if monotonic() - began >= self.takes_s:
                break
        if self.fails_before and not self.generation:
            return 500
        return "cut" if self.generation != generation and not self.told_at else (self.status() or 200)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Any]:
        reading = SimpleNamespace(status=None, failure=None, port=1, events=[], over=False)

        async def read() -> None:
            came = await self.reply("stream")
            if came == "refused":
                reading.failure = REFUSED
            elif came == "cut":
                reading.status, reading.failure = 200, CUT
            else:
                reading.status = came
                reading.events.append(Event(1.0, "done", "{}"))
            reading.over = True

        task = asyncio.create_task(read())
        try:
            yield reading
        finally:
            task.cancel()


class Asked(ScriptedQuestions):
    def __init__(self, service: Mortal) -> None:
        super().__init__(lambda prompt, route: an_answer(), working=service.working)
        self.service = service

    async def ask(self, prompt: str, *, route: Route = "ask", timeout_s: float = 30.0, **_: Any) -> Answer:
        await asyncio.sleep(0)
        status = self.service.status()
        if status is None:
            return a_bad_answer(None, failure=REFUSED)
        return an_answer(elapsed_ms=self.service.takes_s * 1000) if status == 200 else a_bad_answer(status)


class Http(ScriptedHttp):
    def __init__(self, service: Mortal) -> None:
        super().__init__({})
        self.service = service

    async def send(
        self, request: Request, *, timeout_s: float = 10.0, fresh_connection: bool = False
    ) -> Reply:
        assert fresh_connection, "a kept connection hides what was lost"
        came = await self.service.reply("answer")
        if isinstance(came, str):
            return Reply(request.url, failure=REFUSED if came == "refused" else CUT)
        return Reply(request.url, came, body=json.dumps({"answer": "Within 30 days."}).encode())


class Processes(ScriptedProcesses):
    def __init__(self, service: Mortal) -> None:
        super().__init__({})
        self.service = service

    def listening(self, port: int) -> list[ProcessFact]:
        assert port == PORT
        born = 100.0 if self.service.never_dies else 100.0 + self.service.generation * 10
        pid = 7 if self.service.never_dies else 7 + self.service.generation
        return [ProcessFact(pid, pid, born, "shop", (port,))] if self.service.up() else []

    def runs(self, fact: ProcessFact) -> bool:
        service = self.service
        if not service.told_at:
            return fact.pid == 7 + service.generation
        gone = service.ends_in_s is not None and monotonic() - service.told_at >= service.ends_in_s
        if gone and not service.generation:
            service.end()
        return not gone

    def waiting(self, port: int) -> int | None:
        return self.service.queued


class Levers(ScriptedFaults):
    def __init__(self, service: Mortal) -> None:
        super().__init__({"service": ("kill", "term"), "upstream": ()})
        self.service = service

    @asynccontextmanager
    async def _broken(self, lever: str, way: str) -> AsyncIterator[None]:
        async with super()._broken(lever, way):
            if way == "kill":
                self.service.end()
            elif way == "term":
                self.service.told_at = monotonic()
            yield
        if way == "term" and not self.service.generation:
            self.service.end()  # whoever stays is killed
        if self.service.raises:
            raise InstrumentFailure(self.service.raises)
