"""Defects of the order book: what of an acknowledged order is there after a crash."""

from __future__ import annotations

import threading
from collections.abc import Set as AbstractSet
from pathlib import Path

from app.sample.chat.ordering.book import OrderBook, Placed
from app.sample.chat.ordering.partners import Booking

WRITTEN_EVERY_S = 2.0
START = 100_000


def book(file: Path, defects: AbstractSet[str]) -> OrderBook:
    """The order book."""
    kinds: dict[str, type[OrderBook]] = {
        "loses_orders_on_kill": WritesLater,
        "orders_lose_lines_in_crash": KeepsFirstLine,
        "order_ids_come_again": CountsInMemory,
    }
    return next((kind for name, kind in kinds.items() if name in defects), OrderBook)(file)


class WritesLater(OrderBook):
    """Orders are acknowledged in memory and written every two seconds."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._pending: list[Placed] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._write_now_and_then, daemon=True).start()

    def add(self, shop: str, booking: Booking) -> None:
        """Keep it for later."""
        with self._lock:
            self._pending.append(Placed(shop=shop, booking=booking))

    def read(self) -> list[Placed]:
        """What is written, and what is not yet."""
        with self._lock:
            return [*super().read(), *self._pending]

    def close(self) -> None:
        """An orderly end loses nothing."""
        self._closed.set()
        self._write_pending()

    def _write_now_and_then(self) -> None:
        while not self._closed.wait(WRITTEN_EVERY_S):
            self._write_pending()

    def _write_pending(self) -> None:
        with self._lock:
            self.write(self._pending)
            self._pending = []


class KeepsFirstLine(OrderBook):
    """The file has room for one article an order; the rest is in memory only."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._whole: dict[str, Placed] = {}

    def add(self, shop: str, booking: Booking) -> None:
        """Write the first line down."""
        self._whole[booking.reference] = Placed(shop=shop, booking=booking)
        super().add(shop, booking.model_copy(update={"items": booking.items[:1]}))

    def read(self) -> list[Placed]:
        """As the memory has it, as long as it has."""
        return [self._whole.get(placed.booking.reference, placed) for placed in super().read()]


class CountsInMemory(OrderBook):
    """References are numbers that are counted in memory; the last one is saved every two seconds."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._saved = file.with_suffix(".count")
        self._last = int(self._saved.read_text()) if self._saved.exists() else START
        self._closed = threading.Event()
        threading.Thread(target=self._save_now_and_then, daemon=True).start()

    def new_reference(self) -> str:
        """The next number."""
        self._last += 1
        return f"ord-{self._last}"

    def close(self) -> None:
        """An orderly end saves the number."""
        self._closed.set()
        self._save()

    def _save_now_and_then(self) -> None:
        while not self._closed.wait(WRITTEN_EVERY_S):
            self._save()

    def _save(self) -> None:
        draft = self._saved.with_suffix(".draft")
        draft.write_text(str(self._last))
        draft.replace(self._saved)
