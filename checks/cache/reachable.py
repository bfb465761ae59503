"""The cache's server answers quickly.

Why it matters
    Every question waits for the cache first, hit or miss. A Redis that is slow or gone makes the whole
    service slow, or stops it where nobody wrote a fallback.

How it is measured
    Up to 100 PINGs, as many as fit into a second but at least 20, each on a connection of its own, so that
    connecting and signing in are tried as often. The round trip of the PING is timed and the 95th percentile
    judged. A Redis that cannot be reached, or
    refuses the credentials, fails.

How to fix it
    1. Start Redis, and check host, port and password of the service's configuration.
    2. Put it in the same zone as the service, with nothing slow in between.
    3. Look at `redis-cli --latency`, at slow commands (`SLOWLOG GET`) and at a host that swaps.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from checks.cache._reproduce import redis_cli
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
    does="Sends up to 100 PINGs to the declared Redis.",
    measures="to answer a PING (95th percentile)",
    needs=("redis", "target.redis"),
    deadline_s=15,
    typical_s=1,
)
ROUND = 20
MOST = 100  # the 95th percentile is then the fifth slowest, so a moment in which this host is busy is not it
ENOUGH_S = 1.0
PAUSE_S = 0.05  # between rounds, so that they do not all fall into that moment


@dataclass(frozen=True)
class Thresholds:
    """A PING crosses the network once: 1 ms within a host, up to 5 ms between zones of a region."""

    pass_p95_ms: float = objective(5.0, "cache_ping_p95_ms")
    warn_p95_ms: float = 50.0


@dataclass(frozen=True)
class Evidence:
    """Round trips, and why there are not more of them."""

    pings_ms: tuple[float, ...]
    failure: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """PING the declared Redis. Raises InstrumentFailure where the target file lacks something."""
    line = f"{redis_cli(target.redis.url)} ping" if target.redis else ""
    pings_ms: list[float] = []
    started = monotonic()
    try:
        while len(pings_ms) < MOST and (not pings_ms or monotonic() - started < ENOUGH_S):
            pings_ms += await instruments.redis.ping_ms(ROUND)
            await asyncio.sleep(PAUSE_S)
    except InstrumentFailure as failure:
        if failure.missing:
            raise
        return Evidence(tuple(pings_ms), failure.reason, line)
    return Evidence(tuple(pings_ms), "", line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Unreachable fails; else the 95th percentile decides."""
    if evidence.failure or not evidence.pings_ms:
        return Finding.failed(
            f"The cache cannot be used: {evidence.failure or 'it answered no PING.'}",
            fix="Start Redis, and correct the address or the password that the service and the target use.",
            reproduce=evidence.reproduce,
        )
    p95_ms = percentile(evidence.pings_ms, 0.95)
    limit = Limit.at_most(thresholds.pass_p95_ms, thresholds.warn_p95_ms)
    return Finding.by_limit(
        p95_ms,
        "ms",
        limit,
        f"The 95th percentile of {plural(len(evidence.pings_ms), 'PING')} is {show(p95_ms, 'ms')}, "
        f"limit {show(limit.pass_at, 'ms')}.",
        fix="Move Redis nearer to the service; look for slow commands, a busy host or slow name resolution.",
        reproduce=evidence.reproduce,
    )
