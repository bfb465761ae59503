"""The cache is cut, refused or silent; answers go on, and the cache comes back by itself."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from app.sample.chat.cache import Memory, key_of
from tests.sample.client import HANG, Client, eventually, new_question


@pytest.fixture(params=["refused", "silent"])
def cut(request: pytest.FixtureRequest, sample: Client):
    return sample.refused("cache") if request.param == "refused" else sample.poisoned("cache", HANG)


def test_answers_go_on_without_the_cache(sample: Client, cut):
    known = new_question()
    sample.chat(known)
    with cut:
        replies = [sample.chat() for _ in range(4)]
        again = sample.chat(known).json()
        assert _cache(sample) == "standby"
    assert [reply.status_code for reply in replies] == [200] * 4
    assert again["metadata"]["from_cache"] is True  # memory stands in


def test_the_cache_is_used_again_after_an_outage_without_a_restart(sample: Client, cut):
    with cut:
        sample.chat()
    assert eventually(lambda: _cache(sample) == "up")
    question = new_question()
    sample.chat(question)
    with Redis(port=sample.state.ports["valkey"]) as redis:
        assert redis.exists(key_of(question)) == 1


def test_a_stream_goes_on_without_the_cache(sample: Client, cut):
    with cut:
        assert sample.stream()[-1][1] == "done"


def _cache(sample: Client) -> str:
    return sample.http.get("/health").json()["components"]["cache"]["status"]


def test_memory_keeps_an_answer_for_its_time_and_no_longer():
    assert asyncio.run(_kept_after(9.9)) == "answer"
    assert asyncio.run(_kept_after(10.1)) is None


async def _kept_after(age_s: float) -> str | None:
    now_s = [0.0]
    memory = Memory(2, 10, lambda: now_s[0])
    await memory.put("question", "answer")
    now_s[0] = age_s
    return await memory.get("question")


def test_memory_is_bounded_and_the_oldest_gives_way():
    assert asyncio.run(_kept_of_three()) == [None, "b", "c"]


async def _kept_of_three() -> list[str | None]:
    memory = Memory(2, 10)
    for letter in "abc":
        await memory.put(letter, letter)
    return [await memory.get(letter) for letter in "abc"]
