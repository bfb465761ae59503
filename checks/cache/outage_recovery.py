"""The cache is used again soon after an outage, without a restart.

Why it matters
    An outage of the cache ends, and its bill goes on where nobody notices: a client that gave up, a
    breaker that stays open, a pool of dead connections. Health says that all is well, and every question
    is paid for until somebody restarts the service.

How it is measured
    Never-seen questions asked twice show that repeats are hits: the upstream meter tells, else the marker
    of a reply. Then the cache is cut, once for each way that its lever has, while two users go on asking,
    and restored. From then on new questions are asked twice until a repeat is a hit again; where Redis is
    declared and was called before, it must be called again, since memory that stands in for it makes hits
    too. The server's processes must be the ones from before. The slowest way counts.

How to fix it
    1. Let the client connect anew: never keep a flag, or a client without reconnection, beyond an error.
    2. Bound the breaker's pause: seconds, not minutes, however often it failed before.
    3. Throw pooled connections away after a failure, and try the cache in the background.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from checks.cache._mix import NO_ROUTE
from checks.cache._outage import WAYS, CommandCount, Pair, Pairs, Users, still_connected, ways_of
from checks.contract import Check, Finding, Instruments, Kind, Limit, Target, objective, plural, show

CHECK = Check(
    failure_title="After an outage the cache stays unused",
    kind=Kind.FAULT,
    does="Cuts the cache in each way its lever has, restores it, and asks until repeats are hits again.",
    measures="until repeats came from the cache again",
    needs=("questions", "faults", "processes", "upstream?", "redis?", "target.levers.cache"),
    deadline_s=330,
    typical_s=9,
)
BEFORE = 5
NEEDED = 3  # hits among them, so that one failing question decides nothing
KNOWN = 4
WATCHED_OUTAGES = 24  # as long as this many outages of the profile: a minute in the quick one
LONGEST_WATCH_S = 120.0
TIMEOUT_S = 10.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True)
class Thresholds:
    """Half a minute is a breaker's pause; after two minutes somebody has been called."""

    pass_recovery_s: float = objective(30.0, "recovery_s")
    warn_recovery_s: float = 120.0


@dataclass(frozen=True)
class Evidence:
    """Pairs before any cut, and per way the seconds until a hit, None where none came in ``watched_s``.

    ``last`` is the last pair that was asked after a cut, None where nothing was cut. ``commands`` and
    ``asked`` are those of the refusing cut; ``roots`` are the server's topmost processes, empty where they
    cannot be seen.
    """

    before: tuple[Pair, ...]
    recovered_s: dict[str, float | None]
    last: Pair | None
    watched_s: float
    commands: int | None
    asked: int
    roots_before: tuple[int, ...]
    roots_after: tuple[int, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask pairs, cut and restore, ask pairs until one is a hit. The lever restores whatever happens here."""
    ways = ways_of(instruments)
    watched_s = min(LONGEST_WATCH_S, WATCHED_OUTAGES * instruments.profile.outage_s)
    route = await instruments.questions.route()
    roots = _roots(target, instruments)
    if route is None:
        return Evidence((), {}, None, watched_s, None, 0, roots, roots, "")
    pairs = Pairs(instruments, route)
    before = tuple([await pairs.ask(TIMEOUT_S) for _ in range(BEFORE)])
    users = Users(instruments, route, instruments.prompts.fresh(KNOWN))
    recovered: dict[str, float | None] = {}
    last, commands, asked = None, None, 0
    counter, used = CommandCount(instruments), _uses_redis(before)
    for way in ways if _hits(before) >= NEEDED else ():
        async with instruments.faults.broken("cache", way):
            instruments.say(f"The cache {WAYS[way]}")
            await counter.change()
            probes = await users.watch(way, instruments.profile.outage_s / 2, TIMEOUT_S)
            if way == "refuse":
                commands, asked = await counter.change(), len(probes)
        recovered[way], last = await _hit_again_s(instruments, pairs, watched_s, used)
        if recovered[way] is None:
            break
    curl = instruments.questions.curl(target.prompts.repeat[0], route=route)
    line = f"# cut the cache ({' or '.join(ways)}), restore it, then:\nfor i in 1 2; do time {curl}; done"
    after = _roots(target, instruments)
    return Evidence(before, recovered, last, watched_s, commands, asked, roots, after, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """No hit fails, as does one that took a restart; else the slowest recovery decides."""
    unmeasured = _unmeasured(evidence)
    if unmeasured:
        return unmeasured
    restarted = bool(evidence.roots_before) and not set(evidence.roots_before) & set(evidence.roots_after)
    stuck = [way for way, seconds in evidence.recovered_s.items() if seconds is None]
    fix = "Connect anew after an error, and bound the pause before the cache is tried again to seconds."
    if stuck or restarted:
        return Finding.failed(
            f"{show(evidence.watched_s, 's')} after a cache that {WAYS[stuck[0]]} came back, it is still "
            f"not used: {_unused(evidence)}."
            if stuck
            else f"Process {evidence.roots_before[0]} ended meanwhile: the cache came back with a restart.",
            fix=fix,
            reproduce=evidence.reproduce,
        )
    way, slowest_s = max(evidence.recovered_s.items(), key=lambda pair: pair[1] or 0.0)
    limit = Limit.at_most(thresholds.pass_recovery_s, thresholds.warn_recovery_s)
    return Finding.by_limit(
        slowest_s or 0.0,
        "s",
        limit,
        f"Repeats came from the cache again {show(slowest_s or 0.0, 's')} after a cache that {WAYS[way]} "
        f"came back, limit {show(limit.pass_at, 's')}.",
        fix=fix,
        reproduce=evidence.reproduce,
    )


async def _hit_again_s(
    instruments: Instruments, pairs: Pairs, watched_s: float, uses_redis: bool
) -> tuple[float | None, Pair]:
    """Seconds until a repeat is a hit, None where none is within ``watched_s``, and the last pair."""
    started = monotonic()
    while True:
        pair = await pairs.ask(TIMEOUT_S)
        waited_s = monotonic() - started
        if pair.hit(uses_redis=uses_redis):
            return waited_s, pair
        if waited_s >= watched_s:
            return None, pair
        instruments.say(f"{show(round(waited_s), 's')} after the outage the cache is not used yet")
        await asyncio.sleep(min(max(waited_s / 10, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))


def _roots(target: Target, instruments: Instruments) -> tuple[int, ...]:
    return tuple(sorted({fact.root_pid for fact in instruments.processes.listening(target.port)}))


def _uses_redis(pairs: tuple[Pair, ...]) -> bool:
    """Whether Redis saw commands with every pair: one that it does not see says nothing about it."""
    good = [pair for pair in pairs if pair.good]
    return bool(good) and all(pair.commands for pair in good)


def _hits(pairs: tuple[Pair, ...]) -> int:
    return sum(pair.hit(uses_redis=False) for pair in pairs)


def _unused(evidence: Evidence) -> str:
    """What the last pair shows, in words."""
    last = evidence.last
    if last is None or not last.good:
        return f"questions get no good answer: {last.problem if last else ''}"
    if last.hit(uses_redis=False):
        return "repeats are hits of something else, Redis sees no command"
    return "repeats are paid for again" if last.free is False else "no repeat is marked as a hit"


def _unmeasured(evidence: Evidence) -> Finding | None:
    good = [pair for pair in evidence.before if pair.good]
    if len(good) < NEEDED:
        problem = next((pair.problem for pair in evidence.before if pair.problem), NO_ROUTE)
        return Finding.not_assessed(
            f"Only {len(good)} of {BEFORE} questions were answered twice before the cut. {problem}",
            follows_from="endpoint_health.primary_route",
        )
    if not any(pair.tells for pair in good):
        return Finding.not_assessed(
            "Nothing tells a hit from a miss. Add `[ask] cached` or `[upstream] calls` to the target file.",
            missing="ask.cached",
        )
    hits = _hits(evidence.before)
    if hits < NEEDED:
        return Finding.not_assessed(
            f"Only {hits} of {plural(len(good), 'repeat')} were hits before the cut, so none can come back.",
            follows_from="cache.hit_rate",
        )
    return _not_cut(evidence, good)


def _not_cut(evidence: Evidence, good: list[Pair]) -> Finding | None:
    """The finding where Redis shows that what was cut is not what answers repeats."""
    if all(pair.commands == 0 for pair in good):
        return Finding.not_assessed(
            "Redis saw no command before the cut, so what answers repeats is not the cache that is cut. "
            "Point `[redis] url` and `[levers.cache]` at the one that the service uses.",
            missing="redis.url",
        )
    usual = sum(pair.commands or 0 for pair in evidence.before)
    if still_connected((usual, len(evidence.before)), (evidence.commands, evidence.asked)):
        return Finding.not_assessed(
            f"The lever did not cut the cache: Redis saw {evidence.commands} commands meanwhile. Point "
            "`[levers.cache]` at the connection that the service uses.",
            missing="levers.cache",
        )
    return None
