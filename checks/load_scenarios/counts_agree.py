"""The service counts its requests right.

Why it matters
    Alerts, capacity plans and invoices stand on the service's own counters. One that misses requests (a
    worker that is not scraped, an early return before the count, failures that are not counted) makes every
    figure that is drawn from it wrong, and nobody notices because it is wrong in the same way each day.

How it is measured
    The counter that `[health.requests]` names is read until it rests, five users ask for the profile's time,
    and it is read until it rests again. Its growth is compared with the number of requests that the load
    driver sent in between; nothing else of this assessment asks meanwhile. Requests that never reached the
    service are left out; those that were cut or timed out may or may not have been counted. A counter that
    does not rest, because others use the service, or that went down, is no measure.

How to fix it
    1. Count in the outermost middleware, so that errors and early replies are counted too.
    2. With several worker processes use the client library's multi-process mode; otherwise each scrape
       shows one worker.
    3. Let `[health.requests] labels` select the business route alone, not health and metrics.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from checks.contract import (
    Check,
    FailureKind,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    LoadPlan,
    LoadSummary,
    Target,
    plural,
    show,
)
from checks.load_scenarios._driving import drive, load_line, unusable

CHECK = Check(
    failure_title="The service counts its requests wrong",
    kind=Kind.LOAD,
    does="Five users ask at the same time, and the service's own counter is read before and after.",
    measures="off is the service's own count of requests",
    needs=("load", "metrics", "target.health.requests"),
    deadline_s=90,
    typical_s=2,
    scenario="counts_agree",
)
REST_S = 0.5  # two readings so far apart agree: the counter rests
REST_WITHIN_S = 10.0
NEVER_ARRIVED = (FailureKind.REFUSED, FailureKind.DNS, FailureKind.TLS)
MAY_BE_COUNTED = (FailureKind.RESET, FailureKind.TIMEOUT, FailureKind.PROTOCOL)


@dataclass(frozen=True)
class Thresholds:
    """A requests counter is exact by nature; 1 % is for what is under way at the edges."""

    pass_off_ratio: float = 0.01
    warn_off_ratio: float = 0.05


@dataclass(frozen=True)
class Evidence:
    """The driver's figures, and the counter at rest before and after it."""

    summary: LoadSummary
    before: float
    after: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, drive, read. A scenario that is driven again is counted again."""
    before = 0.0

    async def run(plan: LoadPlan) -> LoadSummary:
        nonlocal before
        before = await _at_rest(instruments)
        return await instruments.load.run(plan)

    plan, summary = await drive(target, instruments, "counts_agree", run)
    after = await _at_rest(instruments)
    counter = target.health.requests.metric if target.health.requests else ""
    scrape = f"curl -sS {target.absolute(target.health.metrics or '/metrics')} | grep '^{counter}'"
    driven = load_line(target, f"--users {plan.users} --duration {plan.duration_s:g}")
    return Evidence(summary, before, after, f"{scrape}\n{driven}\n{scrape}")


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """How far the counter's growth is from what was sent, in shares of what was sent."""
    if why := unusable(evidence.summary):
        return Finding.not_assessed(why)
    counted = evidence.after - evidence.before
    if counted < 0:
        return Finding.not_assessed(
            f"The counter went down by {show(-counted, 'count')}: the service was restarted, or each of its "
            "processes counts alone and every reading shows another one."
        )
    fewest, most = _arrived(evidence.summary)
    if not most:
        return Finding.not_assessed(
            "No request reached the service.", follows_from="endpoint_health.primary_route"
        )
    nearest = min(max(counted, fewest), most)
    off = abs(counted - nearest) / nearest if nearest else float(counted > 0)
    limit = Limit.at_most(thresholds.pass_off_ratio, thresholds.warn_off_ratio)
    unsure = f" ({fewest:,} to {most:,} reached it whole)" if fewest < most else ""
    return Finding.by_limit(
        off,
        "ratio",
        limit,
        f"The service counted {plural(round(counted), 'request')} where {most:,} were sent{unsure}: "
        f"{show(off, 'ratio')} off, limit {show(limit.pass_at, 'ratio')}.",
        fix="Count every reply of every process, in the outermost middleware, and the business route alone.",
        reproduce=evidence.reproduce,
    )


def _arrived(summary: LoadSummary) -> tuple[int, int]:
    """The fewest and the most requests that the service must have counted."""
    sent = summary.total_requests + summary.warmup_requests
    most = sent - sum(summary.failures.get(kind, 0) for kind in NEVER_ARRIVED)
    return max(0, most - sum(summary.failures.get(kind, 0) for kind in MAY_BE_COUNTED)), max(0, most)


async def _at_rest(instruments: Instruments) -> float:
    """The counter once two readings agree. Raises InstrumentFailure where it never rests."""
    end = time.monotonic() + REST_WITHIN_S
    last = await instruments.metrics.requests()
    while True:
        await asyncio.sleep(REST_S)
        now = await instruments.metrics.requests()
        if now == last:
            return now
        if time.monotonic() > end:
            raise InstrumentFailure(
                f"The counter still moves {show(REST_WITHIN_S, 's')} after our last request: others use the "
                "service, or `[health.requests]` counts the readings themselves. Select the business route "
                "with its labels.",
                missing="health.requests.labels",
            )
        last = now
