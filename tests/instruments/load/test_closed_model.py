"""What a scenario does: who asks what, when, and how often; and what is told of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from random import Random

import pytest
import uvloop

from app.instruments.load.driver import LoadDriver
from checks.contract import InstrumentFailure
from tests.instruments.load.loads import (
    ASK,
    GOOD,
    Counted,
    a_driver,
    a_plan,
    a_target,
    answers,
    load,
    writes,
)
from tests.instruments.servers import Scripted, Visit, free_port, scripted


def test_every_request_is_counted_once_and_the_seconds_add_up_to_the_summary():
    async def main():
        async with scripted(answers()) as server:
            return server, await load(a_target(server.url), users=4, duration_s=1.2)

    server, told = uvloop.run(main())
    summary = told.summary
    assert summary.total_requests == len(server.visits) == summary.successful > 20
    assert summary.failed == 0
    assert summary.failures == {}
    assert summary.cached == summary.marked == summary.total_requests
    assert sum(second["answered"] for second in told.seconds) == summary.successful
    assert [second["second"] for second in told.seconds][:1] == [1]
    assert set(told.seconds[0]) == {
        "scenario", "second", "duration_s", "model", "users", "answered", "failed",
        "p50_ms", "p95_ms", "p99_ms", "hits", "marked",
    }  # fmt: skip
    json.dumps(told.seconds, allow_nan=False)


@pytest.mark.parametrize("users", [20, 100])
def test_latency_is_what_the_service_took(users):
    """The truth is the service's own clock, so a busy machine moves both."""
    took_ms: list[float] = []

    async def talk(visit: Visit) -> None:
        started = time.perf_counter()
        await asyncio.sleep(0.1)
        await visit.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD.encode()))
        took_ms.append((time.perf_counter() - started) * 1000)

    async def main():
        async with scripted(talk) as server:
            return await load(a_target(server.url), users=users, duration_s=1, think_time_ms=0)

    summary = uvloop.run(main()).summary
    truth_ms = sorted(took_ms)[len(took_ms) // 2]
    assert summary.failed == 0
    assert summary.total_requests == len(took_ms)
    assert summary.total_requests <= users * 11
    assert summary.min_ms >= 98
    assert -5 <= summary.p50_ms - truth_ms <= 50
    assert summary.p50_ms <= summary.p90_ms <= summary.p95_ms <= summary.p99_ms <= summary.max_ms


def test_each_user_keeps_one_connection():
    async def main():
        async with scripted(answers()) as server:
            return server, await load(a_target(server.url), users=3)

    server, told = uvloop.run(main())
    assert server.connections == 3
    assert told.summary.total_requests > 6


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_a_server_that_closes_after_each_reply_gets_a_new_connection_each_time(head):
    body = GOOD.encode()
    reply = (head % len(body) if b"%d" in head else head) + body

    async def main():
        async with scripted(writes(reply)) as server:
            return server, await load(a_target(server.url))

    server, told = uvloop.run(main())
    assert told.summary.failed == 0
    assert server.connections == told.summary.total_requests > 2


def test_a_server_that_announces_its_close_and_does_not_close_is_left():
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
        len(GOOD),
        GOOD.encode(),
    )

    async def main():
        async with scripted(writes(reply, close=False)) as server:
            return server, await load(a_target(server.url))

    server, told = uvloop.run(main())
    assert told.summary.failed == 0
    assert server.connections == told.summary.total_requests > 2


def test_a_connection_that_the_server_drops_while_the_user_thinks_is_no_failure():
    async def talk(visit: Visit) -> None:
        await visit.reply(GOOD)
        visit.writer.close()

    async def main():
        async with scripted(talk) as server:
            return server, await load(a_target(server.url), users=1, think_time_ms=30)

    server, told = uvloop.run(main())
    assert told.summary.failed == 0
    assert server.connections == told.summary.total_requests > 1


def test_chunked_replies_and_interim_replies_are_answers():
    body = GOOD.encode()
    pieces = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + body[:5] + b"\r\n",
        b"%x;note=1\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(body) - 5, body[5:]),
    )

    async def main():
        async with scripted(writes(*pieces, close=False)) as server:
            return server, await load(a_target(server.url))

    server, told = uvloop.run(main())
    assert told.summary.failed == 0
    assert told.summary.cached == told.summary.total_requests == len(server.visits)
    assert server.connections == 2


def test_requests_that_start_in_the_warm_up_are_not_counted():
    async def main():
        async with scripted(answers()) as server:
            return server, await load(a_target(server.url), warmup_s=0.3, duration_s=0.3)

    server, told = uvloop.run(main())
    assert 0 < told.summary.total_requests < len(server.visits)


def test_a_request_under_way_at_the_end_is_waited_for_and_counted():
    async def talk(visit: Visit) -> None:
        await asyncio.sleep(0.6)
        await visit.reply(GOOD)

    async def main():
        async with scripted(talk) as server:
            return await load(a_target(server.url), users=3, duration_s=0.2)

    told = uvloop.run(main())
    assert told.summary.successful == 3
    assert told.summary.duration_s >= 0.6
    assert sum(second["answered"] for second in told.seconds) == 3


def test_a_scenario_runs_on_until_it_has_enough_requests():
    async def talk(visit: Visit) -> None:
        await asyncio.sleep(0.05)
        await visit.reply(GOOD)

    async def main(**plan):
        async with scripted(talk) as server:
            return await load(a_target(server.url), users=1, think_time_ms=0, **plan)

    enough = uvloop.run(main(duration_s=0.8, min_requests=20)).summary
    assert enough.total_requests >= 20
    never = uvloop.run(main(duration_s=0.3, min_requests=1000)).summary
    assert never.total_requests < 1000
    assert 0.3 < never.duration_s < 2
    assert never.validity != "valid"
    assert "1000" in " ".join(never.validity_reasons)


def test_the_declared_share_of_questions_is_fresh_and_each_of_them_new():
    async def main(share):
        async with scripted(answers()) as server:
            await load(a_target(server.url), users=4, think_time_ms=0, fresh_share=share)
            return [json.loads(visit.body)["message"] for visit in server.visits]

    asked = uvloop.run(main(0.5))
    fresh = [question for question in asked if question.startswith("fresh")]
    assert len(fresh) == len(set(fresh))
    assert 0.3 < len(fresh) / len(asked) < 0.7
    assert not [question for question in uvloop.run(main(0.0)) if question.startswith("fresh")]
    assert all(question.startswith("fresh") for question in uvloop.run(main(1.0)))


def test_the_same_seed_asks_the_same_questions_in_the_same_order():
    async def main(seed):
        async with scripted(answers()) as server:
            more = {"random": Random(seed)}
            prompts = [f"question {number}" for number in range(50)]
            await load(a_target(server.url), users=1, think_time_ms=0, driver=more, prompts=prompts)
            keys = {visit.headers["idempotency-key"] for visit in server.visits}
            return [json.loads(visit.body)["message"] for visit in server.visits[:30]], keys

    first, keys = uvloop.run(main(1))
    again, other_keys = uvloop.run(main(1))
    assert again == first
    assert keys.isdisjoint(other_keys), "a repeated key would be answered from the first run"
    assert uvloop.run(main(2))[0] != first


def test_nonces_and_sessions_are_never_repeated_and_users_are_told_apart():
    async def main():
        async with scripted(answers()) as server:
            await load(a_target(server.url), users=3)
            return server.visits

    visits = uvloop.run(main())
    bodies = [json.loads(visit.body) for visit in visits]
    assert len({visit.headers["idempotency-key"] for visit in visits}) == len(visits)
    assert len({body["session_id"] for body in bodies}) == len(visits)
    assert len({body["user"] for body in bodies}) == 3
    assert all(visit.headers["accept-encoding"] == "identity" for visit in visits)


def test_a_cancelled_scenario_closes_every_connection_within_a_second():
    everyone_asked, everyone_left = asyncio.Event(), asyncio.Event()
    came, left = itertools.count(1), itertools.count(1)

    async def talk(visit: Visit) -> None:
        if next(came) == 50:
            everyone_asked.set()
        await visit.reader.read()  # until the driver hangs up; it never gets an answer
        if next(left) == 50:
            everyone_left.set()
        visit.writer.close()

    async def main(server: Scripted):
        running = asyncio.create_task(load(a_target(server.url), users=50, duration_s=60, timeout_s=60))
        await everyone_asked.wait()
        running.cancel()
        started = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await running
        took_s = time.perf_counter() - started
        async with asyncio.timeout(5):
            await everyone_left.wait()
        return took_s

    async def served():
        async with scripted(talk) as server:
            return await main(server)

    assert uvloop.run(served()) < 1


def test_users_who_think_do_not_keep_a_finished_scenario_waiting():
    async def main():
        async with scripted(answers()) as server:
            async with asyncio.timeout(10):
                return await load(a_target(server.url), users=2, duration_s=0.2, think_time_ms=60_000)

    assert uvloop.run(main()).summary.total_requests <= 2


def test_a_progress_callback_that_raises_ends_the_run_with_its_error():
    def broken(data):
        raise ZeroDivisionError("the callee's fault")

    async def main():
        async with scripted(answers()) as server:
            await load(a_target(server.url), duration_s=30, driver={"on_second": broken})

    with pytest.raises(ZeroDivisionError, match="the callee's fault"):
        uvloop.run(main())


def test_a_slow_progress_callback_is_named_where_the_driver_was_late():
    async def main():
        async with scripted(answers()) as server:
            more = {"on_second": lambda data: time.sleep(0.3)}
            return await load(a_target(server.url), users=1, duration_s=1.1, driver=more)

    summary = uvloop.run(main()).summary
    assert summary.validity == "invalid"
    assert "reporting progress took up to" in summary.validity_reasons[0]


@pytest.mark.parametrize(
    ("changes", "plan", "words", "missing"),
    [
        ({"ask": None}, {}, r"No `\[ask\]` is declared", "ask"),
        ({"stream": None}, {"route": "stream"}, r"No `\[stream\]` is declared", "stream"),
        ({}, {"users": 201}, "at most 200 are allowed", None),
        ({"ask": ASK | {"path": "http://elsewhere.example/ask"}}, {}, "off the target", "path"),
    ],
)
def test_a_scenario_that_may_not_run_says_why(changes, plan, words, missing):
    with pytest.raises(InstrumentFailure, match=words) as failure:
        uvloop.run(load(a_target(f"http://127.0.0.1:{free_port()}", **changes), **plan))
    assert failure.value.missing == missing


def test_a_scenario_that_makes_no_sense_is_the_callers_mistake():
    for wrong in ({"users": 0}, {"duration_s": 0}, {"prompts": ()}):
        with pytest.raises(ValueError, match="scenario tried"):
            uvloop.run(load(a_target("http://127.0.0.1:1"), **wrong))


def test_it_runs_in_the_standard_event_loop_too():
    async def main():
        async with scripted(answers()) as server:
            return await load(a_target(server.url))

    assert asyncio.run(main()).summary.successful > 4


def test_one_driver_runs_scenario_after_scenario():
    async def main():
        async with scripted(answers()) as server:
            seconds: list[dict] = []
            driver: LoadDriver = a_driver(a_target(server.url), seconds, prompts=Counted())
            first = await driver.run(a_plan(scenario="first"))
            second = await driver.run(a_plan(scenario="second"))
            keys = {visit.headers["idempotency-key"] for visit in server.visits}
            return first, second, len(keys)

    first, second, keys = uvloop.run(main())
    assert (first.scenario, second.scenario) == ("first", "second")
    assert keys == first.total_requests + second.total_requests
