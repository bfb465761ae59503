"""Plain TCP for many connections of one event loop: rounds in which all that came is read, used and answered.

An event loop's own transports cost a load driver as much as the rest of it: several layers for each reply.
Here all sockets stand in one epoll set of their own, and the event loop watches that set as if it were one
socket. A round reads every ready socket, then lets the protocols use what came, then sends what they wrote:
the kernel's code and this program's do not push each other out of the processor's caches at each request,
which at 200 connections is a fifth of the throughput. Each read and each send has its own time, so that
nothing seems later or earlier for having waited in a round. Linux only; elsewhere, and for TLS, the loop's
own transports serve.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

AVAILABLE = hasattr(select, "epoll")
EPOLLIN, EPOLLOUT = (getattr(select, name, 0) for name in ("EPOLLIN", "EPOLLOUT"))
READ_BYTES = 8 * 1024  # much larger ones cost a page fault each, whatever came
MOST_AT_ONCE = 256  # then the loop sees to its timers; the set stays ready


class TimedProtocol(asyncio.Protocol):
    """A protocol that can be told when its last write was sent and when data came, as ``perf_counter``.

    ``sent_at`` is set where a write waited for the end of its round, ``came_at`` is 0.0 where nobody knows.
    """

    __slots__ = ("sent_at",)

    def __init__(self) -> None:
        self.sent_at = 0.0

    def data_received(self, data: bytes, came_at: float = 0.0) -> None:
        """Use what came."""


P = TypeVar("P", bound=TimedProtocol)


def refuse_itself(sock: socket.socket) -> None:
    """Raises ConnectionRefusedError where ``sock`` was connected to itself.

    TCP allows it: on the same host a connection may be given the very port that it calls where nobody
    listens, and then answers itself with its own request (RFC 9293, simultaneous open). Of the thousands
    of tries while a service is down, some do.
    """
    if sock.getsockname()[:2] == sock.getpeername()[:2]:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens; the connection met itself")


class PlainSockets:
    """The plain sockets of one event loop. Made and closed within it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._in_round = False
        self._written: list[tuple[PlainTransport, bytes]] = []
        self._epoll = select.epoll()
        self._transports: dict[int, PlainTransport] = {}
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    async def connect(self, factory: Callable[[], P], address: str, port: int) -> P:
        """Open a connection to ``address`` for the protocol that ``factory`` makes. Raises OSError."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(sock, (address, port))
            refuse_itself(sock)
        except BaseException:
            sock.close()
            raise
        protocol = factory()
        transport = PlainTransport(sock, protocol, self)
        self._transports[sock.fileno()] = transport
        self._epoll.register(sock.fileno(), EPOLLIN)
        protocol.connection_made(transport)
        return protocol

    def close(self) -> None:
        """Close every socket, and tell no protocol of it."""
        for transport in list(self._transports.values()):
            transport.abort()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def forget(self, fd: int) -> None:
        """Look at a socket no more; it is about to be closed."""
        if self._transports.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watch(self, fd: int, *, writable: bool) -> None:
        """Look at a socket also for whether it takes more, or no longer."""
        self._epoll.modify(fd, EPOLLIN | (EPOLLOUT if writable else 0))

    def write(self, transport: PlainTransport, data: bytes) -> None:
        """Send ``data`` at the end of the round, or now where there is none."""
        if self._in_round:
            self._written.append((transport, data))
        else:
            transport.put(data)

    def _ready(self) -> None:
        came = self._read()
        self._in_round = True
        try:
            for transport, data, came_at in came:
                if not transport.closed:
                    transport.take(data, came_at)
        finally:
            self._in_round = False
            written, self._written = self._written, []
        for transport, data in written:
            transport.user.sent_at = perf_counter()
            transport.put(data)

    def _read(self) -> list[tuple[PlainTransport, bytes, float]]:
        """What came on each ready socket, and when; nothing stands for its end."""
        transports, came = self._transports, []
        for fd, events in self._epoll.poll(0, MOST_AT_ONCE):
            transport = transports.get(fd)
            if transport is None:
                continue  # one before it in this round closed it
            if events & EPOLLOUT:
                transport.put_rest()
            if events == EPOLLOUT:
                continue
            try:
                came.append((transport, transport.recv(READ_BYTES), perf_counter()))
            except BlockingIOError:
                continue
            except OSError as error:
                transport.lost(error)
        return came


class PlainTransport(asyncio.Transport):
    """One socket, as a protocol sees it: of a transport's methods those that a load needs."""

    __slots__ = ("_received", "_send", "_sock", "_sockets", "_unsent", "closed", "recv", "user")

    def __init__(self, sock: socket.socket, user: TimedProtocol, sockets: PlainSockets) -> None:
        super().__init__()
        self._sock = sock
        self._sockets = sockets
        self._unsent = b""
        self._send = sock.send
        self._received = user.data_received
        self.closed = False
        self.recv = sock.recv
        self.user = user

    def write(self, data: Any) -> None:
        """Send ``data`` with the others of the round; what the kernel does not take is sent when it does."""
        self._sockets.write(self, data)

    def abort(self) -> None:
        """Close at once. The protocol knows: it is who asked for it."""
        self.closed = True
        self._sockets.forget(self._sock.fileno())
        self._sock.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self.closed

    def take(self, data: bytes, came_at: float) -> None:
        """Let the protocol use what came; a fault of its own ends this connection."""
        try:
            if data:
                self._received(data, came_at)
            else:
                self.lost(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other connections go on
            self.lost(error)

    def lost(self, error: Exception | None) -> None:
        """Close, and tell the protocol: None where the service closed in good order."""
        if not self.closed:
            self.abort()
            self.user.connection_lost(error)

    def put(self, data: bytes) -> None:
        """Give ``data`` to the kernel, in order."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # reading says so too, and ends the exchange
        if sent < len(data):
            self._unsent = data[sent:]
            self._sockets.watch(self._sock.fileno(), writable=True)

    def put_rest(self) -> None:
        """Give the kernel what it did not take before."""
        rest, self._unsent = self._unsent, b""
        self._sockets.watch(self._sock.fileno(), writable=False)
        self.put(rest)
