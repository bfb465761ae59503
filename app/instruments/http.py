"""Probes over HTTP."""

from __future__ import annotations

import asyncio
from time import perf_counter

from app.instruments.failures import timed_out
from app.instruments.wire import NoReply, Wire
from checks.contract import Failure, Reply, Request

KEPT_BYTES = 1 << 20


class HttpProbe:
    """Sends one request at a time; whatever the service does, a bounded Reply comes back in time."""

    def __init__(self, wire: Wire, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._wire = wire
        self._kept_bytes = kept_bytes

    async def send(
        self, request: Request, *, timeout_s: float = 10.0, fresh_connection: bool = False
    ) -> Reply:
        """Send and read the reply; ``elapsed_ms`` runs from before the connection to the last byte.

        After ``kept_bytes`` of body reading ends (``truncated``). A reply that broke off keeps what had
        come, beside its failure. Raises InstrumentFailure only for a request that may not be sent.
        """
        started = perf_counter()
        url, status, headers = request.url, None, {}
        body = bytearray()
        truncated, failure = False, None
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._wire.exchange(request, fresh_connection=fresh_connection) as arrival,
            ):
                url, status, headers = arrival.url, arrival.status, dict(arrival.headers)
                failure = arrival.failure
                async for piece in arrival.pieces:
                    room = self._kept_bytes - len(body)
                    body += piece[:room]
                    if truncated := len(piece) > room:
                        break
        except NoReply as error:
            failure = error.failure
        except TimeoutError:
            failure = failure or _timeout(timeout_s, status, len(body))
        elapsed_ms = (perf_counter() - started) * 1000
        kept = self._wire.references.hide_bytes(bytes(body))
        return Reply(url, status, headers, kept, truncated, elapsed_ms, failure)


def _timeout(timeout_s: float, status: int | None, got_bytes: int) -> Failure:
    if status is None:
        return timed_out(timeout_s, "no reply")
    return timed_out(timeout_s, f"status {status} and {got_bytes} bytes, but not the whole reply,")
