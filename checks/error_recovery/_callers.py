"""Callers of the service while its upstream is broken: what each is told. Private to this family."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic

from checks.contract import (
    Answer,
    FailureKind,
    InstrumentFailure,
    Instruments,
    Reply,
    Request,
    Route,
    Stream,
    StreamReply,
    Target,
    escaped,
    leaks_in,
)
from checks.error_recovery._calls import ADD_PROXY

CLEAN = frozenset((502, 503, 504))  # says that the service is well and its upstream is not
PROBES = 2
RECOVERY_S = 30.0
TRY_S = 10.0
RETRY_S = 0.3
NO_ROUTE = "No declared route answers a question."


@dataclass(frozen=True)
class Told:
    """What one caller got. ``good`` is an answer, as if all were well, or a stand-in for one.

    ``leaks`` are kinds of what an error showed of the service. ``again_sha256`` is the digest of what the
    same question got later.
    """

    route: Route
    good: bool
    status: int | None
    elapsed_s: float
    failure: str = ""
    problem: str = ""
    leaks: tuple[str, ...] = ()
    text_sha256: str = ""
    again_sha256: str = ""

    @property
    def limited(self) -> bool:
        """Whether the service refused for its own sake: that says nothing of its upstream."""
        return self.status == 429

    @property
    def clean(self) -> bool:
        """Whether this is an error that says what it is: by its status, or by the end of a stream."""
        ended = self.route == "stream" and self.status == 200 and not self.good
        return not self.leaks and (ended or self.status in CLEAN)


async def routes_of(target: Target, instruments: Instruments) -> tuple[tuple[Route, ...], int]:
    """Every declared route that answers questions now, and how many were asked to know it.

    Each route may ask the upstream in a way of its own.
    """
    declared: tuple[Route, ...] = ("ask", "stream")
    routes = [route for route in declared if getattr(target, route) is not None] * PROBES
    answers = await asyncio.gather(*(_asked(instruments, route) for route in routes))
    found = {answer.route for answer in answers if answer.good}
    return tuple(route for route in declared if route in found), len(routes)


def told(answer: Answer) -> Told:
    """What the caller of ``answer`` got."""
    return Told(
        route=answer.route,
        good=answer.good,
        status=answer.status,
        elapsed_s=round(answer.elapsed_ms / 1000, 3),
        failure=answer.failure.kind if answer.failure else "",
        problem=answer.problem[:200],
        text_sha256=digest(answer.text) if answer.good else "",
    )


async def asked_again(instruments: Instruments, prompt: str, caller: Told) -> Told:
    """The caller, with what the same question gets now where it was answered before."""
    if not caller.good:
        return caller
    answer = await instruments.questions.ask(prompt, route=caller.route)
    return replace(caller, again_sha256=digest(answer.text) if answer.good else "")


def digest(text: str) -> str:
    """What tells two answers apart, without keeping them."""
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


async def ask_and_read(
    target: Target, instruments: Instruments, prompt: str, route: Route, timeout_s: float
) -> Told:
    """Ask, and look into the error that comes: Questions keeps of it only that it was one."""
    call = target.stream if route == "stream" else target.ask
    assert call is not None  # noqa: S101 - the route that answers is declared
    word = f"{instruments.random.getrandbits(48):012x}"
    request = call.render(prompt=prompt, user=f"person-{word[:6]}", session=word, nonce=word)
    if route == "stream":
        streamed = await instruments.sse.read(request, timeout_s=timeout_s)
        return _streamed(streamed, target, request, prompt)
    reply = await instruments.http.send(request, timeout_s=timeout_s)
    good = target.ask is not None and reply.failure is None and reply.status in target.ask.good_statuses
    return _read(reply, "ask", request, prompt, good=good, text=reply.text)


def _streamed(reply: StreamReply, target: Target, request: Request, prompt: str) -> Told:
    stream = target.stream
    assert stream is not None  # noqa: S101 - the route that answers is declared
    text = "".join(stream.text(event.name, event.data) for event in reply.events)
    shown = "\n".join(event.data for event in reply.events) or reply.body_start
    as_reply = Reply(
        request.url,
        reply.status,
        reply.headers,
        shown.encode(),
        elapsed_ms=reply.end_ms,
        failure=reply.failure,
    )
    good = reply.failure is None and 200 <= (reply.status or 0) < 300 and _complete(stream, reply, text)
    return _read(as_reply, "stream", request, prompt, good=good, text=text)


def _complete(stream: Stream, reply: StreamReply, text: str) -> bool:
    last = reply.events[-1] if reply.events else None
    declared = stream.end_event or stream.end_data or stream.end_json
    return bool(text.strip()) and last is not None and (not declared or stream.ends(last.name, last.data))


def _read(reply: Reply, route: Route, request: Request, prompt: str, *, good: bool, text: str) -> Told:
    failure = reply.failure
    values = [value for value in request.headers.values() if "${" not in value]
    sent = [prompt, request.body.decode("utf-8", "replace"), request.url, *values]
    shown = [] if good or reply.status is None else leaks_in(reply, sent)
    return Told(
        route=route,
        good=good,
        status=reply.status,
        elapsed_s=round(reply.elapsed_ms / 1000, 3),
        failure=failure.kind if failure else "",
        problem=escaped(failure.detail, 200) if failure else "",
        leaks=tuple(kind for kind, _ in shown),
        text_sha256=digest(text) if good else "",
    )


def timed_out(callers: Iterable[Told]) -> bool:
    """Whether somebody waited in vain."""
    return any(caller.failure == FailureKind.TIMEOUT for caller in callers)


async def answered_again_s(instruments: Instruments, routes: Sequence[Route]) -> float | None:
    """Seconds until every route has answered a new question; None where one has not within RECOVERY_S."""
    started = monotonic()
    for route in routes:
        while not (await _asked(instruments, route)).good:
            if monotonic() - started > RECOVERY_S:
                return None
            await asyncio.sleep(RETRY_S)
    return round(monotonic() - started, 2)


async def _asked(instruments: Instruments, route: Route) -> Answer:
    return await instruments.questions.ask(instruments.prompts.fresh(1)[0], route=route, timeout_s=TRY_S)


def require_errors(instruments: Instruments) -> None:
    """Raises InstrumentFailure where the upstream cannot be made to answer with errors."""
    if "errors" not in instruments.faults.ways("upstream"):
        raise InstrumentFailure(
            f"The lever `upstream` cannot make it answer with errors. {ADD_PROXY}",
            missing="levers.upstream.ways",
        )


def statuses(callers: Iterable[Told]) -> str:
    """What callers got, in words: "503 (5 times), 504"."""
    counted = Counter("no reply" if caller.status is None else str(caller.status) for caller in callers)
    words = (name if count == 1 else f"{name} ({count} times)" for name, count in sorted(counted.items()))
    return f"status {', '.join(words)}"
