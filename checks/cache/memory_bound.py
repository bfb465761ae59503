"""The cache's memory is bounded, and what must go when it is full are old answers.

Why it matters
    A cache without a limit grows until its host kills it, or something else. One that may evict nothing
    refuses every new answer once it is full, and from then on each new question is paid again and again. One
    that is nearly full throws answers away before they are asked for again.

How it is measured
    `INFO` of the declared Redis is read before and after a few new questions: `maxmemory` and its policy,
    the memory that counts against it, and how many keys were evicted for each command that stored one. It is
    a window of the check's own, because counters since the server's start tell of other days. Under a
    `volatile-*` policy only keys with a time to live can go, so their share among the declared prefix's keys
    is looked at, too. A limit above the memory of the host is none.

How to fix it
    1. `CONFIG SET maxmemory 512mb` (and in `redis.conf`): what the host can spare, less a quarter for
       fragmentation and copies.
    2. `CONFIG SET maxmemory-policy allkeys-lru`, or `allkeys-lfu` where a few questions make most of it.
    3. Where sessions or queues live in it as well, give the cache a Redis of its own, or use `volatile-lru`
       and a time to live on every answer.
    4. Nearly full: store less (shorter times to live, no second copies) or give it more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from checks.cache._questions import ask_declared
from checks.cache._reproduce import redis_cli
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    RedisState,
    Target,
    plural,
    show,
)

CHECK = Check(
    failure_title="The cache's memory is unbounded, full, or may not be freed",
    kind=Kind.ACTIVE,
    does="Asks ten new questions, each twice, between two readings of INFO; may SCAN up to 20,000 keys.",
    measures="of the cache's memory limit is used",
    needs=("redis", "target.redis", "questions?"),
    deadline_s=120,
    typical_s=1,
)
QUESTIONS = 10
WORST = (Outcome.FAIL, Outcome.WARN, Outcome.PASS)


@dataclass(frozen=True)
class Thresholds:
    """awesome-prometheus-alerts warns of a Redis above 90 % of its memory; below 80 % there is time to act.

    An eviction for a hundred stored answers shows a cache that has just become too small. Under `volatile-*`
    as many keys must be evictable as `cache.ttl_coverage` wants.
    """

    pass_used_ratio: float = 0.8
    warn_used_ratio: float = 0.9
    pass_evicted_ratio: float = 0.0
    warn_evicted_ratio: float = 0.01
    pass_evictable_ratio: float = 0.95
    warn_evictable_ratio: float = 0.8


@dataclass(frozen=True)
class Evidence:
    """Two readings, the questions answered between them, and under `volatile-*` the keys that were looked at.

    ``expiring`` of ``sampled`` keys have a time to live; ``keys_problem`` says why none could be looked at.
    """

    before: RedisState
    after: RedisState
    answered: int
    sampled: int
    expiring: int
    keys_problem: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, ask, read again; look at keys where the policy depends on them."""
    before = await instruments.redis.state()
    answered = await ask_declared(target, instruments, QUESTIONS, again=1)
    after = await instruments.redis.state()
    sampled, expiring, problem = 0, 0, ""
    if after.policy.startswith("volatile-"):
        try:
            seconds = (await instruments.redis.keys()).seconds.values()
            sampled, expiring = len(seconds), sum(value is not None for value in seconds)
        except InstrumentFailure as failure:
            problem = failure.reason
    cli = redis_cli(target.redis.url if target.redis else "")
    line = f'{cli} info | grep -E "^(maxmemory|used_memory|evicted_keys)"'
    return Evidence(before, after, answered, sampled, expiring, problem, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A limit that is none, or a policy that frees nothing, fails; else the worst of the measures decides."""
    before, after = evidence.before, evidence.after
    if before.run_id != after.run_id or after.evicted < before.evicted or after.sets < before.sets:
        return Finding.not_assessed("Redis was restarted, or its counters reset, during the measurement.")
    if after.replica:
        return Finding.not_assessed(
            "The declared Redis is a replica, and its primary decides what is evicted. "
            "Give the primary's address in `[redis] url`.",
            missing="redis.url",
        )
    useless = _useless(after)
    if useless:
        return Finding.failed(useless[0], fix=useless[1], reproduce=evidence.reproduce)
    measures = list(_measures(evidence, thresholds))
    unknown = next((finding for finding in measures if not finding.outcome.measured), None)
    worst = min(
        (finding for finding in measures if finding.outcome.measured),
        key=lambda finding: (WORST.index(finding.outcome), finding.share),
    )
    if unknown and worst.outcome is Outcome.PASS:
        return unknown
    return worst


def _useless(state: RedisState) -> tuple[str, str] | None:
    """Why the limit or its policy is of no use, and what to do; None where they are of some."""
    used, most, host = (show(size, "bytes") for size in (state.used_bytes, state.max_bytes, state.host_bytes))
    set_limit = "`CONFIG SET maxmemory 512mb`, or what the host can spare, and the same in redis.conf."
    set_policy = "`CONFIG SET maxmemory-policy allkeys-lru`, and the same in redis.conf."
    if not state.max_bytes:
        return f"The cache may grow without a limit: maxmemory is 0, {used} are used.", set_limit
    if 0 < state.host_bytes < state.max_bytes:
        return f"The limit is none: maxmemory is {most}, the whole host has {host}.", set_limit
    if state.policy == "noeviction":
        return f"Once {most} are used, new answers are refused: the policy is noeviction.", set_policy
    return None


def _measures(evidence: Evidence, thresholds: Thresholds) -> Iterator[Finding]:
    after = evidence.after
    used = after.used_bytes / after.max_bytes
    limit = Limit.at_most(thresholds.pass_used_ratio, thresholds.warn_used_ratio)
    evicted, evictions = _evicted(evidence)
    yield Finding.by_limit(
        used,
        "ratio",
        limit,
        f"{show(used, 'ratio')} of {show(after.max_bytes, 'bytes')} are used, limit "
        f"{show(limit.pass_at, 'ratio')}; policy {after.policy}; {evictions}.",
        fix="Give the cache more memory, or store less: shorter times to live, smaller values.",
        reproduce=evidence.reproduce,
    )
    yield Finding.by_limit(
        evicted,
        "ratio",
        Limit.at_most(thresholds.pass_evicted_ratio, thresholds.warn_evicted_ratio),
        f"The cache is too small: while {plural(evidence.answered, 'question')} were answered, {evictions}; "
        f"{show(used, 'ratio')} of {show(after.max_bytes, 'bytes')} are used.",
        fix="Give the cache more memory, or store less: shorter times to live, smaller values.",
        reproduce=evidence.reproduce,
    )
    if after.policy.startswith("volatile-"):
        yield _evictable(evidence, thresholds)
    elif not after.policy.startswith("allkeys-"):
        yield Finding.not_assessed(
            f"Redis names a policy that Greenlight does not know: {after.policy or 'none'}."
        )


def _evicted(evidence: Evidence) -> tuple[float, str]:
    """Keys evicted for each that was stored, at most 1, and the same in words."""
    evicted = evidence.after.evicted - evidence.before.evicted
    stored = evidence.after.sets - evidence.before.sets
    return min(1.0, evicted / max(1, stored)), (
        f"{plural(evicted, 'key was', 'keys were')} evicted and {stored} stored meanwhile"
    )


def _evictable(evidence: Evidence, thresholds: Thresholds) -> Finding:
    policy = evidence.after.policy
    if not evidence.sampled:
        return Finding.not_assessed(
            f"Under {policy} only keys with a time to live can go, and no key could be looked at. "
            f"{evidence.keys_problem}".strip(),
            follows_from=None if evidence.keys_problem else "cache.hit_rate",
        )
    share = evidence.expiring / evidence.sampled
    return Finding.by_limit(
        share,
        "ratio",
        Limit.at_least(thresholds.pass_evictable_ratio, thresholds.warn_evictable_ratio, high=1.0),
        f"Full, the cache could free too little: under {policy} only keys with a time to live can go, and "
        f"{show(share, 'ratio')} of {plural(evidence.sampled, 'key')} have one.",
        fix="`CONFIG SET maxmemory-policy allkeys-lru`, or give each answer a time to live.",
        reproduce=evidence.reproduce,
        follows_from="cache.ttl_coverage",
    )
