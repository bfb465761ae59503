"""Alerts tell when answers become slow, fail, miss the cache, or stop altogether.

Why it matters
    What no alert tells, a customer does. A dashboard is looked at after the call; an alert is what makes a
    machine call first. Alerts of a template or of a neighbouring service do not count: they never fire for
    this one.

How it is measured
    The rules that the declared Prometheus has loaded are read and parsed. An alert covers a signal where its
    expression reads the service's own series (by the labels of its scrape target, or series of a proxy or a
    probe that name it) and fires on the bad side: a high latency of its requests, a high share of server
    errors or a low one of successes, a low share of cache hits, an instance that is down or gone. Recordings
    are followed to what they are made of. A disk's latency, a database's buffer cache, 4xx, another job's or
    an exporter's own `up` cover nothing here, nor does an alert that Prometheus cannot evaluate. Whether
    the alerts that cover a signal can fire at all is judged by `rules_alive`.

How to fix it
    1. Add an alert for each signal that is named; data/monitoring/chat.rules.yml has one of each to copy.
    2. Put the labels of your scrape job into every selector.
    3. Check the file with `promtool check rules`, and load it: `rule_files` in prometheus.yml, then a reload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Target,
    plural,
    printable,
    show,
)
from checks.contract.instruments.monitoring import Rule
from checks.monitoring._alerts import rules_line
from checks.monitoring._examples import example_of
from checks.monitoring._readings import Recordings
from checks.monitoring._service import read_service
from checks.monitoring._signals import REQUIRED, Covered, Signal, covered, read_context, rulebook

CHECK = Check(
    failure_title="No alert tells when the service fails",
    kind=Kind.PASSIVE,
    does="Reads the rules that Prometheus has loaded, and which series are the service's.",
    measures="of latency, error rate, cache hit rate and instance down have an alert",
    needs=("prometheus", "promql", "target.prometheus"),
    deadline_s=60,
    typical_s=0.6,
    beside=True,
)
MOST_ALERTS = 200
NEEDED = (Signal.LATENCY, Signal.ERRORS)


@dataclass(frozen=True)
class Thresholds:
    """Without an alert on latency or errors it fails in any case."""

    pass_signals: float = 4


@dataclass(frozen=True)
class Alert:
    """An alert that tells of a signal of the service. ``broken`` says why Prometheus cannot evaluate it."""

    name: str
    file: str
    group: str
    position: int
    covers: tuple[Covered, ...]
    broken: str = ""


@dataclass(frozen=True)
class Evidence:
    """How many rules are loaded, and the alerts that tell of this service. ``unread`` could not be parsed.

    ``silent``: Prometheus has no series that the service told it.
    """

    rules: int
    alerts: int
    selector: str
    silent: bool
    metrics: tuple[str, ...]
    telling: tuple[Alert, ...]
    unread: tuple[str, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the rules, parse them, and look up whose series they read."""
    service = await read_service(target, instruments.prometheus)
    rules = await instruments.prometheus.rules()
    book = rulebook(rules, instruments.promql)
    context = await read_context(service, book, instruments.prometheus)
    telling = []
    for number, node in book.alerts.items():
        covers = covered(node, book.recordings, context)
        if covers:
            telling.append(_alert(rules[number], covers, book.recordings))
    unread = [f"{rules[number].name}: {problem}" for number, problem in book.problems.items()]
    return Evidence(
        rules=len(rules),
        alerts=sum(rule.kind == "alert" for rule in rules),
        selector=service.selector,
        silent=service.silent,
        metrics=tuple(sorted(service.metrics))[:500],
        telling=tuple(telling[:MOST_ALERTS]),
        unread=tuple(map(_text, unread[:20])),
        reproduce=rules_line(target),
    )


def _alert(rule: Rule, covers: tuple[Covered, ...], recordings: Recordings) -> Alert:
    broken = (rule.last_error or "its health is err") if rule.health == "err" else ""
    errors = {
        name: found[0].rule.last_error
        for name in {name for each in covers for name in each.via}
        if (found := recordings.get(name, ())) and all(each.rule.health == "err" for each in found)
    }
    if not broken and all(set(each.via) & errors.keys() for each in covers):
        name, error = min(errors.items())
        broken = f"nor can its recording {name}: {error or 'its health is err'}"
    return Alert(_text(rule.name), _text(rule.file), _text(rule.group), rule.position, covers, _text(broken))


def _text(text: str) -> str:
    return printable(text)[:200]


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Without latency or errors it fails; what else is missing warns."""
    if evidence.silent:
        return Finding.not_assessed(
            f"Prometheus has no series {evidence.selector} now, so no alert can be told to be for this "
            "service.",
            follows_from="monitoring.targets_up",
        )
    working = {signal: _telling(evidence, signal) for signal in REQUIRED}
    missing = [signal for signal in REQUIRED if not working[signal]]
    value = len(REQUIRED) - len(missing)
    limit = Limit.at_least(thresholds.pass_signals, thresholds.pass_signals - 1, high=len(REQUIRED))
    if not missing:
        named = ", ".join(f"{signal} ({working[signal][0].name})" for signal in REQUIRED)
        return Finding.passed(
            f"{plural(evidence.alerts, 'alert')} loaded; all {len(REQUIRED)} signals of "
            f"{evidence.selector} have one: {named}.{_unread(evidence)}",
            value=value, unit="count", limit=limit, reproduce=evidence.reproduce,
        )  # fmt: skip
    reasons = [_why(evidence, signal) for signal in missing]
    words = (
        f"{value} of {len(REQUIRED)} signals have an alert, limit {show(thresholds.pass_signals, 'count')}."
    )
    found = Finding.failed(
        " ".join((words, *(words for words, _ in reasons))) + _unread(evidence),
        value=value,
        unit="count",
        limit=limit,
        fix=_fix(missing, evidence),
        reproduce=evidence.reproduce,
        follows_from="monitoring.rules_alive" if all(dead for _, dead in reasons) else None,
    )
    if set(missing) & set(NEEDED):
        return found
    return found.but(outcome=Outcome.WARN, share=0.5 ** len(missing))


def _telling(evidence: Evidence, signal: Signal) -> list[Alert]:
    """The alerts that cover a signal: Prometheus can evaluate them, and has what they read."""
    return [
        each
        for each in evidence.telling
        if not each.broken and any(c.signal == signal and c.whose == "own" for c in each.covers)
    ]


def _why(evidence: Evidence, signal: Signal) -> tuple[str, bool]:
    """Why a signal is not covered, and whether only because its alert is dead."""
    title = f"{signal.capitalize()}:"
    if not evidence.rules:
        return f"{title} Prometheus has loaded no rules at all.", False
    for alert in evidence.telling:
        for each in alert.covers:
            if each.signal != signal:
                continue
            if alert.broken:
                return f"{title} {alert.name} cannot be evaluated ({alert.broken}).", True
            return f"{title} {alert.name} reads {each.metric}, which Prometheus does not have.", True
    return f"{title} none of {plural(evidence.alerts, 'alert')} tells of it for {evidence.selector}.", False


def _fix(missing: Sequence[Signal], evidence: Evidence) -> str:
    return "Add " + "; ".join(
        f"for {signal}: `{example_of(signal, evidence.selector, evidence.metrics)}`" for signal in missing
    )


def _unread(evidence: Evidence) -> str:
    if not evidence.unread:
        return ""
    many = plural(len(evidence.unread), "rule")
    return f" {many} could not be parsed here and counted for nothing: {evidence.unread[0]}."
