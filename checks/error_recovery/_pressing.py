"""Callers who keep asking new questions, at a pace that no answer changes. Private to this family."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from checks.contract import Instruments, Route
from checks.error_recovery._callers import Told, told
from checks.error_recovery._calls import UpstreamCalls

SLOT_S = 0.5
WINDOW = 4  # slots, two seconds: longer than the pause of a breaker that lets one in twenty through
MAX_WAITING = 60  # callers at once: more would only measure how many connections there are


@dataclass(frozen=True)
class Slot:
    """A while of asking: questions put, questions that ended, calls in terms of one question's."""

    asked: int
    ended: int
    calls: float


def calls_left(slots: Sequence[Slot]) -> float:
    """Calls in the last window, in terms of as many questions that ended, or were put if that is fewer."""
    last = slots[-WINDOW:]
    questions = min(sum(slot.ended for slot in last), sum(slot.asked for slot in last))
    return sum(slot.calls for slot in last) / questions if questions else 1.0


def clogged(slots: Sequence[Slot]) -> bool:
    """Whether most questions of the last window did not end: then few calls are no breaker's doing."""
    last = slots[-WINDOW:]
    return sum(slot.ended for slot in last) < sum(slot.asked for slot in last) / 2


class Pressing:
    """Asks ``per_s`` questions a second, on the routes in turn, each as another user."""

    def __init__(
        self, instruments: Instruments, routes: Sequence[Route], *, per_s: float, timeout_s: float
    ) -> None:
        self._instruments = instruments
        self._routes = routes
        self._gap_s = 1 / per_s
        self._timeout_s = timeout_s
        self._waiting: set[asyncio.Task[None]] = set()
        self._asked = 0
        self._noted = (0, 0)
        self._put_at: list[float] = []
        self.told: list[Told] = []

    async def slot(self, calls: UpstreamCalls) -> Slot:
        """Ask for SLOT_S, and say what came of it; answers may still be on their way."""
        end = monotonic() + SLOT_S
        due = monotonic()
        while due < end:
            await asyncio.sleep(due - monotonic())
            if len(self._waiting) < MAX_WAITING:
                self._put()
            due += self._gap_s
        await asyncio.sleep(end - monotonic())
        (asked, ended), self._noted = self._noted, (self._asked, len(self.told))
        return Slot(self._asked - asked, len(self.told) - ended, (await calls.look()).times)

    async def rest(self) -> None:
        """Wait for the answers that are still on their way."""
        while self._waiting:
            await asyncio.wait(self._waiting)
        self._noted = (self._asked, len(self.told))

    def good_since(self, most: int) -> float | None:
        """When the first of the last ``most`` questions that ended was put, if all of those were answered."""
        last = self.told[-most:]
        return min(self._put_at[-most:]) if len(last) == most and all(each.good for each in last) else None

    def _put(self) -> None:
        self._asked += 1
        task = asyncio.ensure_future(self._ask(self._routes[self._asked % len(self._routes)]))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _ask(self, route: Route) -> None:
        put_at = monotonic()
        user = f"person-{self._instruments.random.getrandbits(32):08x}"
        answer = await self._instruments.questions.ask(
            self._instruments.prompts.fresh(1)[0], route=route, user=user, timeout_s=self._timeout_s
        )
        self.told.append(told(answer))
        self._put_at.append(put_at)
