"""Defects of the order transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

from app.sample.chat.ordering.idempotency import IdempotencyKeys, KeyReusedError
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
    kinds: dict[str, type[Compensations]] = {
        "no_compensation": NoCompensations,
        "silent_compensation_failure": UndoesOnce,
        "compensation_gives_up": GivesUp,
        "compensation_left_to_people": LeavesItToPeople,
        "compensation_forgotten_at_restart": ForgetsAtRestart,
    }
    kind = next((kind for name, kind in kinds.items() if name in defects), Compensations)
    return kind(order_steps, journal, telemetry)


def keys(defects: AbstractSet[str]) -> IdempotencyKeys[str]:
    """What makes one effect of a repeated request."""
    kinds: dict[str, type[IdempotencyKeys[str]]] = {
        "double_charge": NoKeys,
        "double_charge_at_once": KeptWhenDone,
        "double_charge_other_worker": OfOneWorker,
        "idempotency_refuses_repeats": RefusesRepeats,
        "idempotency_key_of_all_shops": OfAllShops,
        "idempotency_ignores_body": IgnoresBody,
    }
    return next((kind for name, kind in kinds.items() if name in defects), IdempotencyKeys)()


class NoCompensations(Compensations):
    """Nothing is undone."""

    async def run(self, entry: Entry) -> bool:
        """Forget the order, and say that it is undone."""
        self._journal.close(entry)
        return True


class UndoesOnce(Compensations):
    """What cannot be undone at the first attempt is dropped."""

    async def run(self, entry: Entry) -> bool:
        """Undo what can be undone just now, and forget the rest."""
        await self._undo(entry)
        self._journal.close(entry)
        return True


class GivesUp(Compensations):
    """What cannot be undone in half a second is dropped, and nobody is told."""

    async def _retry(self, entry: Entry) -> None:
        for wait_s in (0.2, 0.3):
            await asyncio.sleep(wait_s)
            await self._undo(entry)
        self._journal.close(entry)


class LeavesItToPeople(Compensations):
    """What cannot be undone at once stays as it is, and is shown for somebody to see to it."""

    async def _retry(self, _entry: Entry) -> None:
        await asyncio.Event().wait()


class ForgetsAtRestart(Compensations):
    """What an earlier process left is not taken up."""

    def resume(self) -> None:
        """Begin anew."""
        for entry in self._journal.left():
            self._journal.close(entry)


class NoKeys(IdempotencyKeys[str]):
    """A repeat is another order."""

    async def once(
        self, _key: str, _fingerprint: str, work: Callable[[], Awaitable[str]]
    ) -> tuple[str, bool]:
        """Do it."""
        return await work(), False


class KeptWhenDone(IdempotencyKeys[str]):
    """A key is known when its order is placed, and not while it is."""

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, str] = {}

    async def once(self, key: str, fingerprint: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool]:
        """Look, do, and keep."""
        if key in self._results:
            return await super().once(key, fingerprint, work)
        self._results[key] = await work()

        async def kept() -> str:
            return self._results[key]

        return (await super().once(key, fingerprint, kept))[0], False


class OfOneWorker(IdempotencyKeys[str]):
    """Two workers take requests in turn, each with keys of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._other: IdempotencyKeys[str] = IdempotencyKeys()
        self._requests = 0

    async def once(self, key: str, fingerprint: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool]:
        """As the worker whose turn it is."""
        self._requests += 1
        if self._requests % 2:
            return await self._other.once(key, fingerprint, work)
        return await super().once(key, fingerprint, work)


class RefusesRepeats(IdempotencyKeys[str]):
    """A repeat has no second effect, and does not get the result either."""

    async def once(self, key: str, fingerprint: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool]:
        """Raises KeyReusedError for a known key."""
        if key in self._known:
            raise KeyReusedError
        return await super().once(key, fingerprint, work)


class OfAllShops(IdempotencyKeys[str]):
    """Whose key it is does not matter."""

    async def once(self, key: str, fingerprint: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool]:
        """As if there were one shop."""
        return await super().once(key.partition(":")[2], fingerprint, work)


class IgnoresBody(IdempotencyKeys[str]):
    """What is ordered under a key does not matter."""

    async def once(self, key: str, _fingerprint: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool]:
        """As if it were the same order."""
        return await super().once(key, "", work)


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
