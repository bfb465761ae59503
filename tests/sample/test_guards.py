"""The rate limit, with a clock of the test's own."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.sample.chat.guards import Guards, Rate


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_passes_and_then_the_rate_holds():
    clock = Clock()
    rate = Rate(2, clock)
    assert [rate.wait_s("a") for _ in range(4)] == [0, 0, 0, 0]
    assert rate.wait_s("a") == pytest.approx(0.5)
    clock.now_s = 0.5
    assert rate.wait_s("a") == 0
    assert rate.wait_s("a") > 0


def test_one_caller_does_not_use_up_the_rate_of_another():
    rate = Rate(1, Clock())
    while rate.wait_s("a") == 0:
        pass
    assert rate.wait_s("b") == 0


@pytest.mark.parametrize(("user", "address"), [(1, 100), (100, 1)], ids=["user", "address"])
def test_a_caller_above_the_rate_is_told_when_to_come_back(user: int, address: int):
    replies = asyncio.run(_burst(user, address))
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[-1].headers["retry-after"] == "1"
    assert replies[-1].json()["status"] == 429


async def _burst(user: int, address: int) -> list[httpx.Response]:
    app = Starlette(routes=[Route("/api/x", lambda _: PlainTextResponse("yes"))])
    guarded = Guards(app, user=Rate(user, Clock()), address=Rate(address, Clock()), body_limit_bytes=10)
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        return [await client.get("/api/x", headers={"X-User-Id": "ada"}) for _ in range(3)]
