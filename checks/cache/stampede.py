"""Many who ask the same new question at once cost one upstream call.

Why it matters
    The moment a popular answer expires, or a link to it is shared, everybody misses at once. Without
    coalescing each of them pays the upstream: fifty times the cost and the load, at the worst moment.

How it is measured
    Single new questions show what one uncached answer costs at the upstream meter, which must stand still
    while nobody asks. Then one new question is asked fifty times at once, on connections that are open
    beforehand, twice over each declared route that answers; the meter is read when it has settled. The
    burst that cost most counts, in answers' worth of calls. It counts only where at least ten were asked
    before the first was answered, and where answers were kept afterwards.

    Your own service supplies the meter with a counter of its paid calls among its metrics, named in the
    target file: `[upstream] calls = { url = "/metrics", metric = "model_calls_total" }`. Without it this
    is not assessed, since answers look the same however often they were paid for.

How to fix it
    1. Keep calls under way by cache key, and let who asks for the same wait for that result.
    2. With several processes take a short lock beside the key in the cache (SET NX with a time to live
       longer than the upstream's time-out), and wait for the answer instead of asking.
    3. Do so on every route, the stream too: followers can read the tokens that are there already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from checks.cache._mix import NO_ROUTE, STILL_METER, Meter, answering_routes
from checks.cache._reproduce import meter_line
from checks.contract import (
    Burst,
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Route,
    Target,
    plural,
    show,
)

CHECK = Check(
    failure_title="The same question at once is paid for many times",
    kind=Kind.LOAD,
    does="Asks a new question fifty times at once, twice over each declared route.",
    measures="answers' worth of upstream calls for fifty who ask the same",
    needs=("questions", "bursts", "upstream", "target.upstream"),
    deadline_s=150,
    typical_s=5,
)
AT_ONCE = 50
BURSTS = 2
SINGLES = 2
TOGETHER = 10  # fewer that overlap would be no stampede
QUIET_S = 0.3  # in which a meter that others move shows itself
SETTLE_S, SETTLED_WITHIN_S = 0.2, 3.0


@dataclass(frozen=True)
class Thresholds:
    """One call is what coalescing means; up to three is one for each of a few processes."""

    pass_calls: float = 1.0
    warn_calls: float = 3.0


@dataclass(frozen=True, slots=True)
class Rush:
    """One burst: its route, what became of it, the calls it cost, and those of the same question later."""

    route: Route
    burst: Burst
    calls: float
    later_calls: float

    @property
    def together(self) -> int:
        """How many were asked before the first good answer came."""
        if not self.burst.good_ms:
            return 0
        if self.burst.sent_ms <= self.burst.good_ms[0]:
            return self.burst.asked
        return int(self.burst.asked * self.burst.good_ms[0] / self.burst.sent_ms)


@dataclass(frozen=True)
class Evidence:
    """``single_calls``: what one uncached answer cost over each route, in the order of ``rushes``' routes.

    ``idle_calls`` are those of the meter while nobody asked here.
    """

    rushes: tuple[Rush, ...]
    single_calls: dict[str, float]
    idle_calls: float
    meter_problem: str
    problem: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask different questions, then one in bursts, over each route; the meter is read around all of it."""
    routes = await answering_routes(target, instruments)
    meter = Meter(instruments)
    await meter.settled(SETTLE_S, SETTLED_WITHIN_S)
    await asyncio.sleep(QUIET_S)
    idle_calls = await meter.change()
    single: dict[str, float] = {}
    rushes: list[Rush] = []
    for route in routes:
        singles = instruments.prompts.fresh(SINGLES)
        await asyncio.gather(*(instruments.questions.ask(prompt, route=route) for prompt in singles))
        single[route] = await meter.settled(SETTLE_S, SETTLED_WITHIN_S) / SINGLES
        for _ in range(BURSTS):
            rushes.append(await _rush(instruments, meter, route))
            if len(rushes[-1].burst.good_ms) < TOGETHER:
                break  # more of it will not tell more
    problem = next((rush.burst.problem for rush in rushes if rush.burst.problem), "" if routes else NO_ROUTE)
    reproduce = _reproduce(target, instruments, routes[0]) if routes else ""
    return Evidence(tuple(rushes), single, idle_calls, meter.problem, problem, reproduce)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The dearest burst decides."""
    unmeasured = _unmeasured(evidence)
    if unmeasured:
        return unmeasured
    rush = max(evidence.rushes, key=lambda rush: _worth(rush, evidence))
    worth = _worth(rush, evidence)
    limit = Limit.at_most(thresholds.pass_calls, thresholds.warn_calls)
    if _unkept(evidence.rushes) and limit.outcome(worth) is not Outcome.FAIL:
        return Finding.not_assessed(
            "The answer was paid for again after the burst, so it was not kept, and those who came late say "
            "nothing.",
            follows_from="cache.hit_rate",
        )
    together = min(rush.together for rush in evidence.rushes)
    return Finding.by_limit(
        worth,
        "count",
        limit,
        f"{AT_ONCE} who asked the same new question over `[{rush.route}]` at once cost "
        f"{plural(round(rush.calls), 'upstream call')}, {show(round(worth, 2), 'count')} times that of one, "
        f"limit {show(limit.pass_at, 'count')}; at least {together} asked before the first was answered.",
        fix="Let who asks for what is being answered already wait for that answer.",
        reproduce=evidence.reproduce,
        follows_from="cache.hit_rate" if _unkept(evidence.rushes) else None,
    )


async def _rush(instruments: Instruments, meter: Meter, route: Route) -> Rush:
    [prompt] = instruments.prompts.fresh(1)
    burst = await instruments.bursts.at_once(prompt, AT_ONCE, route=route)
    calls = await meter.settled(SETTLE_S, SETTLED_WITHIN_S)
    await instruments.questions.ask(prompt, route=route)
    later = await meter.settled(SETTLE_S, SETTLED_WITHIN_S)
    instruments.say(f"{burst.asked} asked the same at once over [{route}]: {calls:g} upstream calls")
    return Rush(route, burst, calls, later)


def _worth(rush: Rush, evidence: Evidence) -> float:
    """Answers' worth of calls: one uncached answer may cost several."""
    return rush.calls / max(1.0, evidence.single_calls[rush.route])


def _unkept(rushes: Sequence[Rush]) -> bool:
    """Whether half of the answers or more were not kept; one of four may be lost on its way to the cache."""
    return 2 * sum(rush.later_calls > 0 for rush in rushes) >= len(rushes)


def _reproduce(target: Target, instruments: Instruments, route: Route) -> str:
    curl = instruments.questions.curl(instruments.prompts.fresh(1)[0], route=route)
    meter = meter_line(target)
    return f"{meter}\nfor i in $(seq {AT_ONCE}); do {curl} & done; wait\n{meter}"


def _unmeasured(evidence: Evidence) -> Finding | None:
    if evidence.meter_problem:
        return Finding.not_assessed(evidence.meter_problem, missing="upstream.calls")
    if evidence.idle_calls:
        return Finding.not_assessed(
            f"The upstream meter moved by {show(evidence.idle_calls, 'count')} while nothing was asked: "
            "others use the service, so calls cannot be counted. Assess where it has no other traffic."
        )
    few = next((rush for rush in evidence.rushes if len(rush.burst.good_ms) < TOGETHER), None)
    if few or not evidence.rushes:
        limited = few.burst.limited if few else 0
        refused = f" {limited} were refused by a rate limit (429)." if limited else ""
        good = len(few.burst.good_ms) if few else 0
        return Finding.not_assessed(
            f"Only {good} of {AT_ONCE} questions at once were answered.{refused} {evidence.problem}".strip(),
            follows_from=None if limited else "endpoint_health.primary_route",
        )
    if not all(evidence.single_calls.values()) or not all(rush.calls for rush in evidence.rushes):
        return Finding.not_assessed(STILL_METER, missing="upstream.calls")
    quick = next((rush for rush in evidence.rushes if rush.together < TOGETHER), None)
    if quick:
        return Finding.not_assessed(
            f"The first answer came after {show(quick.burst.good_ms[0], 'ms')}, when only "
            f"{quick.together} of {AT_ONCE} had been asked: too few at once for a stampede."
        )
    return None
