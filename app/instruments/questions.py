"""Asks the declared business question, and says whether the answer is one."""

from __future__ import annotations

import json
import uuid
from random import Random

from app.instruments.http import HttpProbe
from app.instruments.prompts import RunPrompts
from app.instruments.sse import SseReader
from checks.contract import (
    Answer,
    Failure,
    FailureKind,
    InstrumentFailure,
    Reply,
    Request,
    Route,
    StreamReply,
    Target,
    at_path,
    curl_line,
    document_in,
    printable,
)

ROUTE_TRIES = 2  # a route that fails now and then is still the one that users have


class DeclaredQuestions:
    """Questions to ``[ask]`` or ``[stream]``.

    Where the caller gives none, ``user`` is one per instrument and ``session`` a new UUID per question, so
    that no answer depends on an earlier question.
    """

    def __init__(
        self, target: Target, http: HttpProbe, sse: SseReader, prompts: RunPrompts, random: Random
    ) -> None:
        self._target = target
        self._http = http
        self._sse = sse
        self._prompts = prompts
        self._random = random
        self._user = f"greenlight-{random.getrandbits(32):08x}"

    async def route(self, *, timeout_s: float = 30.0) -> Route | None:
        """The declared route that answers a never-seen question within ``timeout_s``; ``ask`` first."""
        routes: tuple[Route, ...] = ("ask", "stream")
        for route in routes:
            if getattr(self._target, route) is None:
                continue
            for _ in range(ROUTE_TRIES):
                answer = await self.ask(self._prompts.fresh(1)[0], route=route, timeout_s=timeout_s)
                if answer.good:
                    return route
                if answer.failure is not None and answer.failure.kind is FailureKind.TIMEOUT:
                    break  # who was silent once is not waited for again
        return None

    async def ask(
        self,
        prompt: str,
        *,
        route: Route = "ask",
        user: str = "",
        session: str = "",
        timeout_s: float = 30.0,
    ) -> Answer:
        """Ask and judge by the target's own words. Raises InstrumentFailure for a route not declared."""
        request = self._request(prompt, route, user or self._user, session or self._uuid(), self._uuid())
        if route == "stream":
            return self._streamed(await self._sse.read(request, timeout_s=timeout_s))
        return self._replied(await self._http.send(request, timeout_s=timeout_s))

    def curl(self, prompt: str, *, route: Route = "ask", user: str = "", session: str = "") -> str:
        """The question as a curl line that a shell runs as it stands; secrets are its ``$ENV_NAME``."""
        request = self._request(prompt, route, user or self._user, session or self._uuid(), self._uuid())
        return curl_line(self._target, request)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _request(self, prompt: str, route: Route, user: str, session: str, nonce: str) -> Request:
        call = self._target.stream if route == "stream" else self._target.ask
        if call is None:
            raise InstrumentFailure(
                f"The target declares no `[{route}]`. Add its path and body to the target file.",
                missing=route,
            )
        return call.render(prompt=prompt, user=user, session=session, nonce=nonce)

    def _replied(self, reply: Reply) -> Answer:
        ask = self._target.ask
        assert ask is not None  # noqa: S101 - _request refused it otherwise
        document = reply.document() if reply.failure is None else None
        text = _answer_text(reply, document, ask.answer)
        failure = reply.failure
        if failure is None and reply.status not in ask.good_statuses:
            failure = _bad_status(reply.status, ask.good_statuses)
        elif failure is None and not text:
            failure = Failure(FailureKind.WRONG_BODY, _no_text(reply, document, ask.answer))
        marked = ask.cached is not None and failure is None
        return Answer(
            "ask",
            failure is None,
            reply.status,
            text,
            ask.cached.shown(reply.headers, document) if ask.cached and marked else None,
            reply.elapsed_ms,
            failure.detail if failure else "",
            failure,
        )

    def _streamed(self, reply: StreamReply) -> Answer:
        stream = self._target.stream
        assert stream is not None  # noqa: S101 - _request refused it otherwise
        text = "".join(stream.text(event.name, event.data) for event in reply.events).strip()
        last = reply.events[-1] if reply.events else None
        complete = last is not None and stream.ends(last.name, last.data)
        failure = reply.failure
        if failure is None and not 200 <= (reply.status or 0) < 300:
            failure = _bad_status(reply.status, (200,))
        elif failure is None and not text:
            kind = reply.headers.get("content-type", "no content type")
            failure = Failure(
                FailureKind.WRONG_BODY,
                f"no token text in {len(reply.events)} events ({kind}){_start(reply.body_start)}",
            )
        elif failure is None and not complete and (stream.end_event or stream.end_data or stream.end_json):
            failure = Failure(FailureKind.WRONG_BODY, "the stream ended without its declared last event")
        cached = None
        if stream.cached is not None and failure is None:
            cached = stream.cached.shown(reply.headers, document_in(last.data) if last else None)
        return Answer(
            "stream",
            failure is None,
            reply.status,
            text,
            cached,
            reply.end_ms,
            failure.detail if failure else "",
            failure,
        )


def _bad_status(status: int | None, good: tuple[int, ...]) -> Failure:
    return Failure(FailureKind.STATUS, f"status {status} instead of {' or '.join(map(str, good))}")


def _answer_text(reply: Reply, document: object, path: str | None) -> str:
    if path is None:
        return reply.text.strip()
    found = at_path(document, path)
    if isinstance(found, str):
        return found.strip()
    return json.dumps(found, ensure_ascii=False) if found else ""


def _no_text(reply: Reply, document: object, path: str | None) -> str:
    if path is None:
        return "the reply's body is empty"
    if reply.truncated:
        return f"the reply is larger than {len(reply.body) >> 20} MiB"
    if document is None:
        return f"the reply is not JSON, so there is no `{path}`{_start(reply.text)}"
    return f"no text at `{path}`{_start(reply.text)}"


def _start(text: str) -> str:
    start = printable(text[:120]).strip()
    return f": {start}" if start else ""
