"""The HTTP requests that came to a proxy: how many, and the last of them with their times."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any, NamedTuple

KEPT = 1_000


class Call(NamedTuple):
    """One request. ``at_s`` is on this machine's monotonic clock; ``request`` is its method and path."""

    number: int
    at_s: float
    request: str
    refused: bool


class Calls:
    """Counts the requests of one proxy, answered or not, and how many of them it answered itself."""

    def __init__(self) -> None:
        self.total = 0
        self.refused = 0
        self._latest: deque[Call] = deque(maxlen=KEPT)

    def came(self, request: str, *, refused: bool) -> None:
        """A request's head is there."""
        self.total += 1
        self.refused += refused
        self._latest.append(Call(self.total, monotonic(), request, refused))

    def document(self, after: int = 0) -> dict[str, Any]:
        """The counts, and of the last calls those whose number is above ``after``, as the API shows them."""
        latest = [call for call in self._latest if call.number > after]
        return {
            "calls": self.total,
            "refused": self.refused,
            "now_s": round(monotonic(), 6),
            "latest": [
                {
                    "number": call.number,
                    "at_s": round(call.at_s, 6),
                    "request": call.request,
                    "refused": call.refused,
                }
                for call in latest
            ],
        }
