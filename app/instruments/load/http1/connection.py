"""One HTTP/1.1 connection of one caller, parsed by llhttp, with every bound that a hostile reply needs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Protocol, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.instruments.load.http1.head import Head
from app.instruments.load.http1.plain import TimedProtocol
from checks.contract import Failure, FailureKind

MAX_HEAD_BYTES = 64 * 1024
MAX_REPLY_BYTES = 4 << 20
END_GRACE_S = 1.0

RawHeaders = Mapping[bytes, bytes]


class ReplyError(Exception):
    """A reply that cannot be taken any further; ``failure`` says why."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind, detail)


class BodyReader(Protocol):
    """Takes a body as it comes, and knows when one says of itself that it is complete (streams).

    ``came_at`` is when what is fed next came, as ``perf_counter``.
    """

    came_at: float

    @property
    def feed(self) -> Callable[[bytes], object]:
        """Takes one piece of the body; may raise ReplyError."""

    @property
    def ended_at(self) -> float:
        """When the end mark came, as ``perf_counter``; 0.0 before."""

    def begin(self, headers: RawHeaders) -> None:
        """Forget the last reply; ``headers`` will be filled before the body comes."""


class Connection(TimedProtocol):
    """One exchange at a time. ``on_end`` is called when it is over; the fields then say how it went.

    ``on_end`` gets None, or the fault of this program that ended it. Times are of ``perf_counter``;
    ``sent_at`` is when the request was sent, ``first_byte_at`` is 0.0 when nothing came. This is the path
    that every request of a load takes: nothing here creates a task or a future, and of what the parser calls
    back only one is a method of this class.
    """

    __slots__ = (
        "_completes",
        "_feed",
        "_head_complete",
        "_head_pieces",
        "_keep_alive",
        "_on_end",
        "_parser",
        "_reader",
        "_transport",
        "_waiting",
        "_write",
        "deadline",
        "ended_at",
        "failure",
        "first_byte_at",
        "headers",
        "on_body",
        "on_message_complete",
        "open",
        "received_bytes",
        "status",
    )

    def __init__(self, reader: BodyReader, on_end: Callable[[Exception | None], None]) -> None:
        super().__init__()
        self.open = False
        self.deadline = 0.0
        self.status = 0
        self.received_bytes = 0
        self.first_byte_at = 0.0
        self.ended_at = 0.0
        self.failure: Failure | None = None
        self.headers = Head()
        self._reader = reader
        self._on_end = on_end
        self._waiting = self._head_complete = self._keep_alive = False
        self._head_pieces = self.headers.pieces
        self._completes: list[None] = []  # an item for each message that ended
        self.on_body = reader.feed  # looked up by the parser once, as is the next
        self.on_message_complete = partial(self._completes.append, None)
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def send(self, request: bytes, now: float, timeout_s: float) -> None:
        """Send ``request``; ``on_end`` is called when the reply is complete or has failed.

        ``now`` is when it is sent, or when its connection began to be opened.
        """
        self._head_pieces.clear()
        self.headers.fields = None
        self._reader.begin(self.headers)
        self.sent_at = now
        self.deadline = now + timeout_s
        self.status = self.received_bytes = 0
        self.first_byte_at = 0.0
        self.failure = None
        self._head_complete = False
        self._completes.clear()
        self._waiting = True
        if self.open:
            self._write(request)
        else:  # between its opening and now; a transport would take the bytes and never say a word
            self._fail(Failure(FailureKind.RESET, "the connection was closed before the request was sent"))

    def close(self) -> None:
        """Close at once, without flushing."""
        if self.open:
            self.open = False
            self._transport.abort()

    def expire(self, now: float) -> None:
        """End an exchange that is past its deadline. A stream whose end mark came is complete by then."""
        if not self._waiting or now < self.deadline:
            return
        if self._reader.ended_at:
            self._keep_alive = False
            self._finish(now)
        else:
            so_far = (
                f"{self.received_bytes} bytes, but not the whole reply,"
                if self.received_bytes
                else "no reply"
            )
            self._fail(Failure(FailureKind.TIMEOUT, f"{so_far} in time"))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for the first exchange."""
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        self.open = True

    def data_received(self, data: bytes, came_at: float = 0.0) -> None:
        """Parse what came, and end the exchange where it is complete, broken or too large."""
        if not self._waiting:
            self.close()  # bytes that nobody asked for: the next reply could not be told from them
            return
        now = self._reader.came_at = came_at or perf_counter()
        if not self.received_bytes:
            self.first_byte_at = now
        self.received_bytes += len(data)
        if not self._head_complete:
            self._head_pieces.append(data)
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(self._meaning(error))
            return
        if self._completes and self._head_complete:
            self._finish(now)
        elif self.received_bytes > MAX_REPLY_BYTES:
            self._fail(_too_large("the reply", MAX_REPLY_BYTES))
        elif not self._head_complete and self.received_bytes > MAX_HEAD_BYTES:
            self._fail(_too_large("its head", MAX_HEAD_BYTES))
        elif self._reader.ended_at:
            self.deadline = min(self.deadline, self._reader.ended_at + END_GRACE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange that was under way: complete, where closing is how its reply ends."""
        self.open = False
        if not self._waiting:
            return
        if exc is not None and not isinstance(exc, OSError):
            self._over(exc)  # a fault of this program, which must not look like one of the service
        elif exc is not None:
            kind = FailureKind.TLS if isinstance(exc, ssl.SSLError) else FailureKind.RESET
            self._fail(Failure(kind, f"the connection broke ({exc})"))
        elif self._reader.ended_at or self._ends_with_the_connection():
            self._finish(perf_counter())
        elif self.received_bytes:
            detail = (
                f"the connection was closed in the middle of the reply, after {self.received_bytes} bytes"
            )
            self._fail(Failure(FailureKind.PROTOCOL, detail))
        else:
            self._fail(Failure(FailureKind.RESET, "the connection was closed without a reply"))

    # What the parser calls.

    def on_headers_complete(self) -> None:
        """Take the status, unless the reply is an interim one. Raises ReplyError for a second reply."""
        if self._head_complete:
            raise ReplyError(FailureKind.PROTOCOL, "more than one reply to one request")
        status = self._parser.get_status_code()
        if status < 200:
            return  # an interim reply (100, 103); the real one follows
        self._completes.clear()  # of interim replies
        self.status = status
        self._keep_alive = self._parser.should_keep_alive()
        self._head_complete = True

    # How an exchange ends.

    def _finish(self, now: float) -> None:
        self.ended_at = now
        if not self._keep_alive:
            self.close()
        self._waiting = False
        self._on_end(None)

    def _fail(self, failure: Failure) -> None:
        self.ended_at = perf_counter()
        self.failure = failure
        self.close()
        self._over(None)

    def _over(self, fault: Exception | None) -> None:
        self._waiting = False
        self._on_end(fault)

    def _ends_with_the_connection(self) -> bool:
        """Whether the body has no length of its own, so that closing is how it ends (RFC 9112, 6.3)."""
        names = {name.lower() for name in self.headers}
        return self._head_complete and not names & {b"content-length", b"transfer-encoding"}

    def _meaning(self, error: Exception) -> Failure:
        if isinstance(error, HttpParserCallbackError):
            if isinstance(error.__context__, ReplyError):
                return error.__context__.failure
            raise error
        if isinstance(error, HttpParserUpgrade):
            return Failure(FailureKind.PROTOCOL, "the service switched protocols (status 101)")
        if self._completes:
            return Failure(
                FailureKind.PROTOCOL, "bytes after the end of the reply: its Content-Length is wrong"
            )
        return Failure(FailureKind.PROTOCOL, f"not a valid HTTP/1.1 reply: {error}")


def _too_large(what: str, limit: int) -> Failure:
    return Failure(FailureKind.TOO_LARGE, f"{what} is larger than {limit // 1024} KiB")
