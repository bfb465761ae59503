"""Streams are well framed, say when they end, and stop when the client leaves.

Why it matters
    A client drops a broken frame without an error, so readers miss a line, an umlaut, or the end, and nobody
    is told. And an answer that goes on after its reader has left is paid for, and takes a place from others.

How it is measured
    A never-seen question that asks for lines and quotes text that is not ASCII is streamed twice, so that the
    second may come from the cache. The bytes must be `text/event-stream` in UTF-8, each line a field of an
    event (in any form of line end), each token JSON where `[stream] token` leads into it, and the last event
    must say that the answer is complete. The repeat must name its events, and what they hold, as the first
    did. Then two long answers are begun and one of them is left. What it held must be free within 5 s: the
    gauge `[stream] open` falls back, and the service closes its end of the connection, where its processes
    run on this host. The answer that is kept is the control: if it ends before, leaving showed nothing, and
    the finding says so. An event loop closes a connection by itself, so only the gauge sees the work behind.

How to fix it
    1. Build each event with a JSON encoder, on one `data:` line, and let a framework write the frames; decode
       text from the model with an incremental decoder.
    2. Send cached answers through the same code as new ones, the last event included.
    3. Pass the caller's disconnect on: cancel the model call in a `finally`, and start no task that outlives
       the request.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Request,
    Target,
    curl_line,
    show,
)
from checks.endpoint_health._leaving import Leaving, leave_one
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._question import new_question
from checks.endpoint_health._streams import Heard, heard, misframed, unended, unlike

CHECK = Check(
    failure_title="Streams break, or go on without their reader",
    kind=Kind.ACTIVE,
    does="Streams one question twice, then begins two long answers and leaves one of them.",
    measures="until a stream that was left is free",
    needs=("sse", "processes", "target.stream"),
    deadline_s=200,
    typical_s=2,
)
TIMEOUT_S = 15.0
KEPT_WITHIN_S = 0.3  # a cache may be written after the last event
QUOTED = "Grüße aus 東京 🙂"
IN_LINES = f'Put one point a line, and begin with the words "{QUOTED}".'
AT_LENGTH = "Please answer at great length, in three thousand words."


@dataclass(frozen=True)
class Thresholds:
    """The catalogue's limits for what a client that leaves frees."""

    pass_freed_s: float = 5.0
    warn_freed_s: float = 30.0


@dataclass(frozen=True)
class Evidence:
    """The question's first stream and its repeat (None where the first was none), and the stream left.

    ``plain``: the question with quotation and lines was refused, and an ordinary one asked instead.
    """

    path: str
    plain: bool
    first: Heard
    again: Heard | None
    leaving: Leaving | None
    reproduce: str
    leave: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Stream twice, then leave; once the outcome is certain, nothing more is asked."""
    stream = target.stream
    if stream is None:
        raise InstrumentFailure("No streaming request is declared.", missing="stream")

    request = functools.partial(new_question, stream)

    async def listen(prompt: str) -> Heard:
        read = functools.partial(instruments.sse.read, request(prompt), timeout_s=TIMEOUT_S)
        return heard(stream, await patiently(read))

    question, *long = instruments.prompts.fresh(3)
    prompt = f"{question} {IN_LINES}"
    first = await listen(prompt)
    plain = 400 <= (first.status or 0) < 500 and first.status != 429
    if plain:
        prompt = question
        first = await listen(prompt)
    again, leaving = None, None
    if _streamed(first) and not first.problem:
        await asyncio.sleep(KEPT_WITHIN_S)
        again = await listen(prompt)
    if again is not None and next(_wrong(stream.path, first, again), None) is None:
        leaving = await leave_one(target, instruments, [request(f"{each} {AT_LENGTH}") for each in long])
    line = f"for i in 1 2; do {curl_line(target, request(prompt), options='-iN')}; done"
    leave = f"{curl_line(target, request(f'{long[0]} {AT_LENGTH}'), options='-N -m 2')}; sleep 5"
    if stream.open is not None:
        leave += f"\n{curl_line(target, Request('GET', stream.open.url, stream.open.headers))}"
    return Evidence(stream.path, plain, first, again, leaving, line, leave)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Frames first, then the end, then the repeat, then what leaving frees."""
    first, again = evidence.first, evidence.again
    if not _streamed(first):
        if first.status == 429:
            return Finding.not_assessed(f"{evidence.path} was rate limited (429).")
        return Finding.not_assessed(
            f"{evidence.path} gives no stream: {first.problem or f'status {first.status}'}.",
            follows_from="endpoint_health.stream_first_token",
        )
    wrong = next(_wrong(evidence.path, first, again), None)
    if wrong:
        return Finding.failed(wrong, fix=FRAMES, reproduce=evidence.reproduce)
    if again is not None and again.status == 429:
        return Finding.not_assessed(f"{evidence.path} was rate limited (429) when the question was repeated.")
    return _judge_leaving(evidence, thresholds)


FRAMES = (
    "Build each event with a JSON encoder on one `data:` line, send new and cached answers through the same "
    "code, and end each with the declared event."
)
GO_WITH_THEM = (
    "Cancel the model call when the caller disconnects, in a `finally`, and start no task that outlives it."
)


def _wrong(path: str, first: Heard, again: Heard | None) -> Iterator[str]:
    """What is wrong with either stream, the first thing first."""
    for stream in filter(None, (first, again)):
        if stream.status == 429:
            return
        which = f"{path}, repeated, " if stream is again else f"{path} "
        which = f"A cached stream of {path} " if stream is again and stream.cached else which
        if not _streamed(stream):
            yield f"{which}gives no stream: {stream.problem or f'status {stream.status}'}."
        for found in (misframed(stream), unlike(first, stream) if stream is again else "", unended(stream)):
            if found:
                yield f"{which}{found}."


def _judge_leaving(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The slower of what could be seen; a stream that nothing shows is said to be unseen."""
    leaving = evidence.leaving or Leaving(problem="it was not tried")
    said = f"{evidence.path} is well framed and ends{_heard_of(evidence)}"
    seen = [leaving.freed_s] if leaving.gauge_moved else []
    seen += [leaving.closed_s] if leaving.held else []
    limit = Limit.at_most(thresholds.pass_freed_s, thresholds.warn_freed_s)
    if not seen:
        return Finding.passed(
            f"{said}. What a client that leaves frees was not measured: {_unseen(leaving)}.",
            reproduce=evidence.reproduce,
        )
    times_s = [seconds for seconds in seen if seconds is not None]
    if len(times_s) < len(seen):
        what = "its end of the connection is held" if leaving.freed_s is not None else "the stream is open"
        return Finding.failed(
            f"{show(thresholds.warn_freed_s, 's')} after a client left, {what} still.",
            limit=limit, fix=GO_WITH_THEM, reproduce=evidence.leave,
        )  # fmt: skip
    value_s = max(times_s)
    frees = (
        f"a client that leaves frees its stream after {show(value_s, 's')}, limit {show(limit.pass_at, 's')}"
    )
    passed = limit.pass_at >= value_s
    reason = f"{said}; {frees}{_doubt(leaving)}." if passed else f"{frees[0].upper()}{frees[1:]}."
    line = evidence.reproduce if passed else evidence.leave
    return Finding.by_limit(value_s, "s", limit, reason, fix=GO_WITH_THEM, reproduce=line)


def _heard_of(evidence: Evidence) -> str:
    """What the streams showed, and what they did not."""
    lacking = [
        word
        for word, shown in (
            ("a line break", evidence.first.line_breaks),
            ("text that is not ASCII", evidence.first.not_ascii),
        )
        if not shown
    ]
    repeated = "cached or not" if evidence.again and evidence.again.cached else "as its repeat does"
    return f", {repeated}" + (f" (no answer held {' or '.join(lacking)})" if lacking else "")


def _unseen(leaving: Leaving) -> str:
    if leaving.problem:
        return leaving.problem
    if leaving.gauge is not None:
        before, during = leaving.gauge
        return f"the gauge `[stream] open` said {before:g} before, and {during:g} with two more streams open"
    return leaving.no_gauge.rstrip(".")


def _doubt(leaving: Leaving) -> str:
    if not leaving.outlived:
        return ", but its answers end as soon by themselves, so leaving showed nothing"
    if not leaving.gauge_moved:
        return f" (by its connection; whether the work behind it ends is not seen: {_unseen(leaving)})"
    return ""


def _streamed(stream: Heard) -> bool:
    return 200 <= (stream.status or 0) < 300
