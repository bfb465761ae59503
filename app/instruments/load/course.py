"""Follows a scenario: ends it in time, ends overdue requests, tells each second, watches the driver."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from app.instruments.load.figures.seconds import Stopper, second_of
from app.instruments.load.figures.selfwatch import SelfReport, SelfWatch
from app.instruments.load.figures.summary import Recorded
from app.instruments.load.models import Model
from app.instruments.load.recording import Recording
from app.samples.reading import SampleFile
from checks.contract import LoadPlan

TICK_S = 0.02
LONGEST_FACTOR = 2  # a closed scenario waits for ``min_requests`` until this many times its duration


class Course:
    """One scenario in time, from its warm-up to the last answer."""

    def __init__(
        self,
        plan: LoadPlan,
        model: Model,
        recording: Recording,
        warmup: Recording | None,
        *,
        on_second: Callable[[dict[str, Any]], None],
        measured_from: float,
    ) -> None:
        self._plan = plan
        self._model = model
        self._recording = recording
        self._warmup = warmup
        self._on_second = on_second
        self._measured_from = measured_from
        self._watch = SelfWatch()
        self._stopper = Stopper(plan.stop)
        self._report: SelfReport | None = None
        self._second = 0
        self._told = (0, 0)  # offered and dropped
        self._requests = 0
        self._warmup_requests = 0
        self._measured_s = 0.0
        self._partial = ""
        self._over = False

    async def follow(self, faults: asyncio.Future[None]) -> None:
        """Tick until the last request is over. Raises what ``faults`` is given."""
        gc.freeze()  # what was there before the load is not looked through again and again amid it
        try:
            await self._follow(faults)
        finally:
            gc.unfreeze()

    async def _follow(self, faults: asyncio.Future[None]) -> None:
        self._model.start()
        measuring = False
        now = perf_counter()
        while not (self._over and self._model.idle):
            due = now + TICK_S  # from before the last tick, so that what a tick takes counts as lag
            await asyncio.wait((faults,), timeout=max(0.0, due - perf_counter()))
            if faults.done():
                faults.result()
            now = perf_counter()
            if not measuring and now >= self._measured_from:
                measuring = True
                self._watch.begin()
            if measuring and not self._over:
                self._watch.late(now - due)
            self._tick(now - self._measured_from, now)
        self._tell(perf_counter() - self._measured_from)

    def abandon(self, why: str) -> None:
        """End it here, ``why`` in words; its samples stay as a part."""
        self._partial = self._partial or why
        self._end(perf_counter() - self._measured_from)
        self._model.stop(perf_counter())
        self.close()

    def close(self) -> None:
        """Leave the samples as parts."""
        for recording in filter(None, (self._recording, self._warmup)):
            recording.close()

    def finish(self) -> None:
        """Turn the samples into their Parquet files."""
        if self._warmup is not None:
            self._warmup.finish({})
        about = {"duration_s": f"{self._measured_s:.3f}"} | (
            {"partial": self._partial} if self._partial else {}
        )
        self._recording.finish(about)

    def recorded(self, samples: SampleFile, examples: Mapping[str, str]) -> Recorded:
        """What there is to sum up."""
        return Recorded(
            plan=self._plan,
            samples=samples,
            watch=self._report or self._watch.report(),
            examples=examples,
            measured_s=self._measured_s,
            warmup_requests=self._warmup_requests,
            arrivals=self._model.arrivals(),
            drops_s=tuple(at - self._measured_from for at in self._model.drops),
            partial=self._partial,
        )

    def _tick(self, elapsed_s: float, now: float) -> None:
        for caller in self._model.callers:
            caller.expire(now)
        if not self._over and self._is_over(elapsed_s):
            self._end(elapsed_s)
            self._model.stop(now)
        if elapsed_s >= self._second + 1:
            self._tell(elapsed_s)
            self._watch.callback(perf_counter() - now)

    def _end(self, elapsed_s: float) -> None:
        if not self._over:
            self._over = True
            self._report = self._watch.report()
            self._measured_s = max(0.0, elapsed_s if self._partial else max(elapsed_s, self._plan.duration_s))

    def _is_over(self, elapsed_s: float) -> bool:
        if self._partial:
            return True
        if self._plan.stages:
            return elapsed_s >= self._plan.duration_s
        enough = self._requests + self._recording.samples.waiting >= self._plan.min_requests
        return elapsed_s >= self._plan.duration_s * (1 if enough else LONGEST_FACTOR)

    def _tell(self, elapsed_s: float) -> None:
        """Write the last second to disk and tell of it; the last answers may come after the scenario."""
        if self._warmup is not None:
            self._warmup_requests += len(self._warmup.flush().rows)
        rows = self._recording.flush().rows
        self._requests += len(rows)
        if elapsed_s < 0 or (self._over and not len(rows)):
            return
        self._second = int(elapsed_s)
        told = second_of(self._plan, self._second, rows)
        if self._plan.stages:
            before, self._told = self._told, (self._model.offered, self._model.dropped)
            told |= {"offered": self._told[0] - before[0], "dropped": self._told[1] - before[1]}
        self._on_second(told)
        if not self._over:
            self._partial = self._stopper.breach(elapsed_s, told)
