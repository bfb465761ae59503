"""A lever over the product's fault proxy: HTTP errors, and the calls that came."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger, restore_left_behind
from app.instruments.faults.levers import lever_from
from app.instruments.references import References
from checks.contract import InstrumentFailure, Target
from tests.instruments.faults.proxies import NAME, Proxied, proxied
from tests.instruments.servers import Visit, scripted


def breaker(target: Target, folder: Path) -> Breaker:
    return Breaker(target, References({}), Ledger(folder), lambda _: None, lambda *_: None)


async def statuses(proxy: Proxied, count: int) -> list[int]:
    """What HTTP requests get; an echo of a request is taken for no reply (0)."""
    found = []
    for _ in range(count):
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            try:
                found.append((await client.get(f"http://127.0.0.1:{proxy.port}/ask?q=1")).status_code)
            except httpx.HTTPError:
                found.append(0)
    return found


async def assert_whole(proxy: Proxied, ledger: Path) -> None:
    state = await proxy.state()
    assert (state["enabled"], state["toxics"]) == (True, [])
    assert entries(ledger) == []


def entries(ledger: Path) -> list[Path]:
    return list(ledger.glob("*"))


async def test_errors_refuse_every_request_and_few_errors_the_next_two(tmp_path):
    async with proxied(tmp_path) as proxy:
        levers = breaker(proxy.target("faultproxy"), tmp_path / "levers")
        assert levers.ways("cache") == ("refuse", "hang", "slow", "reset", "errors", "few_errors")
        before = await levers.calls("cache")
        async with levers.broken("cache", "errors"):
            assert await statuses(proxy, 3) == [503, 503, 503]
        async with levers.broken("cache", "few_errors"):
            assert await statuses(proxy, 3) == [503, 503, 0]
        await assert_whole(proxy, tmp_path / "levers")
        assert await levers.calls("cache") == before + 6
        latest = await levers.latest_calls("cache", after=before)
        assert [call.number for call in latest] == list(range(before + 1, before + 7))
        assert [call.refused for call in latest] == [True] * 5 + [False]
        assert {call.request for call in latest} == {"GET /ask"}
        assert [call.at_s for call in latest] == sorted(call.at_s for call in latest)


@pytest.mark.parametrize("way", ["refuse", "hang", "slow", "reset"])
async def test_what_toxiproxy_can_it_can_too(way, tmp_path):
    async with proxied(tmp_path) as proxy:
        async with breaker(proxy.target("faultproxy"), tmp_path / "levers").broken("cache", way):
            state = await proxy.state()
            assert (not state["enabled"]) is (way == "refuse")
            assert bool(state["toxics"]) is (way != "refuse")
        await assert_whole(proxy, tmp_path / "levers")


async def test_the_line_to_restore_by_hand_ends_errors(tmp_path):
    async with proxied(tmp_path) as proxy:
        lever = lever_from(proxy.target("faultproxy").levers["cache"], References({}))
        await lever.break_it("errors")
        shell = ["sh", "-c", lever.by_hand()]
        await asyncio.to_thread(subprocess.run, shell, check=True, capture_output=True)
        await assert_whole(proxy, tmp_path / "levers")


async def test_a_lever_of_another_kind_counts_nothing_and_says_what_to_declare(tmp_path):
    levers = breaker(Proxied("http://127.0.0.1:1", 1).target("toxiproxy"), tmp_path)
    for asked in (levers.calls("cache"), levers.latest_calls("cache", after=0)):
        with pytest.raises(
            InstrumentFailure, match='python -m app faults proxy.*kind = "faultproxy"'
        ) as caught:
            await asked
        assert caught.value.missing == "levers.cache.kind"


async def test_a_real_toxiproxy_declared_as_a_fault_proxy_fails_clearly_and_is_not_touched(tmp_path):
    async def toxiproxy(visit: Visit) -> None:
        shown = {
            "name": NAME,
            "listen": "127.0.0.1:1",
            "upstream": "127.0.0.1:2",
            "enabled": True,
            "toxics": [],
        }
        if visit.method == "GET" and visit.path.endswith("the%20cache"):
            await visit.reply(json.dumps(shown))
        else:
            await visit.reply('{"error": "404 page not found"}', 404)

    async with scripted(toxiproxy) as server:
        levers = breaker(Proxied(server.url, 1).target("faultproxy"), tmp_path / "levers")
        for way in ("errors", "hang"):
            with pytest.raises(InstrumentFailure, match='counts no calls.*kind = "toxiproxy"'):
                async with levers.broken("cache", way):
                    raise AssertionError("broke something of another kind")
        with pytest.raises(InstrumentFailure, match="counts no calls"):
            await levers.calls("cache")
        assert {visit.method for visit in server.visits} == {"GET"}
        assert entries(tmp_path / "levers") == []


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        '{"latest": 5}',
        '{"latest": ["x"]}',
        '{"latest": [{"number": true, "at_s": 1.0, "request": "GET /"}]}',
        '{"latest": [{"number": 1, "at_s": NaN, "request": "GET /"}]}',
        '{"latest": [{"number": 1, "at_s": 1.0, "request": null}]}',
        "x" * 100_000,
    ],
)
async def test_nonsense_in_place_of_calls_is_no_count(said, tmp_path):
    async with scripted(lambda visit: visit.reply(said)) as server:
        levers = breaker(Proxied(server.url, 1).target("faultproxy"), tmp_path)
        for asked in (levers.calls("cache"), levers.latest_calls("cache", after=0)):
            with pytest.raises(InstrumentFailure, match="does not work: proxy the cache is not one of"):
                await asked


async def test_what_a_caller_asked_for_is_made_printable(tmp_path):
    call = {"number": 1, "at_s": 2, "request": "GET /\u001b[31m" + "x" * 500, "refused": "yes"}
    async with scripted(lambda visit: visit.reply(json.dumps({"latest": [call]}))) as server:
        levers = breaker(Proxied(server.url, 1).target("faultproxy"), tmp_path)
        (found,) = await levers.latest_calls("cache", after=0)
        assert "\u001b" not in found.request
        assert (len(found.request) <= 220, found.refused) == (True, False)


CRASH = """
import asyncio, os, sys
from pathlib import Path
from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger, restore_left_behind
from app.instruments.references import References
from checks.contract import Target

async def main():
    target = Target.model_validate_json(sys.argv[1])
    levers = Breaker(target, References({}), Ledger(Path(sys.argv[2])), lambda _: None, lambda *_: None)
    async with levers.broken("cache", sys.argv[3]):
        print("broken", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["errors", "few_errors"])
async def test_errors_that_a_killed_run_left_are_ended_by_the_next_start(way, tmp_path):
    ledger = tmp_path / "levers"
    async with proxied(tmp_path) as proxy:
        document = proxy.target("faultproxy").model_dump_json(by_alias=True, exclude_none=True)
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CRASH, document, str(ledger), way),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert await run.stdout.readline() == b"broken\n"
        assert await statuses(proxy, 1) == [503]
        run.kill()
        await run.wait()
        (restored,) = await asyncio.to_thread(restore_left_behind, ledger, {})
        assert (restored.way, restored.ok) == (way, True)
        assert await statuses(proxy, 1) == [0]
        await assert_whole(proxy, ledger)
