"""Misbehaviour of the lever that is to cut the cache; the service itself is well."""

from __future__ import annotations

import asyncio

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.texts import ODD
from tests.hostile.visits import Visit, behaves


@behaves("lever")
async def the_lever_hangs(visit: Visit) -> None:
    await for_ever().wait()


@behaves("lever")
async def the_lever_hangs_once_it_is_pulled(visit: Visit) -> None:
    if visit.number > 2:
        await for_ever().wait()
    await visit.usual()


@behaves("lever")
async def the_lever_says_nonsense(visit: Visit) -> None:
    await visit.json(f'{{"enabled": true, "toxics": [null, 7, {{"name": ["{ODD[-9:]}"]}}]}}')


@behaves("lever")
async def the_lever_fails_in_control_characters(visit: Visit) -> None:
    await visit.reply(ODD + str(visit.headers), 500)


@behaves("lever")
async def the_lever_cannot_be_put_back(visit: Visit) -> None:
    if visit.method == "DELETE" or b'"enabled": true' in visit.body:
        await visit.json('{"error": "no"}', 409)
    else:
        await visit.usual()


@behaves("lever")
async def the_lever_is_slow(visit: Visit) -> None:
    await asyncio.sleep(3)
    await visit.usual()
