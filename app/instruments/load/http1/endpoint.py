"""Where the load goes: one origin, its addresses looked up once, and what a failed connection means."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from app.instruments.load.http1.plain import AVAILABLE, PlainSockets, TimedProtocol
from app.instruments.origins import Origin
from checks.contract import Failure, FailureKind, InstrumentFailure

P = TypeVar("P", bound=TimedProtocol)
OWN_LIMITS = {
    errno.EMFILE: "open files (raise it with `ulimit -n`)",
    errno.ENFILE: "open files",
    errno.EADDRNOTAVAIL: "local ports",
    errno.ENOBUFS: "socket buffers",
}


class Endpoint:
    """Opens connections to ``origin``. ``tls`` is used for https only."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None = None) -> None:
        self._origin = origin
        self._tls = (tls or ssl.create_default_context()) if origin.scheme == "https" else None
        self._addresses: list[str] = []
        self._plain: PlainSockets | None = None

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open a connection. Raises OSError or UnicodeError; ``failure_of`` says what either means.

        Raises InstrumentFailure where this machine is at its own limit, which is no fault of the service.
        """
        if not self._addresses:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._origin.host, self._origin.port, type=socket.SOCK_STREAM
            )
            self._addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
        for number, address in enumerate(self._addresses, start=1):
            try:
                protocol = await self._open(factory, address)
            except OSError as error:
                if own := own_limit(error):
                    raise own from error
                if number == len(self._addresses):
                    raise
            else:
                self._addresses = [address]  # a name with several addresses is tried in order only once
                return protocol
        raise AssertionError("getaddrinfo returns an address or raises")

    def close(self) -> None:
        """Close what is open."""
        if self._plain is not None:
            self._plain.close()
            self._plain = None

    async def _open(self, factory: Callable[[], P], address: str) -> P:
        if self._tls is None and AVAILABLE:
            self._plain = self._plain or PlainSockets()
            return await self._plain.connect(factory, address, self._origin.port)
        _, protocol = await asyncio.get_running_loop().create_connection(
            factory,
            address,
            self._origin.port,
            ssl=self._tls,
            server_hostname=self._origin.host if self._tls else None,
        )
        return protocol


def own_limit(error: OSError) -> InstrumentFailure | None:
    """The limit of this machine that ``error`` tells of, or None."""
    if error.errno not in OWN_LIMITS:
        return None
    return InstrumentFailure(
        f"This machine ran out of {OWN_LIMITS[error.errno]}, so the load could not be made."
    )


def failure_of(error: OSError | UnicodeError) -> Failure:
    """What a connection that could not be opened says about the service."""
    for types, kind, words in _MEANINGS:
        if isinstance(error, types):
            return Failure(kind, f"{words} ({error})" if str(error) else words)
    return Failure(FailureKind.REFUSED, f"no connection ({error})")


_MEANINGS: tuple[tuple[tuple[type[Exception], ...], FailureKind, str], ...] = (
    ((ssl.SSLError,), FailureKind.TLS, "TLS failed"),
    ((socket.gaierror, UnicodeError), FailureKind.DNS, "the host name cannot be resolved"),
    ((ConnectionRefusedError,), FailureKind.REFUSED, "connection refused"),
    ((TimeoutError,), FailureKind.TIMEOUT, "no connection in time"),
    (
        (ConnectionResetError, BrokenPipeError, ConnectionAbortedError),
        FailureKind.RESET,
        "the connection was reset",
    ),
)
