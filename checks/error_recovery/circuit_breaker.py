"""An upstream that keeps failing is left alone, and used again soon after it is back.

Why it matters
    When the upstream is down, each call to it makes a caller wait for nothing, takes a connection and a
    worker, and is one more thing in the way of its recovery. A breaker answers at once instead, and tries now
    and then. One that does not open is decoration, and one that does not close is an outage of your own.

How it is measured
    New questions come at a steady pace (the declared peak, ten a second where none is), on every declared
    route in turn, each from another user. The fault proxy before the upstream answers each call with 503. In
    two seconds on end, calls must have fallen by 90 % against what as many questions make when all is well,
    while the questions still end: who keeps callers waiting has not opened, but clogged. After ten seconds
    (longer in other profiles) the last two count as they are. Then the upstream is back, and questions go on
    coming until four in a row are answered that called it.

How to fix it
    1. Put one breaker before the upstream, shared by all routes and users of a process: open after some
       failed calls in a row, errors and time-outs alike.
    2. While it is open, answer 503 at once, and let one call through every few seconds.
    3. Let one call that succeeds close it, and bound the pause: refused questions must not prolong it.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from checks.contract import Check, Finding, Instruments, Kind, Limit, Outcome, Route, Target, objective, show
from checks.error_recovery._callers import NO_ROUTE, require_errors, routes_of, statuses
from checks.error_recovery._calls import UpstreamCalls, uncounted, unseen
from checks.error_recovery._pressing import SLOT_S, WINDOW, Pressing, Slot, calls_left, clogged

CHECK = Check(
    failure_title="A failing upstream is called as if nothing were wrong",
    kind=Kind.FAULT,
    does="Lets the upstream answer 503 while new questions keep coming, then asks until it is used again.",
    measures="fewer calls of the upstream while it failed",
    needs=("questions", "faults", "upstream?", "target.levers.upstream"),
    deadline_s=300,
    typical_s=8,
)
USUAL_PER_S, LEAST_PER_S, MOST_PER_S = 10.0, 4.0, 20.0
FALLEN = 0.1  # of the usual calls: enough to judge, so that asking ends
SHORTEST_S = 8.0
WATCHED_OUTAGES, LONGEST_WATCH_S = 24, 120.0  # as long as the cache's recovery is watched
CLOSED = 4  # good answers in a row: one trial call is not yet a closed breaker
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Thresholds:
    """The fall is the catalogue's; a breaker's pause is half a minute at most; two wake somebody."""

    pass_fall_ratio: float = 0.9
    warn_fall_ratio: float = 0.5
    pass_recovery_s: float = objective(30.0, "recovery_s")
    warn_recovery_s: float = 120.0


@dataclass(frozen=True)
class Evidence:
    """``slots`` of half a second while the upstream failed; calls are in terms of one healthy question's.

    ``usual`` is calls a question before. ``closed_s`` is None where no answers came within ``watched_s``.
    """

    routes: tuple[Route, ...]
    usual: float
    timed: bool
    per_s: float
    slots: tuple[Slot, ...]
    told: str
    limited_ratio: float
    closed_s: float | None
    watched_s: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Learn, break, press, restore, ask until it is used. The lever restores whatever happens here."""
    require_errors(instruments)
    per_s = min(max(target.objectives.peak_per_s or USUAL_PER_S, LEAST_PER_S), MOST_PER_S)
    watched_s = min(LONGEST_WATCH_S, WATCHED_OUTAGES * instruments.profile.outage_s)
    calls = UpstreamCalls(instruments)
    await calls.start()
    routes, asked = await routes_of(target, instruments)
    usual = await calls.learn(asked)
    if not routes or not usual:
        return Evidence(routes, usual, calls.timed, per_s, (), "", 0.0, None, watched_s, "")
    patience_s = 2 * (target.objectives.answer_within_s or PATIENCE_S)
    pressing = Pressing(instruments, routes, per_s=per_s, timeout_s=patience_s)
    async with instruments.faults.broken("upstream", "errors"):
        instruments.say(f"The upstream fails; {show(per_s, 'per_s')} new questions come")
        slots = await _pressed(pressing, calls, max(SHORTEST_S, 2 * instruments.profile.outage_s))
    told = tuple(pressing.told)
    closed_s = await _closed_s(instruments, pressing, calls, watched_s)
    return Evidence(
        routes=routes,
        usual=usual,
        timed=calls.timed,
        per_s=per_s,
        slots=tuple(slots),
        told=statuses(told),
        limited_ratio=sum(caller.limited for caller in told) / max(len(told), 1),
        closed_s=closed_s,
        watched_s=watched_s,
        reproduce=f"# {show(per_s, 'per_s')} of these, the upstream answering 503 and its calls counted:\n"
        + instruments.questions.curl(instruments.prompts.fresh(1)[0], route=routes[0]),
    )


async def _pressed(pressing: Pressing, calls: UpstreamCalls, longest_s: float) -> list[Slot]:
    """Slots until calls have fallen for a window, or ``longest_s`` are over."""
    await calls.look()
    slots: list[Slot] = []
    while len(slots) * SLOT_S < longest_s:
        slots.append(await pressing.slot(calls))
        if len(slots) > WINDOW and calls_left(slots) <= FALLEN:
            break
    return slots


async def _closed_s(
    instruments: Instruments, pressing: Pressing, calls: UpstreamCalls, watched_s: float
) -> float | None:
    """Seconds from now to the first of CLOSED good answers that called the upstream; None for none in time.

    Questions go on coming as fast: a breaker that closes only when nobody asks never does.
    """
    restored = monotonic()
    await pressing.rest()
    await calls.look()
    while True:
        slot = await pressing.slot(calls)
        since = pressing.good_since(CLOSED)
        if (
            since is not None and slot.calls >= slot.ended / 2
        ):  # and not a stand-in, with a trial now and then
            await pressing.rest()
            return max(0.0, round(since - restored, 2))
        if monotonic() - restored > watched_s:
            await pressing.rest()
            return None
        instruments.say("The upstream is back and not used yet")


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """No fall, or no way back, fails; else the fall decides, and a long way back warns."""
    unsaid = _no_basis(evidence)
    if unsaid:
        return unsaid
    left = calls_left(evidence.slots)
    fall = max(0.0, 1 - left)
    limit = Limit.at_least(thresholds.pass_fall_ratio, thresholds.warn_fall_ratio, high=1.0)
    seconds = len(evidence.slots) * SLOT_S
    if evidence.closed_s is None:
        return Finding.failed(
            f"{show(evidence.watched_s, 's')} after the upstream came back it is still not used, though "
            f"questions keep coming. Meanwhile calls had fallen by {show(fall, 'ratio')}.",
            value=fall,
            unit="ratio",
            limit=limit,
            fix="Bound the breaker's pause; a call that succeeds closes it, and no refused one prolongs it.",
            reproduce=evidence.reproduce,
        )
    stuck = " Most questions did not even end." if clogged(evidence.slots) else ""
    finding = Finding.by_limit(
        fall,
        "ratio",
        limit,
        f"{show(seconds, 's')} into the upstream's failure, calls of it had fallen by {show(fall, 'ratio')}, "
        f"limit {show(limit.pass_at, 'ratio')} (callers got {evidence.told}).{stuck} "
        f"{show(evidence.closed_s, 's')} after it came back it was used again.",
        fix="Put one breaker, shared by all routes and users, before the upstream; let errors open it.",
        reproduce=evidence.reproduce,
    )
    return _with_recovery(finding, evidence.closed_s, thresholds)


def _with_recovery(finding: Finding, closed_s: float, thresholds: Thresholds) -> Finding:
    limit = Limit.at_most(thresholds.pass_recovery_s, thresholds.warn_recovery_s)
    outcome = limit.outcome(closed_s)
    if outcome is Outcome.PASS or finding.outcome is Outcome.FAIL:
        return finding
    return finding.but(
        outcome=outcome,
        share=min(finding.share, limit.share(closed_s)) if outcome is Outcome.WARN else 0.0,
        reason=f"{finding.reason} That is later than {show(limit.pass_at, 's')}.",
        fix="Bound the breaker's pause to seconds, however often it failed before.",
    )


def _no_basis(evidence: Evidence) -> Finding | None:
    if not evidence.routes:
        return Finding.not_assessed(NO_ROUTE, follows_from="endpoint_health.primary_route")
    if not evidence.usual:
        return unseen(timed=evidence.timed)
    if evidence.limited_ratio > 0.1:
        return Finding.not_assessed(
            f"{show(evidence.limited_ratio, 'ratio')} of the questions were rate limited (429), at "
            f"{show(evidence.per_s, 'per_s')}: what was not tried says nothing of a breaker. Declare a lower"
            " `[objectives] peak_per_s`.",
            missing="objectives.peak_per_s",
        )
    if not evidence.timed and not any(slot.calls for slot in evidence.slots):
        return uncounted()
    return None
