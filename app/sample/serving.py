"""How each part of the sample is served: uvicorn on loopback, on a socket that is bound first."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

import uvicorn

HOST = "127.0.0.1"


def bind(port: int, *, shared: bool = False) -> socket.socket:
    """A TCP socket on loopback. ``shared`` lets a second process take the same port (SO_REUSEPORT).

    Raises OSError when the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((HOST, port))
    return listener


def serve(app: Any, port: int, *, shared: bool = False, kind: type[uvicorn.Server] = uvicorn.Server) -> None:
    """Serve ``app`` until SIGTERM, then finish requests within 5 s. Exits where the port is taken."""
    try:
        listener = bind(port, shared=shared)
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{port}: {error.strerror}")
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
    kind(config).run(sockets=[listener])
