"""Patience with a rate limit: 429 says that we were too fast, not how the service is.

Private to this family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Protocol, TypeVar

WAITS_S = (0.3, 0.7, 1.5)
PATIENCE_S = 4.0  # a 429 that takes its time is not asked for again and again


class HasStatus(Protocol):
    """A reply of any instrument."""

    @property
    def status(self) -> int | None:
        """The HTTP status, None where there was no reply."""


T = TypeVar("T", bound=HasStatus)


async def patiently(once: Callable[[], Awaitable[T]]) -> T:
    """Do ``once``, again after a while where it was rate limited; the last result may still be a 429."""
    until = monotonic() + PATIENCE_S
    for wait_s in WAITS_S:
        result = await once()
        if result.status != 429 or monotonic() > until:
            return result
        await asyncio.sleep(wait_s)
    return await once()
