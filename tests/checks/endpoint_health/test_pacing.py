"""Patience with a rate limit has an end."""

from __future__ import annotations

import asyncio

from checks.contract import Reply
from checks.endpoint_health import _pacing
from checks.endpoint_health._pacing import patiently


def replies_of(*statuses: int, seconds: float = 0.0) -> tuple[Reply, int]:
    """The reply that patience leads to, and how often it asked."""
    asked = 0

    async def once() -> Reply:
        nonlocal asked
        asked += 1
        await asyncio.sleep(seconds)
        return Reply("/", statuses[min(asked, len(statuses)) - 1])

    return asyncio.run(patiently(once)), asked


def test_a_limit_that_passes_is_waited_for():
    reply, asked = replies_of(429, 200)
    assert (reply.status, asked) == (200, 2)


def test_a_limit_for_ever_is_asked_four_times():
    reply, asked = replies_of(429)
    assert (reply.status, asked) == (429, 4)


def test_a_limit_that_takes_its_time_to_say_so_is_asked_once(monkeypatch):
    monkeypatch.setattr(_pacing, "PATIENCE_S", 0.01)
    reply, asked = replies_of(429, seconds=0.02)
    assert (reply.status, asked) == (429, 1)
