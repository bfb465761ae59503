"""Fifty users are answered, and no process dies of them.

Why it matters
    Fifty users at once is more than the team promises, and the kind of day on which a service is noticed.
    It may get slower then. It may not fall over: a crash takes all users with it, and a supervisor that
    starts it again hides it from everyone but those who were being served.

How it is measured
    One question is asked first. Then fifty users on one connection each ask the repeat mix, and never-seen
    questions between it so that calls upstream overlap, with 100 ms to think in between. Success and mean
    latency are judged. Afterwards a question must be answered within twenty seconds, by the same server:
    where the target is on this host by process id and start time, else by the instance that
    `[health] instance` names. A worker that its master replaced counts only where requests failed.

How to fix it
    1. Read the log of the process that ended: out of memory, too many open files, an error that nobody
       caught.
    2. Bound what fifty callers can take: connections, queue, memory of a request.
    3. Shed the rest with 429 or 503 and Retry-After.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    LoadSummary,
    Target,
    show,
    wilson_interval,
)
from checks.load_scenarios._closed import curl_loop
from checks.load_scenarios._driving import drive, remarks, route_of, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE, by_worst, mean_of, success_of
from checks.load_scenarios._servers import (
    ANSWERS_WITHIN_S,
    Servers,
    answers_within,
    restart_between,
    servers_now,
)

CHECK = Check(
    failure_title="The service breaks under fifty users",
    kind=Kind.LOAD,
    does="Fifty users ask at the same time; then it looks whether the same process still answers.",
    measures="of requests were answered",
    needs=("questions", "load", "http", "processes"),
    deadline_s=240,
    typical_s=4,
    scenario="stress",
)


@dataclass(frozen=True)
class Thresholds:
    """Scenario 5 of the team's load suite: > 80 %, < 30 s. Down to half of the requests it is degraded.

    The target's objectives are for ordinary load and do not bind here.
    """

    pass_success_ratio: float = 0.8
    warn_success_ratio: float = 0.5
    pass_mean_ms: float = 30_000
    warn_mean_ms: float = 60_000


@dataclass(frozen=True)
class Evidence:
    """The driver's figures, who served before and after, and seconds until a good answer (None: never)."""

    summary: LoadSummary
    answered_before: bool
    answered_after_s: float | None
    before: Servers
    after: Servers
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask once, drive, ask again; look at the server before and after."""
    route = route_of(target)
    answered_before = await answers_within(instruments, route, wait_s=0) is not None
    before = await servers_now(target, instruments)
    plan, summary = await drive(target, instruments, "stress")
    wait_s = ANSWERS_WITHIN_S if answered_before else 0
    after_s = await answers_within(instruments, route, wait_s)
    after = await servers_now(target, instruments)
    return Evidence(summary, answered_before, after_s, before, after, curl_loop(instruments, plan))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A crash or a hang fails, whatever the figures; else the worse of success and mean decides."""
    summary = evidence.summary
    if broken := _broken(evidence):
        total = summary.total_requests
        return Finding.failed(
            broken + remarks(summary),
            value=summary.successful / total if total else None,
            unit="ratio",
            limit=_success_limit(thresholds),
            interval=wilson_interval(summary.successful, total) if total else None,
            fix="Read the log of the process that ended or hung, and bound what callers can take of it.",
            reproduce=evidence.reproduce,
        )
    if why := unusable(summary):
        return Finding.not_assessed(why)
    measures = [success_of(summary, _success_limit(thresholds))]
    if summary.mean_ms is not None:
        limit = Limit.at_most(thresholds.pass_mean_ms, thresholds.warn_mean_ms)
        measures.append(mean_of(summary.mean_ms, limit))
    notes = _afterwards(evidence) + remarks(summary)
    return by_worst(summary, measures, notes=notes, reproduce=evidence.reproduce)


def _success_limit(thresholds: Thresholds) -> Limit:
    return Limit.at_least(thresholds.pass_success_ratio, thresholds.warn_success_ratio, high=1.0)


def _broken(evidence: Evidence) -> str:
    restart = restart_between(evidence.before, evidence.after, evidence.summary.failed)
    if restart:
        return f"Under {evidence.summary.users} users the service crashed: {restart}."
    if evidence.answered_before and evidence.answered_after_s is None:
        waited = show(ANSWERS_WITHIN_S, "s")
        return f"{waited} after {evidence.summary.users} users left, the service still answers no question."
    return ""


def _afterwards(evidence: Evidence) -> str:
    if evidence.answered_after_s is None:
        return f" No question was answered before it either; see {PRIMARY_ROUTE}."
    if evidence.before.processes:
        return " The same process answers afterwards."
    if evidence.before.visible:
        return " The same instance answers afterwards."
    return " It answers afterwards; a restart could not be seen without `[health] instance`."
