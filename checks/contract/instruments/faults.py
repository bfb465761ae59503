"""Levers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol


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
