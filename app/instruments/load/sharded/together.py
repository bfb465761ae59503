"""The seconds of several workers as those of one load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

SUMS = ("users", "answered", "failed", "hits", "marked", "offered", "dropped")
WORST = ("p50_ms", "p95_ms", "p99_ms", "dispatch_p99_ms")


class Together:
    """Collects the seconds of workers, and gives each out once all that are at work have told it.

    Sums are exact. A percentile is the largest of the workers', which that of all of them does not exceed;
    ``bound`` says so. The figures at the end are computed from the samples and are exact.
    """

    def __init__(self, workers: int) -> None:
        self._last = dict.fromkeys(range(workers), -1)
        self._open: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._given = -1

    def add(self, worker: int, told: dict[str, Any]) -> None:
        """Take a second of one worker; one that comes after its like was given out is left out."""
        second = int(told["second"])
        self._last[worker] = max(self._last.get(worker, -1), second)
        if second > self._given:
            self._open[second].append(told)

    def ready(self, at_work: Iterable[int]) -> Iterator[dict[str, Any]]:
        """The seconds that every worker ``at_work`` has told or passed, in order."""
        until = min((self._last[worker] for worker in at_work), default=max(self._open, default=-1))
        for second in sorted(second for second in self._open if second <= until):
            self._given = second
            yield _one(self._open.pop(second))


def _one(told: list[dict[str, Any]]) -> dict[str, Any]:
    first = told[0]
    one = first | {name: sum(each.get(name, 0) for each in told) for name in SUMS if name in first}
    for name in WORST:
        values = [each[name] for each in told if each.get(name) is not None]
        if name in first:
            one[name] = max(values, default=None)
    return one | ({"bound": True} if len(told) > 1 else {})
