"""One load of one service: in this process, or divided among workers; measured, or broken off and kept."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import uvloop

from app.errors import UserError
from app.instruments.load.driver import Cancelled
from app.instruments.load.figures.seconds import STOPPED
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.making import make_driver
from app.instruments.load.sharded.local import LocalWorker
from app.instruments.load.sharded.plans import divided
from app.instruments.load.shards import Job, Worker, run_on
from app.instruments.load.watched import load_result
from app.instruments.origins import Origin
from app.instruments.policy import Policy
from app.instruments.prompts import RunPrompts
from app.instruments.references import References
from app.records import LoadResult
from app.samples.reading import open_samples
from app.samples.writing import part_of, read_part, warmup_file, worker_file, write_parquet
from checks.contract import InstrumentFailure, LoadPlan
from checks.contract.target import Target

if TYPE_CHECKING:
    from app.instruments.load.sharded.cluster import Cluster

DISTINCT = 10  # questions of the target's repeat mix, where no file of questions is given
LOOK_S = 0.1
OnSecond = Callable[[dict[str, Any]], None]


class LoadRefusedError(UserError):
    """A load may not run, or cannot; the message says why and what to do."""


@dataclass(frozen=True)
class Asked:
    """What to load with what. ``workers`` None: one process, or every worker of the ``cluster``."""

    target: Target
    plan: LoadPlan
    samples: Path
    workers: int | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class Measured:
    """What came out, and of how many workers. ``interrupted``: it was told to stop before its end."""

    result: LoadResult
    plan: LoadPlan
    workers: int
    interrupted: bool
    stopped_by_rule: bool


class Interrupt:
    """Whether SIGINT or SIGTERM came since ``listen``; a second one ends the process as usual.

    ``on_heard`` is called once, from whoever asks first after it came and not from within the signal.
    """

    def __init__(self, on_heard: Callable[[], None] = lambda: None) -> None:
        self._heard = self._told = False
        self._on_heard = on_heard

    def listen(self) -> None:
        """Take over the two signals. Must be called from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def __call__(self) -> bool:
        """Whether to stop."""
        if self._heard and not self._told:
            self._told = True
            self._on_heard()
        return self._heard

    def _hear(self, number: int, _frame: object) -> None:
        self._heard = True
        signal.signal(number, signal.SIG_DFL)


def measure(asked: Asked, on_second: OnSecond, stopped: Callable[[], bool]) -> Measured:
    """Carry ``asked`` out until its end or until ``stopped`` says so. Raises LoadRefusedError, UserError."""
    policy = Policy.from_environment(os.environ, faults=False)
    seed = Random().getrandbits(32)
    started_at = datetime.now(UTC)
    try:
        plan = _allowed(asked, policy, seed)
        job = Job(asked.target.under_load(), plan, policy, seed, asked.samples)
        if asked.cluster or (asked.workers or 1) > 1:
            workers, recorded = _divided(job, asked, on_second, stopped)
        else:
            workers, recorded = 1, _alone(job, on_second, stopped)
    except (InstrumentFailure, ValueError) as failure:
        raise LoadRefusedError(str(failure)) from failure
    except OSError as error:  # those of connections are figures, and were caught long before
        raise LoadRefusedError(f"The samples cannot be written to {asked.samples}: {error}.") from error
    result = load_result(summarize(recorded), str(recorded.samples.path))
    return Measured(
        result.model_copy(update={"started_at": started_at}),
        plan,
        workers,
        interrupted=stopped(),
        stopped_by_rule=recorded.partial.startswith(STOPPED),
    )


def _allowed(asked: Asked, policy: Policy, seed: int) -> LoadPlan:
    """The plan with questions, if it may run. Raises InstrumentFailure."""
    refused = policy.refusal(Origin.of(asked.target.url)) or policy.load_refusal(asked.plan)
    if refused:
        raise refused
    if asked.plan.prompts:
        return asked.plan
    prompts = RunPrompts(asked.target.prompts.repeat, Random(seed))
    return replace(asked.plan, prompts=tuple(prompts.repeats(DISTINCT)))


def _alone(job: Job, on_second: OnSecond, stopped: Callable[[], bool]) -> Recorded:
    random = Random(job.seed)
    driver = make_driver(
        job.target,
        policy=job.policy,
        references=References(os.environ),
        random=random,
        prompts=RunPrompts(job.target.prompts.repeat, random),
        on_second=on_second,
    )

    async def drive() -> Recorded:
        recording = asyncio.ensure_future(driver.record(job.plan, job.samples))
        while not recording.done():
            await asyncio.wait((recording,), timeout=LOOK_S)
            if stopped():
                recording.cancel()
        return recording.result()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(drive())
        except Cancelled as cancelled:
            return _kept(job, cancelled.recorded)


def _kept(job: Job, recorded: Recorded) -> Recorded:
    """What was broken off, with its parts made Parquet that says so."""
    for file in (job.samples, warmup_file(job.samples)):
        if part_of(file).exists():
            write_parquet(file, read_part(part_of(file)), {"partial": recorded.partial})
            part_of(file).unlink()
    return replace(recorded, samples=open_samples(job.samples))


def _divided(
    job: Job, asked: Asked, on_second: OnSecond, stopped: Callable[[], bool]
) -> tuple[int, Recorded]:
    with ExitStack() as stack:
        workers: Sequence[Worker]
        if asked.cluster:
            cluster = _cluster(asked.cluster)
            stack.callback(cluster.close)
            workers = cluster.workers(asked.workers, lambda number: worker_file(job.samples, number))
        else:
            count = len(divided(job.plan, asked.workers or 1))  # refused before a process is started
            workers = [LocalWorker() for _ in range(count)]
        return len(workers), run_on(workers, job, on_second=on_second, stopped=stopped)


def _cluster(address: str) -> Cluster:
    try:
        from app.instruments.load.sharded.cluster import Cluster  # noqa: PLC0415 - optional, and heavy
    except ModuleNotFoundError as error:
        raise LoadRefusedError(
            f"GREENLIGHT_DASK is {address}, and Dask is not installed ({error}). Install it with "
            "`.venv/bin/pip install -r requirements-scale.txt`, or unset GREENLIGHT_DASK."
        ) from error
    return Cluster(address)
