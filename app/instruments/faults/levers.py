"""Makes levers from the target file, and restores them stubbornly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from app.instruments.faults.command import CommandLever
from app.instruments.faults.faultproxy import FaultproxyLever
from app.instruments.faults.lever import Aim, Lever, LeverFailureError
from app.instruments.faults.process import ProcessLever
from app.instruments.faults.toxiproxy import ToxiproxyLever
from app.instruments.references import References
from checks.contract import InstrumentFailure, Target
from checks.contract.target.dependencies import Lever as Declared

KINDS: Mapping[str, Callable[[Declared, References], Lever]] = {
    "toxiproxy": ToxiproxyLever,
    "faultproxy": FaultproxyLever,
    "command": CommandLever,
}
TRIES = 4
PAUSE_S = 0.5


def lever_from(
    declared: Declared,
    references: References,
    aim: Aim | None = None,
    keep: Callable[[Aim], None] = lambda _aim: None,
) -> Lever:
    """The lever that a ``[levers.NAME]`` table describes.

    One of kind ``process`` needs its ``aim``, and has it kept before each signal. Raises InstrumentFailure.
    """
    if declared.kind == "process":
        if aim is None:
            raise InstrumentFailure("A lever of kind process needs to know the service's port.")
        return ProcessLever(declared, references, aim, keep)
    return KINDS[declared.kind](declared, references)


def aim_of(declared: Declared, target: Target) -> Aim | None:
    """Whom a lever of ``target`` signals; None for one that signals nobody."""
    if declared.kind != "process":
        return None
    stop = target.shutdown
    return Aim(
        host=target.host,
        port=declared.port or target.port,
        stop_signal=stop.signal,
        within_s=stop.within_s,
    )


async def restored(lever: Lever) -> str | None:
    """Restore, trying again a few times with growing pauses; None, or why it did not work."""
    for attempt in range(1, TRIES + 1):
        try:
            await lever.restore()
        except LeverFailureError as error:
            if attempt == TRIES:
                return str(error)
            await asyncio.sleep(PAUSE_S * attempt)
        else:
            return None
    raise AssertionError("the last attempt returns")
