"""Misbehaviour of the upstream's meter; the service itself is well."""

from __future__ import annotations

from random import Random

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.visits import Visit, behaves


@behaves("meter")
async def the_meter_goes_backwards(visit: Visit) -> None:
    await visit.json(f'{{"calls": {1_000_000 - 7 * visit.number}}}')


@behaves("meter")
async def the_meter_says_nan(visit: Visit) -> None:
    await visit.json('{"calls": NaN}')


@behaves("meter")
async def the_meter_says_infinity_at_times(visit: Visit) -> None:
    await visit.json(f'{{"calls": {"1e999" if visit.number % 3 == 0 else visit.number}}}')


@behaves("meter")
async def the_meter_says_four_hundred_digits(visit: Visit) -> None:
    await visit.json(f'{{"calls": {"9" * 400}}}')


@behaves("meter")
async def the_meter_is_near_the_largest_number(visit: Visit) -> None:
    await visit.json(f'{{"calls": {1.7e308 if visit.number % 2 else -1.7e308}}}')


@behaves("meter")
async def the_meter_jumps(visit: Visit) -> None:
    await visit.json(f'{{"calls": {Random(visit.number).choice([0, -5, 0.3, 1e15, 7, 1e300])}}}')


@behaves("meter")
async def the_meter_hangs(visit: Visit) -> None:
    await for_ever().wait()


@behaves("meter")
async def the_meter_hangs_at_times(visit: Visit) -> None:
    if visit.number % 3 == 0:
        await for_ever().wait()
    await visit.usual()


@behaves("meter")
async def the_meter_never_ends(visit: Visit) -> None:
    await visit.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"calls": 1')
    while True:
        await visit.write(b"0" * 65_536)
