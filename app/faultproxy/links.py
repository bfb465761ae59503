"""Proxies and their links: one link is one accepted connection and its connection to the upstream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.faultproxy.toxics import Toxic

CHUNK_BYTES = 65_536
CONNECT_WITHIN_S = 5.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` as a pair. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


@dataclass(eq=False)
class Link:
    """Two connections joined; every chunk passes the toxics that its proxy has at that moment."""

    proxy: Proxy
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    _drawn: dict[int, tuple[Toxic, bool]] = field(default_factory=dict)

    async def run(self) -> None:
        """Carry bytes both ways until both sides have ended or the link is cut."""
        for toxic in self.proxy.toxics.values():
            self.meet(toxic)
        ways = (
            self._carry("upstream", self.client[0], self.server[1]),
            self._carry("downstream", self.server[0], self.client[1]),
        )
        try:
            await asyncio.gather(*ways)
        except OSError:
            pass  # one side reset the connection; the other is cut below, as a wire would
        finally:
            self.cut()

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

    async def _carry(self, stream: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if await self._passes(stream, len(chunk)):
                writer.write(chunk)
                await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

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
            await asyncio.sleep(toxic.delay_s(size, self.proxy.random))
        return True

    def cut(self, *, reset: bool = False) -> None:
        """Close both connections now; ``reset`` sends RST."""
        for _, writer in (self.client, self.server):
            if reset:
                plug = writer.get_extra_info("socket")
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """A named proxy: where it listens, where it leads, its toxics and its links."""

    name: str
    listen: str
    upstream: str
    random: Random = field(default_factory=Random)
    toxics: dict[str, Toxic] = field(default_factory=dict)
    _links: set[Link] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def enabled(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def enable(self) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        if self._server is None:
            host, port = split_address(self.listen)
            self._server = await asyncio.start_server(self._accept, host, port)
            self.listen = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def disable(self) -> None:
        """Refuse new connections and close those that are there."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            self.cut_all()
            await server.wait_closed()

    def add(self, toxic: Toxic) -> None:
        """Add a toxic, or replace the one of its name; links that are there have it too."""
        self.toxics[toxic.name] = toxic
        for link in self._links:
            link.meet(toxic)

    def remove(self, name: str) -> None:
        """Remove a toxic. Links that lost bytes to a ``timeout`` are closed, as Toxiproxy does."""
        toxic = self.toxics.pop(name)
        if toxic.type == "timeout":
            self.cut_all(toxic)

    def cut_all(self, toxic: Toxic | None = None) -> None:
        """Close all links, or those that have ``toxic``."""
        for link in list(self._links):
            if toxic is None or link.has(toxic):
                link.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = split_address(self.upstream)
        try:
            server = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_WITHIN_S)
        except (OSError, TimeoutError):
            writer.transport.abort()  # nothing there: the client sees a connection that closes at once
            return
        link = Link(self, (reader, writer), server)
        if not self.enabled:
            link.cut()
            return
        self._links.add(link)
        with contextlib.suppress(asyncio.CancelledError):  # the proxy process is ending
            await link.run()
        self._links.discard(link)

    def document(self) -> dict[str, Any]:
        """The proxy as the API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.document() for toxic in self.toxics.values()],
        }
