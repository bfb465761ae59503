"""Simulated services under a closed load, for tests of the statistics: no clock, no network, one seed."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.statistics.comparing import LoadSamples

Floats = NDArray[np.float64]
GRID_S = 0.01


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is like: its latencies, how it wanders, queues, pauses and warms up.

    ``median_ms`` are of log-normal latencies (sigma 0.35), each mode with its share. ``wander`` is the
    standard deviation of a slow random change of log latency (AR(1) with time constant ``wander_s``).
    ``servers`` answer at the same time, the rest wait in line (0: no line). Every ``pause_every_s`` on
    average nothing is answered for ``pause_s``. In the first ``warmup_s`` latencies fall from twice their
    length. A run as a whole is off by ``between_runs``.
    """

    name: str
    median_ms: tuple[float, ...] = (50.0,)
    shares: tuple[float, ...] = (1.0,)
    wander: float = 0.0
    wander_s: float = 0.15
    servers: int = 0
    pause_every_s: float = 0.0
    pause_s: float = 0.0
    warmup_s: float = 0.0
    between_runs: float = 0.0
    failed: float = 0.0


BIMODAL = {"median_ms": (5.0, 300.0), "shares": (0.9, 0.1)}
PLAIN = Service("log-normal")
CACHED = Service("nine in ten cached", **BIMODAL)
SERVICES = (
    PLAIN,
    CACHED,
    Service("log-normal, wandering", wander=0.05),
    Service("nine in ten cached, wandering", **BIMODAL, wander=0.05),
    Service("queueing for 12 servers, wandering", wander=0.05, servers=12),
    Service("log-normal, pauses of 40 ms", pause_every_s=2.0, pause_s=0.04),
    Service("nine in ten cached, warming up", **BIMODAL, warmup_s=1.0),
    Service("log-normal, runs differ by 1 %", between_runs=0.01),
)
RESTLESS = Service("log-normal, wandering for seconds", wander=0.05, wander_s=1.0)


def run(
    service: Service, seed: int, *, slower: float = 1.0, duration_s: float = 6.0, users: int = 20
) -> LoadSamples:
    """``users`` ask, wait, think about 100 ms and ask again; every latency is ``slower`` times as long."""
    random = np.random.default_rng(seed)
    level = _level(service, random, duration_s) + math.log(slower)
    modes = np.array(service.median_ms)[random.choice(len(service.shares), 40_000, p=service.shares)]
    own_ms = modes * np.exp(random.normal(0, 0.35, len(modes)))
    think_s = random.uniform(0.05, 0.15, len(modes))
    free_at = [0.0] * service.servers
    due = [(float(offset), user) for user, offset in enumerate(random.uniform(0, 0.01, users))]
    heapq.heapify(due)
    starts: list[float] = []
    latencies: list[float] = []
    while due:
        start, user = heapq.heappop(due)
        if start >= duration_s:
            continue
        number = len(starts)
        took_s = float(own_ms[number]) / 1000 * math.exp(level[int(start / GRID_S)])
        if free_at:
            begun = max(start, heapq.heappop(free_at))
            heapq.heappush(free_at, begun + took_s)
            took_s += begun - start
        starts.append(start)
        latencies.append(took_s * 1000)
        heapq.heappush(due, (start + took_s + float(think_s[number]), user))
    times = np.array(starts)
    ok = random.uniform(size=len(times)) >= service.failed
    longer = _pauses(service, random, times, np.array(latencies), duration_s)
    return LoadSamples(service.name, times, longer, ok, np.full(len(times), np.nan), duration_s)


def _level(service: Service, random: np.random.Generator, duration_s: float) -> Floats:
    """The log of how much longer latencies are, at each moment of the run."""
    steps = int(duration_s / GRID_S) + 2
    keep = math.exp(-GRID_S / service.wander_s)
    shocks = random.normal(0, math.sqrt(1 - keep * keep), steps)
    wander = np.empty(steps)
    now = random.normal()
    for step in range(steps):
        now = keep * now + shocks[step]
        wander[step] = now
    level = service.wander * wander + random.normal(0, service.between_runs)
    if service.warmup_s:
        level += math.log(2) * np.clip(1 - np.arange(steps) * GRID_S / service.warmup_s, 0, 1)
    return level


def _pauses(
    service: Service, random: np.random.Generator, times: Floats, latencies: Floats, duration_s: float
) -> Floats:
    """Latencies with pauses: a request that begins or ends in one waits for its end."""
    if not service.pause_every_s:
        return latencies
    longer = latencies.copy()
    for begin in random.uniform(0, duration_s, random.poisson(duration_s / service.pause_every_s)):
        caught = (times < begin + service.pause_s) & (times + latencies / 1000 > begin)
        longer[caught] += 1000 * (begin + service.pause_s - np.maximum(times[caught], begin))
    return longer
