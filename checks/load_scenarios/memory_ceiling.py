"""The service stays below two gigabytes of memory while ten users ask.

Why it matters
    A service that needs more memory than it was given is ended by the kernel, with everyone it was serving.
    The team promised less than 2 GB, and the machines were chosen by that.

How it is measured
    Ten users on one connection each ask the repeat mix, half of it never-seen questions. Several times a
    second the resident memory of the service is read: of its whole process tree where the target is on this
    host, else of its metrics (`process_resident_memory_bytes`). The highest reading counts, the one before
    the first request included.

How to fix it
    1. Look for what grows with every request: caches without a bound, histories, loaded models per worker.
    2. Share what every worker loads by itself: load before forking, or run fewer workers.
    3. Bound what is held of one request: body, history, context.
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
    Outcome,
    Target,
    objective,
    plural,
    show,
)
from checks.load_scenarios._driving import drive, load_line, remarks, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE
from checks.load_scenarios._memory import MemoryWatch

CHECK = Check(
    failure_title="The service needs too much memory",
    kind=Kind.LOAD,
    does="Ten users ask at the same time while the service's memory is read.",
    measures="of memory at the most while ten users asked",
    needs=("questions", "load", "memory"),
    deadline_s=120,
    typical_s=2,
    scenario="memory_ceiling",
)
WHERE = {"process": "of its process tree", "metrics": "by its own metrics"}


@dataclass(frozen=True)
class Thresholds:
    """The team's promise, < 2 GB; a quarter more still warns."""

    pass_peak_bytes: float = objective(2e9, "memory_bytes")
    warn_within_ratio: float = 0.25


@dataclass(frozen=True)
class Evidence:
    """The highest of ``readings`` under load, the one before it, and where they were read."""

    summary: LoadSummary
    idle_bytes: float
    peak_bytes: float
    readings: int
    source: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, then drive and read."""
    idle = await instruments.memory.read()
    watch = MemoryWatch(instruments)
    plan, summary = await drive(target, instruments, "memory_ceiling", watch.run)
    peak = max([idle.resident_bytes, *(value for _, value in watch.points)])
    driven = load_line(target, f"--users {plan.users} --duration {plan.duration_s:g}")
    look = (
        f"ps -o pid,rss,args -p $(lsof -ti tcp:{target.port} -s tcp:listen | paste -sd,)"
        if idle.source == "process"
        else f"curl -sS {target.absolute(target.health.metrics or '/metrics')} | grep resident_memory"
    )
    return Evidence(
        summary, idle.resident_bytes, peak, len(watch.points), idle.source, f"{driven} & sleep 2; {look}"
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The peak decides. Too much is too much, however it was driven; little means little only under load."""
    summary = evidence.summary
    most = thresholds.pass_peak_bytes
    limit = Limit.at_most(most, most * (1 + thresholds.warn_within_ratio))
    if limit.outcome(evidence.peak_bytes) is Outcome.PASS:
        if why := unusable(summary):
            return Finding.not_assessed(why)
        if not summary.successful or not evidence.readings:
            return Finding.not_assessed(
                f"The memory under load is not known: {plural(summary.successful, 'request')} of "
                f"{summary.total_requests:,} were answered, and it was read {evidence.readings} times.",
                follows_from=None if summary.successful else PRIMARY_ROUTE,
            )
    return Finding.by_limit(
        evidence.peak_bytes,
        "bytes",
        limit,
        f"{show(evidence.peak_bytes, 'bytes')} at the most while {summary.users} users asked "
        f"{plural(summary.total_requests, 'question')}, {show(evidence.idle_bytes, 'bytes')} before "
        f"({WHERE.get(evidence.source, evidence.source)}); limit {show(most, 'bytes')}.{remarks(summary)}",
        fix="Bound caches and histories, and share what every worker loads by itself.",
        reproduce=evidence.reproduce,
    )
