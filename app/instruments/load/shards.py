"""One load by several workers: processes of this machine, or those of a Dask cluster.

The plan is divided, all begin at one moment, and their samples are made one file, from which the figures are
summed up as from that of one process. A worker that is lost takes nothing along but what it had under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from app.instruments.load.figures.selfwatch import SelfReport
from app.instruments.load.figures.summary import Recorded
from app.instruments.load.sharded.merging import Part, merged
from app.instruments.load.sharded.plans import Line, ShardPlan, ShardResult, divided
from app.instruments.load.sharded.running import TooLateError
from app.instruments.load.sharded.together import Together
from app.instruments.policy import Policy
from app.samples.reading import open_samples
from app.samples.writing import part_of, warmup_file, worker_file, write_parquet
from checks.contract import Arrivals, LoadPlan, Target, plural, show

POLL_S = 0.1
LEAD_S = 0.5  # from handing out the work to the common start
STOP_GRACE_S = 3.0  # then a worker that was told to stop is taken for lost
LATE_S = 0.25  # a start this late is worth a word
# What a worker's future raises where the worker, and not the load, is the trouble.
LOST = (BrokenExecutor, CancelledError, asyncio.CancelledError, OSError, TooLateError)
NOTHING_KNOWN = SelfReport(0.0, 0.0, 0.0, 0.0)


class Worker(Protocol):
    """Where a shard runs: one process, and the line to it."""

    where: str  # as words behind its number; "" for this machine

    def ready(self) -> float:
        """Wait until it can begin; how far its clock is ahead, in s. Raises what went wrong."""

    def samples(self, file: Path) -> Path | None:
        """Where the worker writes what is to be in ``file`` of this machine; None: a place of its own."""

    def line(self) -> Callable[[], Line]:
        """What opens the worker's end of the line, in the worker."""

    def begin(self, shard: ShardPlan) -> Future[ShardResult]:
        """Hand ``shard`` to its executor, which is of this one process: a lost one breaks no other."""

    def heard(self) -> list[dict[str, Any]]:
        """The seconds that came since the last call."""

    def stop(self) -> None:
        """Tell it to stop."""

    def lost(self) -> bool:
        """Whether it is gone and its future will not say so."""

    def close(self) -> None:
        """Let it go, whether or not it has come to its end."""


@dataclass(eq=False)
class _Shard:
    """A worker with its part of the plan, and what became of it."""

    worker: Worker
    part: Part
    future: Future[ShardResult]
    result: ShardResult | None = None
    lost_after_s: float | None = None
    why: str = ""

    @property
    def over(self) -> bool:
        return self.result is not None or self.lost_after_s is not None


@dataclass(frozen=True)
class Job:
    """What to load with what, and under whose rules. ``samples`` is the file for the samples of all."""

    target: Target
    plan: LoadPlan
    policy: Policy
    seed: int
    samples: Path


def run_on(
    workers: Sequence[Worker],
    job: Job,
    *,
    on_second: Callable[[dict[str, Any]], None],
    stopped: Callable[[], bool],
) -> Recorded:
    """Carry out ``job`` on ``workers``, which are let go at its end, until ``stopped`` says so.

    A rule to stop is looked at by each worker for its own part; when one stops, all do. Raises what
    LoadDriver.run raises.
    """
    with ExitStack() as stack:
        for worker in workers:
            stack.callback(worker.close)
        shards = _begun(workers, job)
        _follow(shards, job, on_second, stopped)
    return _recorded(job, shards)


def _begun(workers: Sequence[Worker], job: Job) -> list[_Shard]:
    """Hand out the work, to begin at one moment on every worker's clock."""
    plans = divided(job.plan, len(workers))
    first_users = [0, *accumulate(plan.users for plan in plans)]
    ahead_s = [worker.ready() for worker in workers]
    start_at = time.time() + LEAD_S
    shards = []
    for number, worker in enumerate(workers):
        file = worker_file(job.samples, number)
        plan = ShardPlan(
            target=job.target,
            plan=plans[number],
            number=number,
            of=len(workers),
            seed=job.seed,
            policy=job.policy,
            start_at_unix_s=start_at + ahead_s[number],
            samples=worker.samples(file),
            line=worker.line(),
        )
        part = Part(file, number, plan.start_at_unix_s + job.plan.warmup_s, first_users[number])
        shards.append(_Shard(worker, part, worker.begin(plan)))
    return shards


def _follow(
    shards: Sequence[_Shard],
    job: Job,
    on_second: Callable[[dict[str, Any]], None],
    stopped: Callable[[], bool],
) -> None:
    """Wait for every worker. Raises what one of them raised, once all the others were told to stop."""
    together = Together(len(shards))
    began = time.monotonic() + LEAD_S + job.plan.warmup_s
    stop_at: float | None = None
    try:
        while not all(shard.over for shard in shards):
            time.sleep(POLL_S)
            now = time.monotonic()
            _look(shards, together, now - began)
            for second in together.ready(number for number, shard in enumerate(shards) if not shard.over):
                on_second(second)
            if stop_at is None and (
                stopped() or any(shard.result and shard.result.partial for shard in shards)
            ):
                stop_at = now
                _stop(shards)
            if stop_at is not None and now > stop_at + STOP_GRACE_S:
                _give_up(shards, now - began)
        _look(shards, together, time.monotonic() - began)  # what came just before a worker's end
        for second in together.ready(()):
            on_second(second)
    except BaseException:
        _stop(shards)
        raise


def _look(shards: Sequence[_Shard], together: Together, elapsed_s: float) -> None:
    for number, shard in enumerate(shards):
        for second in shard.worker.heard():
            together.add(number, second)
        if shard.over:
            continue
        if shard.future.done():
            try:
                shard.result = shard.future.result()
            except LOST as error:
                shard.lost_after_s = elapsed_s
                shard.why = f" ({error})" if isinstance(error, OSError | TooLateError) else ""
        elif shard.worker.lost():
            shard.lost_after_s = elapsed_s


def _stop(shards: Sequence[_Shard]) -> None:
    for shard in shards:
        if not shard.over:
            shard.worker.stop()


def _give_up(shards: Sequence[_Shard], elapsed_s: float) -> None:
    for shard in shards:
        if not shard.over:
            shard.lost_after_s = elapsed_s


def _recorded(job: Job, shards: Sequence[_Shard]) -> Recorded:
    """What all of them left behind, as of one scenario; their files are made one."""
    results = [shard.result for shard in shards if shard.result]
    lost = {shard: shard.part.rows() for shard in shards if shard.lost_after_s is not None}
    partial = "; ".join(_partial(shards, lost))
    late_s = max(shard.part.late_s() for shard in shards)
    about = {"scenario": job.plan.scenario, "model": job.plan.model, "users": str(job.plan.users)}
    about |= {"started_unix_s": repr(min(shard.part.measured_from_unix_s for shard in shards))}
    about |= {"workers": str(len(shards))} | ({"partial": partial} if partial else {})
    _make_one([shard.part for shard in shards], job.samples, about)
    warmup = [shard.part.of_warmup() for shard in shards]
    if any(part_of(part.file).exists() for part in warmup):  # workers of a cluster keep theirs to themselves
        _make_one(warmup, warmup_file(job.samples), about)
    return Recorded(
        plan=job.plan,
        samples=open_samples(job.samples),
        watch=SelfReport.worst([result.watch for result in results]) if results else NOTHING_KNOWN,
        examples={kind: text for result in reversed(results) for kind, text in result.examples.items()},
        measured_s=max(
            [result.measured_s for result in results] + [shard.lost_after_s or 0.0 for shard in lost]
        ),
        warmup_requests=sum(result.warmup_requests for result in results),
        arrivals=_arrivals(results, sum(lost.values())),
        drops_s=[at_s for result in results for at_s in result.drops_s],
        doubts=tuple(_doubts(results, late_s)),
        partial=partial,
    )


def _make_one(parts: Sequence[Part], file: Path, about: dict[str, str]) -> None:
    write_parquet(file, merged(parts), about)
    for part in parts:
        part_of(part.file).unlink(missing_ok=True)


def _arrivals(results: Sequence[ShardResult], of_lost: int) -> Arrivals | None:
    """The sums. Of a lost worker only the requests that ended are known, and were sent."""
    told = [result.arrivals for result in results if result.arrivals]
    if not told:
        return None
    return Arrivals(
        sum(each.scheduled for each in told) + of_lost,
        sum(each.sent for each in told) + of_lost,
        sum(each.dropped for each in told),
    )


def _partial(shards: Sequence[_Shard], lost: Mapping[_Shard, int]) -> Iterator[str]:
    """Why this is not the whole of what was planned: what ended by rule, or else by order, then losses."""
    said = [shard.result for shard in shards if shard.result and shard.result.partial]
    if said:
        yield min(said, key=lambda result: result.cancelled).partial
    for shard, rows in lost.items():
        which = f"worker {shard.part.worker + 1} of {len(shards)}{shard.worker.where}"
        yield (
            f"{which} was lost after {show(max(0.0, shard.lost_after_s or 0.0), 's')}{shard.why}; "
            f"its {plural(rows, 'request')} until then are included"
        )


def _doubts(results: Sequence[ShardResult], late_s: float) -> Iterator[str]:
    if late_s > LATE_S:
        yield f"A worker began {show(late_s, 's')} after the others, so that the load was less until then."
    if not results:
        yield "No worker could say how it did itself."
