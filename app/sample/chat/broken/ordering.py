"""Defects of the order transaction."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from app.sample.chat.ordering.orders import Compensations, Entry, Journal
from app.sample.chat.ordering.partners import Booking, PartnerError, PartnerStep, Step
from app.sample.chat.telemetry import Telemetry


def steps(healthy: list[PartnerStep], defects: AbstractSet[str]) -> list[Step]:
    """The steps of an order."""
    found: list[Step] = list(healthy)
    if "partial_compensation" in defects:
        found[0] = ReleasesFirstLine(healthy[0])
    if "compensation_forgets_lost_reply" in defects:
        found = [TrustsSilence(step) for step in found]
    return found


def compensations(
    order_steps: Sequence[Step], journal: Journal, telemetry: Telemetry, defects: AbstractSet[str]
) -> Compensations:
    """What undoes an order."""
    kind = NoCompensations if "no_compensation" in defects else Compensations
    return kind(order_steps, journal, telemetry)


class NoCompensations(Compensations):
    """Nothing is undone."""

    async def run(self, entry: Entry) -> bool:
        """Forget the order, and say that it is undone."""
        self._journal.close(entry)
        return True


class ReleasesFirstLine:
    """Cancelling a reservation releases its first line only."""

    def __init__(self, inner: PartnerStep) -> None:
        self.name = inner.name
        self._inner = inner

    async def do(self, booking: Booking) -> None:
        """As healthy."""
        await self._inner.do(booking)

    async def undo(self, booking: Booking) -> None:
        """Release the first line. Raises PartnerError."""
        await self._inner.send("DELETE", booking, params={"sku": booking.items[0].sku})


class TrustsSilence:
    """A step whose reply was lost is taken for one that was not done."""

    def __init__(self, inner: Step) -> None:
        self.name = inner.name
        self._inner = inner

    async def do(self, booking: Booking) -> None:
        """Raises PartnerError that says that nothing happened."""
        try:
            await self._inner.do(booking)
        except PartnerError as error:
            raise PartnerError(error.partner, error.reason, perhaps_done=False) from error

    async def undo(self, booking: Booking) -> None:
        """As healthy."""
        await self._inner.undo(booking)
