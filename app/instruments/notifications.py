"""Hears Alertmanager's webhook for as long as a drill lasts.

It listens on loopback; another address of this host needs the operator's allow-list, since whoever reaches it
can tell a drill of an alert. What comes is hostile: bounded in size, number and time, and read tolerantly.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import h11
from pydantic import Field, ValidationError

from app.instruments.failures import in_words
from app.instruments.origins import Origin
from app.instruments.server_api import Labels, OrEmpty, Read
from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import Notification
from checks.contract.target.monitoring import Notifications as Declared

MAX_BODY_BYTES = 4 << 20
MAX_CONNECTIONS = 32
MAX_KEPT = 10_000
IDLE_S = 30.0  # of a connection that says nothing
PIECE_BYTES = 65_536
KEY = "notifications.listen"


class _Alert(Read):
    """Of version 4 of Alertmanager's webhook, as of Grafana's; all else is ignored."""

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = Field(default_factory=dict)


class _Webhook(Read):
    alerts: Annotated[tuple[Any, ...], OrEmpty]


@dataclass
class HeardSoFar:
    """Implements ``checks.contract.instruments.monitoring.Heard``. ``refused`` counts what made no sense."""

    notifications: list[Notification] = field(default_factory=list)
    refused: int = 0

    def take(self, body: bytes) -> HTTPStatus:
        """Keep what ``body`` tells; the status to answer it with."""
        at = monotonic()
        try:
            found = _Webhook.model_validate_json(body)
        except ValidationError:
            self.refused += 1
            return HTTPStatus.BAD_REQUEST
        for alert in found.alerts[: MAX_KEPT - len(self.notifications)]:
            try:
                read = _Alert.model_validate(alert)
            except ValidationError:
                self.refused += 1
                continue
            name = read.labels.get("alertname", "")
            self.notifications.append(Notification(read.status, name, read.labels, read.annotations, at))
        return HTTPStatus.OK


class WebhookListener:
    """Implements ``checks.contract.instruments.monitoring.Notifications``.

    ``refusal`` says why an address off loopback may not be used, as the operator's policy has it.
    """

    def __init__(
        self, declared: Declared | None, refusal: Callable[[Origin], InstrumentFailure | None]
    ) -> None:
        self._declared = declared
        self._refusal = refusal
        self._open = 0

    def listening(self) -> AbstractAsyncContextManager[HeardSoFar]:
        """Listen. Raises InstrumentFailure where none is declared or the port is taken."""
        return self._listening()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[HeardSoFar]:
        declared = self._declared
        if declared is None:
            raise InstrumentFailure(
                "Nothing is declared to hear notifications with. Add `[notifications]` to the target file.",
                missing=KEY,
            )
        heard, talks = HeardSoFar(), dict[asyncio.Task[None], asyncio.StreamWriter]()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is None or len(talks) >= MAX_CONNECTIONS:
                writer.close()
                return
            talks[task] = writer
            try:
                await _talk(reader, writer, _path_of(declared), heard)
            finally:
                del talks[task]
                writer.close()

        server = await self._bound(connected, declared.listen)
        try:
            yield heard
        finally:
            server.close()
            open_now = dict(talks)
            for writer in open_now.values():
                writer.transport.abort()  # its task then reads the end; to cancel it would be logged
            await asyncio.gather(*open_now, return_exceptions=True)

    async def _bound(self, connected: Callable[..., Any], listen: str) -> asyncio.Server:
        origin = Origin.of(f"http://{listen}")
        if refused := self._refusal(origin):
            raise InstrumentFailure(
                f"Notifications cannot be heard on {listen}: {refused.reason}", missing=KEY
            ) from refused
        try:
            return await asyncio.start_server(connected, origin.host, origin.port)
        except OSError as error:
            raise InstrumentFailure(
                f"Notifications cannot be heard on {listen}: {_why(error)}. Declare another `[notifications] "
                "listen`, and let the receiver in alertmanager.yml send there.",
                missing=KEY,
            ) from error


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, heard: HeardSoFar
) -> None:
    """Answer requests until the client closes, is silent, or sends what is no HTTP."""
    talk = h11.Connection(h11.SERVER)
    with suppress(ConnectionError, TimeoutError, h11.RemoteProtocolError):
        while True:
            async with asyncio.timeout(IDLE_S):
                request, body = await _request(talk, reader, writer)
                if request is None:
                    return
                status = _answer(request, body, path, heard)
                await _reply(talk, writer, status)
            if talk.our_state is h11.MUST_CLOSE or body is None:
                return
            talk.start_next_cycle()


async def _request(
    talk: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[h11.Request | None, bytes | None]:
    """The next request; None where there is none, a body of None where it is too large."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            if talk.they_are_waiting_for_100_continue:
                writer.write(talk.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            talk.receive_data(await reader.read(PIECE_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                return request, None
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:
            return None, b""


def _answer(request: h11.Request, body: bytes | None, path: str, heard: HeardSoFar) -> HTTPStatus:
    asked = urlsplit(request.target.decode("latin-1")).path or "/"
    if asked != path:
        return HTTPStatus.NOT_FOUND
    if request.method != b"POST":
        return HTTPStatus.METHOD_NOT_ALLOWED
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if body is None else heard.take(body)


async def _reply(talk: h11.Connection, writer: asyncio.StreamWriter, status: HTTPStatus) -> None:
    headers = [("Content-Length", "0")]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "POST"))
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers.append(("Connection", "close"))
    writer.write(talk.send(h11.Response(status_code=status, headers=headers)) or b"")
    writer.write(talk.send(h11.EndOfMessage()) or b"")
    await writer.drain()


def _path_of(declared: Declared) -> str:
    return urlsplit(declared.path).path or "/"


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "something else listens there"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "that is no address of this host"
    if error.errno == errno.EACCES:
        return "this user may not open that port"
    return in_words(error)
