"""The order book: what each shop has ordered, on disk before the order is acknowledged.

A line of JSON an order, appended in one write, which outlives the process, if not the machine. The file is
the book: whoever serves reads it again each time, so several processes agree.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from app.sample.chat.ordering.partners import Booking

LISTED = 50
KEPT = 2_000


class Placed(BaseModel):
    """An order that is booked, and whose it is."""

    shop: str
    booking: Booking

    @property
    def content(self) -> dict[str, Any]:
        """What was ordered."""
        return self.booking.model_dump(exclude={"reference"})


class OrderBook:
    """Orders by shop."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def new_reference(self) -> str:
        """A reference that no order ever had."""
        return f"ord-{uuid.uuid4().hex[:16]}"

    def add(self, shop: str, booking: Booking) -> None:
        """Write an order down; it is there when this returns."""
        self.write([Placed(shop=shop, booking=booking)])

    def listed(self, shop: str) -> list[str]:
        """The references of a shop's last orders, the latest first."""
        return list(self.of(shop))[: -LISTED - 1 : -1]

    def of(self, shop: str) -> dict[str, dict[str, Any]]:
        """What a shop has ordered, by reference."""
        return {placed.booking.reference: placed.content for placed in self.read() if placed.shop == shop}

    def read(self) -> list[Placed]:
        """All orders, the earliest first; a line that a crash cut short was never acknowledged."""
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()[-KEPT:]
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(Placed.model_validate_json(line))
            except ValidationError:
                continue
        return found

    def write(self, orders: list[Placed]) -> None:
        """Append orders."""
        if orders:
            with self._file.open("a", encoding="utf-8") as file:
                file.write("".join(f"{json.dumps(order.model_dump())}\n" for order in orders))

    def close(self) -> None:
        """Nothing is left to write."""
