"""Answers stay right and in time while the cache is gone.

Why it matters
    A cache is there to save money and time. When it fails, the service should become slower and dearer,
    never wrong or silent: an outage of a helper must not be an outage of the product.

How it is measured
    Ten never-seen questions show how long an uncached answer takes. Then the cache is cut, once for each
    way that its lever has: refused connections, and silence, which only a socket time-out ends. Through
    each outage two users ask known and never-seen questions. Every answer must be good; the slowest may
    take twice the 95th percentile of the uncached ones, or one second more where that is longer. After
    each cut the service has ten seconds to answer again. Where Redis is declared, its command counter
    proves that the lever did cut it. Where `[health] liveness` is declared, it must stay green meanwhile:
    one that turns red has every instance restarted or taken out at the same time, though all can answer.

How to fix it
    1. Catch errors of the cache where it is called, and answer without it.
    2. Give its client a connect and a read time-out well below a second, and no retries.
    3. After a few errors stop asking it for some seconds (a circuit breaker), so that one slow call is
       paid once and not by every question.
    4. Let the health route report the cache as away and still answer 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from checks.cache._mix import NO_ROUTE
from checks.cache._outage import (
    RECOVERY_S,
    WAYS,
    CommandCount,
    Probe,
    Users,
    same_texts,
    still_connected,
    ways_of,
)
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Request,
    Target,
    percentile,
    plural,
    show,
)

CHECK = Check(
    failure_title="The service fails when its cache does",
    kind=Kind.FAULT,
    does="Cuts the cache in each way its lever has, asks two users' questions meanwhile, and restores it.",
    measures="for the slowest answer while the cache was cut",
    needs=("questions", "faults", "http", "redis?", "target.levers.cache"),
    deadline_s=180,
    typical_s=14,
)
COLD_QUESTIONS = 10
SAME_TEXTS = 3
HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Thresholds:
    """Twice the cold p95 is a service that got slower; the second on top is for what ten samples cannot tell.

    A p95 of ten answers is their slowest, which by chance may be near the middle; and one connect
    time-out of a second, paid by the first question after the cut, is a fallback that works.
    """

    max_slowdown: float = 2.0
    allowance_ms: float = 1000.0


@dataclass(frozen=True)
class Evidence:
    """Answers before and during the cuts, seconds until answers were good again (None: never).

    ``commands``: what Redis saw from its clients by way, "" before a cut; None where it was not read.
    ``health``: by way, "" for a green health route, else what it answered; empty where it was not read.
    """

    cold: tuple[Probe, ...]
    cut: tuple[Probe, ...]
    answered_again_s: dict[str, float | None]
    answer_deadline_s: float
    commands: dict[str, int | None]
    reproduce: str
    health: dict[str, str] = field(default_factory=dict)


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask uncut, then under each cut. The lever restores whatever happens here."""
    ways = ways_of(instruments)
    route = await instruments.questions.route()
    if route is None:
        return Evidence((), (), {}, 0.0, {}, "")
    users = Users(instruments, route, instruments.prompts.fresh(COLD_QUESTIONS))
    counter = CommandCount(instruments)
    await counter.change()
    cold = await users.ask_known()
    commands = {"": await counter.change()}
    if sum(probe.good for probe in cold) < COLD_QUESTIONS / 2:
        return Evidence(tuple(cold), (), {}, 0.0, commands, "")
    outage_s = instruments.profile.outage_s
    deadline_s = max(outage_s, 4 * max(probe.elapsed_ms for probe in cold) / 1000)
    cut: list[Probe] = []
    again: dict[str, float | None] = {}
    health = {"": await _health(target, instruments)}
    for way in ways:
        async with instruments.faults.broken("cache", way):
            instruments.say(f"The cache {WAYS[way]}; asking for {show(outage_s, 's')}")
            await counter.change()
            cut += await users.watch(way, outage_s, deadline_s)
            commands[way] = await counter.change()
            health[way] = await _health(target, instruments)
        again[way] = await users.answered_again_s(counter, used_cache=bool(commands[""]))
    curl = instruments.questions.curl(target.prompts.repeat[0], route=route)
    line = f"# with the cache cut ({' or '.join(ways)}):\nfor i in 1 2 3; do time {curl}; done"
    read = {way: said for way, said in health.items() if said is not None}
    return Evidence(tuple(cold), tuple(cut), again, deadline_s, commands, line, read)


async def _health(target: Target, instruments: Instruments) -> str | None:
    """What the declared health route answers, "" for a 2xx; None where it cannot be read."""
    if target.health.liveness is None:
        return None
    request = Request("GET", target.health.liveness, target.health.headers)
    try:
        reply = await instruments.http.send(request, timeout_s=HEALTH_TIMEOUT_S, fresh_connection=True)
    except InstrumentFailure:  # a witness beside the questions; where it may not be asked, they decide
        return None
    if reply.failure is not None:
        return reply.failure.detail[:200]
    return "" if 200 <= (reply.status or 0) < 300 else f"status {reply.status}"


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """One answer that is not good fails, naming way and time; else the slowest answer decides."""
    cold = [probe for probe in evidence.cold if probe.good]
    asked = [probe for probe in evidence.cut if probe.status != 429]
    if len(cold) < COLD_QUESTIONS / 2 or not asked:
        problem = next(
            (probe.problem for probe in (*evidence.cold, *evidence.cut) if not probe.good), NO_ROUTE
        )
        return Finding.not_assessed(
            f"Only {len(cold)} of {COLD_QUESTIONS} questions were answered before the cut. {problem}",
            follows_from="endpoint_health.primary_route",
        )
    wrong = _wrong(asked, evidence)
    if wrong:
        return Finding.failed(
            wrong,
            fix=FIX,
            reproduce=evidence.reproduce,
            follows_from="endpoint_health.primary_route" if len(cold) < len(evidence.cold) else None,
        )
    if _still_connected(asked, evidence):
        return Finding.not_assessed(
            f"The lever did not cut the cache: Redis saw {evidence.commands['refuse']} commands meanwhile. "
            "Point `[levers.cache]` at the connection that the service uses.",
            missing="levers.cache",
        )
    cold_ms = percentile([probe.elapsed_ms for probe in cold], 0.95)
    bound_ms = max(cold_ms * thresholds.max_slowdown, cold_ms + thresholds.allowance_ms)
    slowest_ms = max(probe.elapsed_ms for probe in asked)
    unused = " It made no call to the cache before the cut either." if evidence.commands.get("") == 0 else ""
    return Finding.by_limit(
        slowest_ms,
        "ms",
        Limit.at_most(bound_ms, max(evidence.answer_deadline_s * 1000, slowest_ms)),
        f"All {plural(len(asked), 'answer')} were good while the cache was cut, the slowest took "
        f"{show(slowest_ms, 'ms')}, limit {show(bound_ms, 'ms')}.{unused}",
        fix="Give the cache's client short time-outs and stop asking it for a while after an error.",
        reproduce=evidence.reproduce,
    )


def _wrong(asked: Sequence[Probe], evidence: Evidence) -> str:
    bad = [probe for probe in asked if not probe.good]
    if bad:
        first = bad[0]
        after = show(round(first.at_s, 1), "s")
        return (
            f"With a cache that {WAYS[first.way]}, the question asked {after} after the cut got "
            f"no good answer: {first.problem}. In all {len(bad)} of {plural(len(asked), 'question')} failed."
        )
    canned = same_texts(asked)
    if canned >= SAME_TEXTS and canned > len(asked) / 4 and same_texts(evidence.cold) < SAME_TEXTS:
        return f"While the cache was cut, {canned} different questions got one and the same answer."
    red = [way for way, said in evidence.health.items() if way and said]
    if red and evidence.health.get("") == "":
        return (
            f"With a cache that {WAYS[red[0]]}, the health route turns red ({evidence.health[red[0]]}) "
            "though questions are answered: every instance would be restarted or taken out at once."
        )
    stuck = [way for way, seconds in evidence.answered_again_s.items() if seconds is None]
    if stuck:
        return (
            f"{show(RECOVERY_S, 's')} after a cache that {WAYS[stuck[0]]} came back, no question is answered."
        )
    return ""


FIX = (
    "Catch errors of the cache and answer without it, the health route included; give its client short "
    "time-outs."
)


def _still_connected(asked: Sequence[Probe], evidence: Evidence) -> bool:
    refused = sum(probe.way == "refuse" for probe in asked)
    usual, meanwhile = evidence.commands.get(""), evidence.commands.get("refuse")
    return still_connected((usual, len(evidence.cold)), (meanwhile, refused))
