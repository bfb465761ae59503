"""What those who ask at the same moment share, and what sessions keep to themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from app.sample.chat.flights import Flights
from app.sample.chat.sessions import MOST_SESSIONS, Sessions, without_context
from tests.sample.client import Client, eventually, new_question


class Source:
    """A stream of three tokens, one a moment; ``fails`` after the second."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.begun = self.ended = 0

    async def __call__(self) -> AsyncIterator[str]:
        self.begun += 1
        try:
            for token in "abc":
                await asyncio.sleep(0.01)
                if self.fails and token == "c":
                    raise RuntimeError("broke off")
                yield token
        finally:
            self.ended += 1


async def read(tokens: AsyncIterator[str]) -> str:
    return "".join([token async for token in tokens])


def test_who_comes_later_gets_all_of_a_stream_that_is_made_once():
    source, flights = Source(), Flights()

    async def late(after_s: float) -> str:
        await asyncio.sleep(after_s)
        return await read(flights.followed("q", monotonic(), source))

    async def main() -> list[str]:
        return await asyncio.gather(*(late(after_s) for after_s in (0, 0.005, 0.015, 0.025)))

    assert asyncio.run(main()) == ["abc"] * 4
    assert source.begun == 1


def test_a_stream_that_is_over_is_made_anew():
    source, flights = Source(), Flights()

    async def main() -> None:
        assert await read(flights.followed("q", monotonic(), source)) == "abc"
        assert await read(flights.followed("q", monotonic(), source)) == "abc"

    asyncio.run(main())
    assert source.begun == source.ended == 2


def test_who_looked_before_an_answer_was_there_shares_it_and_who_looked_after_does_not():
    calls: list[int] = []

    async def work() -> str:
        calls.append(1)
        return f"answer {len(calls)}"

    async def main() -> list[str]:
        flights, looked_at = Flights(), monotonic()
        first = await flights.once("q", looked_at, work)
        await asyncio.sleep(0.01)
        return [first, await flights.once("q", looked_at, work), await flights.once("q", monotonic(), work)]

    assert asyncio.run(main()) == ["answer 1", "answer 1", "answer 2"]


def test_a_stream_that_breaks_off_breaks_off_for_all():
    source, flights = Source(fails=True), Flights()

    async def main() -> list[object]:
        both = (read(flights.followed("q", monotonic(), source)) for _ in range(2))
        return await asyncio.gather(*both, return_exceptions=True)

    assert [type(one) for one in asyncio.run(main())] == [RuntimeError] * 2
    assert source.begun == source.ended == 1


def test_a_stream_ends_with_its_last_reader_and_not_before():
    source, flights = Source(), Flights()

    async def main() -> None:
        first, second = flights.followed("q", monotonic(), source), flights.followed("q", monotonic(), source)
        assert (await anext(first), await anext(second)) == ("a", "a")
        await first.aclose()
        assert await anext(second) == "b"
        await second.aclose()
        await asyncio.sleep(0.02)
        assert source.ended == 1
        assert await read(flights.followed("q", monotonic(), source)) == "abc"

    asyncio.run(main())
    assert source.begun == 2


def test_streams_at_once_are_paid_for_once(sample: Client):
    before, question = sample.paid_calls(), new_question()
    with ThreadPoolExecutor(8) as pool:
        streams = list(pool.map(lambda _: sample.stream(question), range(8)))
    texts = {"".join(data.get("text", "") for _, _, data in events) for events in streams}
    assert len(texts) == 1
    assert sample.paid_calls() == before + 1


def test_a_stream_that_is_left_is_not_kept_as_an_answer(sample: Client):
    question = new_question()
    body = {"message": question, "session_id": "s"}
    with sample.http.stream("POST", "/api/v1/chat/stream", json=body) as reply:
        next(reply.iter_lines())
    before = sample.paid_calls()
    assert eventually(lambda: sample.chat(question).status_code == 200)
    assert sample.paid_calls() == before + 1


def test_a_session_knows_what_it_told_and_no_other_does(sample: Client):
    def ask(session: str, message: str) -> str:
        reply = sample.http.post("/api/chat", json={"message": message, "session_id": session})
        return reply.json()["answer"]

    mine, other, question = new_question(), new_question(), new_question()
    ask(mine, "Please remember that my booking code is Kalibore.")
    assert "Kalibore" in ask(mine, question)
    assert "Kalibore" not in ask(other, question)
    assert "Kalibore" in ask(mine, question)


@pytest.mark.parametrize("told", ['my "code"\nis x', "x" * 5000, "", ". . ."])
def test_whatever_is_told_stays_one_short_quoted_line(told: str):
    sessions = Sessions()
    sessions.prompt("s", f"Please remember that {told}")
    prompt = sessions.prompt("s", "Why?\nReally?")
    assert without_context(prompt) == "Why?\nReally?"
    assert len(prompt) < 150
    assert prompt.removesuffix("Why?\nReally?").count("\n") <= 1


def test_the_oldest_session_gives_way():
    sessions = Sessions()
    for number in range(MOST_SESSIONS + 1):
        sessions.prompt(str(number), f"Please remember that I am {number}.")
    assert sessions.prompt("0", "Who?") == "Who?"
    assert str(MOST_SESSIONS) in sessions.prompt(str(MOST_SESSIONS), "Who?")
