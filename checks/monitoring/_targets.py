"""What a Prometheus says of the service's scrape targets. Private to this family."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from checks.contract import InstrumentFailure, Instruments, Target, printable
from checks.contract.instruments.monitoring import Prometheus, ScrapeTarget
from checks.contract.texts import seconds_in
from checks.monitoring._service import at_its_address, own_targets, settled_targets

MOST_TARGETS = 50
WINDOW = "1h"
WATCH_S = 12.0
ENOUGH_SCRAPES = 12
PAUSE_S = 0.5
LOOKBACK_S = 300.0  # Prometheus' own default
SAME_START_S = 0.1  # one process says the same each time; services that are started together differ more


@dataclass(frozen=True)
class Seen:
    """One target, and how it was in the last hour. ``times_down`` has its restarts taken off.

    ``age_s`` is how long ago it was scraped, by Prometheus' clock; None for never. ``kept`` counts the
    samples that were kept of its last scrape, None where that is not known.
    """

    url: str
    instance: str
    health: str
    error: str
    age_s: float | None
    interval_s: float
    scrapes: float
    up_ratio: float
    times_down: float
    kept: float | None


async def read_targets(
    target: Target, prometheus: Prometheus
) -> tuple[Sequence[ScrapeTarget], list[ScrapeTarget], tuple[Seen, ...]]:
    """All targets, the service's, and how these were.

    A young Prometheus is given the time of its first scrapes. Where a target went down, and Prometheus
    scrapes fast, it is watched a little longer: it may come and go.
    """
    scraped = await settled_targets(target, prometheus)
    until = monotonic() + WATCH_S
    while True:
        own = own_targets(target, scraped)[:MOST_TARGETS]
        seen = await _seen(prometheus, own) if own else ()
        if monotonic() > until or not _undecided(seen):
            return scraped, own, seen
        await asyncio.sleep(PAUSE_S)
        scraped = await prometheus.targets()


def _undecided(seen: Sequence[Seen]) -> bool:
    """Whether some scrapes more are worth waiting for: what was up is down, or few scrapes saw it go down."""
    fast = all(0 < ENOUGH_SCRAPES * each.interval_s <= WATCH_S for each in seen)
    return fast and any(
        each.times_down > 0 and each.scrapes < ENOUGH_SCRAPES if each.health == "up" else each.up_ratio > 0
        for each in seen
    )


async def _seen(prometheus: Prometheus, own: Sequence[ScrapeTarget]) -> tuple[Seen, ...]:
    now = (await prometheus.query("time()")).series
    shared = _shared(own)
    up = await _by_instance(prometheus, f"avg_over_time(up{shared}[{WINDOW}])")
    scrapes = await _by_instance(prometheus, f"count_over_time(up{shared}[{WINDOW}])")
    downs = await _by_instance(prometheus, f"resets(up{shared}[{WINDOW}])")
    restarts = await _by_instance(prometheus, f"changes(process_start_time_seconds{shared}[{WINDOW}])")
    kept = await _by_instance(prometheus, f"scrape_samples_post_metric_relabeling{shared}")
    return tuple(
        Seen(
            url=printable(each.url)[:200],
            instance=printable(each.labels.get("instance", ""))[:100],
            health=each.health[:20],
            error=printable(each.last_error)[:200],
            age_s=max(0.0, now[0].value - each.last_scrape) if now and each.last_scrape else None,
            interval_s=each.interval_s,
            scrapes=scrapes.get(_key(each.labels), 0.0),
            up_ratio=up.get(_key(each.labels), 1.0 if each.health == "up" else 0.0),
            times_down=max(0.0, downs.get(_key(each.labels), 0.0) - restarts.get(_key(each.labels), 0.0)),
            kept=kept.get(_key(each.labels)),
        )
        for each in own
    )


def _shared(own: Sequence[ScrapeTarget]) -> str:
    """A selector of what all these targets have in common."""
    shared = sorted(set.intersection(*(set(each.labels.items()) for each in own)))
    return f"{{{','.join(f'{name}={json.dumps(value)}' for name, value in shared)}}}"


async def _by_instance(prometheus: Prometheus, expression: str) -> Mapping[tuple[str, str], float]:
    series = (await prometheus.query(expression)).series
    return {_key(each.labels): each.value for each in series if math.isfinite(each.value)}


def _key(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("job", ""), labels.get("instance", "")


async def same_process(target: Target, instruments: Instruments, own: Sequence[ScrapeTarget]) -> bool | None:
    """Whether a target is the very service, by its start time; asked where no address says so."""
    if not own or any(at_its_address(target, each) for each in own):
        return None
    try:
        page = await instruments.metrics.scrape()
    except InstrumentFailure:
        return None
    starts = [each.value for each in page.samples if each.name == "process_start_time_seconds"]
    known = (await instruments.prometheus.query(f"process_start_time_seconds{_shared(own)}")).series
    if not starts or not known:
        return None
    return any(abs(each.value - start) < SAME_START_S for each in known for start in starts)


async def read_lookback_s(prometheus: Prometheus) -> float:
    """For how long a sample is taken as current: a setting of the server, where it tells."""
    try:
        flags = (await prometheus.settings()).get("flags", {})
    except InstrumentFailure:
        return LOOKBACK_S
    return seconds_in(str(flags.get("query.lookback-delta", ""))) or LOOKBACK_S
