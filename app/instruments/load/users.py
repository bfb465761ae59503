"""The closed loop of each user: ask, wait for the answer, think, ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

from app.instruments.load.connection import Connection
from app.instruments.load.endpoint import Endpoint, failure_of
from app.instruments.load.examples import Examples
from app.instruments.load.replies import AnswerReader, StreamReader
from app.instruments.load.requests import RequestWriter
from app.instruments.load.samples import FAILURE_CODES, NOTHING, Cached, Samples
from checks.contract import Failure, FailureKind, LoadPlan
from checks.instruments import Prompts

PAUSE_AFTER_NO_REPLY_S = 0.1  # a user who got no reply does not hammer the door
LONGEST_STAGGER_S = 1.0
REPLIED = frozenset({FailureKind.STATUS, FailureKind.REDIRECT, FailureKind.WRONG_BODY})


@dataclass(slots=True)
class Scenario:
    """What the users of one scenario share. ``measured_from`` is a ``perf_counter`` time."""

    plan: LoadPlan
    prompts: Prompts
    endpoint: Endpoint
    writer: RequestWriter
    samples: Samples
    examples: Examples
    measured_from: float
    over: bool = False
    templates: dict[str, bytes] = field(default_factory=dict)

    def template(self, random: Random) -> bytes:
        """The next question of a user: repeated, or never seen in the plan's share of cases."""
        plan = self.plan
        if plan.fresh_share and random.random() < plan.fresh_share:
            return self.writer.template(self.prompts.fresh(1)[0])
        prompt = random.choice(plan.prompts)
        template = self.templates.get(prompt)
        if template is None:
            template = self.templates[prompt] = self.writer.template(prompt)
        return template


class User:
    """One user with one connection. ``random`` is the user's own, so that a seed repeats the questions."""

    def __init__(
        self, number: int, scenario: Scenario, reader: AnswerReader | StreamReader, random: Random
    ) -> None:
        self._number = number
        self._scenario = scenario
        self._reader = reader
        self._random = random
        self._name = scenario.writer.user(number)
        self._connection: Connection | None = None
        self._thinks_s = scenario.plan.think_time_ms / 1000
        self._thinking: asyncio.Future[None] | None = None
        self._new_connection: Callable[[], Connection] = lambda: Connection(reader)

    async def live(self) -> None:
        """Ask until the scenario is over. Raises InstrumentFailure when this machine is at its limit."""
        scenario = self._scenario
        plan = scenario.plan
        try:
            await self._pause(min(self._thinks_s, LONGEST_STAGGER_S) * self._number / plan.users)
            while not scenario.over:
                failure = await self._ask()
                pause_s = self._thinks_s * self._random.uniform(0.5, 1.5) if self._thinks_s else 0.0
                if failure is not None and failure.kind not in REPLIED:
                    pause_s = max(pause_s, PAUSE_AFTER_NO_REPLY_S)
                if pause_s and not scenario.over:
                    await self._pause(pause_s)
        finally:
            if self._connection is not None:
                self._connection.close()

    def expire(self, now: float) -> None:
        """End a request that is past its deadline."""
        if self._connection is not None:
            self._connection.expire(now)

    def stop_thinking(self) -> None:
        """Wake a user who thinks, because the scenario is over."""
        if self._thinking is not None and not self._thinking.done():
            self._thinking.set_result(None)

    async def _pause(self, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._thinking = loop.create_future()
        timer = loop.call_later(pause_s, self.stop_thinking)
        try:
            await self._thinking
        finally:
            timer.cancel()

    async def _ask(self) -> Failure | None:
        scenario = self._scenario
        request = scenario.writer.fill(scenario.template(self._random), self._name)
        started_at = perf_counter()
        failure: Failure | None = None
        cached = Cached.NOT_JUDGED
        connection = self._connection
        if connection is None or not connection.open:
            failure = await self._connect()
            connection = self._connection
        if connection is not None and failure is None:
            await connection.exchange(request, started_at + scenario.plan.timeout_s)
            failure = connection.failure
            if failure is None:
                failure, cached = self._reader.verdict(connection.status, connection.headers)
        self._keep(started_at, failure, cached)
        return failure

    async def _connect(self) -> Failure | None:
        self._connection = None
        self._reader.begin({})  # a failed attempt must not inherit the times of the last reply
        timeout_s = self._scenario.plan.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                self._connection = await self._scenario.endpoint.connect(self._new_connection)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError
            return failure_of(error)
        return None

    def _keep(self, started_at: float, failure: Failure | None, cached: Cached) -> None:
        scenario, connection, reader = self._scenario, self._connection, self._reader
        if started_at < scenario.measured_from:
            return
        status = connection.status if connection else 0
        if failure is not None:
            scenario.examples.add(failure, status)
        first_byte_at = connection.first_byte_at if connection else 0.0
        ended_at = reader.ended_at or (connection.ended_at if connection else perf_counter())
        scenario.samples.add(
            start_s=started_at - scenario.measured_from,
            latency_ms=(ended_at - started_at) * 1000,
            first_byte_ms=(first_byte_at - started_at) * 1000 if first_byte_at else NOTHING,
            first_token_ms=(reader.first_token_at - started_at) * 1000 if reader.first_token_at else NOTHING,
            received_bytes=connection.received_bytes if connection else 0,
            user=self._number,
            status=status,
            failure_code=FAILURE_CODES[failure.kind if failure else None],
            cached=cached,
        )
