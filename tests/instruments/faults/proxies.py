"""The sample's fault proxy, as a process of its own in front of a small echo server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from checks.contract import Target
from tests.instruments.servers import free_port

NAME = "the cache"  # a name that must be escaped in a URL
START_TIMEOUT_S = 20.0


@dataclass
class Proxied:
    """A proxy named NAME, where it listens, and its API."""

    api: str
    port: int

    def target(self, kind: str = "toxiproxy", **rest: Any) -> Target:
        ways = ["refuse", "hang", "slow", "reset", "errors", "few_errors"]
        lever = {"kind": kind, "api": self.api, "proxy": NAME, "ways": ways}
        document = {"url": "http://127.0.0.1:1", "allow_faults": True, "levers": {"cache": lever}, **rest}
        return Target.model_validate(document)

    async def state(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.api}/proxies")).json()[NAME]

    async def tell(self, method: str, place: str, body: object) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.request(method, f"{self.api}/proxies/the%20cache{place}", json=body)
            reply.raise_for_status()

    async def through(self, timeout_s: float = 5.0) -> str:
        """What happens to one connection: the echo, or in one word how it failed."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"hello\n")
                line = await reader.readline()
                writer.close()
                return line.decode().strip() or "closed"
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "reset"


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[Proxied]:
    """Run the proxy until the block ends."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = Proxied(f"http://127.0.0.1:{free_port()}", free_port())
    config = folder / "proxy.json"
    proxies = [{"name": NAME, "listen": f"127.0.0.1:{found.port}", "upstream": upstream}]
    config.write_text(json.dumps({"port": int(found.api.rpartition(":")[2]), "proxies": proxies}))
    process = subprocess.Popen([sys.executable, "-m", "app.faultproxy", str(config)])  # noqa: ASYNC220 - stays
    try:
        async with server:
            await asyncio.wait_for(_started(found), START_TIMEOUT_S)
            yield found
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


async def _started(found: Proxied) -> None:
    while await found.through() != "hello":  # noqa: ASYNC110 - another process, so there is no event to wait for
        await asyncio.sleep(0.05)
