"""The load driver: runs a plan in this event loop, keeps every sample on disk and sums up what was seen.

Latency runs from the moment a request is meant to be sent (so it includes connecting, where a connection had
to be opened) to the last byte of the reply, or to the declared end of a stream. A request belongs to the
scenario when it starts in it; those under way at its end are waited for, so that slow ones are not cut off.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, Self

from app.instruments.load.arrivals import arrivals
from app.instruments.load.caller import Caller, Shared
from app.instruments.load.course import Course
from app.instruments.load.figures.kept import about
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.http1.endpoint import Endpoint
from app.instruments.load.http1.examples import Examples
from app.instruments.load.http1.replies import AnswerReader, StreamReader
from app.instruments.load.http1.requests import RequestWriter
from app.instruments.load.models import ClosedModel, Model, NewCaller, OpenModel
from app.instruments.load.questions import NextQuestion
from app.instruments.load.recording import Recording
from app.samples.reading import open_samples
from app.samples.writing import warmup_file
from checks.contract import InstrumentFailure, LoadPlan, LoadSummary, Stage, Target
from checks.contract.instruments.questions import Prompts
from checks.contract.target.service import Ask, Stream


class LoadDriver:
    """Implements ``checks.contract.Load``.

    ``resolve`` fills ``${ENV_NAME}`` references; ``on_second`` is called from the event loop once a second
    with the data of a ``load`` event; ``samples_file`` says where a scenario's samples go (without it they
    are forgotten once they are summed up). ``on_partial`` gets the figures of a scenario that was cancelled.
    ``tls`` replaces the default TLS context; ``share`` is (number, of): which of several workers this is.
    """

    def __init__(
        self,
        target: Target,
        *,
        resolve: Callable[[str], str],
        random: Random,
        prompts: Prompts,
        on_second: Callable[[dict[str, Any]], None],
        max_users: int,
        max_rate_per_s: float = float("inf"),
        samples_file: Callable[[str], Path] | None = None,
        on_partial: Callable[[LoadSummary], None] = lambda _summary: None,
        tls: ssl.SSLContext | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._target = target
        self._resolve = resolve
        self._random = random
        self._prompts = prompts
        self._on_second = on_second
        self._max_users = max_users
        self._max_rate_per_s = max_rate_per_s
        self._samples_file = samples_file
        self._on_partial = on_partial
        self._tls = tls
        self._share = share

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run ``plan`` to its end; at most warm-up, twice its duration and one time-out long.

        Cancelled, it closes every connection, keeps what it has as partial, and leaves at once. Raises
        InstrumentFailure for a plan that may not run (route not declared, too many users, missing secret) and
        where this machine is at its own limit; ValueError for a plan that makes no sense.
        """
        with tempfile.TemporaryDirectory(prefix="greenlight-load-") as folder:
            path = (
                self._samples_file(plan.scenario) if self._samples_file else Path(folder) / "samples.parquet"
            )
            try:
                recorded = await self.record(plan, path)
            except Cancelled as cancelled:
                self._on_partial(await asyncio.to_thread(summarize, cancelled.recorded))
                raise
            return await asyncio.to_thread(summarize, recorded)

    async def record(
        self, plan: LoadPlan, path: Path, *, start_in_s: float = 0.0, whole: bool = True
    ) -> Recorded:
        """Run ``plan`` and leave its samples at ``path``, without summing them up.

        ``whole`` False: they stay a part, to be made one file with those of other workers.

        Raises Cancelled with what there is, and what ``run`` raises.
        """
        call = self._checked(plan)
        writer = RequestWriter(self._target, call, self._resolve)
        start_at = perf_counter() + start_in_s
        measured_from = start_at + plan.warmup_s
        recording = self._recording(plan, path, measured_from)
        warmup = self._recording(plan, warmup_file(path), measured_from) if plan.warmup_s else None
        faults: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with _Connecting(faults) as connecting:
            shared = Shared(
                endpoint=Endpoint(writer.origin, self._tls),
                samples=recording.samples,
                warmup=(warmup or recording).samples,
                examples=Examples(writer.hide),
                measured_from=measured_from,
                timeout_s=plan.timeout_s,
                streams=isinstance(call, Stream),
                fault=connecting.fail,
                spawn=connecting.spawn,
            )
            model = self._model(plan, writer, shared, call, start_at)
            watch = partial(Course, on_second=self._on_second, measured_from=measured_from)
            course = watch(plan, model, recording, warmup)
            try:
                await asyncio.sleep(start_at - perf_counter())
                await course.follow(faults)
            except asyncio.CancelledError:
                course.abandon(f"cancelled after {max(0.0, perf_counter() - measured_from):.1f} s")
                raise Cancelled(course.recorded(open_samples(path), shared.examples.of())) from None
            except BaseException as error:
                course.abandon(f"ended by a fault of this machine: {error}")
                raise
            finally:
                model.leave()
                shared.endpoint.close()
        await asyncio.to_thread(course.finish if whole else course.close)
        return course.recorded(open_samples(path), shared.examples.of())

    def _recording(self, plan: LoadPlan, path: Path, measured_from: float) -> Recording:
        return Recording(path, about(plan), measured_from=measured_from, worker=self._share[0])

    def _model(
        self, plan: LoadPlan, writer: RequestWriter, shared: Shared, call: Ask | Stream, start_at: float
    ) -> Model:
        question = NextQuestion(plan, writer, self._prompts, Random(self._random.getrandbits(64)))

        def new(number: int, after: Any) -> Caller:
            return Caller(number, writer.user(number), shared, _reader(call), after)

        maker: NewCaller = new
        if not plan.stages:
            return ClosedModel(plan, maker, writer, question, self._random, fault=shared.fault)
        first = plan.stages[0].from_per_s
        stages = (Stage(plan.warmup_s, first, first), *plan.stages) if plan.warmup_s else plan.stages
        moments = arrivals(stages, poisson=plan.spacing == "poisson", random=self._random, share=self._share)
        return OpenModel(
            plan,
            maker,
            writer,
            question,
            moments,
            start_at=start_at,
            measured_from=shared.measured_from,
            fault=shared.fault,
        )

    def _checked(self, plan: LoadPlan) -> Ask | Stream:
        if plan.users < 1 or plan.duration_s <= 0 or plan.timeout_s <= 0:
            raise ValueError(f"scenario {plan.scenario}: users, duration and time-out must be above 0")
        if not plan.prompts and plan.fresh_share < 1:
            raise ValueError(f"scenario {plan.scenario}: no prompts to repeat")
        if any(stage.duration_s <= 0 or min(stage.from_per_s, stage.to_per_s) < 0 for stage in plan.stages):
            raise ValueError(
                f"scenario {plan.scenario}: a stage needs a duration above 0 and rates from 0 up"
            )
        if plan.stages and abs(sum(stage.duration_s for stage in plan.stages) - plan.duration_s) > 1e-6:
            raise ValueError(f"scenario {plan.scenario}: its stages do not last as long as it does")
        if plan.users > self._max_users:
            raise InstrumentFailure(
                f"The scenario {plan.scenario} has {plan.users} users; at most {self._max_users} are allowed."
            )
        rate = max((max(stage.from_per_s, stage.to_per_s) for stage in plan.stages), default=0.0)
        if rate > self._max_rate_per_s:
            raise InstrumentFailure(
                f"The scenario {plan.scenario} sends {rate:g} requests a second; at most "
                f"{self._max_rate_per_s:g} are allowed."
            )
        call = self._target.stream if plan.route == "stream" else self._target.ask
        if call is None:
            raise InstrumentFailure(
                f"No `[{plan.route}]` is declared in the target file.", missing=plan.route
            )
        return call


class Cancelled(asyncio.CancelledError):
    """A scenario was cancelled; ``recorded`` is what it had by then."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self.recorded = recorded


class _Connecting:
    """The tasks that open connections, and the first fault of the scenario."""

    def __init__(self, faults: asyncio.Future[None]) -> None:
        self._faults = faults
        self._tasks: set[asyncio.Task[Any]] = set()

    def fail(self, error: BaseException) -> None:
        """End the scenario with this."""
        if not self._faults.done():
            self._faults.set_exception(error)

    def spawn(self, work: Callable[[], Any]) -> None:
        """Do ``work`` in a task of its own."""
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._faults.done():
            self._faults.exception()  # looked at, so that nobody warns of it
        else:
            self._faults.cancel()


def _reader(call: Ask | Stream) -> AnswerReader | StreamReader:
    return StreamReader(call) if isinstance(call, Stream) else AnswerReader(call)
