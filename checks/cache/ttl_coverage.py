"""Answers in the cache have an end.

Why it matters
    An answer without a time to live is given for ever, also after the prices or the policy that it tells have
    changed, and it takes memory that nobody frees. Often it is one path alone that forgets it.

How it is measured
    Twenty never-seen questions are asked by each declared route. Before and after, keys of the declared
    database and prefix are listed with `SCAN` (never `KEYS`): all of them up to 20,000, else a sample of at
    least 500 within two seconds. The share that carries a time to live is judged, of all of them and of those
    that each route has left; the lowest decides, so that many old answers with an end do not hide a
    path that writes none.

How to fix it
    1. Write with an end: `SET key value EX 900`; `HSET` and `SADD` need an `EXPIRE` in the same transaction.
    2. Look for a second path that writes: streams, retries, warm-up jobs, `SET ... KEEPTTL`, `PERSIST`, and a
       plain `SET` over a key that had an end.
    3. Choose the time by how long an answer stays right.
    4. Mend old keys once: `SCAN` them and `EXPIRE` each that has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from checks.cache._questions import ROUTES, ask_new
from checks.cache._reproduce import redis_cli
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    KeySample,
    Kind,
    Limit,
    RedisCounters,
    Target,
    plural,
    show,
    wilson_interval,
)

CHECK = Check(
    failure_title="Cached answers never expire",
    kind=Kind.ACTIVE,
    does="Asks twenty new questions by each declared route and lists up to 20,000 keys with SCAN and TTL.",
    measures="of the cache's keys have a time to live",
    needs=("redis", "target.redis", "questions?"),
    deadline_s=120,
    typical_s=4,
)
QUESTIONS = 20  # so that one key of another kind, such as a counter, does not decide
SETTLE_S = 0.2  # some services store an answer after it was given
MIN_NEW = 5  # fewer new keys say nothing of a route


@dataclass(frozen=True)
class Thresholds:
    """Redis' docs want every key of a cache to expire; 5 % leave room for indexes and counters."""

    pass_ttl_ratio: float = 0.95
    warn_ttl_ratio: float = 0.8


@dataclass(frozen=True)
class Keys:
    """Keys that were looked at, and how many of them carry a time to live.

    ``left_by`` is the route whose questions they came with, "" for all keys.
    """

    left_by: str
    number: int
    expiring: int


@dataclass(frozen=True)
class Evidence:
    """All keys that were listed, and those that each route left. ``complete``: there are no others.

    ``untouched``: questions were answered, and Redis saw no command from anybody meanwhile.
    """

    every: Keys
    left: tuple[Keys, ...]
    complete: bool
    answered: int
    untouched: bool
    prefix: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """List keys before and after the questions of each route."""
    sample = await instruments.redis.keys()
    answered, left, touched = 0, [], False
    for route in ROUTES:
        if getattr(target, route) is None:
            continue
        before = await _counters(instruments)
        answered += await ask_new(instruments, route, QUESTIONS)
        await asyncio.sleep(SETTLE_S)
        touched |= _touched(before, await _counters(instruments))
        later = await instruments.redis.keys()
        if sample.complete and later.complete:
            left.append(_keys(later, route, known=sample))
        sample = later
        instruments.say(f"{plural(len(sample.seconds), 'key')} looked at")
    prefix = target.redis.key_prefix if target.redis else ""
    cli = redis_cli(target.redis.url if target.redis else "")
    ttl_each = f'while read -r key; do {cli} ttl "$key"; done'
    return Evidence(
        every=_keys(sample, ""),
        left=tuple(left),
        complete=sample.complete,
        answered=answered,
        untouched=bool(answered) and not touched,
        prefix=prefix,
        reproduce=f'{cli} --scan --pattern "{prefix}*" | head -500 | {ttl_each} | sort -n | uniq -c',
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The group of keys with the lowest share decides."""
    if evidence.untouched:
        return Finding.not_assessed(
            f"{plural(evidence.answered, 'new question')} were answered and Redis saw no command, so they "
            "left no key to look at.",
            follows_from="cache.hit_rate",
        )
    every = evidence.every
    if not every.number:
        where = f"beginning with `{evidence.prefix}`" if evidence.prefix else "in the declared database"
        return Finding.not_assessed(
            f"There is no key {where}. Check database and `key_prefix` of `[redis]`.",
            missing="redis.key_prefix",
            follows_from="cache.hit_rate" if evidence.answered else None,
        )
    groups = [every, *(keys for keys in evidence.left if keys.number >= MIN_NEW)]
    worst = min(groups, key=_share)
    limit = Limit.at_least(thresholds.pass_ttl_ratio, thresholds.warn_ttl_ratio, high=1.0)
    drawn = worst is every and not evidence.complete
    interval = wilson_interval(every.expiring, every.number) if drawn else None
    return Finding.by_limit(
        _share(worst),
        "ratio",
        limit,
        f"{' '.join(_words(worst, evidence))}, limit {show(limit.pass_at, 'ratio')}."
        f"{limit.close_call(interval, 'ratio') if interval else ''}",
        interval=interval,
        fix="Store each answer with an end, as in `SET key value EX 900`, on every path that writes.",
        reproduce=evidence.reproduce,
    )


async def _counters(instruments: Instruments) -> RedisCounters | None:
    try:
        return await instruments.redis.counters()
    except InstrumentFailure:
        return None  # an optional witness; keys can be listed without it


def _touched(before: RedisCounters | None, after: RedisCounters | None) -> bool:
    if before is None or after is None or not after.sees_all:
        return True
    return before.run_id != after.run_id or before.data_commands != after.data_commands


def _keys(sample: KeySample, left_by: str, known: KeySample | None = None) -> Keys:
    old = known.seconds if known else {}
    new = [seconds for key, seconds in sample.seconds.items() if key not in old]
    return Keys(left_by, len(new), sum(seconds is not None for seconds in new))


def _share(keys: Keys) -> float:
    return keys.expiring / keys.number


def _words(worst: Keys, evidence: Evidence) -> Iterator[str]:
    every = evidence.every
    yield f"{show(_share(worst), 'ratio')} of {plural(worst.number, 'key')}"
    if worst.left_by:
        route = "streamed answers" if worst.left_by == "stream" else "whole answers"
        all_keys = f"{show(_share(every), 'ratio')} of all {every.number:,}"
        yield f"that {route} left have a time to live ({all_keys})"
        return
    yield "that were sampled" if not evidence.complete else "in the cache"
    yield "have a time to live"
