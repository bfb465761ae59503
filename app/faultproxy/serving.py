"""Serves proxies and the API that changes them, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

import uvicorn
import uvloop

from app.faultproxy.api import Api
from app.faultproxy.links import Proxy, split_address


def serve(proxies: Sequence[Proxy], api_address: str, *, ready: Callable[[], None] = lambda: None) -> None:
    """Start the proxies, and serve their API at ``host:port``; ``ready`` is called once all listen.

    Raises OSError where a port is taken.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    with (
        socket.create_server(split_address(api_address)) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(proxies, listener, ready))


async def _serve(proxies: Sequence[Proxy], listener: socket.socket, ready: Callable[[], None]) -> None:
    api = Api(list(proxies))
    for proxy in proxies:
        await proxy.enable()
    config = uvicorn.Config(
        api.app(),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_keep_alive=65,
        timeout_graceful_shutdown=5,
    )
    ready()
    await uvicorn.Server(config).serve(sockets=[listener])
    for proxy in api.proxies.values():
        await proxy.disable()
