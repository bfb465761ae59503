"""The open model: requests are sent when they are meant to be, and every arrival is accounted for."""

from __future__ import annotations

import asyncio
import itertools
from random import Random

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.load.arrivals import arrivals
from app.instruments.load.driver import Cancelled
from app.samples.reading import open_samples
from checks.contract import InstrumentFailure, Stage, StopRule
from tests.instruments.load.loads import a_driver, a_plan, a_target, answers, load
from tests.instruments.servers import scripted

RATES = st.floats(0, 200)
STAGES = st.lists(st.builds(Stage, st.floats(0.5, 5), RATES, RATES), min_size=1, max_size=4)


def at_rate(per_s, duration_s, **more):
    return {"stages": (Stage(duration_s, per_s, per_s),), "duration_s": duration_s, "users": 200, **more}


@given(STAGES, st.booleans(), st.integers())
def test_arrivals_stand_in_order_within_their_stages(stages, poisson, seed):
    moments = list(arrivals(stages, poisson=poisson, random=Random(seed)))
    assert moments == sorted(moments)
    whole_s = sum(stage.duration_s for stage in stages)
    assert all(0 <= moment <= whole_s * (1 + 1e-9) for moment in moments)


@given(STAGES)
def test_evenly_spaced_arrivals_are_as_many_as_the_rates_say(stages):
    start_s = 0.0
    moments = list(arrivals(stages, poisson=False, random=Random(1)))
    for stage in stages:
        due = stage.duration_s * (stage.from_per_s + stage.to_per_s) / 2
        there = sum(start_s <= moment < start_s + stage.duration_s for moment in moments)
        assert abs(there - due) <= 1.5
        start_s += stage.duration_s


def test_a_ramp_gets_denser():
    moments = list(arrivals([Stage(10, 0, 100)], poisson=False, random=Random(1)))
    assert len(moments) == 500
    assert sum(moment < 5 for moment in moments) == pytest.approx(125, abs=1)


def test_poisson_arrivals_have_exponential_gaps():
    moments = list(arrivals([Stage(1000, 20, 20)], poisson=True, random=Random(3)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(0.05, rel=0.03)
    assert variance == pytest.approx(mean**2, rel=0.1)


def test_requests_are_sent_at_their_rate_whatever_the_answers_do(tmp_path):
    async def main():
        async def slow(visit):
            await asyncio.sleep(0.3)
            await visit.reply('{"answer": "yes", "from_cache": false}')

        async with scripted(slow) as server:
            plan = at_rate(50, 2.0, spacing="even")
            return await load(a_target(server.url), samples_file=tmp_path / "open.parquet", **plan)

    told = uvloop.run(main())
    summary = told.summary
    assert summary.model == "open"
    assert summary.rate_per_s == 50
    assert (summary.arrivals.scheduled, summary.arrivals.sent, summary.arrivals.dropped) == (100, 100, 0)
    assert summary.total_requests == summary.successful == 100
    assert sum(second["offered"] for second in told.seconds) == 100
    starts = open_samples(tmp_path / "open.parquet").columns("start_s")["start_s"]
    assert sorted(starts) == pytest.approx([(number + 0.5) / 50 for number in range(100)], abs=1e-6)
    assert summary.p50_ms >= 300
    assert summary.service_p50_ms <= summary.p50_ms
    assert summary.dispatch_delay_p50_ms >= 0


def test_a_stall_of_the_service_is_in_the_latencies_of_all_who_came_meanwhile():
    async def main():
        gate = asyncio.Event()
        gate.set()

        async def stalling(visit):
            await gate.wait()
            await visit.reply('{"answer": "yes", "from_cache": false}')

        async def stall():
            await asyncio.sleep(0.5)
            gate.clear()
            await asyncio.sleep(1.0)
            gate.set()

        async with scripted(stalling) as server:
            stalled = asyncio.create_task(stall())
            told = await load(a_target(server.url), **at_rate(100, 2.0, spacing="even"))
            await stalled
            return told

    summary = uvloop.run(main()).summary
    # Half of the two seconds' arrivals came during the stall and waited from 0 to 1 s, evenly.
    assert summary.p90_ms == pytest.approx(800, abs=150)
    assert summary.p50_ms < 150


def test_an_arrival_that_finds_no_place_is_dropped_and_counted(tmp_path):
    async def main():
        async def hangs(visit):
            await asyncio.sleep(1.5)
            await visit.reply('{"answer": "yes", "from_cache": false}')

        async with scripted(hangs) as server:
            plan = at_rate(20, 1.0, spacing="even") | {"users": 5}
            return await load(a_target(server.url), **plan)

    summary = uvloop.run(main()).summary
    assert summary.arrivals.scheduled == 20
    assert summary.arrivals.sent == summary.total_requests == 5
    assert summary.arrivals.dropped == 15
    assert summary.steps[0].dropped == 15
    assert summary.validity == "invalid"
    assert "15 of 20" in " ".join(summary.validity_reasons)


def test_a_driver_that_cannot_keep_the_schedule_says_so_and_blames_itself():
    async def main():
        async with scripted(answers()) as server:
            return await load(a_target(server.url), **at_rate(20_000, 1.0))

    summary = uvloop.run(main()).summary
    assert summary.validity == "invalid"
    reasons = " ".join(summary.validity_reasons)
    assert "load driver" in reasons
    assert summary.arrivals.scheduled == summary.arrivals.sent + summary.arrivals.dropped
    assert summary.total_requests == summary.arrivals.sent


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_connections_are_used_again(seed):
    async def main():
        async with scripted(answers()) as server:
            plan = at_rate(60, 0.5)
            told = await load(a_target(server.url), driver={"random": Random(seed)}, **plan)
            return told, len({id(visit.writer) for visit in server.visits})

    told, connections = uvloop.run(main())
    assert told.summary.successful == told.summary.total_requests
    assert connections <= max(5, told.summary.total_requests // 2)


def test_the_warm_up_is_kept_apart(tmp_path):
    async def main():
        async with scripted(answers()) as server:
            plan = at_rate(50, 1.0, spacing="even", warmup_s=0.6)
            return await load(a_target(server.url), samples_file=tmp_path / "warm.parquet", **plan)

    summary = uvloop.run(main()).summary
    assert summary.warmup_requests == 30
    assert summary.total_requests == summary.arrivals.scheduled == 50
    warmup = open_samples(tmp_path / "warm.warmup.parquet").columns("start_s")["start_s"]
    assert len(warmup) == 30
    assert max(warmup) < 0
    assert min(open_samples(tmp_path / "warm.parquet").columns("start_s")["start_s"]) >= 0


def test_a_limit_that_is_breached_for_long_enough_ends_the_scenario(tmp_path):
    async def main():
        async with scripted(answers(status=500)) as server:
            rule = StopRule(for_s=1.0, max_failure_ratio=0.5)
            plan = at_rate(50, 20.0, stop=rule)
            return await load(a_target(server.url), samples_file=tmp_path / "s.parquet", **plan)

    summary = uvloop.run(main()).summary
    assert summary.duration_s < 10
    assert "100\u00a0% of requests failed" in summary.partial
    assert summary.validity != "valid"
    assert open_samples(tmp_path / "s.parquet").about["partial"] == summary.partial


def test_a_scenario_that_is_cancelled_keeps_what_it_has_and_says_so(tmp_path):
    kept = []

    async def main():
        async with scripted(answers()) as server:
            more = {"samples_file": lambda name: tmp_path / "c.parquet", "on_partial": kept.append}
            driver = a_driver(a_target(server.url), [], **more)
            task = asyncio.create_task(driver.run(a_plan(**at_rate(50, 60.0))))
            await asyncio.sleep(1.5)
            task.cancel()
            with pytest.raises(Cancelled):
                await task

    uvloop.run(main())
    [summary] = kept
    assert "cancelled after 1." in summary.partial
    assert summary.validity != "valid"
    file = open_samples(tmp_path / "c.parquet")
    assert file.partial
    assert len(file.columns("latency_ms")["latency_ms"]) == summary.total_requests > 40


def test_a_rate_above_the_operators_ceiling_is_refused():
    async def main():
        return await load(a_target("http://127.0.0.1:1"), driver={"max_rate_per_s": 10}, **at_rate(50, 1))

    with pytest.raises(InstrumentFailure, match="at most 10 are allowed"):
        uvloop.run(main())


def test_stages_that_do_not_last_as_long_as_the_plan_make_no_sense():
    plan = at_rate(50, 1) | {"duration_s": 2}
    with pytest.raises(ValueError, match="do not last"):
        uvloop.run(load(a_target("http://127.0.0.1:1"), **plan))
