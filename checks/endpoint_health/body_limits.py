"""A body that is too long is refused early, and leaves nothing behind.

Why it matters
    Whoever can make a service hold what they send can fill its memory from one laptop. A limit that looks at
    the announced length alone does not see a body in chunks, and half a body that is waited for without end
    takes a connection away from somebody who asks.

How it is measured
    The declared question is sent with white space before it (or a field more, in a form), longer than
    `[objectives] body_bytes` or, where that is not declared, than 4 MB: once with its length announced and
    once in chunks. Just past the limit the sending stops for a while, so that a refusal that needs the whole
    body is told from one that does not; as soon as a reply comes nothing more is sent. What is read to its
    end is sent some more times, and the service's memory is read around them: once may warm it up, more may
    not cost more. Meanwhile half a body waits on another connection for a reply or an end. A quick run
    watches it for six seconds, the longer ones for a minute; many servers wait for ever and leave this to
    the proxy before them, so that alone is a warning.

How to fix it
    1. Limit the body at the proxy (`client_max_body_size`) and in the service.
    2. Count the bytes as they come, whatever was announced, and answer 413 at once with `Connection: close`.
    3. Give a request's body a time (`client_body_timeout`, `RequestReadTimeout`), and answer 408.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from checks.contract import (
    BodyPlan,
    BodyReply,
    Check,
    FailureKind,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Request,
    Target,
    show,
)
from checks.endpoint_health._long_bodies import Way, half_line, lengthened, long_curl
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._question import new_question

CHECK = Check(
    failure_title="Bodies of any length are taken",
    kind=Kind.ACTIVE,
    does="Sends the question in bodies of a few megabytes, whole and in chunks, and half of one.",
    measures="of refused bodies stayed in memory",
    needs=("bodies", "memory?", "target.ask|stream"),
    deadline_s=180,
    typical_s=6,
    hostile=True,
)
DEFAULT_LIMIT_BYTES = 4_000_000  # far above any question, and above the usual 1 MB of a proxy
BEYOND_BYTES = 65_536  # past the limit, where the sending pauses
REST_BYTES = 4_000_000  # what is sent after the pause to who does not refuse: enough to show in memory
PAUSE_S = 1.5
AGAIN = 3  # times that a body is sent which was read to its end
TIMEOUT_S = 10.0
SETTLE_S = 0.5
READINGS = 3
WATCH_S = {"quick": 6.0, "standard": 61.0, "deep": 61.0}
WORDS: dict[Way, str] = {"announced": "of announced length", "chunked": "in chunks"}
TOLD = (413, 422)
TOLD_OF_CHUNKS = (*TOLD, 400, 411, 501)  # who takes no chunks at all refuses them so
UNRELATED = (401, 403, 404, 405, 415)  # refused for something else, before its length mattered


@dataclass(frozen=True)
class Thresholds:
    """``half_sent_s`` is the catalogue's. Memory: of what was sent again, at most half may stay.

    A leak keeps all of it, and what stays of a body that was let go is noise of the allocator, below 4 MB.
    """

    half_sent_s: float = 60
    max_kept_ratio: float = 0.5
    min_kept_bytes: float = 4e6


@dataclass(frozen=True)
class Sent:
    """What a body above the limit got. ``whole``: the reply came after its last byte."""

    way: Way
    status: int | None
    failure: str
    sent_bytes: int
    whole: bool
    elapsed_ms: float
    reproduce: str


@dataclass(frozen=True)
class Half:
    """What half a body got within ``watched_s``; ``ended_s`` is None if no reply and no end came."""

    status: int | None
    ended_s: float | None
    watched_s: float
    reproduce: str


@dataclass(frozen=True)
class Evidence:
    """``again_bytes`` were sent in repetition, and ``kept_bytes`` is the memory that grew over them.

    ``kept_bytes`` is None where nothing had to be sent again, or where memory cannot be read, as ``unread``
    then says.
    """

    path: str
    limit_bytes: int
    declared: bool
    sent: tuple[Sent, ...]
    half: Half | None
    again_bytes: int
    kept_bytes: float | None
    unread: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Half a body waits beside everything else; what was read whole is sent again with an eye on memory."""
    declared = target.objectives.body_bytes
    limit_bytes = declared or DEFAULT_LIMIT_BYTES
    if not _question(target, instruments).body:
        return Evidence(_path(target), limit_bytes, declared is not None, (), None, 0, None, "")
    watch = asyncio.create_task(_half(target, instruments))
    try:
        ways: tuple[Way, ...] = ("announced", "chunked")
        sent = [await _sent(target, instruments, way, limit_bytes) for way in ways]
        read = [each.way for each in sent if each.whole and 400 <= (each.status or 0) < 500]
        again_bytes, kept_bytes, unread = await _again(target, instruments, read, limit_bytes)
        half = await watch
    finally:
        watch.cancel()
    return Evidence(
        path=_path(target),
        limit_bytes=limit_bytes,
        declared=declared is not None,
        sent=tuple(sent),
        half=half,
        again_bytes=again_bytes,
        kept_bytes=kept_bytes,
        unread=unread,
    )


def _path(target: Target) -> str:
    call = target.ask or target.stream
    return call.path[:200] if call else ""


def _question(target: Target, instruments: Instruments) -> Request:
    call = target.ask or target.stream
    return new_question(call, instruments.prompts.fresh(1)[0]) if call else Request()


async def _sent(target: Target, instruments: Instruments, way: Way, limit_bytes: int) -> Sent:
    at = limit_bytes + BEYOND_BYTES
    pauses = ((0, PAUSE_S / 3), (at, PAUSE_S)) if way == "announced" else ((at, PAUSE_S),)

    async def once() -> BodyReply:
        request, plan = lengthened(_question(target, instruments), way, at + REST_BYTES, pauses)
        return await instruments.bodies.send(request, plan, timeout_s=TIMEOUT_S)

    reply = await patiently(once)
    if reply.failure is not None and reply.failure.kind is FailureKind.RESET:
        reply = await patiently(once)  # a refusal can be lost to the reset behind it; not twice in a row
    return Sent(
        way=way,
        status=reply.status,
        failure=reply.failure.kind if reply.failure else "",
        sent_bytes=reply.sent_bytes,
        whole=reply.whole,
        elapsed_ms=round(reply.elapsed_ms, 1),
        reproduce=long_curl(target, _question(target, instruments), way, at + REST_BYTES),
    )


async def _again(
    target: Target, instruments: Instruments, ways: list[Way], limit_bytes: int
) -> tuple[int, float | None, str]:
    """Bytes sent, memory that grew over them, and why it could not be read."""
    if not ways:
        return 0, None, ""
    try:
        before = await _resident_bytes(instruments)
        sent_bytes = 0
        for way in ways * AGAIN:
            request, plan = lengthened(
                _question(target, instruments), way, limit_bytes + BEYOND_BYTES + REST_BYTES
            )
            reply = await instruments.bodies.send(request, plan, timeout_s=TIMEOUT_S)
            sent_bytes += reply.sent_bytes
            if reply.failure is not None:
                break
        return sent_bytes, await _resident_bytes(instruments) - before, ""
    except InstrumentFailure as failure:  # optional: what replies say is judged without it
        return 0, None, failure.reason


async def _resident_bytes(instruments: Instruments) -> float:
    """The least of some readings, once what is let go has been given back."""
    least = float("inf")
    for _ in range(READINGS):
        await asyncio.sleep(SETTLE_S / READINGS)
        least = min(least, (await instruments.memory.read()).resident_bytes)
    return least


async def _half(target: Target, instruments: Instruments) -> Half:
    request = _question(target, instruments)
    watched_s = WATCH_S[instruments.profile.name]
    plan = BodyPlan(stop_after=len(request.body) // 2)
    reply = await instruments.bodies.send(request, plan, timeout_s=watched_s)
    open_yet = reply.failure is not None and reply.failure.kind is FailureKind.TIMEOUT
    ended_s = None if open_yet else round(reply.elapsed_ms / 1000, 2)
    return Half(reply.status, ended_s, watched_s, half_line(target, request, watched_s))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """What was taken, broken or kept fails; what was refused late, or waited for without end, warns."""
    if unsaid := _proves_nothing(evidence):
        return unsaid
    wrong = [(text, each.reproduce) for each in evidence.sent if (text := _wrong(each))]
    wrong += _kept(evidence, thresholds)
    if wrong:
        return _with_memory(
            Finding.failed(
                f"{evidence.path}: {' '.join(text for text, _ in wrong)}",
                fix="Count the bytes of a body as they come, whatever was announced; answer 413 at the "
                "limit, in the service and at its proxy, and keep nothing of it.",
                reproduce="\n".join(line for _, line in wrong[:2]),
            ),
            evidence,
        )
    doubts = [(text, each.reproduce) for each in evidence.sent if (text := _late(each))]
    doubts += _waiting(evidence, thresholds)
    if doubts:
        return _with_memory(
            Finding.warned(
                f"{evidence.path}: {' '.join(text for text, _ in doubts)}",
                fix="Refuse before the whole body has come, and end half a body with 408 after a while: "
                "`client_max_body_size` and `client_body_timeout` at a proxy do both.",
                reproduce="\n".join(line for _, line in doubts[:2]),
            ),
            evidence,
        )
    told = " and ".join(f"{WORDS[each.way]} with {each.status}" for each in evidence.sent)
    half = evidence.half
    return _with_memory(
        Finding.passed(
            f"{evidence.path} refused bodies above {_limit(evidence)} early, {told}; half a body was "
            f"ended after {show(half.ended_s if half and half.ended_s else 0, 's')}.",
            reproduce=evidence.sent[0].reproduce,
        ),
        evidence,
    )


def _proves_nothing(evidence: Evidence) -> Finding | None:
    if not evidence.sent:
        return Finding.not_assessed(
            "The declared question has no body, so there is none to make too long.", missing="ask"
        )
    first = evidence.sent[0]
    if any(each.status == 429 for each in evidence.sent):
        return Finding.not_assessed("Rate limited (429), whatever the body's length.")
    if first.status in UNRELATED or 300 <= (first.status or 0) < 400:
        return Finding.not_assessed(
            f"{evidence.path} answered {first.status} before the body's length mattered.",
            follows_from="endpoint_health.primary_route",
        )
    if first.failure in (FailureKind.REFUSED, FailureKind.DNS, FailureKind.TLS):
        return Finding.not_assessed(
            f"{evidence.path} cannot be reached ({first.failure}).",
            follows_from="endpoint_health.primary_route",
        )
    return None


def _wrong(sent: Sent) -> str:
    size, way = show(sent.sent_bytes, "bytes"), WORDS[sent.way]
    if sent.failure == FailureKind.TIMEOUT:
        return f"{size} {way} got no reply in {show(TIMEOUT_S, 's')}."
    if sent.failure:
        ended = "a closed connection and no status" if sent.failure == FailureKind.RESET else sent.failure
        return f"{size} {way} got {ended}."
    status = sent.status or 0
    if status < 300:
        return f"{size} {way} were answered with {status}, as if they were few."
    if status >= 500 and not (sent.way == "chunked" and status == 501):
        return f"{size} {way} were answered with {status}."
    return ""


def _kept(evidence: Evidence, thresholds: Thresholds) -> list[tuple[str, str]]:
    if evidence.kept_bytes is None:
        return []
    allowed = max(thresholds.max_kept_ratio * evidence.again_bytes, thresholds.min_kept_bytes)
    if evidence.kept_bytes <= allowed:
        return []
    text = (
        f"{show(evidence.kept_bytes, 'bytes')} of {show(evidence.again_bytes, 'bytes')} in refused bodies "
        f"stayed in memory, limit {show(allowed, 'bytes')}."
    )
    return [(text, next(each.reproduce for each in evidence.sent if each.whole))]


def _late(sent: Sent) -> str:
    way = WORDS[sent.way]
    if sent.whole:
        return f"A body {way} was refused ({sent.status}) after its last byte only."
    if sent.status not in (TOLD_OF_CHUNKS if sent.way == "chunked" else TOLD):
        return f"A body {way} was refused with {sent.status}, which says nothing of its length; 413 does."
    return ""


def _waiting(evidence: Evidence, thresholds: Thresholds) -> list[tuple[str, str]]:
    half = evidence.half
    if half is None or (half.ended_s is not None and half.ended_s <= thresholds.half_sent_s):
        return []
    text = f"Half a body was still waited for after {show(half.ended_s or half.watched_s, 's')}"
    if half.watched_s < thresholds.half_sent_s:
        return [(f"{text}, which is as long as a quick run looks.", half.reproduce)]
    return [(f"{text}, limit {show(thresholds.half_sent_s, 's')}.", half.reproduce)]


def _with_memory(finding: Finding, evidence: Evidence) -> Finding:
    """With what stayed in memory, or that it could not be read where it mattered."""
    if evidence.kept_bytes is not None:
        return finding.but(value=max(0.0, evidence.kept_bytes), unit="bytes")
    if evidence.unread:
        return finding.but(reason=f"{finding.reason} What stays in memory is not known: {evidence.unread}")
    return finding


def _limit(evidence: Evidence) -> str:
    return f"{'' if evidence.declared else 'the usual '}{show(evidence.limit_bytes, 'bytes')}"
