"""The hostile service: a plain one, of which one door misbehaves. It has a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.hostile.plain import MAX_BODY_BYTES, Plain
from tests.hostile.visits import Behaviour, Talk, Visit
from tests.instruments.servers import free_port

HEAD_BYTES = 1 << 20
CONNECTION_PARTS = ("accept", "tls")
ROUTES = {
    "ask": lambda path: path == "/api/chat",
    "stream": lambda path: path == "/api/v1/chat/stream",
    "health": lambda path: path in ("/health", "/ready"),
    "openapi": lambda path: "openapi" in path or "docs" in path or "swagger" in path or "redoc" in path,
    "metrics": lambda path: path == "/metrics",
    "target": lambda path: True,
    "ipv6": lambda path: True,
}


@dataclass(frozen=True)
class Places:
    """Where the service and what belongs to it listen."""

    url: str
    meter: str
    lever: str
    redis: int
    elsewhere: str


def serve(behaviour: Behaviour, certificate: Path, tell: Connection) -> None:
    """Serve until killed; ``tell`` gets the places, and how often somebody came elsewhere, when asked."""
    asyncio.run(_serve(behaviour, certificate, tell))


async def _serve(behaviour: Behaviour, certificate: Path, tell: Connection) -> None:
    house = House(behaviour)
    async with contextlib.AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(listening(house.stray, "127.0.0.2"))
        house.elsewhere = f"http://127.0.0.2:{elsewhere}"
        meter = await stack.enter_async_context(listening(house.at("meter", house.plain.meter)))
        lever = await stack.enter_async_context(listening(house.at("lever", house.plain.lever)))
        redis = await stack.enter_async_context(listening(house.redis))
        url = await stack.enter_async_context(house.front(certificate))
        places = Places(
            url, f"http://127.0.0.1:{meter}/meter", f"http://127.0.0.1:{lever}", redis, house.elsewhere
        )
        tell.send(asdict(places))
        while True:
            await asyncio.sleep(0.05)
            if tell.poll():
                tell.recv()
                tell.send(house.strays)


class House:
    """The doors of one service, one of which misbehaves."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.plain = Plain()
        self.elsewhere = ""
        self.strays = 0
        self._number = 0

    @asynccontextmanager
    async def front(self, certificate: Path) -> AsyncIterator[str]:
        """Open the main door; yields its URL."""
        part, scheme, host = self.behaviour.part, "http", "127.0.0.1"
        if part == "absent":
            yield f"http://127.0.0.1:{free_port()}"
        elif part == "backlog":
            with socket.create_server(("127.0.0.1", 0), backlog=2) as door:
                yield f"http://127.0.0.1:{door.getsockname()[1]}"
        else:
            tls = None
            talk = self.at("target", self.plain.answer)
            if part == "tls":
                scheme = "https"
                if self.behaviour.name == "shows_a_certificate_for_another_name":
                    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    tls.load_cert_chain(certificate)
                else:
                    talk = self.connection
            elif part == "accept":
                talk = self.connection
            elif part == "ipv6":
                host = "::1"
            async with listening(talk, host, tls) as port:
                yield f"{scheme}://{'[::1]' if part == 'ipv6' else host}:{port}"

    def at(self, door: str, usual: Talk) -> Talk:
        """Serve requests at ``door``: as usual, but where the misbehaviour is meant."""

        async def requests(visit: Visit) -> None:
            while not visit.writer.is_closing():
                if not await _read_request(visit):
                    return
                visit.elsewhere = self.elsewhere
                visit.as_usual = lambda: usual(visit)
                if self._is_meant(door, visit.path):
                    self._number += 1
                    visit.number = self._number
                    await self.behaviour.talk(visit)
                else:
                    await usual(visit)

        return requests

    def _is_meant(self, door: str, path: str) -> bool:
        part = self.behaviour.part
        if door == "target":
            return part in ROUTES and ROUTES[part](path.partition("?")[0])
        return part == door

    async def connection(self, visit: Visit) -> None:
        """The misbehaviour begins before a request is read."""
        visit.elsewhere = self.elsewhere
        await self.behaviour.talk(visit)

    async def redis(self, visit: Visit) -> None:
        """A Redis, or what stands in its place."""
        self._number += self.behaviour.part == "redis"
        visit.number = self._number
        await (self.behaviour.talk if self.behaviour.part == "redis" else self.plain.redis)(visit)

    async def stray(self, visit: Visit) -> None:
        """Somebody was led off the target."""
        self.strays += 1


@asynccontextmanager
async def listening(
    talk: Callable[[Visit], Awaitable[None]], host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Give each connection to ``talk`` until the block ends; yields the port."""

    tasks: set[asyncio.Task[None] | None] = set()  # kept, or one that waits for ever would be collected

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(Exception):  # a guest that goes, or sends what no server can read
            await talk(Visit("", "/", {}, b"", reader, writer))
        writer.close()
        tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(connected, host, 0, limit=HEAD_BYTES, ssl=tls, backlog=500)
    yield server.sockets[0].getsockname()[1]


async def _read_request(visit: Visit) -> bool:
    """Read the next request into ``visit``; False where the guest has gone. A body too large is refused."""
    try:
        head = (await visit.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return False
    first, *lines = head.rstrip("\r\n").split("\r\n")
    visit.method, visit.path, *_ = [*first.split(" "), "/"]
    visit.headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if "chunked" in visit.headers.get("transfer-encoding", "").lower():
        visit.body = await _chunks(visit.reader)
        return True
    size = int(visit.headers.get("content-length") or 0)
    if size > MAX_BODY_BYTES:
        visit.closing = True
        await visit.reply('{"title": "Too large"}', 413, Content_Type="application/problem+json")
        visit.writer.close()
        return False
    visit.body = await visit.reader.readexactly(size)
    return True


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too large")
    await reader.readline()
    return body
