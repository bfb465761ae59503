"""Used for long, the service needs no more memory, gets no slower and fails no more often.

Why it matters
    A leak shows in no short test: each request leaves a little behind, and after some days the service is
    ended by the kernel in the middle of an afternoon. A restart every night hides it until traffic grows.

How it is measured
    Eight users ask without pause, half of it never-seen questions, since a leak often sits where answers
    are made and not where they are repeated. What happens in the warm-up is left out. Resident memory is read
    several times a second (of the process tree on this host, else from the metrics), 95th percentile and
    failures for each of 24 equal parts. Each gets a trend that outliers do not move (Theil-Sen) with its
    95 % interval. Memory also gets one for the second half, and the smaller slope counts, so that a service
    that only warms up does not fail. A growth counts where it is above 0 beyond chance and more than the
    least that this window can tell: 4 MB or 2 % of memory; 50 ms or 20 % of latency, in proportion more in
    less than 100 s, since other work of a machine comes in spells; 2 % of requests. An hour's figure from
    twenty seconds would otherwise be noise. The finding says what would have been seen. A profile that
    measures longer sees smaller leaks.

How to fix it
    1. Memory: take two heap snapshots with some hundred questions in between (`tracemalloc`) and look at
       what was added. Usual: a history or cache without a bound, a list that is only appended to, a metric
       label that holds the question.
    2. Latency: look for what is searched in full at each request and grows with each.
    3. Errors: look for what is used up: connections that are not returned, files, threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    LoadStep,
    LoadSummary,
    Outcome,
    Target,
    plural,
    show,
)
from checks.load_scenarios._drift import Drift, drift_of
from checks.load_scenarios._driving import drive, load_line, remarks, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE
from checks.load_scenarios._memory import MemoryWatch
from checks.load_scenarios._servers import Servers, restart_between, servers_now

CHECK = Check(
    failure_title="The service gets worse the longer it is used",
    kind=Kind.LOAD,
    does="Eight users ask for a while, half of it new questions, while the service's memory is read.",
    measures="an hour is how fast the worst of memory, latency and errors grows",
    needs=("questions", "load", "memory", "processes", "http"),
    deadline_s=120,
    typical_s=5,
    scenario="soak",
)
PARTS = 24


@dataclass(frozen=True)
class Thresholds:
    """5 % an hour doubles within a day. The floors are the grain of an allocator and of few requests."""

    warn_growth_ratio: float = 0.05
    memory_floor_bytes: float = 4e6
    memory_floor_ratio: float = 0.02
    latency_floor_ms: float = 50.0
    latency_floor_ratio: float = 0.2
    latency_spell_s: float = 100.0
    failures_floor_ratio: float = 0.02
    min_success_ratio: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """The driver's figures and the drifts of memory, latency (p95) and failures (None: too few points)."""

    summary: LoadSummary
    memory: Drift | None
    memory_source: str
    latency: Drift | None
    failures: Drift | None
    before: Servers
    after: Servers
    reproduce: str


@dataclass(frozen=True)
class _Growth:
    """One drift as it is judged. ``base`` is what its growth is a share of."""

    words: str
    drift: Drift
    unit: str
    floor: float
    base: float
    fix: str

    @property
    def an_hour_ratio(self) -> float:
        """Growth an hour as a share of the start; 0 where it is chance or below what can be told."""
        real = self.drift.beyond_chance and self.drift.grown > self.floor
        return self.drift.per_hour / self.base if real else 0.0


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Drive, and read the memory meanwhile. Raises InstrumentFailure where it cannot be read."""
    first = await instruments.memory.read()
    before = await servers_now(target, instruments)
    watch = MemoryWatch(instruments)
    plan, summary = await drive(target, instruments, "soak", watch.run, parts=PARTS)
    after = await servers_now(target, instruments)
    memory = [(at_s, value) for at_s, value in watch.points if 0 <= at_s <= plan.duration_s]
    latency = [(_middle_s(step), step.p95_ms) for step in summary.steps if step.p95_ms is not None]
    failed = [(_middle_s(step), step.failed / step.scheduled) for step in summary.steps if step.scheduled]
    how = f"--users {plan.users} --duration {plan.duration_s:g} --warmup {plan.warmup_s:g}"
    return Evidence(
        summary=summary,
        memory=drift_of(instruments, memory, settles=True),
        memory_source=first.source,
        latency=drift_of(instruments, latency),
        failures=drift_of(instruments, failed),
        before=before,
        after=after,
        reproduce=load_line(target, how),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The fastest growth decides; only what is beyond chance and above the floors is a growth."""
    summary = evidence.summary
    if restart := restart_between(evidence.before, evidence.after, summary.failed):
        return Finding.failed(
            f"The service did not live through the soak: {restart}.{remarks(summary)}",
            fix="Read the log of the process that ended; out of memory is the usual cause.",
            reproduce=evidence.reproduce,
        )
    if why := unusable(summary):
        return Finding.not_assessed(why)
    if summary.successful < thresholds.min_success_ratio * summary.total_requests:
        return Finding.not_assessed(
            f"Only {summary.successful:,} of {plural(summary.total_requests, 'request')} were answered, "
            f"which shows nothing of long use.{remarks(summary)}",
            follows_from=PRIMARY_ROUTE,
        )
    growths = _growths(evidence, thresholds)
    worst = max(growths, key=lambda growth: growth.an_hour_ratio, default=None)
    limit = Limit.at_most(0.0, thresholds.warn_growth_ratio)
    if worst is None or (len(growths) < 3 and limit.outcome(worst.an_hour_ratio) is Outcome.PASS):
        return Finding.not_assessed("The soak has too few readings for a trend. Measure for longer.")
    return Finding.by_limit(
        worst.an_hour_ratio,
        "ratio",
        limit,
        f"{_opening(summary)} {', '.join(_said(growth, summary) for growth in growths)}.{remarks(summary)}",
        fix=worst.fix,
        reproduce=evidence.reproduce,
    )


def _growths(evidence: Evidence, thresholds: Thresholds) -> list[_Growth]:
    found = []
    if drift := evidence.memory:
        floor = max(thresholds.memory_floor_bytes, thresholds.memory_floor_ratio * drift.start)
        fix = "Compare two heap snapshots (`tracemalloc`) with some hundred questions in between."
        found.append(_Growth("memory", drift, "bytes", floor, max(drift.start, 1.0), fix))
    if drift := evidence.latency:
        floor = max(thresholds.latency_floor_ms, thresholds.latency_floor_ratio * drift.start)
        floor *= max(1.0, thresholds.latency_spell_s / drift.whole.span_s)
        fix = "Look for what is searched in full at each request and grows with each."
        found.append(_Growth("p95", drift, "ms", floor, max(drift.start, 1.0), fix))
    if drift := evidence.failures:
        fix = "Look for what is used up: connections that are not returned, files, threads."
        found.append(
            _Growth("the share of failures", drift, "ratio", thresholds.failures_floor_ratio, 1.0, fix)
        )
    return found


def _opening(summary: LoadSummary) -> str:
    warmup = f" after {show(summary.warmup_s, 's')} of warm-up" if summary.warmup_s else ""
    asked = plural(summary.total_requests, "question")
    return f"In {show(summary.duration_s, 's')} with {asked}{warmup}:"


def _said(growth: _Growth, summary: LoadSummary) -> str:
    drift, unit = growth.drift, growth.unit
    asked = max(summary.total_requests, 1)
    if growth.an_hour_ratio:
        each = f", {show(drift.grown / asked, unit)} a question" if unit == "bytes" else ""
        return (
            f"{growth.words} grows by {show(drift.grown, unit)}{each}, beyond chance, from "
            f"{show(max(drift.start, 0.0), unit)} ({show(growth.an_hour_ratio, 'ratio')} an hour, limit 0)"
        )
    seen = drift.would_show(growth.floor)
    each = f", {show(seen / asked, unit)} a question," if unit == "bytes" else ""
    return f"{growth.words} does not grow (from {show(seen, unit)}{each} on it would have shown)"


def _middle_s(step: LoadStep) -> float:
    return step.start_s + step.duration_s / 2
