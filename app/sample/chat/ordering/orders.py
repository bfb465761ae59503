"""Placing an order: three steps at three partners, and their compensations when one fails.

What has begun is written to a journal before it is tried. When a step fails, those that were done, and the
one whose reply was lost, are undone in reverse order. What cannot be undone now, because the partner is
away, stays in the journal and is tried again until it is; a restart takes the journal up where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from app.sample.chat.ordering.partners import Booking, PartnerError, Step
from app.sample.chat.telemetry import Telemetry

RETRY_FIRST_S = 0.2
RETRY_LAST_S = 2.0


class Entry(BaseModel):
    """An order that is not finished: the names of its steps that may have had an effect."""

    booking: Booking
    begun: list[str] = []


class Journal:
    """Unfinished orders, a file each, replaced as a whole; they outlive the process, if not the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, entry: Entry) -> None:
        """Keep an entry; one without a begun step is done with, and removed."""
        path = self._folder / f"{entry.booking.reference}.json"
        if not entry.begun:
            path.unlink(missing_ok=True)
            return
        draft = path.with_suffix(".tmp")
        draft.write_text(entry.model_dump_json())
        draft.replace(path)

    def close(self, entry: Entry) -> None:
        """The order is booked: nothing is left to do."""
        self.write(Entry(booking=entry.booking))

    def left(self) -> list[Entry]:
        """Orders that an earlier process did not finish."""
        return [Entry.model_validate_json(path.read_text()) for path in sorted(self._folder.glob("*.json"))]


class Compensations:
    """Undoes orders, now and, where a partner is away, again and again in the background."""

    def __init__(self, steps: Sequence[Step], journal: Journal, telemetry: Telemetry) -> None:
        self._steps = steps
        self._journal = journal
        self._retries: set[asyncio.Task[None]] = set()
        telemetry.pending_compensations.set_function(lambda: self.pending)

    @property
    def pending(self) -> int:
        """Orders that still have to be undone."""
        return len(self._retries)

    def resume(self) -> None:
        """Take up what an earlier process left."""
        for entry in self._journal.left():
            self._later(entry)

    async def run(self, entry: Entry) -> bool:
        """Undo what has begun, last step first; what fails is tried again later. Whether all is undone."""
        if await self._undo(entry):
            return True
        self._later(entry)
        return False

    async def _undo(self, entry: Entry) -> bool:
        for step in reversed(self._steps):
            if step.name not in entry.begun:
                continue
            try:
                await step.undo(entry.booking)
            except PartnerError:
                continue  # stays in the entry, and so in the journal
            entry.begun.remove(step.name)
            self._journal.write(entry)
        return not entry.begun

    def _later(self, entry: Entry) -> None:
        task = asyncio.create_task(self._retry(entry))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _retry(self, entry: Entry) -> None:
        wait_s = RETRY_FIRST_S
        while entry.begun:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, RETRY_LAST_S)
            await self._undo(entry)

    async def close(self) -> None:
        """Stop trying; the journal keeps what is left."""
        for task in self._retries:
            task.cancel()


class Orders:
    """Places orders."""

    def __init__(
        self, steps: Sequence[Step], journal: Journal, compensations: Compensations, telemetry: Telemetry
    ) -> None:
        self._steps = steps
        self._journal = journal
        self._compensations = compensations
        self._telemetry = telemetry

    async def place(self, booking: Booking) -> None:
        """Do all steps, or none. Raises PartnerError once the order is undone, or noted to be."""
        entry = Entry(booking=booking)
        try:
            for step in self._steps:
                entry.begun.append(step.name)
                self._journal.write(entry)
                await step.do(booking)
        except PartnerError as error:
            if not error.perhaps_done:
                entry.begun.pop()
                self._journal.write(entry)
            undone = await self._compensations.run(entry)
            self._telemetry.orders.labels("undone" if undone else "being undone").inc()
            raise
        self._journal.close(entry)
        self._telemetry.orders.labels("booked").inc()
