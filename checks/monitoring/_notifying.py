"""Whether an alert that always fires arrives at Alertmanager, and whether notifications get through.

Private to this family.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

from checks.contract import InstrumentFailure, printable, show
from checks.contract.instruments.monitoring import Alertmanager, AlertmanagerFacts, Prometheus, Routed, Rule
from checks.contract.texts import seconds_in
from checks.monitoring._paths import Doubt

RESEND_S = 60.0  # Prometheus' own default: an alert that Alertmanager missed comes again after that
SPARE_S = 5.0
WATCH_S = 15.0
PAUSE_S = 0.5
WINDOW = "1h"
LAST_HOUR, SINCE_START = "in the last hour", "since its start"
TRIES = "alertmanager_notification_requests_total"
FAILED_TRIES = "alertmanager_notification_requests_failed_total"


@dataclass(frozen=True)
class Watchdog:
    """An alert that fires always. ``arrived`` is None where it may still be on its way.

    ``waited_s`` is for how long Alertmanager could have had it.
    """

    name: str
    arrived: bool | None
    state: str
    receivers: tuple[str, ...]
    kinds: tuple[str, ...]
    waited_s: float


@dataclass(frozen=True)
class Sending:
    """Requests of one kind of receiver, and those of them that failed; ``over`` says since when."""

    kind: str
    tries: float
    failed: float
    over: str


async def read_watchdog(
    firing: Rule, alertmanager: Alertmanager, facts: AlertmanagerFacts, settings: Mapping[str, Any]
) -> Watchdog:
    """Whether this alert has arrived; one that may still be on its way is waited for."""
    until = monotonic() + WATCH_S
    alert = next(each for each in firing.alerts if each.state == "firing")
    flags = settings.get("flags")
    told = flags.get("rules.alert.resend-delay", "") if isinstance(flags, dict) else ""
    bound_s = 2 * (seconds_in(str(told)) or RESEND_S) + firing.interval_s + SPARE_S
    while True:
        there = _arrived(firing, await alertmanager.alerts())
        waited_s = time() - max(alert.active_at + firing.for_s, facts.started_at)
        if there is not None or waited_s > bound_s or monotonic() > until:
            break
        await asyncio.sleep(PAUSE_S)
    receivers = there.receivers if there else ()
    return Watchdog(
        name=printable(firing.name)[:120],
        arrived=True if there else (False if waited_s > bound_s else None),
        state=there.state[:20] if there else "",
        receivers=tuple(printable(name)[:80] for name in receivers),
        kinds=tuple(sorted({k for each in facts.receivers if each.name in receivers for k in each.kinds})),
        waited_s=round(max(0.0, waited_s), 1),
    )


def _arrived(firing: Rule, alerts: Sequence[Routed]) -> Routed | None:
    """The alert as Alertmanager has it; its server's own labels may have been added, others relabelled."""
    named = [each for each in alerts if each.labels.get("alertname") == firing.name]
    alike = [each for each in named if firing.labels.items() <= each.labels.items()]
    return next(iter(alike or named), None)


async def read_sending(
    prometheus: Prometheus, alertmanager: Alertmanager, kinds: Collection[str], watchdog: Watchdog | None
) -> tuple[Sending, ...]:
    """How many requests there were by kind of receiver; the first one of a watchdog is waited for."""
    recent = await _of_the_last_hour(prometheus)
    facts = await alertmanager.facts()
    until = monotonic() + min(WATCH_S, facts.routing.group_wait_s + SPARE_S)
    told = watchdog.kinds if watchdog and watchdog.state == "active" else ()
    while not recent and any(facts.tries.get(kind) == 0 for kind in told) and monotonic() < until:
        await asyncio.sleep(PAUSE_S)
        facts = await alertmanager.facts()
    tries, failed = (facts.tries, facts.failed_tries) if facts.tries else (facts.sent, facts.failed)
    return tuple(
        Sending(kind, *recent[kind], LAST_HOUR)
        if recent.get(kind, (0.0,))[0]
        else Sending(kind, tries[kind], failed.get(kind, 0.0), SINCE_START)
        for kind in sorted(kinds)
        if kind in tries or kind in recent
    )


async def _of_the_last_hour(prometheus: Prometheus) -> dict[str, tuple[float, float]]:
    """Tries and failed tries by kind, where Prometheus scrapes an Alertmanager."""
    try:
        tries = await _by_kind(prometheus, TRIES)
        failed = await _by_kind(prometheus, FAILED_TRIES) if tries else {}
    except InstrumentFailure:
        return {}
    return {
        kind: (float(round(count)), float(min(round(failed.get(kind, 0.0)), round(count))))
        for kind, count in tries.items()
        if round(count) > 0
    }


async def _by_kind(prometheus: Prometheus, metric: str) -> dict[str, float]:
    answered = await prometheus.query(f"sum by (integration) (increase({metric}[{WINDOW}]))")
    return {
        each.labels.get("integration", ""): each.value
        for each in answered.series
        if math.isfinite(each.value)
    }


def not_arrived(watchdog: Watchdog, sends_to: Sequence[str], alertmanager: str) -> Doubt:
    """An alert fires, and the declared Alertmanager does not have it."""
    return Doubt(
        f"{watchdog.name} fires in Prometheus, which sends to {', '.join(sends_to)}, and has not arrived at "
        f"Alertmanager {alertmanager} within {show(watchdog.waited_s, 's')}.",
        "Correct the address under `alerting` in prometheus.yml, its path too, or `[alertmanager] url`; "
        "prometheus_notifications_errors_total counts what was refused.",
    )


def unwatched(watchdog: Watchdog) -> Iterator[Doubt]:
    """Why nobody would notice that an alert which fires always no longer arrives."""
    if watchdog.arrived is None:
        yield Doubt(
            f"{watchdog.name} fires, and had only {show(watchdog.waited_s, 's')} to arrive at Alertmanager.",
            "Assess again in some minutes.",
        )
    elif not watchdog.kinds:
        names = ", ".join(f"`{name}`" for name in watchdog.receivers)
        yield Doubt(
            f"{watchdog.name} goes to {names or 'no receiver'}, which has nothing to notify with.",
            "Route it to a dead man's switch: what raises the alarm when it stops.",
        )
    elif watchdog.state == "suppressed":
        yield Doubt(f"{watchdog.name} is silenced or inhibited.", "Let it through.")


def failing(sending: Sequence[Sending], ratio: float) -> Iterator[Doubt]:
    """Kinds of receivers that are not reached. Old failures count only where nothing ever succeeded."""
    for each in sending:
        if each.failed / each.tries >= (1.0 if each.over == SINCE_START else ratio):
            yield Doubt(
                f"{_not_sent(each)}.",
                "Open Alertmanager's log: it names the receiver and what it answered.",
            )


def failing_at_times(sending: Sequence[Sending], ratio: float) -> Iterator[Doubt]:
    """Kinds of receivers of which a part of the requests fails."""
    for each in sending:
        if each.failed / each.tries > ratio:
            yield Doubt(
                f"{_not_sent(each)}, limit {show(ratio, 'ratio')}.",
                "Open Alertmanager's log; let Prometheus scrape Alertmanager, so that the last hour is told.",
            )


def _not_sent(sending: Sending) -> str:
    return (
        f"{show(sending.failed, 'count')} of {show(sending.tries, 'count')} requests to {sending.kind} "
        f"receivers failed {sending.over}"
    )
