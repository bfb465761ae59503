"""What a worker does: one part of a load, the same in a process of this machine and on a Dask cluster."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import uvloop

from app.instruments.load.driver import Cancelled
from app.instruments.load.figures.summary import Recorded
from app.instruments.load.making import make_driver
from app.instruments.load.sharded.plans import Line, OwnPrompts, ShardPlan, ShardResult, seeded
from app.instruments.prompts import RunPrompts
from app.instruments.references import References

LATEST_START_S = 10.0


class TooLateError(Exception):
    """A shard was started long after its time, as when a cluster starts a lost one again."""


def prepare() -> tuple[int, float]:
    """Nothing but what importing this has done; the process id, and its clock as unix time."""
    return os.getpid(), time.time()


def run_shard(shard: ShardPlan) -> ShardResult:
    """Carry out one worker's part; its samples stay a part file. Raises what LoadDriver.run raises."""
    if time.time() > shard.start_at_unix_s + LATEST_START_S:
        raise TooLateError(f"worker {shard.number + 1} was to start {LATEST_START_S:g} s ago or earlier")
    line = shard.line()
    with tempfile.TemporaryDirectory(prefix="greenlight-shard-") as folder:
        samples = shard.samples or Path(folder) / "samples.parquet"
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_run(shard, samples, line))
        finally:
            line.close()


async def _run(shard: ShardPlan, samples: Path, line: Line) -> ShardResult:
    random = seeded(shard.seed, shard.number)
    prompts = RunPrompts(shard.target.prompts.repeat, random)
    driver = make_driver(
        shard.target,
        policy=shard.policy,
        references=References(os.environ),
        random=random,
        prompts=OwnPrompts(prompts, shard.number, shard.of),
        on_second=line.tell,
        share=(shard.number, shard.of),
    )
    start_in_s = max(0.0, shard.start_at_unix_s - time.time())
    recording = asyncio.ensure_future(driver.record(shard.plan, samples, start_in_s=start_in_s, whole=False))
    loop = asyncio.get_running_loop()
    line.open(lambda: loop.call_soon_threadsafe(recording.cancel), samples)
    try:
        return _result(await recording, cancelled=False)
    except Cancelled as cancelled:
        return _result(cancelled.recorded, cancelled=True)


def _result(recorded: Recorded, *, cancelled: bool) -> ShardResult:
    return ShardResult(
        watch=recorded.watch,
        examples=dict(recorded.examples),
        measured_s=recorded.measured_s,
        warmup_requests=recorded.warmup_requests,
        arrivals=recorded.arrivals,
        drops_s=tuple(recorded.drops_s),
        partial=recorded.partial,
        cancelled=cancelled,
    )
