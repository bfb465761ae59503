"""The three partners of an order, and how a step at one of them is done and undone."""

from __future__ import annotations

from typing import Any, Protocol

import httpx
from pydantic import BaseModel


class PartnerError(Exception):
    """A partner did not do its step. ``perhaps_done``: the request may have reached it all the same."""

    def __init__(self, partner: str, reason: str, *, perhaps_done: bool) -> None:
        super().__init__(f"{partner}: {reason}")
        self.partner = partner
        self.reason = reason
        self.perhaps_done = perhaps_done


class OutOfStockError(PartnerError):
    """A partner refused for a reason that is the caller's to mend."""


class Line(BaseModel):
    """One line of an order, as partners see it."""

    sku: str
    quantity: int


class Booking(BaseModel):
    """An order on its way through the partners."""

    reference: str
    customer: str
    items: list[Line]


class Step(Protocol):
    """One step of the transaction. Both halves may be repeated: partners know the reference."""

    name: str

    async def do(self, booking: Booking) -> None:
        """Raises PartnerError."""

    async def undo(self, booking: Booking) -> None:
        """Take the step back, whether or not it was done. Raises PartnerError."""


class PartnerStep:
    """A step that makes one resource at one partner under the order's reference."""

    def __init__(self, name: str, kind: str, client: httpx.AsyncClient) -> None:
        self.name = name
        self._kind = kind
        self._client = client

    async def do(self, booking: Booking) -> None:
        """Make the resource. Raises PartnerError, OutOfStockError."""
        await self.send("PUT", booking, json=booking.model_dump())

    async def undo(self, booking: Booking) -> None:
        """Cancel by reference. Raises PartnerError."""
        await self.send("DELETE", booking)

    async def send(self, method: str, booking: Booking, **content: Any) -> None:
        """One request to the partner. Raises PartnerError, OutOfStockError."""
        try:
            reply = await self._client.request(
                method, f"/accounting/{self._kind}/{booking.reference}", **content
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise PartnerError(self.name, "cannot be reached", perhaps_done=False) from error
        except httpx.HTTPError as error:
            raise PartnerError(self.name, "did not answer", perhaps_done=True) from error
        if reply.status_code == 409:
            raise OutOfStockError(self.name, "refused: not enough in stock", perhaps_done=False)
        if not reply.is_success:
            raise PartnerError(self.name, f"answered {reply.status_code}", perhaps_done=True)
