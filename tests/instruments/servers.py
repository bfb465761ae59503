"""Servers that tests script: real sockets on 127.0.0.1, every byte as the test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from app.instruments.origins import declared_origins
from app.instruments.references import References
from app.instruments.wire import Wire
from app.sample.processes import free_ports
from checks.contract import InstrumentFailure, Target

Talk = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One request that came, and the connection to answer on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, body: bytes | str = b"", status: int = 200, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data)

    def reset(self) -> None:
        """End with a TCP reset instead of an orderly close."""
        self.writer.transport.abort()


@dataclass
class Scripted:
    """A running server: where it is, and what came."""

    port: int
    connections: int = 0
    visits: list[Visit] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def scripted(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Serve ``talk`` for each request, keep-alive, until the block ends."""
    served = Scripted(0)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                visit = await _read(reader, writer)
                served.visits.append(visit)
                await talk(visit)
                if writer.is_closing():
                    break
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Visit:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Visit(method, path, headers, body, reader, writer)


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on just now, and no outgoing connection is given."""
    return free_ports(1)[0]


def wire_to(target: Target, environment: dict[str, str] | None = None, *, reading: bool = False) -> Wire:
    """A wire to ``target`` as the toolbox makes it; with ``reading`` as a passive check gets it."""
    refused = InstrumentFailure("A passive check may only read.")
    references = References(environment or {})
    return Wire(target.url, declared_origins(target), references, lambda _: refused if reading else None)
