"""Levers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProxyCall:
    """A call that came to a lever's proxy: its number there, and when, in s on the proxy's own clock.

    ``request`` is its method and path, ``refused`` says that the proxy answered it with an error itself.
    """

    number: int
    at_s: float
    request: str
    refused: bool


class Faults(Protocol):
    """Levers. Whatever happens, what was broken is restored."""

    def ways(self, lever: str) -> tuple[str, ...]:
        """The ways in which ``lever`` can break its dependency; empty where it is not declared."""

    def broken(self, lever: str, way: str) -> AbstractAsyncContextManager[None]:
        """Break within ``async with``, restore on leaving it."""

    async def calls(self, lever: str) -> int:
        """Calls that came to the lever's proxy since it started, answered or not.

        Raises InstrumentFailure where this kind of lever does not count.
        """

    async def latest_calls(self, lever: str, *, after: int) -> tuple[ProxyCall, ...]:
        """Those of the last calls (some hundreds) whose number is above ``after``, in the order they came.

        Raises InstrumentFailure where this kind of lever does not count.
        """
