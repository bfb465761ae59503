"""Proxies and their links: one link is one accepted connection and its connection to the upstream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from app.faultproxy.calls import Calls
from app.faultproxy.exchanges import Exchanges, Refusal
from app.faultproxy.toxics import Toxic

CONNECT_WITHIN_S = 5.0
BACKLOG = 1_024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` as a pair. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class End(asyncio.Protocol):
    """One of a link's two connections. What arrives here goes out at the ``other`` end."""

    other: End

    def __init__(self, link: Link, stream: str) -> None:
        self.link = link
        self.stream = stream  # the way that bytes take which arrive here
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self.chunks: deque[bytes | None] = deque()  # what cannot be passed on at once; None is the end
        self.work: asyncio.Task[None] | None = None
        self._holds: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.link.made(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on at once, unless a toxic says otherwise."""
        self.link.arrived(self, data)

    def eof_received(self) -> bool:
        """Nothing more comes from here; the other way stays open."""
        self.link.finished(self)
        return True

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is gone, and so is the link."""
        self.link.lost()

    def pause_writing(self) -> None:
        """More was written here than goes out: stop reading at the other end."""
        self.other.hold("full")

    def resume_writing(self) -> None:
        """It has gone out."""
        self.other.release("full")

    def hold(self, reason: str) -> None:
        """Stop reading until every reason is released."""
        if not self._holds and self.transport is not None:
            self.transport.pause_reading()
        self._holds.add(reason)

    def release(self, reason: str) -> None:
        """Read on if nothing else holds."""
        if reason in self._holds:
            self._holds.discard(reason)
            if not self._holds and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send ``data`` out here."""
        if self.transport is not None and not self.other.ended:
            self.transport.write(data)

    def write_eof(self) -> None:
        """Say that nothing more comes."""
        if self.transport is not None and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self, *, abort: bool, reset: bool = False) -> None:
        """Close after what is on its way; with ``abort`` at once, with ``reset`` by RST."""
        if self.work is not None and self.work is not asyncio.current_task():
            self.work.cancel()
        if self.transport is None:
            return
        if reset:
            with contextlib.suppress(OSError):  # it is closed already
                plug = self.transport.get_extra_info("socket")
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if abort or reset:
            self.transport.abort()
        else:
            self.transport.close()


class Link:
    """Two connections joined; every chunk passes the toxics that its proxy has at that moment."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client, self.server = End(self, "upstream"), End(self, "downstream")
        self.client.other, self.server.other = self.server, self.client
        self._http: Exchanges | None = Exchanges(proxy.calls, self._refuses)
        self._turn = asyncio.Event()
        self._drawn: dict[int, tuple[Toxic, bool]] = {}
        self._connecting: asyncio.Task[None] | None = None

    def made(self, end: End) -> None:
        """One of the connections is there; for a client's, connect to the upstream."""
        if end is not self.client:
            return
        if not self.proxy.enabled:
            self.cut()
            return
        self.proxy.links.add(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        host, port = split_address(self.proxy.upstream)
        connecting = asyncio.get_running_loop().create_connection(lambda: self.server, host, port)
        try:
            await asyncio.wait_for(connecting, CONNECT_WITHIN_S)
        except (OSError, TimeoutError):
            self.cut()  # nothing there: the client sees a connection that closes at once
            return
        if self not in self.proxy.links:
            self.cut()  # the client left, or the proxy was disabled meanwhile
            return
        for toxic in self.proxy.toxics.values():
            self.meet(toxic)
        if self.client.chunks:
            self._start(self.client)

    def meet(self, toxic: Toxic) -> None:
        """A toxic was added: the connection of a ``timeout`` above 0 ends after it, data or not."""
        timeout_ms = toxic.attributes.get("timeout", 0)
        if toxic.type == "timeout" and timeout_ms and self.has(toxic):
            asyncio.get_running_loop().call_later(timeout_ms / 1000, self._end_silence, toxic)

    def _end_silence(self, toxic: Toxic) -> None:
        if self.proxy.toxics.get(toxic.name) is toxic:
            self.cut()

    def has(self, toxic: Toxic) -> bool:
        """Whether this link drew ``toxic``; drawn once, so that a link stays bad or good."""
        if id(toxic) not in self._drawn:
            self._drawn[id(toxic)] = (toxic, self.proxy.random.random() < toxic.toxicity)
        return self._drawn[id(toxic)][1]

    def arrived(self, end: End, data: bytes) -> None:
        """Bytes came in at one end."""
        http = self._http
        if (
            self.server.transport is None
            or end.chunks
            or end.work is not None
            or self.proxy.toxics
            or (http is not None and http.telling_apart)
        ):
            end.chunks.append(data)
            end.hold("work")
            self._start(end)
            return
        if http is not None:
            if end is self.client:
                http.passed_on(data)
            else:
                self._heard(http, data)
            self._forget_other_protocol()
        end.other.write(data)

    def _heard(self, http: Exchanges, data: bytes) -> None:
        http.received(data)
        self._turn.set()

    def _forget_other_protocol(self) -> None:
        if self._http is not None and self._http.opaque:
            self._http = None  # from here on its bytes are only carried

    def finished(self, end: End) -> None:
        """One end said that nothing more comes."""
        if end.work is not None or self.server.transport is None:
            end.chunks.append(None)
        else:
            self._end(end)

    def _end(self, end: End) -> None:
        end.ended = True
        self._turn.set()
        if end.other.ended:
            self.cut(abort=False)
        else:
            end.other.write_eof()

    def _start(self, end: End) -> None:
        if end.work is None and self.server.transport is not None:
            end.work = asyncio.get_running_loop().create_task(self._carry(end))

    async def _carry(self, end: End) -> None:
        while end.chunks:
            chunk = end.chunks.popleft()
            if chunk is None:
                self._end(end)
                continue
            for part in self._parts(end, chunk):
                if isinstance(part, Refusal):
                    await self._refuse(part)
                elif await self._passes(end.stream, len(part)):
                    if end is self.server and self._http is not None:
                        self._heard(self._http, part)
                    end.other.write(part)
            self._forget_other_protocol()
        end.work = None
        end.release("work")

    def _parts(self, end: End, chunk: bytes) -> Iterable[bytes | Refusal]:
        http = self._http
        if http is None or end is self.server:
            return (chunk,)
        if http.telling_apart or any(map(self._has_errors, self.proxy.toxics.values())):
            return http.sent(chunk)
        http.passed_on(chunk)
        return (chunk,)

    def undecided_passes(self) -> None:
        """Nothing is refused any more: what was held back for it goes on its way."""
        held = self._http.released() if self._http is not None else b""
        if held:
            self.server.write(held)

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer in the upstream's place, when what was asked before has been answered."""
        while self._http is not None and not self._http.answered and not self.server.ended:
            self._turn.clear()
            await self._turn.wait()
        self.client.write(refusal.reply)
        if refusal.closes:
            self.cut(abort=False)

    def _refuses(self) -> Toxic | None:
        for toxic in self.proxy.toxics.values():
            if self._has_errors(toxic) and toxic.refuses():
                return toxic
        return None

    def _has_errors(self, toxic: Toxic) -> bool:
        return toxic.type == "http_errors" and self.has(toxic)

    async def _passes(self, stream: str, size: int) -> bool:
        for toxic in list(self.proxy.toxics.values()):
            if toxic.stream != stream or not self.has(toxic):
                continue
            if toxic.type == "timeout":
                return False
            if toxic.type == "reset_peer":
                await asyncio.sleep(toxic.attributes["timeout"] / 1000)
                self.cut(reset=True)
                return False
            if delay_s := toxic.delay_s(size, self.proxy.random):
                await asyncio.sleep(delay_s)
        return True

    def lost(self) -> None:
        """One of the connections is gone."""
        if self in self.proxy.links:
            self.cut()

    def cut(self, *, abort: bool = True, reset: bool = False) -> None:
        """Close both connections now, or after what is on its way; ``reset`` sends RST."""
        self.proxy.links.discard(self)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        for end in (self.client, self.server):
            end.close(abort=abort, reset=reset)


@dataclass(eq=False)
class Proxy:
    """A named proxy: where it listens, where it leads, its toxics, its links, and the calls that came."""

    name: str
    listen: str
    upstream: str
    random: Random = field(default_factory=Random)
    toxics: dict[str, Toxic] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)
    links: set[Link] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _held: socket.socket | None = None  # keeps the port while nobody listens on it

    @property
    def enabled(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def enable(self) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        if self._server is None:
            host, port = split_address(self.listen)
            self._let_go()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Link(self).client, host, port, backlog=BACKLOG)
            self.listen = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def refuse(self) -> None:
        """Refuse new connections, close those that are there, and keep the port."""
        if self._held is None:
            await self.disable()
            self._hold()

    async def disable(self) -> None:
        """Close all connections, and give the port away."""
        self._let_go()
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            self.cut_all()
            await server.wait_closed()

    def _hold(self) -> None:
        """Bind the port, and do not listen: connections are refused, and nobody takes it for a free one."""
        address = split_address(self.listen)
        held = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(address)
        except OSError:  # somebody was faster; enabling it will say so
            held.close()
        else:
            self._held = held

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def add(self, toxic: Toxic) -> None:
        """Add a toxic, or replace the one of its name; links that are there have it too."""
        self.toxics[toxic.name] = toxic
        for link in self.links:
            link.meet(toxic)

    def remove(self, name: str) -> None:
        """Remove a toxic. Links that lost bytes to a ``timeout`` are closed, as Toxiproxy does."""
        toxic = self.toxics.pop(name)
        if toxic.type == "timeout":
            self.cut_all(toxic)
        if toxic.type == "http_errors":
            for link in self.links:
                link.undecided_passes()

    def cut_all(self, toxic: Toxic | None = None) -> None:
        """Close all links, or those that have ``toxic``."""
        for link in list(self.links):
            if toxic is None or link.has(toxic):
                link.cut()

    def document(self) -> dict[str, Any]:
        """The proxy as the API shows it: as Toxiproxy does, and how many HTTP requests came."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.document() for toxic in self.toxics.values()],
            "calls": self.calls.total,
        }
