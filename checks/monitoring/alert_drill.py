"""A real breakage reaches people: the alert fires, is heard, and ends.

Why it matters
    Alerts are written once and never tried. A right rule, a right route and a right receiver tell nobody
    where one of them does not fit the others, and that shows in the first real outage.

How it is measured
    The lever of `[alert_drill]` breaks what it names, while ordinary questions are asked. From then on the
    time is taken until Prometheus has the alert pending, until it fires, until its notification is heard by
    the webhook of `[notifications]`, and, once the lever is restored, until it is resolved. Without a webhook
    Alertmanager is asked whether it has the alert for a receiver, which is less than having heard it. The
    notification must come within the rule's own `for`, two rounds of scrape and evaluation, and the longest
    time for which Alertmanager collects alerts (`group_wait`).

How to fix it
    1. Follow the alert: is it pending (the expression), firing (`for`), at Alertmanager (its address in
       Prometheus), at the receiver (routes, inhibitions, silences)?
    2. Give Alertmanager a receiver for drills, `webhook_configs: [{ url: "http://HOST:9096/" }]`, on a route
       with `continue: true` in front of the others, so that a drill hears what people hear.
    3. Keep `for` and the range of the expression as short as the harm allows.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Target,
    plural,
    show,
)
from checks.contract.instruments.monitoring import Rule
from checks.contract.target.monitoring import AlertDrill
from checks.monitoring._drill import Drill, HeardBy, Times, alert_key, collects_for_s
from checks.monitoring._service import own_targets, settled_targets
from checks.monitoring._traffic import Traffic

CHECK = Check(
    failure_title="A real breakage reaches nobody",
    kind=Kind.FAULT,
    does="Breaks what `[alert_drill]` names, waits for the alert and its notification, and restores it.",
    measures="from the breakage to its notification",
    needs=("prometheus", "alertmanager?", "notifications?", "questions", "faults", "target.alert_drill"),
    deadline_s=200,
    typical_s=14,
)
WATCH_S = 60.0  # for an alert, and again for its end; longer profiles have more patience
QUIET_S = 20.0
POLL_S = 0.25
ROUNDS = 2  # a breakage may begin right after a scrape, and the scrape right after an evaluation


@dataclass(frozen=True)
class Thresholds:
    """Five minutes until somebody knows still warn (catalogue)."""

    warn_s: float = 300.0


@dataclass(frozen=True)
class Evidence:
    """What was broken, and what Prometheus and the webhook made of it.

    ``alert`` is the declared one, else the first that fired; ``loaded``: it is one of the rules. ``round_s``
    is one scrape and one evaluation. ``unheard`` says why no webhook listened. ``asked`` and ``failed`` are
    users' questions while it was broken, for ``watched_s``.
    """

    lever: str
    way: str
    alert: str
    loaded: bool
    for_s: float
    round_s: float
    group_wait_s: float
    watched_s: float
    times: Times = field(default_factory=Times)
    heard_by: HeardBy = ""
    unheard: str = ""
    asked: int = 0
    failed: int = 0

    @property
    def due_s(self) -> float:
        """When the notification should have come."""
        return self.for_s + ROUNDS * self.round_s + self.group_wait_s


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Break, wait, restore, wait. The lever restores whatever happens here."""
    declared = target.alert_drill
    if declared is None:
        raise InstrumentFailure("No alert drill is declared.", missing="alert_drill")
    if declared.way not in instruments.faults.ways(declared.lever):
        raise InstrumentFailure(
            f"The lever {declared.lever} has no way {declared.way!r}.",
            missing=f"levers.{declared.lever}.ways",
        )
    rules = [rule for rule in await instruments.prometheus.rules() if rule.kind == "alert"]
    rule = next((each for each in rules if each.name == declared.alert), None)
    if declared.alert and rule is None:
        return Evidence(declared.lever, declared.way, declared.alert, False, 0, 0, 0, 0)
    return await _broken(target, instruments, declared, await _quiet(instruments, declared), rule)


async def _quiet(instruments: Instruments, declared: AlertDrill) -> list[Rule]:
    """The alerts, once the expected one is not active: an earlier check may have set it off a moment ago."""
    until = monotonic() + QUIET_S
    while True:
        rules = [rule for rule in await instruments.prometheus.rules() if rule.kind == "alert"]
        if not any(rule.alerts for rule in rules if rule.name == declared.alert):
            return rules
        if monotonic() > until:
            raise InstrumentFailure(f"{declared.alert} is active already, before anything was broken.")
        await asyncio.sleep(POLL_S)


async def _broken(
    target: Target, instruments: Instruments, declared: AlertDrill, rules: list[Rule], rule: Rule | None
) -> Evidence:
    watch_s = WATCH_S * instruments.profile.deadline_factor
    round_s = max((each.interval_s for each in ([rule] if rule else rules)), default=0.0)
    round_s += await _scrape_s(target, instruments)
    group_wait_s = await collects_for_s(instruments)
    due_s = (rule.for_s if rule else 0.0) + ROUNDS * round_s + group_wait_s
    if due_s > watch_s:
        raise InstrumentFailure(
            f"{declared.alert or 'An alert'} may take {show(due_s, 's')} until it is heard, and the "
            f"{instruments.profile.name} profile watches for {show(watch_s, 's')}. Choose a longer profile."
        )
    before = frozenset(alert_key(alert) for each in rules for alert in each.alerts)
    drill = Drill(instruments, declared.alert, before)
    traffic = Traffic(instruments, declared.ask_per_s)
    async with AsyncExitStack() as stack:
        try:
            drill.heard = await stack.enter_async_context(instruments.notifications.listening())
        except InstrumentFailure as failure:
            drill.unheard = failure.reason
        async with instruments.faults.broken(declared.lever, declared.way), traffic.flowing():
            watched_s = await _told(drill, watch_s)
        await _resolved(instruments, declared, drill, watch_s)
    fired = next((each for each in rules if each.name == drill.seen), rule)
    return Evidence(
        lever=declared.lever,
        way=declared.way,
        alert=drill.seen or declared.alert or "",
        loaded=True,
        for_s=fired.for_s if fired else 0.0,
        round_s=round_s,
        group_wait_s=group_wait_s,
        watched_s=watched_s,
        times=drill.times,
        heard_by=drill.heard_by,
        unheard=drill.unheard,
        asked=traffic.asked,
        failed=traffic.failed,
    )


async def _told(drill: Drill, watch_s: float) -> float:
    """Watch until the notification was seen, or time is over; how long that was."""
    drill.broken_at = monotonic()
    while not drill.told and monotonic() - drill.broken_at < watch_s:
        await drill.look()
        await asyncio.sleep(POLL_S)
    return round(monotonic() - drill.broken_at, 1)


async def _resolved(instruments: Instruments, declared: AlertDrill, drill: Drill, watch_s: float) -> None:
    """Wait for the end of what fired; users go on asking, since an alert may need good answers to end."""
    if not drill.seen:
        return
    instruments.say(f"{drill.seen} fires; waiting for its end")
    restored = monotonic()
    async with Traffic(instruments, declared.ask_per_s).flowing():
        while monotonic() - restored < watch_s:
            if await drill.ended():
                drill.times.resolved_s = round(monotonic() - restored, 2)
                return
            await asyncio.sleep(POLL_S)


async def _scrape_s(target: Target, instruments: Instruments) -> float:
    """How often the service is scraped; of several targets the slowest."""
    scraped = await settled_targets(target, instruments.prometheus)
    return max((each.interval_s for each in own_targets(target, scraped)), default=0.0)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Who was not told is a failure, whatever fired; who may have been told is not yet a pass."""
    broken = f"With the lever {evidence.lever} at {evidence.way!r}"
    if not evidence.loaded:
        return Finding.failed(
            f"Prometheus has no alert named {evidence.alert}, which `[alert_drill]` expects.",
            fix="Load the rule, or name in `[alert_drill] alert` the one that should tell of this breakage.",
        )
    times = evidence.times
    if times.firing_s is None:
        return _nothing_fired(evidence, broken)
    fired = f"{broken}, {evidence.alert} fired after {show(times.firing_s, 's')}"
    if times.notified_s is None:
        return _nobody_heard(evidence, fired)
    limit = Limit.at_most(evidence.due_s, thresholds.warn_s)
    heard = "its notification was heard" if evidence.heard_by == "webhook" else "Alertmanager had it"
    finding = Finding.by_limit(
        times.notified_s,
        "s",
        limit,
        f"{fired}, and {heard} after {show(times.notified_s, 's')}, due within {show(evidence.due_s, 's')} "
        f"(`for` {show(evidence.for_s, 's')}). {_end(evidence)}",
        fix="Shorten `for`, the range of the expression, or `group_wait` and the intervals.",
    )
    if finding.outcome is Outcome.PASS and evidence.heard_by != "webhook":
        return finding.but(
            outcome=Outcome.WARN,
            share=0.5,
            reason=f"{finding.reason} Whether anybody was told was not heard: {evidence.unheard}",
            missing="notifications",
        )
    if finding.outcome is Outcome.PASS and times.resolved_s is None:
        return finding.but(outcome=Outcome.WARN, share=0.5)
    return finding


def _end(evidence: Evidence) -> str:
    if evidence.times.resolved_s is None:
        return "It had not ended long after the breakage had."
    return f"It was resolved {show(evidence.times.resolved_s, 's')} after the restore."


def _nothing_fired(evidence: Evidence, broken: str) -> Finding:
    hurt = f"{evidence.failed} of {plural(evidence.asked, 'question')} failed"
    pending = evidence.times.pending_s is not None
    if not evidence.alert and not evidence.failed and not pending:
        return Finding.not_assessed(
            f"{broken}, no alert fired, but no question failed either in {show(evidence.watched_s, 's')}. "
            "Name the alert that should have told of it.",
            missing="alert_drill.alert",
        )
    what = f"{evidence.alert} was pending and never fired" if pending and evidence.alert else "no alert fired"
    if not pending and evidence.alert:
        what = f"{evidence.alert} did not even become pending"
    return Finding.failed(
        f"{broken}, {what} in {show(evidence.watched_s, 's')}; {hurt} meanwhile.",
        fix="Ask the expression of the alert in Prometheus during the breakage: it must return a series for "
        "longer than `for`.",
    )


def _nobody_heard(evidence: Evidence, fired: str) -> Finding:
    if evidence.unheard:
        return Finding.not_assessed(
            f"{fired}. Whether anybody was told could not be heard: {evidence.unheard}",
            missing="notifications",
        )
    return Finding.failed(
        f"{fired}, and no notification of it came in {show(evidence.watched_s, 's')}.",
        fix="Look whether Alertmanager has the alert (its address in Prometheus), and which receiver its "
        "routes give it to.",
    )
