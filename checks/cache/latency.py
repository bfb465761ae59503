"""The cache's server answers commands at once, also while others use it.

Why it matters
    Redis does one thing at a time. One slow script, `KEYS` or `SORT` makes everybody wait behind it, and who
    finds no connection left waits for a time-out. The average hides both.

How it is measured
    Rounds of 200 `GET`s on a warm connection, for a key that is not there; of each round the 99th percentile
    is taken, and the median of the rounds judged, so that a busy moment of this host is not the cache's.
    Between the rounds five questions are asked, each five times, and it is counted how many connections
    Redis rejected and which commands got into its slow log meanwhile with 10 ms or more. Times are as seen
    from here: run Greenlight where the service runs.

How to fix it
    1. Look at `SLOWLOG GET 10`: replace `KEYS` by `SCAN`, `SORT` and big `LRANGE` by smaller pages, long
       scripts by several short ones.
    2. Keep values small, and delete big ones with `UNLINK`.
    3. Rejected connections: share a pool, close what is not used, and raise `maxclients`.
    4. Put Redis in the same zone as the service, on a host that neither swaps nor shares its core.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from statistics import median
from time import monotonic

from checks.cache._questions import ask_declared
from checks.cache._reproduce import redis_cli
from checks.cache._rounds import ENOUGH_S, PAUSE_S, more_needed
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    RedisState,
    SlowCommand,
    SlowLog,
    Target,
    objective,
    percentile,
    plural,
    show,
)

CHECK = Check(
    failure_title="The cache's server keeps callers waiting",
    kind=Kind.ACTIVE,
    does="Sends 1,000 to 1,800 GETs that miss to the declared Redis, and asks five questions five times.",
    measures="for a GET on a warm connection (99th percentile)",
    needs=("redis", "target.redis", "questions?"),
    deadline_s=120,
    typical_s=2,
)
GETS = 200
QUESTIONS, AGAIN = 5, 4
SLOW_MS = 10.0  # the slow log's own default: as long as that, everybody else waits


@dataclass(frozen=True)
class Thresholds:
    """Redis' docs expect well below a millisecond within a zone; 10 ms is where its slow log begins."""

    pass_get_p99_ms: float = objective(1.0, "cache_get_p99_ms")
    warn_get_p99_ms: float = 10.0


@dataclass(frozen=True)
class Evidence:
    """The 99th percentile of each round, and what Redis counted meanwhile.

    ``slow`` are the commands of 10 ms or more that came into the slow log. ``slow_log_problem`` says why it
    shows none of them, "" where it would.
    """

    rounds_p99_ms: tuple[float, ...]
    before: RedisState
    after: RedisState
    answered: int
    slow: tuple[SlowCommand, ...]
    slow_log_problem: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, GET, ask, GET, read again."""
    before = await instruments.redis.state()
    logged, problem = await _slow_log(instruments)
    rounds = [await _round(instruments)]
    answered = await ask_declared(target, instruments, QUESTIONS, again=AGAIN)
    until = monotonic() + ENOUGH_S
    while monotonic() < until and more_needed(len(rounds), rounds):
        rounds.append(await _round(instruments))
    logged_after, problem_after = await _slow_log(instruments)
    after = await instruments.redis.state()
    cli = redis_cli(target.redis.url if target.redis else "")
    return Evidence(
        tuple(rounds),
        before,
        after,
        answered,
        slow=_new_slow(logged, logged_after),
        slow_log_problem=problem or problem_after,
        reproduce=f"{cli} slowlog get 10\n{cli} info stats | grep rejected\n{cli} --latency",
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A rejected connection fails; else the GETs decide, and a slow command leaves at most a warning."""
    before, after = evidence.before, evidence.after
    rejected = after.rejected - before.rejected
    if before.run_id != after.run_id or rejected < 0:
        return Finding.not_assessed("Redis was restarted, or its counters reset, during the measurement.")
    if rejected:
        return Finding.failed(
            f"Redis rejected {plural(rejected, 'connection')} during the measurement, limit 0: "
            "its `maxclients` are there already.",
            fix="Let the service share one pool and close what it does not use; then raise `maxclients`.",
            reproduce=evidence.reproduce,
        )
    p99_ms = median(evidence.rounds_p99_ms)
    limit = Limit.at_most(thresholds.pass_get_p99_ms, thresholds.warn_get_p99_ms)
    finding = Finding.by_limit(
        p99_ms,
        "ms",
        limit,
        f"A GET takes {show(p99_ms, 'ms')} (99th percentile, median of "
        f"{plural(len(evidence.rounds_p99_ms), 'round')}), limit {show(limit.pass_at, 'ms')}."
        f"{_slow(evidence)}",
        fix="Move Redis nearer to the service; look for slow commands, a busy host or one that swaps.",
        reproduce=evidence.reproduce,
        follows_from="cache.reachable",
    )
    if finding.outcome is Outcome.FAIL:
        return finding
    if evidence.slow_log_problem:
        return Finding.not_assessed(
            f"Whether commands are slow cannot be seen. {evidence.slow_log_problem} {finding.reason}"
        )
    if evidence.slow:
        return finding.but(
            outcome=Outcome.WARN,
            share=min(finding.share, 0.5),
            fix="Replace the commands that are slow: everybody waits behind them.",
            follows_from=None,
        )
    return finding


async def _round(instruments: Instruments) -> float:
    await asyncio.sleep(PAUSE_S)
    return percentile(await instruments.redis.get_ms(GETS), 0.99)


async def _slow_log(instruments: Instruments) -> tuple[SlowLog | None, str]:
    """The slow log, and why it would not show a command of SLOW_MS."""
    try:
        log = await instruments.redis.slow_log()
    except InstrumentFailure as failure:
        return None, failure.reason
    if log.from_ms is not None and not 0 <= log.from_ms <= SLOW_MS:
        return log, (
            "The slow log is off, or begins above 10 ms: `CONFIG SET slowlog-log-slower-than 10000` (in µs)."
        )
    return log, ""


def _new_slow(before: SlowLog | None, after: SlowLog | None) -> tuple[SlowCommand, ...]:
    if before is None or after is None:
        return ()
    last = max((command.number for command in before.commands), default=-1)
    return tuple(
        command for command in after.commands if command.number > last and command.took_ms >= SLOW_MS
    )


def _slow(evidence: Evidence) -> str:
    if not evidence.slow:
        return ""
    slowest_ms = max(command.took_ms for command in evidence.slow)
    names = Counter(command.command for command in evidence.slow)
    return (
        f" Yet {plural(len(evidence.slow), 'command')} held everybody up meanwhile, the slowest "
        f"{show(slowest_ms, 'ms')}: {', '.join(name for name, _ in names.most_common(3))}."
    )
