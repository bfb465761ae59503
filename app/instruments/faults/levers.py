"""Makes levers from the target file, and restores them stubbornly."""

from __future__ import annotations

import asyncio

from app.instruments.faults.command import CommandLever
from app.instruments.faults.lever import Lever, LeverFailureError
from app.instruments.faults.toxiproxy import ToxiproxyLever
from app.instruments.references import References
from checks.contract.target.dependencies import Lever as Declared

TRIES = 4
PAUSE_S = 0.5


def lever_from(declared: Declared, references: References) -> Lever:
    """The lever that a ``[levers.NAME]`` table describes."""
    kind = ToxiproxyLever if declared.kind == "toxiproxy" else CommandLever
    return kind(declared, references)


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
