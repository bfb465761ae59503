"""Serves proxies and the API that changes them, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import uvicorn
from starlette.applications import Starlette

from app.faultproxy.api import Api
from app.faultproxy.links import Proxy, split_address


def serve(proxies: Sequence[Proxy], api_address: str, *, ready: Callable[[], None] = lambda: None) -> None:
    """Start the proxies, and serve their API at ``host:port``; ``ready`` is called once both listen.

    Raises OSError where a port is taken.
    """
    host, port = split_address(api_address)
    with socket.create_server((host, port)) as listener:
        api = Api(list(proxies))

        @contextlib.asynccontextmanager
        async def listening(_: Starlette) -> AsyncIterator[None]:
            for proxy in proxies:
                await proxy.enable()
            ready()
            yield
            for proxy in api.proxies.values():
                await proxy.disable()

        app = api.app()
        app.router.lifespan_context = listening
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=65,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[listener])
