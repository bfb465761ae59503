"""An alert of this service reaches somebody: from Prometheus through Alertmanager to a receiver that works.

Why it matters
    Rules fire in Prometheus whether or not anybody is told. One missing line between a firing rule and a
    telephone makes all of them silent, and nothing shows it until there is an outage.

How it is measured
    Prometheus must send to an Alertmanager, and the declared one must be it: an alert that always fires (a
    watchdog) is in Prometheus and has arrived there. Each alert that reads the service's series is then
    followed through Alertmanager's routes with the labels that its expression leaves: it must reach a
    receiver that has something to notify with, on a route that is not muted for ever, and be neither
    inhibited by an alert that never ends nor silenced. Of the requests to such receivers few may have failed:
    in the last hour where Prometheus scrapes Alertmanager, else since Alertmanager's start. Webhooks that
    fail beside other kinds are not held against a target with `[notifications]`: its own listens in a drill
    only.

How to fix it
    1. Name Alertmanager under `alerting` in prometheus.yml; its page /status says what it received.
    2. Try a route: `amtool config routes test --config.file=alertmanager.yml severity=critical job=chat`.
    3. Add an alert `Watchdog` with `expr: vector(1)`, and route it to what notices when it stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import time
from typing import Any
from urllib.parse import urlsplit

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Request,
    ServerDown,
    Target,
    curl_line,
    plural,
    printable,
    show,
)
from checks.contract.instruments.monitoring import Prometheus, Rule
from checks.monitoring._notifying import (
    Sending,
    Watchdog,
    failing,
    failing_at_times,
    not_arrived,
    read_sending,
    read_watchdog,
    unwatched,
)
from checks.monitoring._paths import (
    Doubt,
    Path,
    heard_by,
    is_watchdog,
    labels_of,
    own_alerts,
    path_of,
    silenced,
    unheard,
)
from checks.monitoring._service import read_service
from checks.monitoring._signals import read_context, rulebook

CHECK = Check(
    failure_title="Alerts reach nobody",
    kind=Kind.PASSIVE,
    does="Reads rules and alerts of Prometheus, and routes, silences, alerts and counters of Alertmanager.",
    measures="of the service's alerts reach a receiver",
    needs=("prometheus", "alertmanager", "promql", "target.prometheus", "target.alertmanager"),
    deadline_s=60,
    typical_s=0.8,
    beside=True,
)


@dataclass(frozen=True)
class Thresholds:
    """Retries get over a request that failed now and then. A silence of a month is no maintenance."""

    max_failed_ratio: float = 0.05
    fail_failed_ratio: float = 0.5
    max_silence_days: float = 30


@dataclass(frozen=True)
class Evidence:
    """What was found on the way. ``failure`` is Alertmanager's, ``always`` counts alerts that always fire.

    ``listens`` is whether the target has a webhook of its own, for drills.
    """

    prometheus: str
    alertmanager: str
    sends_to: tuple[str, ...]
    failure: str
    watchdog: Watchdog | None
    paths: tuple[Path, ...]
    sending: tuple[Sending, ...]
    loaded: bool
    listens: bool
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read both servers. Raises InstrumentFailure where Prometheus cannot be asked, or a key is missing."""
    prometheus, alertmanager = instruments.prometheus, instruments.alertmanager
    sends_to = await prometheus.alertmanagers()
    settings = await _settings(prometheus)
    own, firing = await _alerts(target, instruments, settings)
    failure, watchdog, loaded = "", None, True
    paths: tuple[Path, ...] = ()
    sending: tuple[Sending, ...] = ()
    try:
        facts = await alertmanager.facts()
        loaded = facts.loaded
        if firing and sends_to:
            watchdog = await read_watchdog(firing[0], alertmanager, facts, settings)
        always = [alert.labels for rule in firing for alert in rule.alerts]
        now = time()
        paths = tuple(path_of(each, facts, always=always, settings=settings, now=now) for each in own)
        kinds = {kind for each in (*paths, *((watchdog,) if watchdog else ())) for kind in each.kinds}
        sending = await read_sending(prometheus, alertmanager, kinds, watchdog) if sends_to else ()
    except ServerDown as down:
        failure = down.reason
    declared = target.alertmanager
    place, headers = (declared.url, declared.headers) if declared else ("", {})
    return Evidence(
        prometheus=target.prometheus.url if target.prometheus else "",
        alertmanager=place,
        sends_to=tuple(printable(url)[:200] for url in sends_to[:10]),
        failure=failure,
        watchdog=watchdog,
        paths=paths,
        sending=sending,
        loaded=loaded,
        listens=target.notifications is not None,
        reproduce=curl_line(target, Request("GET", f"{place}/api/v2/alerts", headers)),
    )


async def _settings(prometheus: Prometheus) -> Mapping[str, Any]:
    """Its configuration; servers that only speak Prometheus' API may keep it to themselves."""
    try:
        return await prometheus.settings()
    except InstrumentFailure:
        return {}


async def _alerts(
    target: Target, instruments: Instruments, settings: Mapping[str, Any]
) -> tuple[list[dict[str, str]], list[Rule]]:
    """The labels of each of the service's alerts, and the alerts that always fire and do."""
    prometheus = instruments.prometheus
    rules = await prometheus.rules()
    book = rulebook(rules, instruments.promql)
    context = await read_context(await read_service(target, prometheus), book, prometheus)
    always = [rules[number] for number, node in book.alerts.items() if is_watchdog(rules[number], node)]
    own = [
        labels_of(rule, node, book, context, settings)
        for rule, node in own_alerts(rules, book, context)
        if rule not in always
    ]
    return own, [rule for rule in always if any(alert.state == "firing" for alert in rule.alerts)]


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A dead end fails; what cannot be relied upon, and a way that nothing watches, warns."""
    reached = [path for path in evidence.paths if not path.dead]
    value = len(reached) / len(evidence.paths) if evidence.paths else None
    unit = "ratio" if evidence.paths else None
    dead = next(_dead_ends(evidence, thresholds), None)
    if dead:
        return Finding.failed(dead.reason, value=value, unit=unit, fix=dead.fix, reproduce=evidence.reproduce)
    doubts = list(_doubts(evidence, thresholds))
    if doubts:
        more = f" Also: {doubts[1].reason}" if len(doubts) > 1 else ""
        reason = doubts[0].reason + more
        return Finding.warned(reason, value=value, unit=unit, fix=doubts[0].fix, reproduce=evidence.reproduce)
    name = evidence.watchdog.name if evidence.watchdog else "A watchdog"
    tries, failed = (sum(getattr(e, what) for e in evidence.sending) for what in ("tries", "failed"))
    return Finding.passed(
        f"{plural(len(reached), 'alert')} of this service can reach {heard_by(reached)}; {name} fires and "
        f"has arrived; {show(failed, 'count')} of {show(tries, 'count')} requests to receivers failed.",
        value=value, unit=unit, reproduce=evidence.reproduce,
    )  # fmt: skip


def _dead_ends(evidence: Evidence, thresholds: Thresholds) -> Iterator[Doubt]:
    """Where alerts end unheard, the first on the way first."""
    if not evidence.sends_to:
        yield Doubt(
            f"Prometheus {evidence.prometheus} sends its alerts to no Alertmanager.",
            "Name Alertmanager under `alerting: alertmanagers:` in prometheus.yml, and reload it.",
        )
    if evidence.failure:
        yield Doubt(evidence.failure, "Start Alertmanager, or correct `[alertmanager] url`.")
    if evidence.watchdog is not None and evidence.watchdog.arrived is False:
        yield not_arrived(evidence.watchdog, evidence.sends_to, evidence.alertmanager)
    yield from unheard(evidence.paths, thresholds.max_silence_days)
    yield from failing(_counted(evidence), thresholds.fail_failed_ratio)


def _doubts(evidence: Evidence, thresholds: Thresholds) -> Iterator[Doubt]:
    """What may go wrong, the worst first."""
    yield from failing_at_times(_counted(evidence), thresholds.max_failed_ratio)
    yield from silenced(evidence.paths)
    if not evidence.loaded:
        yield Doubt(
            "Alertmanager could not load its file, and runs on the one before.",
            "Check it: `amtool check-config alertmanager.yml`, then reload.",
        )
    if evidence.watchdog is not None:
        yield from unwatched(evidence.watchdog)
        return
    place = urlsplit(evidence.alertmanager).netloc
    same = any(urlsplit(url).netloc == place for url in evidence.sends_to)
    elsewhere = "" if same else f"; Prometheus sends to {evidence.sends_to[0]}"
    yield Doubt(
        f"No alert fires always, so nobody notices when none arrives any more at {evidence.alertmanager}"
        f"{elsewhere}.",
        "Add an alert `Watchdog` with `expr: vector(1)`, routed to what notices when it stops.",
    )


def _counted(evidence: Evidence) -> list[Sending]:
    """The kinds of receivers whose requests tell something; without those that a drill alone listens to."""
    beside = evidence.listens and len(evidence.sending) > 1
    return [each for each in evidence.sending if each.tries and not (beside and each.kind == "webhook")]
