"""The bound on calls of the paid model: who waits, who is refused, and what is not bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.sample import launch
from app.sample.chat.places import NoPlaceError, Places
from tests.sample.client import Client, new_question


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())


async def settled() -> None:
    """Let everyone who can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_who_finds_no_place_waits_in_turn():
    async def scene() -> None:
        places, order = Places(1, 3, wait_s=10), []
        leave = asyncio.Event()

        async def call(number: int) -> None:
            async with places.taken():
                order.append(number)
                await leave.wait()

        calls = [asyncio.create_task(call(number)) for number in range(4)]
        await settled()
        assert order == [0]
        leave.set()
        await asyncio.gather(*calls)
        assert order == [0, 1, 2, 3]

    run(scene)


def test_beyond_the_queue_callers_are_refused_at_once_and_places_come_back():
    async def scene() -> None:
        places, leave = Places(1, 1, wait_s=10), asyncio.Event()

        async def call() -> None:
            async with places.taken():
                await leave.wait()

        inside = [asyncio.create_task(call()) for _ in range(2)]
        await settled()
        for _ in range(3):
            with pytest.raises(NoPlaceError):
                async with places.taken():
                    pass
        leave.set()
        await asyncio.gather(*inside)
        await asyncio.gather(*(call() for _ in range(2)))

    run(scene)


def test_the_wait_is_bounded():
    async def scene() -> None:
        places = Places(1, 1, wait_s=0.01)
        async with places.taken():
            with pytest.raises(NoPlaceError):
                async with places.taken():
                    pass
        async with places.taken():
            pass

    run(scene)


def test_a_caller_who_leaves_or_fails_gives_its_place_back():
    async def scene() -> None:
        places = Places(1, 1, wait_s=10)
        async with places.taken():
            waiting = asyncio.create_task(places.taken().__aenter__())
            await settled()
            waiting.cancel()
            await settled()
        with pytest.raises(ValueError, match="no answer"):
            async with places.taken():
                raise ValueError("no answer")
        async with asyncio.timeout(1), places.taken():
            pass

    run(scene)


@pytest.mark.parametrize(("speed", "parallel"), [(0.5, 23), (1, 16), (4, 4), (100, 1)])
def test_a_faster_model_has_fewer_places_and_the_same_in_all(speed: float, parallel: int):
    given = launch.model_places(speed)
    assert given["model_parallel"] == parallel
    assert sum(given.values()) == launch.MODEL_PLACES


def test_new_questions_beyond_the_capacity_are_refused_and_known_ones_are_not(sample: Client):
    known = new_question()
    sample.chat(known)
    url = f"{sample.state.url}/api/chat"
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(timeout=30, limits=limits) as client, ThreadPoolExecutor(80) as pool:

        def ask(question: str) -> httpx.Response:
            return client.post(url, json={"message": question, "session_id": "s"})

        new = [pool.submit(ask, new_question()) for _ in range(70)]
        hits = [pool.submit(ask, known) for _ in range(10)]
        assert {reply.result().status_code for reply in hits} == {200}
        replies = [reply.result() for reply in new]
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert {reply.status_code for reply in replies} == {200, 503}
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    assert "Too many new questions" in refused.json()["detail"]
    assert sample.chat().status_code == 200
