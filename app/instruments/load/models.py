"""Who asks when: N users who wait for their answers (closed), or arrivals that wait for nobody (open)."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator
from random import Random
from time import perf_counter

from app.instruments.load.caller import REPLIED, Caller
from app.instruments.load.http1.requests import RequestWriter
from app.instruments.load.questions import NextQuestion
from checks.contract import Arrivals, Failure, LoadPlan

PAUSE_AFTER_NO_REPLY_S = 0.1  # a user who got no reply does not hammer the door
LONGEST_STAGGER_S = 1.0
MOST_AT_ONCE = 64  # sent in one go, so that replies are read in between
NewCaller = Callable[[int, Callable[[Caller, Failure | None], None]], Caller]


class Model(ABC):
    """How a scenario's requests come about. ``callers`` grows as they are needed.

    ``fault`` is called with what ends the scenario. In the open model ``offered`` counts all arrivals so far
    and ``dropped`` those that found no place; ``drops`` are the intended moments of the latter within the
    measurement.
    """

    def __init__(
        self,
        plan: LoadPlan,
        new: NewCaller,
        writer: RequestWriter,
        question: NextQuestion,
        fault: Callable[[BaseException], None],
    ) -> None:
        self.callers: list[Caller] = []
        self.offered = self.dropped = 0
        self.drops = array("d")
        self._plan = plan
        self._new = new
        self._fill = writer.fill
        self._question = question
        self._fault = fault

    @abstractmethod
    def start(self) -> None:
        """Begin to ask."""

    @abstractmethod
    def stop(self, now: float) -> None:
        """Ask nothing more from ``now`` on; requests under way go on."""

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether it was stopped, or has come to its end, and nothing is under way."""

    def arrivals(self) -> Arrivals | None:
        """What became of the arrivals of the measurement; None where there is no schedule."""
        return None

    def leave(self) -> None:
        """Close every connection, without waiting for an answer."""
        for caller in self.callers:
            caller.close()


class ClosedModel(Model):
    """Each user asks, waits for the answer, thinks, and asks again.

    Think time is spread evenly over half to one and a half of what the plan says, so that users do not
    march in step.
    """

    def __init__(
        self,
        plan: LoadPlan,
        new: NewCaller,
        writer: RequestWriter,
        question: NextQuestion,
        random: Random,
        *,
        fault: Callable[[BaseException], None],
    ) -> None:
        super().__init__(plan, new, writer, question, fault)
        self._random = random
        self._thinks_s = plan.think_time_ms / 1000
        self._waiting: dict[Caller, asyncio.TimerHandle] = {}
        self._asking = 0
        self._stopped = False

    def start(self) -> None:
        """Let the users come in over their think time, a second at most."""
        loop = asyncio.get_running_loop()
        over_s = min(self._thinks_s, LONGEST_STAGGER_S)
        for number in range(self._plan.users):
            caller = self._new(number, self._after)
            self.callers.append(caller)
            self._waiting[caller] = loop.call_later(over_s * number / self._plan.users, self._wake, caller)

    def stop(self, now: float) -> None:  # noqa: ARG002 - the open model needs it
        """Ask nothing more."""
        self._stopped = True
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()

    @property
    def idle(self) -> bool:
        """Whether nobody asks or will ask."""
        return self._stopped and not self._asking

    def _wake(self, caller: Caller) -> None:
        del self._waiting[caller]
        try:
            self._next(caller)
        except Exception as error:  # noqa: BLE001 - an event loop would only log it
            self._fault(error)

    def _next(self, caller: Caller) -> None:
        request = self._fill(self._question(), caller.name)
        now = perf_counter()
        self._asking += 1
        caller.ask(request, now)

    def _after(self, caller: Caller, failure: Failure | None) -> None:
        if self._stopped:
            self._asking -= 1
        elif failure is None and not self._thinks_s:
            caller.ask(self._fill(self._question(), caller.name), perf_counter())
        else:
            self._asking -= 1
            self._pause(caller, failure)

    def _pause(self, caller: Caller, failure: Failure | None) -> None:
        pause_s = self._thinks_s * self._random.uniform(0.5, 1.5) if self._thinks_s else 0.0
        if failure is not None and failure.kind not in REPLIED:
            pause_s = max(pause_s, PAUSE_AFTER_NO_REPLY_S)
        if pause_s:
            loop = asyncio.get_running_loop()
            self._waiting[caller] = loop.call_later(pause_s, self._wake, caller)
        else:
            self._next(caller)


class OpenModel(Model):
    """Sends each request when it is meant to be sent, on a connection that is free, or on a new one.

    At most ``plan.users`` are under way at once: an arrival beyond that is dropped, and counted. Connections
    are taken last in first out, so that there are no more of them than are needed.
    """

    def __init__(
        self,
        plan: LoadPlan,
        new: NewCaller,
        writer: RequestWriter,
        question: NextQuestion,
        moments: Iterator[float],
        *,
        start_at: float,
        measured_from: float,
        fault: Callable[[BaseException], None],
    ) -> None:
        super().__init__(plan, new, writer, question, fault)
        self._moments = moments
        self._start_at = start_at
        self._measured_from = measured_from
        self._free: list[Caller] = []
        self._next_at: float | None = None
        self._timer: asyncio.Handle | None = None
        self._scheduled = self._sent = 0  # of the measurement

    def start(self) -> None:
        """Begin with the first arrival."""
        self._loop = asyncio.get_running_loop()
        self._advance()
        self._wait()

    def stop(self, now: float) -> None:
        """Send nothing more. What was due by ``now`` and is not sent yet counts as dropped."""
        if self._timer is not None:
            self._timer.cancel()
        while self._next_at is not None and self._next_at <= now:
            self._drop(self._next_at)
            self._advance()
        self._next_at = None

    @property
    def idle(self) -> bool:
        """Whether the last arrival was sent and answered."""
        return self._next_at is None and len(self._free) == len(self.callers)

    def arrivals(self) -> Arrivals:
        """Scheduled, sent and dropped of the measurement."""
        return Arrivals(self._scheduled, self._sent, len(self.drops))

    def _advance(self) -> None:
        if self._next_at is not None and self._next_at >= self._measured_from:
            self._scheduled += 1  # counted apart from what becomes of it, so that the two can be compared
        moment = next(self._moments, None)
        self._next_at = None if moment is None else self._start_at + moment

    def _wait(self) -> None:
        if self._next_at is not None:
            self._timer = self._loop.call_later(max(0.0, self._next_at - perf_counter()), self._send_due)

    def _send_due(self) -> None:
        try:
            for _ in range(MOST_AT_ONCE):
                now = perf_counter()
                if self._next_at is None or self._next_at > now:
                    break
                self._send(self._next_at, now)
                self._advance()
            self._wait()
        except Exception as error:  # noqa: BLE001 - an event loop would only log it
            self._fault(error)

    def _send(self, intended_at: float, now: float) -> None:
        if self._free:
            caller = self._free.pop()
        elif len(self.callers) < self._plan.users:
            caller = self._new(len(self.callers), self._after)
            self.callers.append(caller)
        else:
            self._drop(intended_at)
            return
        self.offered += 1
        self._sent += intended_at >= self._measured_from
        caller.ask(self._fill(self._question(), caller.name), now, intended_at)

    def _drop(self, intended_at: float) -> None:
        self.offered += 1
        self.dropped += 1
        if intended_at >= self._measured_from:
            self.drops.append(intended_at)

    def _after(self, caller: Caller, _failure: Failure | None) -> None:
        self._free.append(caller)
