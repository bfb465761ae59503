"""What a scenario's course notes of the driver itself."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from tests.instruments.load.loads import GOOD, a_target, load
from tests.instruments.servers import Visit, scripted


@pytest.mark.parametrize("stalled_request", [1, 100])
def test_a_stall_of_the_driver_is_its_own_whenever_it_comes(stalled_request):
    """The service is in the driver's event loop here, so that both stand still; even in the first moment."""
    visits = 0

    async def talk(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        if visits == stalled_request:
            time.sleep(0.4)  # noqa: ASYNC251 - that is the point
        await asyncio.sleep(0.05)
        await visit.reply(GOOD)

    async def main():
        async with scripted(talk) as server:
            return (await load(a_target(server.url), users=20, think_time_ms=0, duration_s=1.2)).summary

    summary = uvloop.run(main())
    assert summary.max_ms > 400
    assert summary.validity == "invalid"
    assert "The load driver itself was late" in summary.validity_reasons[0]
