"""The service tells its traffic, errors, latency, saturation and cache hits, and they move with what it does.

Why it matters
    These five are what an alert, a dashboard and a person at night look at first. A counter that is never
    counted up, a status that always says 200, or a histogram whose last bucket ends below the usual answer
    look fine on a page of metrics and show nothing when it counts.

How it is measured
    The service's own metrics page is read, then never-seen questions are asked, three at a time, and some of
    them again, and two requests that it should refuse (a path that does not exist, a body that is cut off);
    the page is read amid the questions and afterwards. Metrics are recognised by the words of their names,
    their type and their labels. Traffic must rise by what was asked, refusals must be told from answers, a
    histogram of durations must see them within its buckets and agree with how long they took, what is in
    flight, or the fill of a queue or pool, must move while questions are under way, hits and misses must
    both rise. What the process uses of processor and memory does not say how full the service is.
    A server error cannot be caused without harm: errors are judged by the refusals, by the labels that tell
    a status, and by counters of errors that are announced; cache hits, too, where there were none.

How to fix it
    1. Count requests with a label for the status, and time them in a histogram whose buckets reach above the
       slowest answer that you would still wait for.
    2. Add a gauge of requests in flight (and of each pool or queue that can be full).
    3. Count cache hits and misses, both.
    4. Do it in one middleware, so that no route and no error is left out.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Request,
    Scrape,
    Target,
    curl_line,
    plural,
    show,
)
from checks.monitoring._asking import questions_asked, refused
from checks.monitoring._motion import Motion, Timing, motions, of_samples, started, timings
from checks.monitoring._page import Page, page_of, unread
from checks.monitoring._subjects import Subject
from checks.monitoring._told import SIGNALS, Asked, Told, told

CHECK = Check(
    failure_title="What the service does cannot be seen in its metrics",
    kind=Kind.ACTIVE,
    does="Reads the metrics page before, amid and after questions and two requests that must be refused.",
    measures="of traffic, errors, latency, saturation and cache move with what the service does",
    needs=("metrics", "questions", "http", "target.health.metrics"),
    deadline_s=150,
    typical_s=4,
)
LATE_S = 2.0  # counters that are gathered in the background
POLL_S = 0.3


@dataclass(frozen=True)
class Thresholds:
    """Of the five signals, as the catalogue has them."""

    pass_signals: float = 5
    warn_signals: float = 3


@dataclass(frozen=True)
class Evidence:
    """What was asked, and what the page showed of it.

    ``gauges`` are those of what is in flight or full, in calm and amid questions; ``starts`` are when the
    processes behind the page say that they began.
    """

    url: str
    before: Page
    after: Page
    asked: Asked
    motions: tuple[Motion, ...]
    timings: tuple[Timing, ...]
    gauges: dict[str, tuple[float, float]]
    starts: tuple[float, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, ask and be refused, read again."""
    route = await instruments.questions.route()
    before = await instruments.metrics.scrape()
    amid, after, asked = before, before, Asked()
    if route is not None and not _useless(before):
        amid, asked = await questions_asked(instruments, route)
        asked = dataclasses.replace(asked, refused=await refused(target, instruments, route))
        after = await _afterwards(instruments, before, asked)
    starts = [started(each) for each in (before, amid, after)]
    if len({*starts}) > 1:
        starts += [started(await instruments.metrics.scrape()) for _ in range(4)]
    calm, busy = (of_samples(each, Subject.IN_FLIGHT, Subject.FULLNESS) for each in (before, amid))
    request = Request("GET", target.health.metrics or "/metrics", target.health.headers)
    return Evidence(
        url=target.absolute(request.url),
        before=page_of(before),
        after=page_of(after),
        asked=asked,
        motions=motions(before, after),
        timings=timings(before, after),
        gauges={name: (calm.get(name, 0.0), value) for name, value in busy.items()},
        starts=tuple(each for each in starts if each is not None),
        reproduce=f"# before and after a question:\n{curl_line(target, request)} | grep -v '^#'",
    )


def _useless(scrape: Scrape) -> bool:
    return scrape.failure is not None or scrape.status != 200 or bool(scrape.parse_error)


async def _afterwards(instruments: Instruments, before: Scrape, asked: Asked) -> Scrape:
    after = await instruments.metrics.scrape()
    end = monotonic() + LATE_S
    while monotonic() < end and not told(motions(before, after), (), {}, asked)["traffic"].moves:
        await asyncio.sleep(POLL_S)
        after = await instruments.metrics.scrape()
    return after


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Counts the signals that move; each that does not is named with what was seen of it."""
    unsaid = _no_basis(evidence)
    if unsaid:
        return unsaid
    signals = told(evidence.motions, evidence.timings, evidence.gauges, evidence.asked)
    moving = [name for name in SIGNALS if signals[name].moves]
    still = [name for name in SIGNALS if not signals[name].moves]
    remarks = " ".join(signals[name].remark for name in SIGNALS if signals[name].remark)
    words = " ".join(f"{name.capitalize()}: {signals[name].seen}" for name in still)
    return Finding.by_limit(
        len(moving),
        "count",
        Limit.at_least(thresholds.pass_signals, thresholds.warn_signals, high=len(SIGNALS)),
        f"{len(moving)} of {len(SIGNALS)} signals move ({', '.join(moving) or 'none'}), limit "
        f"{show(thresholds.pass_signals, 'count')}.{' ' + words if words else ''}"
        f"{' ' + remarks if remarks else ''}",
        fix=_fix(signals, still),
        reproduce=evidence.reproduce,
    )


def _no_basis(evidence: Evidence) -> Finding | None:
    no_basis = unread(
        evidence.before,
        evidence.after,
        evidence.url,
        fix="Serve metrics in Prometheus text or OpenMetrics with a client library.",
        reproduce=evidence.reproduce,
        follows_from="monitoring.metrics_exposed",
    )
    if no_basis:
        return no_basis
    asked = evidence.asked
    if not asked.good:
        limited = f" {asked.limited} were rate limited (429)." if asked.limited else ""
        return Finding.not_assessed(
            f"No question was answered, so nothing could move.{limited}",
            follows_from="endpoint_health.primary_route",
        )
    processes = len({*evidence.starts})
    if processes > 1:
        return Finding.not_assessed(
            f"{evidence.url} was answered by {plural(processes, 'process', 'processes')} in turn, or the "
            "service restarted: what each counts is not what was asked. Declare the metrics route of one "
            "instance; several workers behind one port need the client library's multi-process mode.",
            missing="health.metrics",
        )
    fell = [each.name for each in evidence.motions if each.fell]
    if fell and not evidence.starts:
        return Finding.not_assessed(
            f"The counter {fell[0]} fell meanwhile: several processes answer in turn, or the service "
            "restarted. Declare the metrics route of one instance.",
            missing="health.metrics",
        )
    return None


def _fix(signals: dict[str, Told], still: Sequence[str]) -> str:
    return " ".join(signals[name].fix for name in still)
