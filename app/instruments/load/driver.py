"""The load driver: runs a plan's users in this event loop and sums up what they saw.

Latency runs from the moment a user wants to ask (so it includes connecting, where a connection had to be
opened) to the last byte of the reply, or to the declared end of a stream. A request belongs to the scenario
when it starts in it; those under way at its end are waited for, so that slow ones are not cut off. Think time
is spread evenly over half to one and a half of what the plan says, so that users do not march in step.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from app.instruments.load.endpoint import Endpoint
from app.instruments.load.examples import Examples
from app.instruments.load.replies import AnswerReader, StreamReader
from app.instruments.load.requests import RequestWriter
from app.instruments.load.samples import Samples
from app.instruments.load.selfwatch import SelfWatch
from app.instruments.load.summary import second_of, summarize
from app.instruments.load.users import Scenario, User
from checks.contract import InstrumentFailure, LoadPlan, LoadSummary, Target
from checks.instruments import Prompts
from checks.target import Ask, Stream

TICK_S = 0.02
LONGEST_FACTOR = 2  # a scenario waits for ``min_requests`` until this many times its duration


class LoadDriver:
    """Implements ``checks.contract.Load``.

    ``resolve`` fills ``${ENV_NAME}`` references; ``on_second`` is called from the event loop once a second
    with the data of a ``load`` event; ``samples_file`` says where a scenario's samples go (Parquet). ``tls``
    replaces the default TLS context.
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
        samples_file: Callable[[str], Path] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._target = target
        self._resolve = resolve
        self._random = random
        self._prompts = prompts
        self._on_second = on_second
        self._max_users = max_users
        self._samples_file = samples_file
        self._tls = tls

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run ``plan`` to its end; at most warm-up, twice its duration and one time-out long.

        Cancelled, it closes every connection and leaves at once. Raises InstrumentFailure for a plan that
        may not run (route not declared, too many users, missing secret) and where this machine is at its
        own limit; ValueError for a plan that makes no sense.
        """
        call = self._checked(plan)
        writer = RequestWriter(self._target, call, self._resolve)
        scenario = Scenario(
            plan=plan,
            prompts=self._prompts,
            endpoint=Endpoint(writer.origin, self._tls),
            writer=writer,
            samples=Samples(),
            examples=Examples(writer.hide),
            measured_from=perf_counter() + plan.warmup_s,
        )
        users = [
            User(number, scenario, _reader(call), Random(self._random.getrandbits(64)))
            for number in range(plan.users)
        ]
        course = _Course(scenario, users, self._on_second)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(user.live()) for user in users]
                await course.follow(tasks)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # one user stands for all of them
        summary = course.summary()
        if self._samples_file is not None:
            path = self._samples_file(plan.scenario)
            about = {
                "scenario": plan.scenario,
                "users": str(plan.users),
                "duration_s": f"{summary.duration_s:.3f}",
            }
            await asyncio.to_thread(scenario.samples.write, path, about)
        return summary

    def _checked(self, plan: LoadPlan) -> Ask | Stream:
        if plan.users < 1 or plan.duration_s <= 0 or plan.timeout_s <= 0:
            raise ValueError(f"scenario {plan.scenario}: users, duration and time-out must be above 0")
        if not plan.prompts and plan.fresh_share < 1:
            raise ValueError(f"scenario {plan.scenario}: no prompts to repeat")
        if plan.users > self._max_users:
            raise InstrumentFailure(
                f"The scenario {plan.scenario} has {plan.users} users; at most {self._max_users} are allowed."
            )
        call = self._target.stream if plan.route == "stream" else self._target.ask
        if call is None:
            raise InstrumentFailure(
                f"No `[{plan.route}]` is declared in the target file.", missing=plan.route
            )
        return call


def _reader(call: Ask | Stream) -> AnswerReader | StreamReader:
    return StreamReader(call) if isinstance(call, Stream) else AnswerReader(call)


class _Course:
    """Follows a scenario: ends it in time, ends overdue requests, tells each second, watches the driver."""

    def __init__(
        self, scenario: Scenario, users: list[User], on_second: Callable[[dict[str, Any]], None]
    ) -> None:
        self._scenario = scenario
        self._users = users
        self._on_second = on_second
        self._watch = SelfWatch()
        self._told_rows = 0
        self._second = 0
        self._report = self._watch.report()

    async def follow(self, tasks: list[asyncio.Task[None]]) -> None:
        """Tick until every user is done."""
        scenario = self._scenario
        measuring = False
        now = perf_counter()
        while not all(task.done() for task in tasks):
            due = now + TICK_S  # from before the last tick, so that what a tick takes counts as lag
            await asyncio.sleep(max(0.0, due - perf_counter()))
            now = perf_counter()
            if not measuring and now >= scenario.measured_from:
                measuring = True
                self._watch.begin()
            elif measuring and not scenario.over:
                self._watch.late(now - due)
            self._tick(now - scenario.measured_from, now)
        self._tell(self._second + 1)

    def summary(self) -> LoadSummary:
        """The figures, once every user is done."""
        scenario = self._scenario
        rows = scenario.samples.rows()
        last_end_s = float((rows["start_s"] + rows["latency_ms"] / 1000).max()) if len(rows) else 0.0
        duration_s = max(scenario.plan.duration_s, last_end_s)
        return summarize(scenario.plan, rows, duration_s, scenario.examples.of(), self._report)

    def _tick(self, elapsed_s: float, now: float) -> None:
        for user in self._users:
            user.expire(now)
        if not self._scenario.over and self._is_over(elapsed_s):
            self._scenario.over = True
            self._report = self._watch.report()
            for user in self._users:
                user.stop_thinking()
        if elapsed_s >= self._second + 1:
            self._tell(int(elapsed_s))
            self._watch.callback(perf_counter() - now)

    def _is_over(self, elapsed_s: float) -> bool:
        plan = self._scenario.plan
        enough = len(self._scenario.samples) >= plan.min_requests
        return elapsed_s >= plan.duration_s * (1 if enough else LONGEST_FACTOR)

    def _tell(self, second: int) -> None:
        rows = self._scenario.samples.rows(since=self._told_rows)
        self._told_rows += len(rows)
        if len(rows) or not self._scenario.over:  # the last requests may take longer than the scenario
            self._second = second
            self._on_second(second_of(self._scenario.plan, second, rows))
