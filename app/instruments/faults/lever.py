"""What a lever is: the one protocol behind every kind."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel


class LeverFailureError(Exception):
    """A lever did not do what it was told; the message says why."""


class NotWholeError(LeverFailureError):
    """The dependency is not whole to begin with; nothing was changed, and nothing must be restored."""


class Pin(BaseModel):
    """One very process: its number, and when it started, in s since 1970."""

    pid: int
    started_at: float


class Aim(BaseModel):
    """Whom a lever signals. Kept in the ledger, so that a later start finds the very processes again.

    ``pins`` are those that were, or are about to be, signalled; ``command`` is what they ran. ``broken_at``
    is in s since 1970. A service that was asked to end has ``within_s`` for it.
    """

    host: str
    port: int
    stop_signal: str = "SIGTERM"
    within_s: float = 30.0
    way: str = ""
    broken_at: float = 0.0
    pins: tuple[Pin, ...] = ()
    command: str = ""


class Lever(Protocol):
    """Breaks one dependency, and restores it."""

    @property
    def ways(self) -> tuple[str, ...]:
        """The declared ways that this kind of lever can do."""

    async def break_it(self, way: str) -> None:
        """Break the dependency in one of ``ways``; it is broken on return. Raises LeverFailureError."""

    async def restore(self) -> None:
        """Put it back; harmless where nothing is broken. Raises LeverFailureError."""

    def by_hand(self) -> str:
        """The shell line that restores it, for the person who must where ``restore`` could not."""
