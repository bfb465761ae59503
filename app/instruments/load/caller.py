"""One connection and who asks on it: sends a request, reads the reply, keeps the sample."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from app.instruments.load.http1.connection import Connection
from app.instruments.load.http1.endpoint import Endpoint, failure_of
from app.instruments.load.http1.examples import Examples
from app.instruments.load.http1.replies import AnswerReader, StreamReader
from app.instruments.load.samples import FAILURE_CODES, NOTHING, Cached, Samples
from checks.contract import Failure, FailureKind

REPLIED = frozenset({FailureKind.STATUS, FailureKind.REDIRECT, FailureKind.WRONG_BODY})


@dataclass(slots=True)
class Shared:
    """What the callers of one scenario share.

    A request belongs to the measurement when its start is at ``measured_from`` (``perf_counter``) or later.
    ``fault`` is called with what ends the scenario: a bug, or a limit of this machine.
    """

    endpoint: Endpoint
    samples: Samples
    warmup: Samples
    examples: Examples
    measured_from: float
    timeout_s: float
    streams: bool
    fault: Callable[[BaseException], None]
    spawn: Callable[[Callable[[], object]], None]


class Caller:
    """One of those who ask. ``after`` is called with its failure, or None, once a request is over."""

    __slots__ = (
        "_after",
        "_asked_at",
        "_connection",
        "_intended_at",
        "_number",
        "_reader",
        "_request",
        "_shared",
        "name",
    )

    def __init__(
        self,
        number: int,
        name: bytes,
        shared: Shared,
        reader: AnswerReader | StreamReader,
        after: Callable[[Caller, Failure | None], None],
    ) -> None:
        self.name = name
        self._number = number
        self._shared = shared
        self._reader = reader
        self._after = after
        self._connection: Connection | None = None
        self._intended_at = self._asked_at = 0.0
        self._request = b""

    def ask(self, request: bytes, now: float, intended_at: float = 0.0) -> None:
        """Send ``request`` now, one at a time. Its latency counts from ``intended_at``, or 0.0: the send."""
        self._intended_at = intended_at
        connection = self._connection
        if connection is not None and connection.open:
            connection.send(request, now, self._shared.timeout_s)
        else:
            self._asked_at, self._request = now, request
            self._shared.spawn(self._connect)

    def expire(self, now: float) -> None:
        """End a request that is past its deadline."""
        if self._connection is not None:
            self._connection.expire(now)

    def close(self) -> None:
        """Leave, without waiting for an answer."""
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> None:
        self._connection = None
        self._reader.begin({})  # a failed attempt must not inherit the times of the last reply
        try:
            async with asyncio.timeout(self._shared.timeout_s):
                self._connection = await self._shared.endpoint.connect(self._new_connection)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError
            failure = failure_of(error)
            self._keep(failure, Cached.NOT_JUDGED)
            self._after(self, failure)
        else:
            self._connection.send(self._request, self._asked_at, self._shared.timeout_s)

    def _new_connection(self) -> Connection:
        return Connection(self._reader, self._ended)

    def _ended(self, fault: Exception | None) -> None:
        connection = self._connection
        if fault is not None or connection is None:
            self._shared.fault(fault or RuntimeError("a connection ended before it was there"))
            return
        failure = connection.failure
        cached = Cached.NOT_JUDGED
        try:
            if failure is None:
                failure, cached = self._reader.verdict(connection.status, connection.headers)
            self._keep(failure, cached)
            self._after(self, failure)
        except Exception as error:  # noqa: BLE001 - an event loop would only log it
            self._shared.fault(error)

    def _keep(self, failure: Failure | None, cached: Cached) -> None:
        shared, connection, reader = self._shared, self._connection, self._reader
        sent_at = self._asked_at if connection is None else connection.sent_at
        start = self._intended_at or sent_at
        measured = start >= shared.measured_from
        samples = shared.samples if measured else shared.warmup
        status = received_bytes = 0
        first_byte_ms = NOTHING
        ended_at = reader.ended_at
        if connection is not None:
            status, received_bytes = connection.status, connection.received_bytes
            if connection.first_byte_at:
                first_byte_ms = (connection.first_byte_at - start) * 1000
            ended_at = ended_at or connection.ended_at
        if failure is not None and measured:
            shared.examples.add(failure, status)
        if shared.streams:
            samples.add_text_times([(at - start) * 1000 for at in reader.chunk_times])
            first_event_ms, first_token_ms, first_answer_ms = (
                (at - start) * 1000 if at else NOTHING
                for at in (reader.first_event_at, reader.first_token_at, reader.first_answer_at)
            )
        else:
            first_event_ms = first_token_ms = first_answer_ms = NOTHING
        samples.add(
            start - shared.measured_from,
            (sent_at - start) * 1000,
            ((ended_at or perf_counter()) - start) * 1000,
            first_byte_ms,
            first_event_ms,
            first_token_ms,
            first_answer_ms,
            received_bytes,
            reader.tokens,
            self._number,
            status,
            FAILURE_CODES[failure.kind] if failure is not None else 0,
            cached,
        )
