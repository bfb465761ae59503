"""A stream of server-sent events, and when each came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter

from app.instruments.events import EventParser, TooLargeError
from app.instruments.failures import timed_out
from app.instruments.wire import Arrival, NoReply, Wire
from checks.contract import Event, Failure, FailureKind, Request, StreamReply

MAX_EVENTS = 10_000
MAX_STREAM_BYTES = 8 << 20
BODY_START_CHARS = 2_048


class SseReader:
    """Reads event streams. ``ends`` says of an event's name and data whether it completes the stream."""

    def __init__(self, wire: Wire, ends: Callable[[str, str], bool] | None = None) -> None:
        self._wire = wire
        self._ends = ends

    async def read(self, request: Request, *, timeout_s: float = 30.0) -> StreamReply:
        """Read until the stream closes, its declared end came, a bound or ``timeout_s`` is reached."""
        taken = _Taking()
        status: int | None = None
        headers: Mapping[str, str] = {}
        failure: Failure | None = None
        try:
            async with asyncio.timeout(timeout_s), self._wire.exchange(request) as arrival:
                status, headers, failure = arrival.status, arrival.headers, arrival.failure
                await self._take(arrival, taken)
        except NoReply as error:
            failure = error.failure
        except TooLargeError as error:
            failure = Failure(FailureKind.TOO_LARGE, str(error))
        except TimeoutError:
            so_far = "no reply" if status is None else f"{len(taken.events)} events, but not the end,"
            failure = failure or timed_out(timeout_s, so_far)
        hide = self._wire.references.hide
        return StreamReply(
            status,
            headers,
            tuple(Event(event.at_ms, hide(event.name), hide(event.data)) for event in taken.events),
            taken.first_byte_ms,
            taken.now_ms(),
            hide(taken.start.decode("utf-8", "replace"))[:BODY_START_CHARS],
            failure,
        )

    async def _take(self, arrival: Arrival, taken: _Taking) -> None:
        async for piece in arrival.pieces:
            for event in taken.events_of(piece):
                if self._ends is not None and self._ends(event.name, event.data):
                    return


class _Taking:
    """What one stream brought so far."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._parser = EventParser()
        self._bytes = 0
        self.events: list[Event] = []
        self.first_byte_ms: float | None = None
        self.start = bytearray()

    def now_ms(self) -> float:
        return (perf_counter() - self._started) * 1000

    def events_of(self, piece: bytes) -> Iterator[Event]:
        now_ms = self.now_ms()
        if self.first_byte_ms is None:
            self.first_byte_ms = now_ms
        self.start += piece[: max(0, 4 * BODY_START_CHARS - len(self.start))]
        self._bytes += len(piece)
        for name, data in self._parser.feed(piece):
            if len(self.events) == MAX_EVENTS:
                raise TooLargeError(f"more than {MAX_EVENTS:,} events")
            self.events.append(Event(now_ms, name, data))
            yield self.events[-1]
        if self._bytes > MAX_STREAM_BYTES:
            raise TooLargeError(f"the stream is larger than {MAX_STREAM_BYTES >> 20} MiB")
