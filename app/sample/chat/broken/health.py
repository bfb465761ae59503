"""Defects of the health route; several may be on at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from fastapi import APIRouter, Response

from app.sample.chat import routes
from app.sample.chat.parts import Parts
from app.sample.chat.routes import Given
from app.sample.chat.shapes import Health

SLOW_HEALTH_S = 0.3
SLOW_HEALTH_ONE_IN = 5

Change = Callable[[Health, Parts, Response], Awaitable[Health]]


def router(defects: AbstractSet[str]) -> APIRouter:
    """The health route that stands before the healthy one, if any."""
    found = APIRouter(include_in_schema=False)
    changes: dict[str, Change] = {
        "health_lies_degraded": _degraded,
        "health_red_without_cache": _red_without_cache,
        "health_ill_component": _ill_inside,
        "health_slow": _Slow(),
    }
    chosen = [change for name, change in changes.items() if name in defects]
    if chosen:
        found.add_api_route("/health", _Changed(chosen), methods=["GET"])
    return found


class _Changed:
    """The healthy reply, changed."""

    def __init__(self, changes: list[Change]) -> None:
        self._changes = changes

    async def __call__(self, parts: Given, response: Response) -> Health:
        """Say how this process is."""
        said = await routes.health(parts)
        for change in self._changes:
            said = await change(said, parts, response)
        return said


async def _degraded(said: Health, _: Parts, __: Response) -> Health:
    return said.model_copy(update={"status": "degraded"})


async def _red_without_cache(said: Health, parts: Parts, response: Response) -> Health:
    response.status_code = 200 if parts.cache.up else 503
    return said


async def _ill_inside(said: Health, _: Parts, __: Response) -> Health:
    ill = {"journal": {"error": "read-only file system"}}
    return said.model_copy(update={"components": said.components | ill})


class _Slow:
    """Every fifth reply waits, as for a lock."""

    def __init__(self) -> None:
        self._asked = 0

    async def __call__(self, said: Health, _: Parts, __: Response) -> Health:
        """The reply, now and then late."""
        self._asked += 1
        if self._asked % SLOW_HEALTH_ONE_IN == 0:
            await asyncio.sleep(SLOW_HEALTH_S)
        return said
