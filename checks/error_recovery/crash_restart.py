"""After a crash the service answers again within seconds, without anybody's help.

Why it matters
    Processes die: out of memory, of a bug, with their machine. What starts them again, and how long they take
    until they are of use, is the length of every such outage. A supervisor that gives up, or a service that
    listens at once and answers errors while it warms up, is found out at night.

How it is measured
    A question is answered first. Then the whole process tree of the service is killed at one moment with
    SIGKILL, which it cannot see coming, and new questions are asked until three in a row are answered well.
    The time from the kill to the first of these is the value; the answers must come from other processes than
    those before. It is scored on a log-normal curve: all points up to 10 s (or `[objectives] recovery_s`),
    about half at 60 s. Where nothing starts it, the lever's `restore` does, and its time counts.

How to fix it
    1. Run it under something that restarts it at once and without end: systemd with `Restart=always`, a
       container with a restart policy, a Kubernetes Deployment.
    2. Let it say "not ready" until it can answer well, and do less at start: load lazily, cache outside.
    3. Bound back-off to seconds, and alert on restarts instead of giving up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Outcome,
    Route,
    Target,
    curve_limit,
    curve_share,
    objective,
    plural,
    show,
)
from checks.error_recovery._lifetime import (
    LEVER,
    Again,
    Process,
    answers_again,
    facts_now,
    processes_of,
    require_way,
)

CHECK = Check(
    failure_title="After a crash the service stays away",
    kind=Kind.FAULT,
    does="Kills the service with SIGKILL and asks questions until it answers again.",
    measures="until the first good answer after a crash",
    needs=("questions", "processes", "faults", "target.levers.service"),
    deadline_s=240,
    typical_s=4,
)
WATCHED_OUTAGES = 24  # as long as this many outages of the profile: a minute in the quick one
LONGEST_WATCH_S = 120.0
MOST_SEEN = 3


@dataclass(frozen=True)
class Thresholds:
    """The score curve of the catalogue: p10 10 s, median 60 s, as times to recover are spread."""

    p10_s: float = objective(10.0, "recovery_s")
    median_s: float = 60.0


@dataclass(frozen=True)
class Evidence:
    """Who served before and after, and when it answered again.

    ``by_command``: a command of the lever may start it. ``not_back`` is what the lever said of a service that
    did not come back.
    """

    route: Route | None
    watched_s: float
    before: tuple[Process, ...] = ()
    after: tuple[Process, ...] = ()
    again: Again = field(default_factory=Again)
    by_command: bool = False
    not_back: str = ""
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask, kill, ask until it answers. The lever has it running again whatever happens here."""
    require_way(instruments, "kill")
    watched_s = min(LONGEST_WATCH_S, WATCHED_OUTAGES * instruments.profile.outage_s)
    route = await instruments.questions.route()
    if route is None:
        return Evidence(None, watched_s)
    before = facts_now(target, instruments)
    by_command = target.levers[LEVER].restore_command is not None
    killed_at, again, not_back = None, Again(), ""
    try:
        async with instruments.faults.broken(LEVER, "kill"):
            killed_at = monotonic()
            instruments.say("The service is killed; asking until it answers")
            if not by_command:
                again = await answers_again(instruments, route, killed_at, watched_s)
    except InstrumentFailure as failure:
        if killed_at is None:
            raise
        not_back = failure.reason[:1000]
    if by_command and killed_at is not None and not not_back:
        again = await answers_again(instruments, route, killed_at, watched_s)
    [question] = instruments.prompts.fresh(1)
    return Evidence(
        route,
        watched_s,
        processes_of(before),
        processes_of(facts_now(target, instruments)),
        again,
        by_command,
        not_back,
        "# after kill -9 of the service's processes, until it answers:\ntime "
        + instruments.questions.curl(question, route=route),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Never is a failure; else the time decides, on the curve."""
    if evidence.route is None:
        return Finding.not_assessed(
            "No declared route answers a question, so it could not be seen when it answers again.",
            follows_from="endpoint_health.primary_route",
        )
    left = [old for old in evidence.before if any(old.same_as(new) for new in evidence.after)]
    if left:
        return Finding.not_assessed(
            f"Process {left[0].pid} listened before the kill and still does: the lever reaches another one.",
            missing="levers.service.port",
        )
    again, limit = evidence.again, curve_limit(p10=thresholds.p10_s, median=_median_s(thresholds))
    if again.answers_s is None:
        return Finding.failed(
            f"Within {show(evidence.watched_s, 's')} of a crash there is no good answer.{_meanwhile(again)}"
            f"{' ' + evidence.not_back if evidence.not_back else ''}",
            limit=limit,
            fix="Run it under something that starts it again at once, every time.",
            reproduce=evidence.reproduce,
        )
    finding = Finding.by_limit(
        again.answers_s,
        "s",
        limit,
        f"The first good answer came {show(again.answers_s, 's')} after a crash, limit "
        f"{show(limit.pass_at, 's')}.{_started(evidence)}{_meanwhile(again)}",
        fix=_remedy(again),
        reproduce=evidence.reproduce,
    )
    if finding.outcome is Outcome.WARN:
        share = curve_share(again.answers_s, p10=limit.pass_at, median=_median_s(thresholds))
        return finding.but(share=share)
    return finding


def _median_s(thresholds: Thresholds) -> float:
    """The curve's median: as declared, or as far above ``p10_s`` as by default where only that is looser."""
    return max(thresholds.median_s, thresholds.p10_s * 6)


def _started(evidence: Evidence) -> str:
    return " Nothing but the declared `restore` may have started it." if evidence.by_command else ""


def _meanwhile(again: Again) -> str:
    """What callers got until then, where it was more than a closed door."""
    seen = {what: count for what, count in (again.seen or {}).items() if what != "no connection"}
    if not seen or again.listens_s is None:
        return ""
    told = ", ".join(f"{what} ({count})" for what, count in list(seen.items())[:MOST_SEEN])
    return f" From {show(again.listens_s, 's')} on {plural(sum(seen.values()), 'question')} got: {told}."


def _remedy(again: Again) -> str:
    if again.answers_s and again.listens_s is not None and again.listens_s < again.answers_s / 2:
        return "Do less at start, and do not listen before the first question can be answered."
    return "Shorten what waits before a restart, and what the service does before it listens."
