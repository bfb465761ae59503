"""Server-sent events, and when they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from checks.contract.instruments.failures import Failure
from checks.contract.target.calls import Request


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event and when its last byte came, from the start of the request."""

    at_ms: float
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Frames:
    """How a stream was framed, beside its events: what a client drops or replaces without an error.

    ``strays`` are the first of ``stray_count`` lines that are no field of an event, ``not_utf8`` counts lines
    that are no UTF-8, ``dataless`` names events without a data line, which no client is told of, and
    ``unfinished`` says that the stream broke off within an event.
    """

    strays: tuple[str, ...] = ()
    stray_count: int = 0
    not_utf8: int = 0
    dataless: tuple[str, ...] = ()
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class StreamReply:
    """A whole event stream: ``first_byte_ms`` of the body, its events (bounded), its end, its frames."""

    status: int | None
    headers: Mapping[str, str]
    events: tuple[Event, ...]
    first_byte_ms: float | None
    end_ms: float
    body_start: str = ""
    failure: Failure | None = None
    frames: Frames = Frames()


class OpenStream(Protocol):
    """A stream that is read in the background for as long as its ``async with`` block lasts.

    ``over`` is whether it has ended, by itself or by a failure; ``port`` is our end of its connection.
    """

    status: int | None
    failure: Failure | None
    port: int | None

    @property
    def events(self) -> Sequence[Event]:
        """The events so far."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""


class Sse(Protocol):
    """Reads server-sent events and when they came."""

    async def read(self, request: Request, *, timeout_s: float = 30.0) -> StreamReply:
        """Read until the stream ends or ``timeout_s`` is over. Never raises for what the service does."""

    def opened(self, request: Request) -> AbstractAsyncContextManager[OpenStream]:
        """A stream on a connection of its own. Whoever ends the block leaves it, as a closed tab does."""

    async def open_streams(self) -> float:
        """How many streams the declared gauge says are open.

        Raises InstrumentFailure where none is declared (``stream.open``) or it cannot be read.
        """
