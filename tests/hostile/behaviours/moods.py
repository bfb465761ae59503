"""A service that is well at first, or at times: what reaches a check in the middle of its work."""

from __future__ import annotations

import json

from tests.hostile.behaviours.bodies import sends_a_gzip_bomb, sends_ten_gigabytes
from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.heads import sends_a_garbled_status_line
from tests.hostile.behaviours.texts import odd_document
from tests.hostile.visits import Visit, behaves


@behaves()
async def is_well(visit: Visit) -> None:
    """The row to compare the others with."""
    await visit.usual()


@behaves()
async def turns_silent_after_three_requests(visit: Visit) -> None:
    if visit.number > 3:
        await for_ever().wait()
    await visit.usual()


@behaves()
async def turns_silent_after_thirty_requests(visit: Visit) -> None:
    if visit.number > 30:
        await for_ever().wait()
    await visit.usual()


@behaves()
async def turns_to_resets_after_twelve_requests(visit: Visit) -> None:
    if visit.number > 12:
        visit.reset()
    else:
        await visit.usual()


@behaves()
async def turns_to_garbage_after_twelve_requests(visit: Visit) -> None:
    if visit.number > 12:
        await sends_a_garbled_status_line(visit)
    else:
        await visit.usual()


@behaves()
async def turns_to_bombs_after_twelve_requests(visit: Visit) -> None:
    await (sends_a_gzip_bomb(visit) if visit.number > 12 else visit.usual())


@behaves()
async def hangs_at_every_seventh_request(visit: Visit) -> None:
    if visit.number % 7 == 0:
        await for_ever().wait()
    await visit.usual()


@behaves()
async def resets_at_every_third_request(visit: Visit) -> None:
    if visit.number % 3 == 0:
        visit.reset()
    else:
        await visit.usual()


@behaves()
async def sends_ten_gigabytes_at_every_fifth_request(visit: Visit) -> None:
    await (sends_ten_gigabytes(visit) if visit.number % 5 == 0 else visit.usual())


@behaves()
async def curses_at_every_second_request(visit: Visit) -> None:
    if visit.number % 2:
        await visit.usual()
    else:
        await visit.json(json.dumps(odd_document(visit.headers)), 500)


@behaves("ask")
async def hangs_when_asked_and_is_well_otherwise(visit: Visit) -> None:
    await for_ever().wait()


@behaves("ask")
async def echoes_secrets_in_its_answer(visit: Visit) -> None:
    heard = json.dumps(visit.headers)
    await visit.json(json.dumps({"answer": heard, "metadata": {"from_cache": heard}}), X_Cache=heard[:3000])
