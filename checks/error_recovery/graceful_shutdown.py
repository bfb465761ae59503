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

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Route,
    Target,
    plural,
    show,
)
from checks.error_recovery._crowd import Crowd
from checks.error_recovery._ending import LAST_BYTES_S, UnderWay, told_to_end, under_way, usual_ms
from checks.error_recovery._lifetime import answers_again, require_way

CHECK = Check(
    failure_title="Told to end, the service drops requests or stays",
    kind=Kind.FAULT,
    does="Sends the service its stop signal while users ask and read streams, and has it started again.",
    measures="requests lost when the service was told to end",
    needs=("questions", "http", "sse", "processes", "faults", "target.levers.service"),
    deadline_s=240,
    typical_s=6,
)
WARM_S = 0.7
QUICK_MS = 200  # what takes less is over before a service has heard the signal
MANY = (6, 3)  # who ask, and who read streams
FEW = (2, 2)  # where all of them wait for a slow upstream: more would be overload
AGAIN_S = 60.0
LONGEST_S = 120.0  # in the quick profile
MOST_FAILING = 0.05


@dataclass(frozen=True)
class Thresholds:
    """None may be lost (catalogue). How long it may take is the target's `[shutdown] within_s`."""

    max_lost: float = 0


@dataclass(frozen=True)
class Evidence:
    """``before`` and ``failed_before``: requests that had ended, and how many of them not well.

    ``waiting``: connections that the service left in the kernel's queue, None where that cannot be seen.
    ``ended_s``: from the signal until its processes were gone, None where they were not in ``within_s``, or
    where they are not ``visible``.
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
    visible: bool = True
    ended_s: float | None = None
    again_s: float | None = None
    not_back: str = ""
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask, signal amid it, watch. The lever has it running again whatever happens here."""
    require_way(instruments, "term")
    stop = target.shutdown
    longest_s = LONGEST_S * instruments.profile.deadline_factor
    if stop.within_s > longest_s:
        raise InstrumentFailure(
            f"The service may take {show(stop.within_s, 's')} to end, and the {instruments.profile.name} "
            f"profile waits {show(longest_s, 's')} at most. Choose a longer profile."
        )
    route = await instruments.questions.route()
    if route is None:
        return Evidence(None, stop.signal, stop.within_s)
    takes_ms = await usual_ms(instruments, route)
    slows = takes_ms < QUICK_MS and "slow" in instruments.faults.ways("upstream")
    crowd = Crowd(target, instruments, stop.within_s + LAST_BYTES_S, *(FEW if slows else MANY))
    async with AsyncExitStack() as slowed:
        if slows:
            await slowed.enter_async_context(instruments.faults.broken("upstream", "slow"))
        async with crowd.asking():
            await asyncio.sleep(WARM_S)
            told = await told_to_end(target, instruments, crowd)
    again = None if told.not_back else await answers_again(instruments, route, told.at, AGAIN_S)
    ended = [sent for sent in crowd.sent if sent.ended_at is not None and sent.ended_at < told.before_at]
    return Evidence(
        route=route,
        signal=stop.signal,
        within_s=stop.within_s,
        before=len(ended),
        failed_before=sum(not sent.good for sent in ended),
        usual_ms=takes_ms,
        under_way=under_way(crowd, told),
        waiting=told.waiting,
        visible=told.visible,
        ended_s=told.ended_s,
        again_s=again.answers_s if again else None,
        not_back=told.not_back,
        reproduce=f"# while requests are under way: kill -{stop.signal.removeprefix('SIG')} of the topmost "
        "process; then look what became of them, and when it is gone",
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
    after = _afterwards(evidence)
    passed = Finding.passed(
        f"{told}; no request was lost{_gone(evidence)}.{after}",
        value=len(lost),
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )
    if len(lost) > thresholds.max_lost:
        return passed.but(
            outcome=Outcome.FAIL,
            share=0.0,
            reason=f"{told}; {plural(len(lost), 'request')} got no good answer: "
            f"{lost[0].problem or 'no reply'}.{after}",
            fix="Stop accepting, finish what is under way, and only then close connections and end.",
        )
    if evidence.visible and evidence.ended_s is None:
        return passed.but(
            outcome=Outcome.FAIL,
            share=0.0,
            reason=f"{show(evidence.within_s, 's')} after {evidence.signal} the process still runs; whoever "
            f"deploys it kills it then.{after}",
            fix="Find what keeps the process: threads, pools and tasks that nobody ends. Bound the whole.",
        )
    if cut:
        problem = cut[0].problem or "no end"
        return passed.but(
            outcome=Outcome.WARN,
            share=0.5,
            reason=f"{passed.reason} {len(cut)} of {plural(streams, 'stream')} were cut: {problem}.",
            fix="Let streams come to their end, or end them with an event that says so.",
        )
    return passed


def _gone(evidence: Evidence) -> str:
    if evidence.ended_s is None:
        return ""
    took, within = show(evidence.ended_s, "s"), show(evidence.within_s, "s")
    return f", and the process was gone after {took}, limit {within}"


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
    if not evidence.under_way and (evidence.ended_s is not None or not evidence.visible):
        return Finding.not_assessed(
            f"No request was under way when {evidence.signal} came, since one takes "
            f"{show(evidence.usual_ms, 'ms')} only: it cannot be told what is dropped. the "
            "lever `upstream` be able to `slow`, or declare a question that takes longer as `[ask]`.",
            missing="levers.upstream.ways",
        )
    return None
