"""Tells from what httpx or a socket raised how a request failed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from checks.contract import Failure, FailureKind, printable

MAX_DETAIL_CHARS = 200


def failure_of(error: BaseException) -> Failure:
    """Classify what httpx or the socket raised, by the innermost cause that says something."""
    chain = list(_causes(error))
    for kind, types, words in _SOCKET_CAUSES:
        for cause in chain:
            if isinstance(cause, types):
                return Failure(kind, _with_reason(words, cause))
    text = " ".join(str(cause) for cause in chain)
    if isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)):
        if "Receive buffer too long" in text:
            return Failure(FailureKind.TOO_LARGE, "the status line and headers are larger than 100 KiB")
        if not isinstance(error, httpx.RemoteProtocolError) or any(words in text for words in _CUT_SHORT):
            return Failure(FailureKind.RESET, _with_reason("the reply was cut short", error))
    if isinstance(error, (httpx.ConnectError, OSError)):
        return Failure(FailureKind.REFUSED, _with_reason("no connection", error))
    return Failure(FailureKind.PROTOCOL, _with_reason("not a valid HTTP reply", error))


_SOCKET_CAUSES: tuple[tuple[FailureKind, tuple[type[BaseException], ...], str], ...] = (
    (FailureKind.TLS, (ssl.SSLError, ssl.CertificateError), "TLS failed"),
    (FailureKind.DNS, (socket.gaierror, UnicodeError), "the host name cannot be resolved"),
    (FailureKind.REFUSED, (ConnectionRefusedError,), "connection refused"),
    (
        FailureKind.RESET,
        (ConnectionResetError, BrokenPipeError, ConnectionAbortedError),
        "the connection was reset",
    ),
    (FailureKind.TIMEOUT, (TimeoutError, httpx.TimeoutException), "no answer in time"),
)


_CUT_SHORT = ("disconnected", "peer closed")  # as h11 and httpcore word an early end


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    if error is None:
        return
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    yield from _causes(error.__cause__ or error.__context__)


def _with_reason(words: str, error: BaseException) -> str:
    reason = in_words(error)
    return f"{words} ({reason})" if reason and reason.lower() != words else words


def in_words(error: BaseException) -> str:
    """What an exception says, printable and short."""
    return one_line(str(error)).rstrip(".")


def one_line(text: str, most_chars: int = MAX_DETAIL_CHARS) -> str:
    """The start of a text that came from outside, on one line, printable and with single spaces."""
    start = text[: 4 * most_chars]  # what is left out may be long, too
    return " ".join(printable(start).split())[:most_chars]


def timed_out(timeout_s: float, so_far: str) -> Failure:
    """The failure of an exchange that outlasted its deadline; ``so_far`` says what had come."""
    return Failure(FailureKind.TIMEOUT, f"{so_far} within {timeout_s:g} s")
