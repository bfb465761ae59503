"""Plain TCP for many connections of one event loop: one look at all of them, one call for each that has data.

An event loop's own transports cost a load driver as much as the rest of it: several layers for each reply.
Here all sockets stand in one epoll set of their own, the event loop watches that set as if it were one
socket, and a ready socket costs a read and a call. Linux only; elsewhere, and for TLS, the loop's own serve.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, TypeVar

P = TypeVar("P", bound=asyncio.Protocol)
AVAILABLE = hasattr(select, "epoll")
EPOLLIN, EPOLLOUT = (getattr(select, name, 0) for name in ("EPOLLIN", "EPOLLOUT"))
READ_BYTES = 8 * 1024  # much larger ones cost a page fault each, whatever came
MOST_AT_ONCE = 256  # then the loop sees to its timers; the set stays ready


class PlainSockets:
    """The plain sockets of one event loop. Made and closed within it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
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

    def _ready(self) -> None:
        transports = self._transports
        for fd, events in self._epoll.poll(0, MOST_AT_ONCE):
            transport = transports.get(fd)
            if transport is None:
                continue  # one before it in this round closed it
            if events != EPOLLIN:
                transport.ready(events)
                continue
            try:  # what PlainTransport does with any other event; here it is a call less for each reply
                data = transport.recv(READ_BYTES)
                if data:
                    transport.received(data)
                else:
                    transport.lost(None)
            except BlockingIOError:
                continue
            except Exception as error:  # noqa: BLE001 - of the socket or of the protocol: it ends this connection
                transport.lost(error)


class PlainTransport(asyncio.Transport):
    """One socket, as a protocol sees it: of a transport's methods those that a load needs."""

    __slots__ = ("_protocol", "_send", "_sock", "_sockets", "_unsent", "received", "recv")

    def __init__(self, sock: socket.socket, protocol: asyncio.Protocol, sockets: PlainSockets) -> None:
        super().__init__()
        self._sock = sock
        self._protocol = protocol
        self._sockets = sockets
        self._unsent = b""
        self.recv, self._send = sock.recv, sock.send
        self.received = protocol.data_received

    def write(self, data: Any) -> None:
        """Send ``data`` now; what the kernel does not take is sent when it does."""
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

    def abort(self) -> None:
        """Close at once. The protocol knows: it is who asked for it."""
        self._sockets.forget(self._sock.fileno())
        self._sock.close()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._sock.fileno() < 0

    def ready(self, events: int) -> None:
        """Send what is left, read what came."""
        if events & EPOLLOUT:
            self._send_rest()
        if events & ~EPOLLOUT and self._sock.fileno() >= 0:
            self._read()

    def lost(self, error: Exception | None) -> None:
        """Close, and tell the protocol: None where the service closed in good order."""
        if self._sock.fileno() >= 0:
            self.abort()
            self._protocol.connection_lost(error)

    def _read(self) -> None:
        try:
            data = self.recv(READ_BYTES)
            if data:
                self.received(data)
            else:
                self.lost(None)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - of the socket or of the protocol: it ends this connection
            self.lost(error)

    def _send_rest(self) -> None:
        rest, self._unsent = self._unsent, b""
        self._sockets.watch(self._sock.fileno(), writable=False)
        self.write(rest)
