"""Who sends too much is told to slow down, and nobody else is.

Why it matters
    Without a limit one script, or one loop in a client, takes the whole service and its paid upstream with
    it. A limit by address alone turns on the innocent: a school or an office shares one.

How it is measured
    Eight requests at a time are sent as one user until the first 429, to `[objectives] rate_limit.path` or
    else as one question asked again and again, at most 2,000 in 10 s. What is declared allows the burst, and
    the rate for as long as it took. There is no limit where more than twice as much was sent and none
    refused; it does not hold where more than twice as much was served. Once refused, the user goes on for a
    second. Meanwhile another user must be served, and no address made up in X-Forwarded-For may get by.
    Each 429 must have a Retry-After, and after that time the user must be served again. The busy user is
    `[auth] other` or one made up for this, so that later checks, which ask as others, are not refused.

How to fix it
    1. Count by user (credential or account), and by address only where there is none; a token bucket does.
    2. Answer 429 with Retry-After (RFC 6585, RFC 9110 10.2.3) before any costly work is done.
    3. Keep the counts where all processes see them, and believe X-Forwarded-For of your own proxy alone.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Literal

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Target,
    curl_line,
    plural,
    show,
)
from checks.endpoint_health._burst import TIMEOUT_S, Overrun, callers
from checks.endpoint_health._pacing import patiently

CHECK = Check(
    failure_title="The declared rate limit does not hold",
    kind=Kind.LOAD,
    does="Sends more requests than the declared limit allows, at most 2,000 in 10 s, as one user.",
    measures="of what the declared limit allows was served",
    needs=("http", "target.objectives.rate_limit"),
    deadline_s=150,
    typical_s=4,
    hostile=True,  # where users share one limit, those of other checks would be refused
)
LONGEST_WAIT_S = 65.0  # limits are per second or per minute
TRIES = 3
RETRY_S = 0.5


@dataclass(frozen=True)
class Thresholds:
    """Two: windows that begin anew let their whole content by on both sides of a turn.

    A header lifts the limit where so many of its requests were served while so many of the others were not.
    """

    max_ratio: float = 2.0
    min_lifted_ratio: float = 0.8
    min_refused_ratio: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """What the busy user sent in ``elapsed_s``, by status, and what others got while it was refused.

    ``first`` is the status of one request before; ``held_refused_ratio`` the refused share meanwhile;
    ``retry_after`` the distinct values, "" for none; ``back`` the status ``waited_s`` later.
    """

    per_s: float
    burst: int
    per: Literal["user", "address"]
    route: str
    first: int | None
    sent: int = 0
    served: int = 0
    statuses: dict[str, int] | None = None
    elapsed_s: float = 0.0
    held_refused_ratio: float = 0.0
    others: tuple[int | None, ...] = ()
    lifting: tuple[int | None, ...] = ()
    retry_after: tuple[str, ...] = ()
    waited_s: float = 0.0
    back: int | None = None
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """One request, the burst, and a wait until its user is served again."""
    limit = target.objectives.rate_limit
    if limit is None:
        raise InstrumentFailure("No rate limit is declared.", missing="objectives.rate_limit")
    word = f"{instruments.random.getrandbits(32):08x}"
    who = callers(target, limit, word)
    request = who.busy({})
    route = f"{request.method} {request.url}"
    first = await patiently(functools.partial(instruments.http.send, request, timeout_s=TIMEOUT_S))
    if not first.succeeded:
        status = None if first.failure else first.status
        return Evidence(limit.per_s, limit.burst, limit.per, route, status)
    burst = Overrun(instruments, limit, who, word)
    await burst.run()
    waited_s, back = await _back(instruments, burst) if burst.statuses["429"] else (0.0, None)
    line = curl_line(target, request, options="-o /dev/null -w '%{http_code}\\n'")
    return Evidence(
        per_s=limit.per_s,
        burst=limit.burst,
        per=limit.per,
        route=route,
        first=first.status,
        sent=burst.sent,
        served=burst.served,
        statuses=dict(burst.statuses),
        elapsed_s=burst.elapsed_s,
        held_refused_ratio=burst.held[429] / max(1, sum(burst.held.values())),
        others=tuple(burst.others),
        lifting=tuple(burst.lifting),
        retry_after=tuple(sorted(set(burst.retry_after)))[:5],
        waited_s=waited_s,
        back=back,
        reproduce=f"for i in $(seq {burst.sent}); do {line}; done | sort | uniq -c",
    )


async def _back(instruments: Instruments, burst: Overrun) -> tuple[float, int | None]:
    """How long was waited as Retry-After says, and the status then; returns when no 429 comes any more."""
    told_s = [seconds for text in burst.retry_after if (seconds := seconds_of(text)) is not None]
    waited_s = min(max(told_s, default=1.0), LONGEST_WAIT_S)
    instruments.say(f"waits {show(waited_s, 's')} until its user may send again")
    await asyncio.sleep(waited_s)
    status: int | None = 429
    for _ in range(TRIES):
        status = (await instruments.http.send(burst.callers.busy({}), timeout_s=TIMEOUT_S)).status
        if status != 429:
            return waited_s, status
        await asyncio.sleep(RETRY_S)
    until, last = monotonic() + LONGEST_WAIT_S - waited_s, status
    while last == 429 and monotonic() < until:  # no later check is to be refused for this one
        await asyncio.sleep(1)
        last = (await instruments.http.send(burst.callers.busy({}), timeout_s=TIMEOUT_S)).status
    return waited_s, status


def seconds_of(text: str) -> float | None:
    """What a Retry-After says, in s; None for what is neither a number nor a date (RFC 9110, 10.2.3)."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Whether there is a limit, whether it holds, and then how it treats the one and the others."""
    if evidence.first is None or not 200 <= evidence.first < 300:
        return _no_answer(evidence)
    allowed = evidence.burst + evidence.per_s * evidence.elapsed_s
    refused = (evidence.statuses or {}).get("429", 0)
    if not refused and evidence.sent <= thresholds.max_ratio * allowed:
        return _too_slow(evidence, allowed)
    wrong = _wrong(evidence, thresholds, allowed, refused)
    ratio = evidence.served / allowed
    limit = Limit.at_most(thresholds.max_ratio, thresholds.max_ratio)
    if wrong:
        return Finding.failed(
            wrong,
            value=ratio,
            unit="x",
            limit=limit,
            fix="Count each user's requests where all processes see it, and answer 429 with Retry-After.",
            reproduce=evidence.reproduce,
        )
    said = (
        f"{evidence.route} served {evidence.served:,} of {plural(evidence.sent, 'request')} in "
        f"{show(evidence.elapsed_s, 's')} and refused {refused:,} with 429; "
        f"{show(allowed, 'count')} are allowed"
    )
    others = "; another user was served meanwhile" if evidence.others else "; the limit is one by address"
    passed = Finding.passed(
        f"{said}{others}.", value=ratio, unit="x", limit=limit, reproduce=evidence.reproduce
    )
    unkind, fix = _unkind(evidence)
    if unkind:
        return passed.but(outcome=Outcome.WARN, share=0.5, reason=f"{said}, but {unkind}.", fix=fix)
    return passed


def _no_answer(evidence: Evidence) -> Finding:
    if evidence.first == 429:
        return Finding.not_assessed(f"{evidence.route} is rate limited (429) before any burst.")
    got = "no reply" if evidence.first is None else f"status {evidence.first}"
    return Finding.not_assessed(
        f"{evidence.route} gets {got} before any burst, so its limit cannot be seen. "
        "Name a cheap route that answers in `[objectives] rate_limit.path`.",
        missing="objectives.rate_limit.path",
    )


def _too_slow(evidence: Evidence, allowed: float) -> Finding:
    statuses = ", ".join(f"{number} x {status}" for status, number in (evidence.statuses or {}).items())
    return Finding.not_assessed(
        f"Only {plural(evidence.sent, 'request')} came back in {show(evidence.elapsed_s, 's')} ({statuses}), "
        f"and {show(allowed, 'count')} are allowed: too few to see the limit. Name a cheaper route in "
        "`[objectives] rate_limit.path`.",
        missing="objectives.rate_limit.path",
    )


def _wrong(evidence: Evidence, thresholds: Thresholds, allowed: float, refused: int) -> str:
    """Why the limit is none, "" where it holds."""
    declared = f"{evidence.burst:,} at once and {show(evidence.per_s, 'per_s')}"
    if not refused:
        others = {name: number for name, number in (evidence.statuses or {}).items() if name[:1] != "2"}
        instead = "".join(f"; {number:,} got {name}" for name, number in others.items())
        return (
            f"{plural(evidence.sent, 'request')} of one user in {show(evidence.elapsed_s, 's')} got no 429"
            f"{instead}; {declared} are declared for {evidence.route}."
        )
    if evidence.served > thresholds.max_ratio * allowed:
        return (
            f"{evidence.route} served one user {evidence.served:,} requests in "
            f"{show(evidence.elapsed_s, 's')}, before and between {refused:,} refusals; "
            f"{declared} allow {show(allowed, 'count')}."
        )
    lifted = sum(status != 429 for status in evidence.lifting)
    if (
        evidence.lifting
        and lifted >= thresholds.min_lifted_ratio * len(evidence.lifting)
        and evidence.held_refused_ratio >= thresholds.min_refused_ratio
        and 429 not in evidence.others  # a limit by address may believe a proxy, which we are on its host
    ):
        return (
            f"A made-up X-Forwarded-For lifts the limit of {evidence.route}: {lifted} of "
            f"{len(evidence.lifting)} such requests were served while "
            f"{show(evidence.held_refused_ratio, 'ratio')} of the others were refused."
        )
    return ""


def _unkind(evidence: Evidence) -> tuple[str, str]:
    """What is wrong with how it refuses, and its remedy; "" where nothing is."""
    starved = sum(status == 429 for status in evidence.others)
    if starved:
        return (
            f"another user was refused too, {starved} of {len(evidence.others)} times",
            "Count by user, not only by address: one busy user must not shut out those beside it.",
        )
    unreadable = [text for text in evidence.retry_after if seconds_of(text) is None]
    if unreadable:
        shown = f"a Retry-After of {unreadable[-1]!r}" if unreadable[-1] else "no Retry-After"
        return f"a 429 has {shown}", "Send Retry-After with 429, in whole seconds."
    if evidence.back == 429:
        return (
            f"after the {show(evidence.waited_s, 's')} of its Retry-After the user was still refused",
            "Let Retry-After say when a request will be served, and count refused ones not at all.",
        )
    return "", ""
