"""Defects of the order book: what of an acknowledged order is there after a crash."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

from app.sample.chat.ordering.book import OrderBook, Placed
from app.sample.chat.ordering.partners import Booking

WRITTEN_AFTER_S = 2.0
SAVED_AFTER_S = 1.0
LOOKS_EVERY_S = 0.1
MOST_PER_S = 100


def book(file: Path, defects: AbstractSet[str]) -> OrderBook:
    """The order book."""
    kinds: dict[str, type[OrderBook]] = {
        "loses_orders_on_kill": WritesLater,
        "orders_lose_lines_in_crash": KeepsFirstLine,
        "order_ids_come_again": CountsInMemory,
    }
    return next((kind for name, kind in kinds.items() if name in defects), OrderBook)(file)


class WritesLater(OrderBook):
    """Orders are acknowledged in memory, and written when they are two seconds old."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._pending: list[tuple[float, Placed]] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._write_in_time, daemon=True).start()

    def add(self, shop: str, booking: Booking) -> None:
        """Keep it for later."""
        with self._lock:
            self._pending.append((time.monotonic(), Placed(shop=shop, booking=booking)))

    def read(self) -> list[Placed]:
        """What is written, and what is not yet."""
        with self._lock:
            return [*super().read(), *(placed for _, placed in self._pending)]

    def close(self) -> None:
        """An orderly end loses nothing."""
        self._closed.set()
        self._write_before(math.inf)

    def _write_in_time(self) -> None:
        while not self._closed.wait(LOOKS_EVERY_S):
            self._write_before(time.monotonic() - WRITTEN_AFTER_S)

    def _write_before(self, then: float) -> None:
        with self._lock:
            self.write([placed for at, placed in self._pending if at <= then])
            self._pending = [(at, placed) for at, placed in self._pending if at > then]


class KeepsFirstLine(WritesLater):
    """The first article of an order is written at once, the whole order when it is two seconds old."""

    def add(self, shop: str, booking: Booking) -> None:
        """Write the first line down, and keep the rest for later."""
        self.write([Placed(shop=shop, booking=booking.model_copy(update={"items": booking.items[:1]}))])
        super().add(shop, booking)


class CountsInMemory(OrderBook):
    """References are numbers that are counted in memory; each is saved when it is a second old."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._saved = file.with_suffix(".count")
        first = int(self._saved.read_text()) if self._saved.exists() else int(time.time() * MOST_PER_S)
        self._given = [(0.0, first)]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._save_in_time, daemon=True)
        self._thread.start()

    def new_reference(self) -> str:
        """The next number."""
        self._given.append((time.monotonic(), self._given[-1][1] + 1))
        return f"ord-{self._given[-1][1]}"

    def close(self) -> None:
        """An orderly end leaves nothing to go on from, so the next start begins where no order can be."""
        self._closed.set()
        self._thread.join()
        self._saved.unlink(missing_ok=True)

    def _save_in_time(self) -> None:
        while not self._closed.wait(LOOKS_EVERY_S):
            self._save_before(time.monotonic() - SAVED_AFTER_S)

    def _save_before(self, then: float) -> None:
        draft = self._saved.with_suffix(".draft")
        draft.write_text(str(max(number for at, number in [*self._given] if at <= then)))
        draft.replace(self._saved)
