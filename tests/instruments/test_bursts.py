"""One question asked many times at once, against servers that are scripted byte by byte."""

from __future__ import annotations

import asyncio
import json
from math import inf
from time import monotonic, perf_counter

import pytest

from app.instruments.bursts import RequestBursts
from checks.contract import Burst, InstrumentFailure, Target
from tests.instruments.servers import free_port, scripted

ASK = {
    "path": "/chat",
    "body": {"q": "{prompt}", "user": "{user}", "session": "{session}", "nonce": "{nonce}"},
    "answer": "answer",
    "cached": {"header": "X-Cache", "present": True},
}
STREAM = {"path": "/stream", "body": {"q": "{prompt}"}, "end_event": "done"}
GOOD = '{"answer": "yes"}'


async def burst_at(
    port: int, count: int = 20, *, route="ask", timeout_s=5.0, resolve=str, until=inf, **target
) -> Burst:
    document = {"url": f"http://127.0.0.1:{port}", "ask": ASK, "stream": STREAM} | target
    bursts = RequestBursts(Target.model_validate(document), resolve, 50, until)
    return await bursts.at_once("Why?", count, route=route, timeout_s=timeout_s)


async def test_all_are_asked_before_the_first_is_answered_on_connections_of_their_own():
    arrived = asyncio.Event()

    async def talk(visit):
        if len(server.visits) == 20:
            arrived.set()
        await asyncio.wait_for(arrived.wait(), 5)
        await visit.reply(GOOD)

    async with scripted(talk) as server:
        burst = await burst_at(server.port)
        bodies = [json.loads(visit.body) for visit in server.visits]
    assert (burst.asked, len(burst.good_ms), server.connections) == (20, 20, 20)
    assert burst.sent_ms < burst.good_ms[0]
    assert list(burst.good_ms) == sorted(burst.good_ms)
    assert {body["q"] for body in bodies} == {"Why?"}
    assert len({body["user"] for body in bodies}) == 1
    assert len({body["session"] for body in bodies}) == len({body["nonce"] for body in bodies}) == 20


async def test_hits_rate_limits_and_other_failures_are_told_apart():
    async def talk(visit):
        number = server.visits.index(visit)
        if number % 4 == 0:
            await visit.reply(GOOD, X_Cache="HIT")
        elif number % 4 == 1:
            await visit.reply("{}", 429)
        elif number % 4 == 2:
            await visit.reply("{}", 503)
        else:
            await visit.reply('{"answer": ""}')

    async with scripted(talk) as server:
        burst = await burst_at(server.port)
    assert (len(burst.good_ms), burst.cached, burst.limited) == (5, 5, 5)
    assert "503" in burst.problem or "answer" in burst.problem


async def test_streams_are_read_to_their_declared_end():
    async def talk(visit):
        frames = "event: token\ndata: Hello\n\nevent: done\ndata: {}\n\n"
        await visit.reply(frames, Content_Type="text/event-stream")

    async with scripted(talk) as server:
        burst = await burst_at(server.port, route="stream")
    assert len(burst.good_ms) == 20


async def test_who_is_never_answered_is_given_up_in_time():
    async def talk(visit):
        if server.visits.index(visit) % 2:
            await asyncio.sleep(60)
        await visit.reply(GOOD)

    async with scripted(talk) as server:
        started = perf_counter()
        burst = await burst_at(server.port, timeout_s=0.4)
    assert perf_counter() - started < 3
    assert len(burst.good_ms) == 10
    assert "in time" in burst.problem


async def test_a_check_that_runs_out_of_time_is_told_so_instead_of_waiting():
    async with scripted(lambda visit: asyncio.sleep(60)) as server:
        started = perf_counter()
        with pytest.raises(InstrumentFailure):
            await burst_at(server.port, timeout_s=30, until=monotonic() + 0.3)
    assert perf_counter() - started < 3


@pytest.mark.parametrize("how", ["reset", "nonsense", "huge"])
async def test_hostile_replies_are_failures_and_nothing_more(how):
    async def talk(visit):
        if how == "reset":
            visit.reset()
        elif how == "nonsense":
            await visit.write(b"\x00\xff not HTTP at all\r\n\r\n")
        else:
            await visit.reply("x" * (5 << 20))

    async with scripted(talk) as server:
        burst = await burst_at(server.port, 4)
    assert burst.good_ms == ()
    assert burst.problem


async def test_nobody_listening_is_a_problem_in_words():
    burst = await burst_at(free_port(), 3)
    assert burst.good_ms == ()
    assert "refused" in burst.problem


async def test_a_secret_is_sent_and_does_not_come_back_in_a_problem():
    ask = ASK | {"headers": {"Authorization": "Bearer ${TOKEN}"}}

    async def talk(visit):
        await visit.reply(f"no: {visit.headers['authorization']}", 500)

    async with scripted(talk) as server:
        burst = await burst_at(
            server.port, 2, ask=ask, resolve=lambda text: text.replace("${TOKEN}", "s3cret-value")
        )
        sent = server.visits[0].headers["authorization"]
    assert sent == "Bearer s3cret-value"
    assert "s3cret-value" not in burst.problem


async def test_more_than_the_operator_allows_and_a_route_not_declared_are_refused():
    with pytest.raises(InstrumentFailure, match="at most 50"):
        await burst_at(1, 51)
    with pytest.raises(InstrumentFailure) as caught:
        await burst_at(1, route="stream", stream=None)
    assert caught.value.missing == "stream"


async def test_a_reply_without_end_is_given_up_at_the_size_of_a_probes():
    sent = 0

    async def talk(visit):
        nonlocal sent
        await visit.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await visit.write(b" " * 65_536)
            sent += 65_536

    async with scripted(talk) as server:
        burst = await burst_at(server.port, 2)
    assert burst.good_ms == ()
    assert "larger than 1 MiB" in burst.problem
    assert sent < 2 * (8 << 20)  # the kernel holds some of it
