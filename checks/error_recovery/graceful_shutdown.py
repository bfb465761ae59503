"""Told to end, the service finishes what it has begun, and ends in time.

Why it matters
    Every deployment, every scaling down and every move to another machine ends a process by a signal. A
    service that drops what is under way shows errors to its users each time, and one that does not end is
    killed after a while with all that it still held.

How it is measured
    Six users ask never-seen questions and three read streams, each on a connection of its own. Where answers
    are quick and the lever `upstream` can `slow`, it does, and two of each are enough. Amid this the declared
    signal (`[shutdown] signal`, SIGTERM unless it says otherwise) goes to the service's topmost process.

    What was sent 50 ms before at least, and whose connection the service had accepted, must end well; what
    was refused, or still waited in the kernel's queue, does not count, nor does how the process ended. It
    must be gone within `[shutdown] within_s` (30 s unless it says otherwise). Afterwards the service is
    started again by its supervisor, or by the lever's `restore`.

How to fix it
    1. Stop accepting, finish what is under way, then close pools and connections, then end: in this order.
    2. Handle the signal in the process that gets it: a shell as process 1 does not pass it on (`exec` it).
    3. Give streams a last event that says "ask again", and bound the whole below what the platform waits.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Literal

from checks.contract import (
    Check,
    FailureKind,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    ProcessFact,
    Route,
    Target,
    plural,
    show,
)
from checks.error_recovery._crowd import Crowd, Sent
from checks.error_recovery._lifetime import LEVER, answers_again, facts_now, require_way

CHECK = Check(
    failure_title="Told to end, the service drops requests or stays",
    kind=Kind.FAULT,
    does="Sends the service its stop signal while users ask and read streams, and has it started again.",
    measures="requests lost when the service was told to end",
    needs=("questions", "http", "sse", "processes", "faults", "target.levers.process"),
    deadline_s=240,
    typical_s=6,
)
WARM_S = 0.7
QUICK_MS = 200  # what takes less is over before a service has heard the signal
MANY = (6, 3)  # who ask, and who read streams
FEW = (2, 2)  # where all of them wait for a slow upstream: more would be overload
LOOKS, LOOK_EVERY_S = 3, 0.15
LEAD_S = 0.05  # by then a request on a connection that was accepted has been read
LAST_BYTES_S = 1.0  # after the process is gone, for what it sent to arrive
AGAIN_S = 60.0
POLL_S = 0.05
MOST_FAILING = 0.05
MAX_CHARS = 1_000


@dataclass(frozen=True)
class Thresholds:
    """None may be lost (catalogue). How long it may take is the target's `[shutdown] within_s`."""

    max_lost: float = 0


@dataclass(frozen=True)
class UnderWay:
    """A request that was under way when the signal came; times in s from the signal, None for never.

    ``began``: the first byte of its stream was there by then.
    """

    kind: Literal["answer", "stream"]
    sent_s: float
    began: bool
    ended_s: float | None
    good: bool
    status: int | None
    refused: bool
    problem: str


@dataclass(frozen=True)
class Told:
    """The signal: when nothing had been sent yet, when it had, and what came of it."""

    before_at: float
    at: float
    waiting: int | None
    ended_s: float | None
    not_back: str


@dataclass(frozen=True)
class Evidence:
    """``before`` and ``failed_before``: requests that had ended, and how many of them not well.

    ``waiting``: connections that the service left in the kernel's queue, None where that cannot be seen.
    ``ended_s``: from the signal until its processes were gone, None where they were not in ``within_s``.
    ``not_back`` is what the lever said of a service that did not come back.
    """

    route: Route | None
    signal: str
    within_s: float
    before: int = 0
    failed_before: int = 0
    usual_ms: float = 0.0
    under_way: tuple[UnderWay, ...] = ()
    waiting: int | None = None
    ended_s: float | None = None
    again_s: float | None = None
    not_back: str = ""
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask, signal amid it, watch. The lever has it running again whatever happens here."""
    require_way(instruments, "term")
    stop = target.shutdown
    route = await instruments.questions.route()
    if route is None:
        return Evidence(None, stop.signal, stop.within_s)
    usual_ms = await _usual_ms(instruments, route)
    slows = usual_ms < QUICK_MS and "slow" in instruments.faults.ways("upstream")
    crowd = Crowd(target, instruments, stop.within_s + LAST_BYTES_S, *(FEW if slows else MANY))
    async with AsyncExitStack() as slowed:
        if slows:
            await slowed.enter_async_context(instruments.faults.broken("upstream", "slow"))
        async with crowd.asking():
            await asyncio.sleep(WARM_S)
            told = await _told(target, instruments, crowd)
    again = None if told.not_back else await answers_again(instruments, route, told.at, AGAIN_S)
    ended = [sent for sent in crowd.sent if sent.ended_at is not None and sent.ended_at < told.before_at]
    return Evidence(
        route=route,
        signal=stop.signal,
        within_s=stop.within_s,
        before=len(ended),
        failed_before=sum(not sent.good for sent in ended),
        usual_ms=usual_ms,
        under_way=tuple(_seen(sent, told.at) for sent in crowd.sent if _counts(sent, told)),
        waiting=told.waiting,
        ended_s=told.ended_s,
        again_s=again.answers_s if again else None,
        not_back=told.not_back,
        reproduce=f"# while requests are under way: kill -{stop.signal.removeprefix('SIG')} of the topmost "
        "process; then look what became of them, and when it is gone",
    )


async def _usual_ms(instruments: Instruments, route: Route) -> float:
    """What an answer to a never-seen question takes."""
    prompts = instruments.prompts.fresh(3)
    return median([(await instruments.questions.ask(each, route=route)).elapsed_ms for each in prompts])


async def _told(target: Target, instruments: Instruments, crowd: Crowd) -> Told:
    """Send the signal, and watch the processes go and the requests end."""
    waiting = await _waiting(target, instruments)
    facts, before_at = facts_now(target, instruments), monotonic()
    at: float | None = None
    ended_s, not_back = None, ""
    try:
        async with instruments.faults.broken(LEVER, "term"):
            at = monotonic()
            crowd.stop()
            instruments.say(f"The service was sent {target.shutdown.signal}")
            ended_s = await _gone_s(instruments, facts, at, target.shutdown.within_s)
            await crowd.finished(LAST_BYTES_S)
    except InstrumentFailure as failure:
        if at is None:
            raise
        not_back = failure.reason[:MAX_CHARS]
    return Told(before_at, at, waiting, ended_s, not_back)


async def _waiting(target: Target, instruments: Instruments) -> int | None:
    """The least number of our connections that the service has not accepted, over some looks."""
    counts = []
    for _ in range(LOOKS):
        await asyncio.sleep(LOOK_EVERY_S)
        counts.append(instruments.processes.waiting(target.levers[LEVER].port or target.port))
    return min((count for count in counts if count is not None), default=None)


async def _gone_s(
    instruments: Instruments, facts: list[ProcessFact], told_at: float, within_s: float
) -> float | None:
    while any(instruments.processes.runs(fact) for fact in facts):
        if monotonic() - told_at > within_s:
            return None
        await asyncio.sleep(POLL_S)
    return monotonic() - told_at


def _counts(sent: Sent, told: Told) -> bool:
    """Whether it was under way when the signal came.

    That was a moment before ``told.at``: what broke in between was broken by it.
    """
    if sent.sent_at > told.at - LEAD_S:
        return False
    if sent.ended_at is None:
        return True
    return sent.ended_at >= (told.at if sent.good else told.before_at)


def _seen(sent: Sent, told_at: float) -> UnderWay:
    return UnderWay(
        sent.kind,
        round(sent.sent_at - told_at, 3),
        sent.began_at is not None and sent.began_at <= told_at,
        None if sent.ended_at is None else round(sent.ended_at - told_at, 3),
        sent.good,
        sent.status,
        sent.failure is FailureKind.REFUSED,
        sent.problem,
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A lost request fails, as does a process that stays; a cut stream warns."""
    unmeasured = _unmeasured(evidence)
    if unmeasured:
        return unmeasured
    requests, failed = _of_requests(evidence), _lost(evidence)
    lost = [each for each in failed if each in requests]
    cut = [each for each in failed if each not in requests]
    limit = Limit.at_most(thresholds.max_lost, thresholds.max_lost)
    streams = len(evidence.under_way) - len(requests)
    amid = f"{plural(len(requests), 'request')} and {plural(streams, 'stream')}"
    told = f"{amid} were under way at {evidence.signal}"
    if len(lost) > thresholds.max_lost:
        return Finding.failed(
            f"{told}; {plural(len(lost), 'request')} got no good answer: {lost[0].problem or 'no reply'}."
            f"{_afterwards(evidence)}",
            value=len(lost),
            unit="count",
            limit=limit,
            fix="Stop accepting, finish what is under way, and only then close connections and end.",
            reproduce=evidence.reproduce,
        )
    if evidence.ended_s is None:
        return Finding.failed(
            f"{show(evidence.within_s, 's')} after {evidence.signal} the process still runs; whoever deploys "
            f"it kills it then.{_afterwards(evidence)}",
            value=len(lost),
            unit="count",
            limit=limit,
            fix="Find what keeps the process: threads, pools and tasks that nobody ends. Bound the whole.",
            reproduce=evidence.reproduce,
        )
    done = (
        f"{told}; none of the requests was lost, and the process was gone after {show(evidence.ended_s, 's')}"
    )
    if cut:
        return Finding.warned(
            f"{done}. {len(cut)} of {plural(streams, 'stream')} were cut: {cut[0].problem or 'no end'}."
            f"{_afterwards(evidence)}",
            value=len(lost),
            unit="count",
            limit=limit,
            fix="Let streams come to their end, or end them with an event that says so.",
            reproduce=evidence.reproduce,
        )
    return Finding.passed(
        f"{done}, limit {show(evidence.within_s, 's')}.{_afterwards(evidence)}",
        value=0,
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )


def _lost(evidence: Evidence) -> list[UnderWay]:
    """Those that the service had begun and that did not end well.

    As many of the latest as it left in the kernel's queue may have broken off without its having seen them.
    """
    failed = [each for each in evidence.under_way if not (each.good or each.refused or each.status == 429)]
    broken_off = sorted((each for each in failed if each.status is None), key=lambda each: each.sent_s)
    unseen = broken_off[max(0, len(broken_off) - (evidence.waiting or 0)) :]
    return [each for each in failed if each not in unseen]


def _of_requests(evidence: Evidence) -> list[UnderWay]:
    """What counts as a request: where only streams can be asked for, one that has not begun to stream."""
    answers = [each for each in evidence.under_way if each.kind == "answer"]
    return answers or [each for each in evidence.under_way if not each.began]


def _afterwards(evidence: Evidence) -> str:
    if evidence.not_back:
        return f" {evidence.not_back}"
    if evidence.again_s is None:
        return f" It has not answered a question within {show(AGAIN_S, 's')} of the signal."
    return ""


def _unmeasured(evidence: Evidence) -> Finding | None:
    if evidence.route is None:
        return Finding.not_assessed(
            "No declared route answers a question, so nothing could be under way.",
            follows_from="endpoint_health.primary_route",
        )
    if evidence.failed_before > MOST_FAILING * evidence.before:
        return Finding.not_assessed(
            f"{evidence.failed_before} of {plural(evidence.before, 'request')} failed before any signal, so "
            "what the signal cost cannot be told.",
            follows_from="endpoint_health.primary_route",
        )
    if not evidence.under_way and evidence.ended_s is not None:
        return Finding.not_assessed(
            f"No request was under way when {evidence.signal} came, since one takes "
            f"{show(evidence.usual_ms, 'ms')} only: it cannot be told what is dropped. the "
            "lever `upstream` be able to `slow`, or declare a question that takes longer as `[ask]`.",
            missing="levers.upstream.ways",
        )
    return None
