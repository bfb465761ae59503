"""What a lever is, and how one is made from the target file."""

from __future__ import annotations

from typing import Protocol

from app.instruments.origins import Origin
from app.instruments.references import References
from checks.contract import InstrumentFailure
from checks.target import Lever as Declared


class LeverFailureError(Exception):
    """A lever did not do what it was told; the message says why."""


class Lever(Protocol):
    """Breaks one dependency, and restores it. Both raise LeverFailureError."""

    ways: tuple[str, ...]

    async def break_it(self, way: str) -> None:
        """Break the dependency in one of ``ways``, and return when it is broken."""

    async def restore(self) -> None:
        """Put everything back; harmless where nothing is broken."""

    def by_hand(self) -> str:
        """The shell line that restores it, for the person who must when ``restore`` cannot."""


def lever_from(declared: Declared, references: References) -> Lever:
    """The lever that a ``[levers.NAME]`` table describes."""
    from app.instruments.faults.command import CommandLever
    from app.instruments.faults.toxiproxy import ToxiproxyLever

    if declared.kind == "toxiproxy":
        return ToxiproxyLever(declared, references)
    return CommandLever(declared, references)


def place_of(declared: Declared) -> Origin | None:
    """Where the lever reaches out to; None for a command, which runs on this machine."""
    if declared.api is None:
        return None
    try:
        return Origin.of(declared.api)
    except InstrumentFailure as error:
        raise InstrumentFailure(f"The lever's `api` cannot be used: {error.reason}") from error
