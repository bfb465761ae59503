"""The cache's server answers quickly.

Why it matters
    Every question waits for the cache first, hit or miss. A Redis that is slow or gone makes the whole
    service slow, or stops it where nobody wrote a fallback.

How it is measured
    Five rounds of 20 PINGs, each on a connection of its own, so that connecting and signing in are tried as
    often; up to nine rounds where they disagree, fewer where a round takes long. The 95th percentile of each
    round is taken and the median of the rounds judged, so that a moment in which a host was busy is not the
    cache's. A Redis that cannot be reached, or refuses the credentials, fails.

How to fix it
    1. Start Redis, and check host, port and password of the service's configuration.
    2. Put it in the same zone as the service, with nothing slow in between.
    3. Look at `redis-cli --latency`, at slow commands (`SLOWLOG GET`) and at a host that swaps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic

from checks.cache._reproduce import redis_cli
from checks.cache._rounds import ENOUGH_S, PAUSE_S, more_needed
from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Target,
    objective,
    percentile,
    plural,
    show,
)

CHECK = Check(
    failure_title="The cache's server is slow or does not answer",
    kind=Kind.PASSIVE,
    does="Sends 100 to 180 PINGs to the declared Redis.",
    measures="to answer a PING (95th percentile)",
    needs=("redis", "target.redis"),
    deadline_s=15,
    typical_s=1,
)
PINGS = 20


@dataclass(frozen=True)
class Thresholds:
    """A PING crosses the network once: 1 ms within a host, up to 5 ms between zones of a region."""

    pass_p95_ms: float = objective(5.0, "cache_ping_p95_ms")
    warn_p95_ms: float = 50.0


@dataclass(frozen=True)
class Evidence:
    """Round trips by round, and why there are not more of them."""

    rounds_ms: tuple[tuple[float, ...], ...]
    failure: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """PING the declared Redis. Raises InstrumentFailure where the target file lacks something."""
    line = f"{redis_cli(target.redis.url)} ping" if target.redis else ""
    rounds_ms: list[tuple[float, ...]] = []
    until = monotonic() + ENOUGH_S
    try:
        while not rounds_ms or (monotonic() < until and more_needed(len(rounds_ms), _p95s_ms(rounds_ms))):
            rounds_ms.append(tuple(await instruments.redis.ping_ms(PINGS)))
            await asyncio.sleep(PAUSE_S)
    except InstrumentFailure as failure:
        if failure.missing:
            raise
        return Evidence(tuple(rounds_ms), failure.reason, line)
    return Evidence(tuple(rounds_ms), "", line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Unreachable fails; else the median of the rounds' 95th percentiles decides."""
    p95s_ms = _p95s_ms(evidence.rounds_ms)
    if evidence.failure or not p95s_ms:
        return Finding.failed(
            f"The cache cannot be used: {evidence.failure or 'it answered no PING.'}",
            fix="Start Redis, and correct the address or the password that the service and the target use.",
            reproduce=evidence.reproduce,
        )
    p95_ms = median(p95s_ms)
    limit = Limit.at_most(thresholds.pass_p95_ms, thresholds.warn_p95_ms)
    return Finding.by_limit(
        p95_ms,
        "ms",
        limit,
        f"A PING takes {show(p95_ms, 'ms')} (95th percentile, median of {plural(len(p95s_ms), 'round')}), "
        f"limit {show(limit.pass_at, 'ms')}.",
        fix="Move Redis nearer to the service; look for slow commands, a busy host or slow name resolution.",
        reproduce=evidence.reproduce,
    )


def _p95s_ms(rounds_ms: Sequence[Sequence[float]]) -> list[float]:
    return [percentile(pings_ms, 0.95) for pings_ms in rounds_ms if pings_ms]
