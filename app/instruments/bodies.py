"""Bodies that no HTTP client would send: half of one, one without an end, one while a refusal is on its way.

A plain loop over one socket, in a thread: whatever has come is read before anything more is sent, so that a
refusal is seen although the service closed its connection right after it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from time import perf_counter

import h11
import httpx

from app.instruments.failures import failure_of, timed_out
from app.instruments.wire import MAX_HEADER_CHARS, MAX_HEADERS, Wire, trusted_tls
from checks.contract import BodyPlan, BodyReply, Failure, FailureKind, Request

KEPT_BYTES = 65_536
PIECE_BYTES = 16_384
LOOK_S = 0.05
REST_OF_REPLY_S = 2.0  # after its status line
FRAMING = (b"content-length", b"transfer-encoding")
WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RawBodies:
    """Sends bodies over sockets of its own, to the same places and under the same policy as other probes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, request: Request, plan: BodyPlan, *, timeout_s: float = 10.0) -> BodyReply:
        """Send as planned. Raises InstrumentFailure only for a request that may not be sent."""
        sending = _Sending(self._wire.prepared(request), plan, timeout_s)
        try:
            reply = await asyncio.to_thread(sending.run)
        except asyncio.CancelledError:
            sending.stopped.set()  # or the loop would wait for the thread
            raise
        hide = self._wire.references.hide
        failure = reply.failure and Failure(reply.failure.kind, hide(reply.failure.detail))
        headers = {name: hide(value) for name, value in reply.headers.items()}
        body = self._wire.references.hide_bytes(reply.body)
        return dataclasses.replace(reply, headers=headers, body=body, failure=failure)


class _Sending:
    """One request on one socket. ``stopped`` ends it from another thread."""

    def __init__(self, request: httpx.Request, plan: BodyPlan, timeout_s: float) -> None:
        self.stopped = threading.Event()
        self._url = request.url
        self._timeout_s = timeout_s
        self._pauses = list(plan.pauses)
        self._length = len(plan.before) + plan.filler_bytes + len(request.content)
        self._protocol = h11.Connection(h11.CLIENT)
        framing = (b"Transfer-Encoding", b"chunked") if plan.chunked else (
            b"Content-Length", str(self._length).encode()
        )  # fmt: skip
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in FRAMING]
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=[*headers, framing])
        self._pending = memoryview(self._protocol.send(head) or b"")
        self._bytes = self._encoded(plan, request.content)
        self._handed = self._sent = 0
        self._hold_until = self._ends_at = 0.0
        self._all_out = self._over = False
        self._reply = BodyReply()
        self._body = bytearray()

    def run(self) -> BodyReply:
        """Send and listen until a reply, the end of the connection, or of the time."""
        started = perf_counter()
        self._ends_at = started + self._timeout_s
        failure: Failure | None = None
        try:
            with self._connected() as sock, selectors.DefaultSelector() as selector:
                self._talk(sock, selector, started)
        except (OSError, h11.ProtocolError) as error:
            failure = _broken(error)
        if self._reply.status is not None:
            return dataclasses.replace(self._reply, body=bytes(self._body))
        elapsed_ms = (perf_counter() - started) * 1000
        silent = timed_out(self._timeout_s, f"no reply to {self._sent} bytes of a body")
        return BodyReply(sent_bytes=self._sent, elapsed_ms=elapsed_ms, failure=failure or silent)

    def _connected(self) -> socket.socket:
        host, secure = self._url.host, self._url.scheme == "https"
        plain = socket.create_connection((host, self._url.port or (443 if secure else 80)), self._timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = trusted_tls().wrap_socket(plain, server_hostname=host) if secure else plain
        except OSError:
            plain.close()
            raise
        sock.setblocking(False)
        return sock

    def _talk(self, sock: socket.socket, selector: selectors.BaseSelector, started: float) -> None:
        selector.register(sock, selectors.EVENT_READ)
        while self._goes_on():
            writing = selectors.EVENT_WRITE if self._has_more() else 0
            selector.modify(sock, selectors.EVENT_READ | writing)
            held_s = self._hold_until - perf_counter()  # a pause ends when it should, not at the next look
            for _, events in selector.select(min(LOOK_S, held_s) if held_s > 0 else LOOK_S):
                if events & selectors.EVENT_READ:
                    self._receive(sock, started)
                elif self._reply.status is None:
                    self._transmit(sock)

    def _goes_on(self) -> bool:
        return not self._over and not self.stopped.is_set() and perf_counter() < self._ends_at

    def _has_more(self) -> bool:
        if self._reply.status is not None or perf_counter() < self._hold_until or self._all_out:
            return False
        if not self._pending:
            self._sent = self._handed
            if self._pauses and self._sent >= self._pauses[0][0]:
                self._hold_until = perf_counter() + self._pauses.pop(0)[1]
                return False
            self._pending = memoryview(next(self._bytes, b""))
            self._all_out = not self._pending
        return not self._all_out

    def _transmit(self, sock: socket.socket) -> None:
        try:
            self._pending = self._pending[sock.send(self._pending) :]
        except WAITING:
            return
        except OSError:  # closed for writing; a reply may still be there to read
            self._all_out = True

    def _receive(self, sock: socket.socket, started: float) -> None:
        while self._goes_on():
            try:
                data = sock.recv(PIECE_BYTES)
            except WAITING:
                return
            if not data and self._reply.status is None:
                raise ConnectionResetError("closed without a reply")
            self._protocol.receive_data(data)
            self._hear(started)

    def _hear(self, started: float) -> None:
        while True:
            event = self._protocol.next_event()
            if isinstance(event, h11.Response):
                self._replied(event, (perf_counter() - started) * 1000)
            elif isinstance(event, h11.Data):
                self._body += event.data[: KEPT_BYTES - len(self._body)]
            elif isinstance(event, h11.EndOfMessage):
                self._over = True
            elif not isinstance(event, h11.InformationalResponse):  # nothing more has come
                return
            if self._over or len(self._body) >= KEPT_BYTES:
                self._over = True
                return

    def _replied(self, response: h11.Response, elapsed_ms: float) -> None:
        headers: dict[str, str] = {}
        for name, value in list(response.headers)[:MAX_HEADERS]:
            key = name.decode("latin-1")[:MAX_HEADER_CHARS]
            headers.setdefault(key, value.decode("latin-1")[:MAX_HEADER_CHARS])
        if not self._pending:
            self._sent = self._handed
        whole = self._sent >= self._length
        self._reply = BodyReply(response.status_code, headers, b"", self._sent, whole, elapsed_ms)
        self._ends_at = min(self._ends_at, perf_counter() + REST_OF_REPLY_S)

    def _encoded(self, plan: BodyPlan, own: bytes) -> Iterator[bytes]:
        """The framed body, piece by piece; ``_handed`` counts its own bytes."""
        for piece in _pieces(plan, own):
            self._handed += len(piece)
            yield self._protocol.send(h11.Data(data=piece)) or b""
        if plan.stop_after is None:
            yield self._protocol.send(h11.EndOfMessage()) or b""


def _pieces(plan: BodyPlan, own: bytes) -> Iterator[bytes]:
    """The body as planned, in pieces that end where a pause or the planned stop is."""
    length = len(plan.before) + plan.filler_bytes + len(own)
    ends = sorted({at for at, _ in plan.pauses if 0 < at < length})
    stop, at = length if plan.stop_after is None else min(plan.stop_after, length), 0
    filler = plan.filler * (PIECE_BYTES // len(plan.filler) + 1)
    filled = len(plan.before) + plan.filler_bytes
    while at < stop:
        size = min(PIECE_BYTES, stop - at, *(end - at for end in ends if end > at))
        if at < len(plan.before):
            piece = plan.before[at : at + size]
        elif at < filled:
            piece = filler[: min(size, filled - at)]
        else:
            piece = own[at - filled : at - filled + size]
        at += len(piece)
        yield piece


def _broken(error: Exception) -> Failure:
    if isinstance(error, h11.RemoteProtocolError):
        return Failure(FailureKind.PROTOCOL, f"not a valid HTTP reply ({str(error)[:120]})")
    return failure_of(error)
