"""A stream of server-sent events, when each came, how it was framed, and how it is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import perf_counter

from app.instruments.counts import read_count
from app.instruments.events import EventParser, TooLargeError
from app.instruments.failures import timed_out
from app.instruments.frames import FrameWatch
from app.instruments.http import HttpProbe
from app.instruments.wire import NoReply, Wire
from checks.contract import (
    Event,
    Failure,
    FailureKind,
    InstrumentFailure,
    OpenStream,
    Request,
    StreamReply,
)
from checks.contract.target.calls import Count

MAX_EVENTS = 10_000
MAX_STREAM_BYTES = 8 << 20
BODY_START_CHARS = 2_048
KEPT_BYTES = 16 << 20  # of a metrics page that holds the gauge of open streams


class SseReader:
    """Reads event streams. ``ends`` says of an event's name and data whether it completes the stream.

    ``gauge`` is where the number of open streams is read.
    """

    def __init__(
        self, wire: Wire, ends: Callable[[str, str], bool] | None = None, gauge: Count | None = None
    ) -> None:
        self._wire = wire
        self._ends = ends
        self._gauge = gauge

    async def read(self, request: Request, *, timeout_s: float = 30.0) -> StreamReply:
        """Read until the stream closes, its declared end came, a bound or ``timeout_s`` is reached."""
        reading = _Reading()
        try:
            async with asyncio.timeout(timeout_s):
                await self._read(request, reading, fresh_connection=False)
        except TimeoutError:
            got = f"{len(reading.events)} events, but not the end,"
            reading.fail(timed_out(timeout_s, "no reply" if reading.status is None else got))
        return reading.reply(self._wire.references.hide)

    @asynccontextmanager
    async def opened(self, request: Request) -> AsyncIterator[OpenStream]:
        """Read in the background until the block is left, which closes the connection."""
        reading = _Reading()
        task = asyncio.create_task(self._read(request, reading, fresh_connection=True))
        task.add_done_callback(lambda _: reading.end())
        try:
            yield reading
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def open_streams(self) -> float:
        """What the declared gauge says. Raises InstrumentFailure where there is none, or it is unreadable."""
        if self._gauge is None:
            raise InstrumentFailure(
                "No gauge of open streams is declared. Add `[stream] open` to the target file.",
                missing="stream.open",
            )
        http = HttpProbe(self._wire, kept_bytes=KEPT_BYTES)
        return await read_count(http, self._gauge, "The gauge of open streams", "stream.open")

    async def _read(self, request: Request, reading: _Reading, *, fresh_connection: bool) -> None:
        try:
            async with self._wire.exchange(request, fresh_connection=fresh_connection) as arrival:
                reading.status, reading.headers = arrival.status, arrival.headers
                reading.failure, reading.port = arrival.failure, arrival.port
                async for piece in arrival.pieces:
                    for event in reading.take(piece):
                        if self._ends is not None and self._ends(event.name, event.data):
                            return
        except NoReply as error:
            reading.failure = error.failure
        except TooLargeError as error:
            reading.failure = Failure(FailureKind.TOO_LARGE, str(error))


class _Reading:
    """What one stream brought so far."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._parser = EventParser()
        self._frames = FrameWatch()
        self._bytes = 0
        self._first_byte_ms: float | None = None
        self._start = bytearray()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.failure: Failure | None = None
        self.port: int | None = None
        self.over = False
        self.events: list[Event] = []

    def take(self, piece: bytes) -> Iterator[Event]:
        """The events that ``piece`` completes. Raises TooLargeError."""
        now_ms = self._now_ms()
        if self._first_byte_ms is None:
            self._first_byte_ms = now_ms
        self._start += piece[: max(0, 4 * BODY_START_CHARS - len(self._start))]
        self._bytes += len(piece)
        self._frames.feed(piece)
        for name, data in self._parser.feed(piece):
            if len(self.events) == MAX_EVENTS:
                raise TooLargeError(f"more than {MAX_EVENTS:,} events")
            self.events.append(Event(now_ms, name, data))
            yield self.events[-1]
        if self._bytes > MAX_STREAM_BYTES:
            raise TooLargeError(f"the stream is larger than {MAX_STREAM_BYTES >> 20} MiB")

    def fail(self, failure: Failure) -> None:
        """Note a failure, unless one is known already, which came first."""
        self.failure = self.failure or failure

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True

    def reply(self, hide: Callable[[str], str]) -> StreamReply:
        """All of it, with secrets taken out."""
        return StreamReply(
            self.status,
            self.headers,
            tuple(Event(event.at_ms, hide(event.name), hide(event.data)) for event in self.events),
            self._first_byte_ms,
            self._now_ms(),
            hide(self._start.decode("utf-8", "replace"))[:BODY_START_CHARS],
            self.failure,
            self._frames.seen(hide),
        )

    def _now_ms(self) -> float:
        return (perf_counter() - self._started) * 1000
