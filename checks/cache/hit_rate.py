"""Repeated questions are answered from the cache.

Why it matters
    A cache that is wired in but never called costs what no cache costs: each repeat pays the model again
    and waits for it again.

How it is measured
    A few users ask the declared repeat mix, every question eight times, so that a perfect cache answers
    87.5 % of it. Hits are counted at the upstream meter, in the replies' own marker and in Redis
    (`keyspace_hits`, `keyspace_misses` and any data command), each as a change during the measurement.
    Where they differ the meter decides, then the marker: a reply may say "cached" and have been paid for,
    and a Redis may serve rate limits and sessions as well. A node of a cluster or a replica sees only a part,
    so it is no witness that the cache was never called.

How to fix it
    1. Look the question up before the model is called, and store the answer after it.
    2. Key on the normalised text *and* on what the answer depends on: tenant, language, user context.
    3. Give each key a time to live.
    4. Mark the reply, as in `metadata.from_cache`.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.cache._mix import MIN_REPEATS, Mix, ask_mix, cannot_say
from checks.cache._reproduce import ask_twice, redis_cli
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    RedisCounters,
    Target,
    objective,
    plural,
    show,
    wilson_interval,
)

CHECK = Check(
    failure_title="Repeated questions miss the cache",
    kind=Kind.LOAD,
    does="Four users ask the repeat mix, each question eight times, up to 160 questions.",
    measures="of repeated questions came from the cache",
    needs=("questions", "redis?", "upstream?"),
    deadline_s=120,
    typical_s=4,
)
DISAGREE_RATIO = 0.1


@dataclass(frozen=True)
class Thresholds:
    """The team's own criterion is a hit rate above 70 %."""

    pass_hit_ratio: float = objective(0.7, "hit_ratio")
    warn_hit_ratio: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """Answers and meter, and Redis' counters around them; a problem says why there are none."""

    mix: Mix
    redis_before: RedisCounters | None
    redis_after: RedisCounters | None
    redis_problem: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask the repeat mix between two readings of every counter that the target declares."""
    route = await instruments.questions.route()
    before, problem = await _counters(instruments)
    mix = await ask_mix(instruments, route)
    after, problem_after = await _counters(instruments)
    line = ask_twice(instruments, instruments.prompts.repeats(1)[0], mix.route)
    if target.redis:
        stats = f'{redis_cli(target.redis.url)} info stats | grep -E "keyspace_(hits|misses)"'
        line = f"{stats}\n{line}\n{stats}"
    return Evidence(mix, before, after, problem or problem_after, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The meter decides, then the marker, then Redis; a Redis that saw no command settles it at once."""
    mix, before, after = evidence.mix, evidence.redis_before, evidence.redis_after
    silent = cannot_say(mix)
    if silent:
        return silent
    if before and after and _set_back(before, after):
        return Finding.not_assessed("Redis was restarted, or its counters reset, during the measurement.")
    fix = "Look the question up in the cache before the model is called, and store the answer after it."
    limit = Limit.at_least(thresholds.pass_hit_ratio, thresholds.warn_hit_ratio, high=1.0)
    if before and after and after.sees_all and after.data_commands == before.data_commands:
        return Finding.failed(
            f"The service never touched its cache. It answered {plural(mix.answered, 'question')}, "
            f"{mix.repeats_answered} of them repeats, and Redis saw no command from it.",
            value=0.0,
            unit="ratio",
            limit=limit,
            fix=fix,
            reproduce=evidence.reproduce,
        )
    counted = _hits_of_lookups(mix, before, after)
    if counted is None:
        return Finding.not_assessed(
            "Nothing shows whether an answer came from the cache: no marker, no upstream meter, no Redis. "
            f"{mix.meter_problem} {evidence.redis_problem}".strip(),
            missing="ask.cached",
        )
    witness, hits, lookups = counted
    interval = wilson_interval(hits, lookups)
    return Finding.by_limit(
        hits / lookups,
        "ratio",
        limit,
        f"{show(hits / lookups, 'ratio')} of {plural(round(lookups), 'answer')} came from the cache, counted "
        f"{witness}, limit {show(limit.pass_at, 'ratio')}.{_disagreement(mix)}"
        f"{limit.close_call(interval, 'ratio')}",
        interval=interval,
        fix=fix,
        reproduce=evidence.reproduce,
    )


async def _counters(instruments: Instruments) -> tuple[RedisCounters | None, str]:
    try:
        return await instruments.redis.counters(), ""
    except InstrumentFailure as failure:
        return None, failure.reason


def _set_back(before: RedisCounters, after: RedisCounters) -> bool:
    return before.run_id != after.run_id or any(
        getattr(after, name) < getattr(before, name)
        for name in ("keyspace_hits", "keyspace_misses", "data_commands")
    )


def _hits_of_lookups(
    mix: Mix, before: RedisCounters | None, after: RedisCounters | None
) -> tuple[str, float, float] | None:
    if mix.meter_hits is not None:
        return "at the upstream meter", mix.meter_hits, mix.answered
    if mix.marked >= MIN_REPEATS:
        return "in the replies' marker", mix.cached, mix.marked
    if before and after:
        hits = after.keyspace_hits - before.keyspace_hits
        lookups = hits + after.keyspace_misses - before.keyspace_misses
        return ("in Redis", hits, lookups) if lookups >= MIN_REPEATS else None
    return None


def _disagreement(mix: Mix) -> str:
    if mix.meter_hits is None or not mix.marked:
        return ""
    marked, paid_for = mix.cached / mix.marked, mix.meter_hits / mix.answered
    if abs(marked - paid_for) <= DISAGREE_RATIO:
        return ""
    return f" The replies' marker says {show(marked, 'ratio')}; the meter decides."
