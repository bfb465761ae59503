"""Streams begin soon, and tokens come as they are made.

Why it matters
    People read along: what they feel is the time to the first token, not to the last. A proxy or framework
    that collects the stream and sends it all at once turns a fast answer into a slow one without an error.

How it is measured
    Ten streams (in the quick profile) are read with questions that were never asked before, so that no cache
    helps. The median of the times to the first token that is not empty is scored on a log-normal curve, as
    Lighthouse scores loading times: all points up to 0.8 s, about half at 2 s. The first token must also come
    before 30 % of the stream's time are over, in the median; later means that tokens were held back. So does
    a first token sent ahead, where after a pause of half the stream's time the others come all at once.

How to fix it
    1. Yield each token as it comes; no `await` for the whole answer, no joining.
    2. Turn off buffering and compression of the route in every proxy (`X-Accel-Buffering: no`).
    3. Do what takes long (retrieval, moderation) beside the model call, not before it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import median
from time import monotonic

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Outcome,
    StreamReply,
    Target,
    curve_limit,
    curve_share,
    document_in,
    objective,
    plural,
    show,
)
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._question import new_question

CHECK = Check(
    failure_title="Streams are slow to begin, or come all at once",
    kind=Kind.ACTIVE,
    does="Reads ten streams with never-seen questions, one after the other.",
    measures="to the first token (median)",
    needs=("sse", "questions", "target.stream"),
    deadline_s=160,
    typical_s=9,
)
ENOUGH = 5  # streams of a slow service
PATIENCE_S = 12.0
TIMEOUT_S = 20.0
GIVE_UP = 3
ALL_AT_ONCE_RATIO = 0.9
FEW_TOKENS = 5  # with fewer, "all at once" says nothing


@dataclass(frozen=True)
class Thresholds:
    """Control points of the curve (catalogue; the target's objectives win), and what counts as held back.

    ``at_once_ratio`` and ``at_once_ms`` are within what time tokens come all at once, whichever is longer: a
    fiftieth of the stream, or a blink of 20 ms in a short one.
    """

    p10_ms: float = objective(800.0, "first_token_p10_ms")
    median_ms: float = objective(2000.0, "first_token_median_ms")
    max_first_token_ratio: float = 0.3
    max_pause_ratio: float = 0.5
    at_once_ratio: float = 0.02
    at_once_ms: float = 20.0


@dataclass(frozen=True)
class Stream:
    """One stream: times of tokens and ``end_ms`` from the start of the request; None without such a token."""

    status: int | None
    first_token_ms: float | None
    second_token_ms: float | None
    last_token_ms: float | None
    tokens: int
    end_ms: float
    events: int
    cached: bool | None
    problem: str


@dataclass(frozen=True)
class Evidence:
    """The streams in order."""

    path: str
    token_key: str
    streams: tuple[Stream, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read streams until there are enough, or the outcome is certain, or patience is over."""
    if target.stream is None:
        raise InstrumentFailure("No streaming request is declared.", missing="stream")
    streams: list[Stream] = []
    started = monotonic()
    patience_s = PATIENCE_S * instruments.profile.deadline_factor
    for prompt in instruments.prompts.fresh(max(ENOUGH, instruments.profile.samples // 2)):
        request = new_question(target.stream, prompt)
        read = functools.partial(instruments.sse.read, request, timeout_s=TIMEOUT_S)
        streams.append(_stream(target, await patiently(read)))
        failed = sum(stream.first_token_ms is None for stream in streams)
        if failed == GIVE_UP or (len(streams) >= ENOUGH and monotonic() - started > patience_s):
            break
    line = instruments.questions.curl(instruments.prompts.fresh(1)[0], route="stream")
    return Evidence(
        path=target.stream.path,
        token_key=target.stream.token or "",
        streams=tuple(streams),
        reproduce=line.replace("curl -sS", "time curl -sSN", 1),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """No token fails, all at once fails; else the curve decides."""
    measured = [stream for stream in evidence.streams if stream.status != 429 and not stream.cached]
    if not measured:
        return Finding.not_assessed(_nothing_measured(evidence))
    good = [stream for stream in measured if stream.first_token_ms is not None]
    if 2 * len(good) < len(measured):
        return Finding.failed(_no_token(evidence, measured), fix=REPAIR, reproduce=evidence.reproduce)
    times_ms = sorted(stream.first_token_ms or 0.0 for stream in good)
    value_ms, limit = median(times_ms), curve_limit(p10=thresholds.p10_ms, median=_median_ms(thresholds))
    finding = Finding.by_limit(
        value_ms,
        "ms",
        limit,
        f"The first token comes after {show(value_ms, 'ms')} (median of {plural(len(good), 'stream')}), "
        f"limit {show(limit.pass_at, 'ms')}.",
        interval=_median_interval(times_ms),
        fix="Begin the model call sooner and pass its first token on at once.",
        reproduce=evidence.reproduce,
    )
    held_back = _held_back(good, thresholds)
    if held_back:
        fix = f"{REPAIR} Do what takes long beside the model call, not before it."
        return finding.but(outcome=Outcome.FAIL, share=0.0, reason=held_back, fix=fix)
    if finding.outcome is Outcome.WARN:
        finding = finding.but(share=curve_share(value_ms, p10=limit.pass_at, median=_median_ms(thresholds)))
    failed = len(measured) - len(good)
    if failed and finding.outcome is not Outcome.FAIL:
        reason = f"{failed} of {plural(len(measured), 'stream')} brought no token. {finding.reason}"
        return finding.but(outcome=Outcome.WARN, reason=reason, share=min(0.5, finding.share), fix=REPAIR)
    return finding


REPAIR = "Yield each token as it comes, and turn buffering and compression of this route off in every proxy."


def _held_back(good: list[Stream], thresholds: Thresholds) -> str:
    ratio = median((stream.first_token_ms or 0.0) / stream.end_ms for stream in good)
    if ratio <= thresholds.max_first_token_ratio:
        alone = sum(_comes_alone(stream, thresholds) for stream in good)
        return "" if 2 * alone <= len(good) else _alone(alone, len(good))
    how = "The answer comes all at once" if ratio > ALL_AT_ONCE_RATIO else "The answer hardly streams"
    return (
        f"{how}: the first token comes when {show(ratio, 'ratio')} of the stream's time are over "
        f"(median of {len(good)}), limit {show(thresholds.max_first_token_ratio, 'ratio')}."
    )


def _comes_alone(stream: Stream, thresholds: Thresholds) -> bool:
    """Whether the first token was sent ahead, and all others together after a long pause."""
    if stream.tokens < FEW_TOKENS:
        return False
    first_ms, second_ms = stream.first_token_ms or 0.0, stream.second_token_ms or 0.0
    pause_ratio = (second_ms - first_ms) / stream.end_ms
    rest_ms = (stream.last_token_ms or 0.0) - second_ms
    at_once_ms = max(thresholds.at_once_ratio * stream.end_ms, thresholds.at_once_ms)
    return pause_ratio > thresholds.max_pause_ratio and rest_ms <= at_once_ms


def _alone(streams: int, of: int) -> str:
    return (
        f"The first token comes alone and the others all at once, in {streams} of {plural(of, 'stream')}: "
        "it only looks like a stream."
    )


def _no_token(evidence: Evidence, measured: list[Stream]) -> str:
    first = next(stream for stream in measured if stream.first_token_ms is None)
    if first.status is not None and not 200 <= first.status < 300:
        return f"{evidence.path} answers {first.status}."
    if not first.problem and first.events:
        place = f"`{evidence.token_key}`" if evidence.token_key else "its data"
        return f"No event of {evidence.path} holds a token: {first.events} events, none with text at {place}."
    return f"{evidence.path} brings no token: {first.problem or 'its stream holds no event'}."


def _nothing_measured(evidence: Evidence) -> str:
    if any(stream.status == 429 for stream in evidence.streams):
        return f"{evidence.path} was rate limited (429), one stream after the other."
    return f"{evidence.path} says that it answered from the cache, though each question was new."


def _median_ms(thresholds: Thresholds) -> float:
    """The curve's median: as declared, or as far above ``p10_ms`` as by default where only that is looser."""
    return max(thresholds.median_ms, thresholds.p10_ms * 2.5)


def _median_interval(ordered: list[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median from order statistics (binomial); None for too few values."""
    count, below = len(ordered), 0.0
    for rank in range(count // 2):
        below += math.comb(count, rank) / 2**count
        if below > 0.025:
            return (ordered[rank - 1], ordered[count - rank]) if rank else None
    return None


def _stream(target: Target, reply: StreamReply) -> Stream:
    stream = target.stream
    assert stream is not None  # noqa: S101 - gather looked
    good = 200 <= (reply.status or 0) < 300
    speaking = [event for event in reply.events if stream.text(event.name, event.data).strip()]
    times_ms = [event.at_ms for event in speaking] if good else []
    last = reply.events[-1].data if reply.events else ""
    return Stream(
        reply.status,
        times_ms[0] if times_ms else None,
        times_ms[1] if len(times_ms) > 1 else None,
        times_ms[-1] if times_ms else None,
        len(times_ms),
        max(reply.end_ms, 0.001),
        len(reply.events),
        stream.cached.shown(reply.headers, document_in(last)) if stream.cached and good else None,
        reply.failure.detail[:200] if reply.failure else "",
    )
