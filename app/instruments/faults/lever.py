"""What a lever is: the one protocol behind every kind."""

from __future__ import annotations

from typing import Protocol


class LeverFailureError(Exception):
    """A lever did not do what it was told; the message says why."""


class NotWholeError(LeverFailureError):
    """The dependency is not whole to begin with; nothing was changed, and nothing must be restored."""


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
