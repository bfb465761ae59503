"""Sends discovery's requests: reads anything, asks only where the operator allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.discovery.arriving import LOOK_TIMEOUT_S, Say
from app.discovery.cleaning import remark
from app.instruments.http import HttpProbe
from app.instruments.sse import SseReader
from app.instruments.wire import Wire
from checks.contract import InstrumentFailure, Reply, Request, StreamReply
from checks.contract.target.service import Ask, Stream

TIMEOUT_S = 15.0


class Sender:
    """Sends ``headers`` with each question. ``refused`` says why none may be sent, once one was not."""

    def __init__(self, wire: Wire, headers: Mapping[str, str], say: Say) -> None:
        self._http = HttpProbe(wire)
        self._sse = SseReader(wire, _ends_as_usual)
        self._headers = dict(headers)
        self._say = say
        self.refused = ""

    async def get(self, place: str, headers: Mapping[str, str] | None = None) -> Reply:
        """What stands at a place; ``headers`` are sent where they are given."""
        return await self._http.send(Request("GET", place, headers or {}), timeout_s=LOOK_TIMEOUT_S)

    async def ask(self, table: Mapping[str, Any], prompt: str) -> Reply | None:
        """The reply to a question, or None where none may be sent."""
        request = self._with_headers(
            Ask.model_validate(table).render(prompt=prompt, session="s-1", user="u-1")
        )
        try:
            return await self._http.send(request, timeout_s=TIMEOUT_S)
        except InstrumentFailure as failure:
            self._refuse(failure)
            return None

    async def read(self, table: Mapping[str, Any], prompt: str) -> StreamReply | None:
        """A stream that holds events, or None."""
        request = self._with_headers(
            Stream.model_validate(table).render(prompt=prompt, session="s-1", user="u-1")
        )
        try:
            reply = await self._sse.read(request, timeout_s=TIMEOUT_S)
        except InstrumentFailure as failure:
            self._refuse(failure)
            return None
        return reply if reply.failure is None and reply.status == 200 and reply.events else None

    def _with_headers(self, request: Request) -> Request:
        return Request(request.method, request.url, {**self._headers, **request.headers}, request.body)

    def _refuse(self, failure: InstrumentFailure) -> None:
        if not self.refused:
            self.refused = remark(failure.reason)
            self._say(self.refused)


def _ends_as_usual(event: str, data: str) -> bool:
    """Ends that need no waiting for the connection to close."""
    return data.strip() == "[DONE]" or event in ("done", "end")
