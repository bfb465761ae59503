"""One question asked many times at once: every connection is open before the first request goes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import perf_counter

from app.instruments.http import KEPT_BYTES
from app.instruments.load.http1.connection import Connection
from app.instruments.load.http1.endpoint import Endpoint, failure_of
from app.instruments.load.http1.examples import Examples
from app.instruments.load.http1.replies import AnswerReader, StreamReader
from app.instruments.load.http1.requests import RequestWriter
from app.instruments.load.samples import Cached
from app.instruments.wire import ended_by
from checks.contract import Burst, Failure, FailureKind, InstrumentFailure, Route, Target
from checks.contract.target.service import Stream

RATE_LIMITED = 429
TICK_S = 0.1  # how often deadlines are looked at


class RequestBursts:
    """Asks by the load driver's connections, whose requests cost little enough to be sent within a ms or two.

    ``resolve`` fills ``${ENV_NAME}`` references; ``most`` is how many may be asked at once. What would last
    beyond ``until`` (``time.monotonic``) is given up.
    """

    def __init__(
        self, target: Target, resolve: Callable[[str], str], most: int, until: float = math.inf
    ) -> None:
        self._target = target
        self._resolve = resolve
        self._most = most
        self._until = until

    async def at_once(
        self, prompt: str, count: int, *, route: Route = "ask", timeout_s: float = 30.0
    ) -> Burst:
        """Ask ``prompt`` ``count`` times at once, by one user, each in a session of its own.

        Raises InstrumentFailure for a route that is not declared, more than may be asked at once, answers
        that do not come ``until``, and where this machine is at its own limit.
        """
        call = self._target.stream if route == "stream" else self._target.ask
        if call is None:
            raise InstrumentFailure(f"No `[{route}]` is declared in the target file.", missing=route)
        if count > self._most:
            raise InstrumentFailure(f"{count} questions at once; at most {self._most} are allowed.")
        writer = RequestWriter(self._target, call, self._resolve)
        template, user = writer.template(prompt), writer.user(0)
        endpoint = Endpoint(writer.origin)
        asks = [
            _Ask(StreamReader(call) if isinstance(call, Stream) else AnswerReader(call)) for _ in range(count)
        ]
        try:
            async with ended_by(self._until):
                await asyncio.gather(*(ask.connect(endpoint, timeout_s) for ask in asks))
                started = perf_counter()
                for ask in asks:
                    ask.send(writer.fill(template, user), timeout_s)
                sent_ms = (perf_counter() - started) * 1000
                await _ended(asks)
        finally:
            for ask in asks:
                ask.close()
            endpoint.close()
        return _burst(asks, started, sent_ms, Examples(writer.hide))


class _Bounded(Connection):
    """A load's connection that reads no more than a probe does: fifty replies of a load's size are 200 MB."""

    def data_received(self, data: bytes, came_at: float = 0.0) -> None:
        """Parse what came; too much of it ends the exchange."""
        super().data_received(data, came_at)
        if self._waiting and self.received_bytes > KEPT_BYTES:
            self._fail(Failure(FailureKind.TOO_LARGE, f"the reply is larger than {KEPT_BYTES >> 20} MiB"))


class _Ask:
    """One request on its own connection; ``over`` is done when it is."""

    def __init__(self, reader: AnswerReader | StreamReader) -> None:
        self._reader = reader
        self._connection: Connection | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: Failure | None = None

    async def connect(self, endpoint: Endpoint, timeout_s: float) -> None:
        """Open the connection; ``failure`` says why it could not be."""
        try:
            async with asyncio.timeout(timeout_s):
                self._connection = await endpoint.connect(lambda: _Bounded(self._reader, self._end))
        except (OSError, UnicodeError) as error:  # a time-out is an OSError
            self.failure = failure_of(error)
            self.over.set_result(None)

    def send(self, request: bytes, timeout_s: float) -> None:
        """Ask now, where there is a connection."""
        if self._connection is not None:
            self._connection.send(request, perf_counter(), timeout_s)

    def expire(self, now: float) -> None:
        """End it where it is past its deadline."""
        if self._connection is not None:
            self._connection.expire(now)

    def close(self) -> None:
        """Leave, without waiting for an answer."""
        if self._connection is not None:
            self._connection.close()

    def verdict(self) -> tuple[Failure | None, Cached, int, float]:
        """Failure, marker, status, and when it ended. Raises what went wrong within this program."""
        self.over.result()
        connection = self._connection
        if connection is None:
            return self.failure, Cached.NOT_JUDGED, 0, 0.0
        ended_at = self._reader.ended_at or connection.ended_at
        if connection.failure is not None:
            return connection.failure, Cached.NOT_JUDGED, connection.status, ended_at
        failure, cached = self._reader.verdict(connection.status, connection.headers)
        return failure, cached, connection.status, ended_at

    def _end(self, fault: Exception | None) -> None:
        if self.over.done():
            return
        if fault is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(fault)


async def _ended(asks: list[_Ask]) -> None:
    waiting = {ask.over for ask in asks}
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=TICK_S)
        for ask in asks:
            ask.expire(perf_counter())


def _burst(asks: list[_Ask], started: float, sent_ms: float, examples: Examples) -> Burst:
    good_ms: list[float] = []
    cached = limited = 0
    for ask in asks:
        failure, marked, status, ended_at = ask.verdict()
        limited += status == RATE_LIMITED
        if failure is None:
            good_ms.append((ended_at - started) * 1000)
            cached += marked == Cached.YES
        elif status != RATE_LIMITED:
            examples.add(failure, status)
    return Burst(
        asked=len(asks),
        sent_ms=sent_ms,
        good_ms=tuple(sorted(good_ms)),
        cached=cached,
        limited=limited,
        problem=next(iter(examples.of().values()), ""),
    )
