"""Users who ask and read streams without a pause, each on a connection of its own, until told to stop.

Private to this family.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from checks.contract import Call, FailureKind, InstrumentFailure, Instruments, Request, Target, at_path

LOOK_S = 0.02
REST_S = 0.05  # after a failure, so that a service that is away is not stormed
MAX_CHARS = 200


@dataclass
class Sent:
    """One request: when it was sent, when its reply began and ended (``time.monotonic``), and what came."""

    kind: Literal["answer", "stream"]
    sent_at: float
    began_at: float | None = None
    ended_at: float | None = None
    good: bool = False
    status: int | None = None
    failure: FailureKind | None = None
    problem: str = ""


@dataclass
class Crowd:
    """The users, and all that they sent."""

    target: Target
    instruments: Instruments
    patience_s: float
    askers: int
    readers: int
    sent: list[Sent] = field(default_factory=list)
    _over: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Everybody asks from now on; nobody does after the block."""
        spared = self.target.under_load()
        work: list[Coroutine[None, None, None]] = []
        if spared.ask is not None:
            work += [self._ask(spared.ask, number) for number in range(self.askers)]
        if spared.stream is not None:
            work += [self._read(spared.stream, number) for number in range(self.readers)]
        self._tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            self.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Nobody sends anything new."""
        self._over = True

    async def finished(self, within_s: float) -> None:
        """Wait for what is under way. Raises InstrumentFailure where a user could not ask."""
        done, _ = await asyncio.wait(self._tasks, timeout=within_s)
        for task in done:
            if not task.cancelled() and isinstance(error := task.exception(), InstrumentFailure):
                raise error
            task.result()

    async def _ask(self, call: Call, number: int) -> None:
        while not self._over:
            sent = self._send("answer")
            reply = await self.instruments.http.send(
                self._new(call, number), timeout_s=self.patience_s, fresh_connection=True
            )
            sent.ended_at, sent.status = monotonic(), reply.status
            if reply.failure is not None:
                sent.failure, sent.problem = reply.failure.kind, reply.failure.detail[:MAX_CHARS]
            else:
                sent.problem = self._complaint(reply.status, reply.document())
            sent.good = not sent.problem
            if not sent.good:
                await asyncio.sleep(REST_S)

    def _complaint(self, status: int | None, document: object) -> str:
        ask = self.target.ask
        if ask is None or status not in ask.good_statuses:
            return f"status {status}"
        if ask.answer is not None and not at_path(document, ask.answer):
            return f"status {status} without an answer"
        return ""

    async def _read(self, call: Call, number: int) -> None:
        stream = self.target.stream
        assert stream is not None  # noqa: S101 - asking looked
        while not self._over:
            sent = self._send("stream")
            async with self.instruments.sse.opened(self._new(call, number)) as reading:
                until = sent.sent_at + self.patience_s
                while not reading.over and monotonic() < until:
                    await asyncio.sleep(LOOK_S)
                    if reading.status is not None and sent.began_at is None:
                        sent.began_at = monotonic()
                sent.ended_at, sent.status = monotonic(), reading.status
                events = reading.events
                ends = bool(stream.end_event or stream.end_data or stream.end_json)
                complete = bool(events) and (not ends or stream.ends(events[-1].name, events[-1].data))
                if reading.failure is not None:
                    sent.failure, sent.problem = reading.failure.kind, reading.failure.detail[:MAX_CHARS]
                elif not 200 <= (reading.status or 0) < 300:
                    sent.problem = f"status {reading.status}"
                elif not complete:
                    sent.problem = f"broke off after {len(events)} events"
                sent.good = not sent.problem
            if not sent.good:
                await asyncio.sleep(REST_S)

    def _send(self, kind: Literal["answer", "stream"]) -> Sent:
        self.sent.append(Sent(kind, monotonic()))
        return self.sent[-1]

    def _new(self, call: Call, number: int) -> Request:
        nonce = str(
            uuid.uuid4()
        )  # not from the run's seed: a key that was used before would replay its reply
        [prompt] = self.instruments.prompts.fresh(1)
        return call.render(prompt=prompt, user=f"assessment-{number}", session=nonce, nonce=nonce)
