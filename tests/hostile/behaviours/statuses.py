"""Misbehaviour by status: refusals that never end, and statuses that mean nothing."""

from __future__ import annotations

import asyncio
from random import Random

from tests.hostile.visits import Visit, behaves


@behaves()
async def limits_for_thirty_years(visit: Visit) -> None:
    await visit.json('{"detail": "slow down"}', 429, Retry_After="1000000000")


@behaves()
async def limits_for_a_negative_time(visit: Visit) -> None:
    await visit.json('{"detail": "slow down"}', 429, Retry_After="-5")


@behaves()
async def limits_for_no_known_time(visit: Visit) -> None:
    await visit.json('{"detail": "slow down"}', 429, Retry_After="Thu, 99 Nev 20\x1b[1m; NaN")


@behaves()
async def limits_after_four_seconds(visit: Visit) -> None:
    await asyncio.sleep(4)
    await visit.json('{"detail": "slow down"}', 429)


@behaves()
async def limits_all_but_every_fourth(visit: Visit) -> None:
    if visit.number % 4:
        await visit.json('{"detail": "slow down"}', 429, Retry_After="1e9")
    else:
        await visit.usual()


@behaves()
async def is_unavailable_for_ever(visit: Visit) -> None:
    await visit.json('{"detail": "soon"}', 503, Retry_After="1000000000")


@behaves()
async def asks_for_credentials_for_ever(visit: Visit) -> None:
    await visit.json("{}", 401, WWW_Authenticate='Basic realm="\x1b[31m' + "x" * 5000)


@behaves()
async def answers_with_any_status(visit: Visit) -> None:
    statuses = (200, 201, 202, 206, 299, 300, 400, 402, 404, 405, 418, 422, 451, 499, 500, 507, 599, 600, 799)
    await visit.json('{"answer": "Perhaps.", "status": "up"}', Random(visit.number).choice(statuses))


@behaves()
async def accepts_everything(visit: Visit) -> None:
    await visit.json('{"answer": "Yes.", "status": "up", "instance": "1"}')
