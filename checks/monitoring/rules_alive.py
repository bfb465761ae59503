"""Every loaded rule can do what it is there for.

Why it matters
    An alert that can never fire is worse than none: it is ticked off. A misspelt metric, a label that was
    renamed, a ratio that divides each series by itself, a threshold beyond what a histogram can tell: all of
    them load, are green, and stay silent when it counts. And one that always fires is soon muted.

How it is measured
    The declared Prometheus is asked for its rules, for HELP and TYPE of all metrics, and for the label sets
    of the series that the rules read. Each expression is parsed and read for what it can return *whatever
    the service does*: which series there can be, which of both sides of an operator match, between which
    bounds the values lie. Values of now decide nothing, so a quiet, a busy and a failing service are judged
    alike. What is only not there yet (the first 5xx, a short history, absent hardware, an exporter's flag)
    is not dead. Recordings are followed. A rule is dead where a selector finds no series, constant where it
    fires always or never, an error where it cannot be evaluated, or cannot once a second label value
    appears. Dead rules behind the only alert on latency, errors, cache hit rate or instance down fail; other
    dead rules warn, and fail where they are more than a quarter.

How to fix it
    1. Replace the part that is named by what is suggested, and look at it in Prometheus' own page.
    2. Sum both sides of a ratio: `sum(rate(x{status=~"5.."}[5m])) / sum(rate(x[5m]))`.
    3. Test rules with `promtool test rules` on series of an incident; remove those of things that are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Request,
    Target,
    curl_line,
    plural,
    printable,
)
from checks.contract.findings import Details
from checks.monitoring._rules.asking import ask
from checks.monitoring._rules.facts import Facts
from checks.monitoring._rules.vectors import Verdict
from checks.monitoring._rules.verdicts import Judged, verdicts
from checks.monitoring._service import read_service
from checks.monitoring._signals import REQUIRED, covered, read_context, rulebook

CHECK = Check(
    failure_title="Rules that can never tell anything are loaded",
    kind=Kind.PASSIVE,
    does="Reads the loaded rules and the labels of the series that they are about.",
    measures="of loaded rules can do what they are there for",
    needs=("prometheus", "promql", "target.prometheus"),
    deadline_s=60,
    typical_s=1,
    beside=True,
)
MOST_TOLD = 4
PART = "PART-AT-FAULT"
WORDS = {
    Verdict.DEAD: "dead",
    Verdict.CONSTANT: "constant",
    Verdict.ERROR: "cannot be evaluated",
    Verdict.LATENT: "will fail",
}


@dataclass(frozen=True)
class Thresholds:
    """All rules must live; below three quarters it is no longer a slip."""

    pass_alive_ratio: float = 1.0
    warn_alive_ratio: float = 0.75


@dataclass(frozen=True)
class Evidence:
    """What Prometheus has of its rules. ``signals`` are those of this service that an alert tells of.

    Their key is the number of the rule among all, as text. ``unknown`` is why they cannot be told.
    ``query`` is how to ask Prometheus for ``PART``.
    """

    facts: Facts
    signals: dict[str, tuple[str, ...]]
    unknown: str
    reproduce: str
    query: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask for rules, metadata, names, targets, settings, and the series of all names that rules read."""
    prometheus, promql = instruments.prometheus, instruments.promql
    signals: dict[str, tuple[str, ...]] = {}
    unknown = ""
    try:
        service = await read_service(target, prometheus)  # waits for a server that has just started
        book = rulebook(await prometheus.rules(), promql)
        context = await read_context(service, book, prometheus)
    except InstrumentFailure as failure:
        unknown = failure.reason[:300]
    else:
        for number, node in book.alerts.items():
            found = sorted({each.signal.value for each in covered(node, book.recordings, context)})
            if found:
                signals[str(number)] = tuple(found)
    facts = await ask(prometheus, promql)
    place = target.prometheus.url if target.prometheus else ""
    headers = target.prometheus.headers if target.prometheus else {}
    return Evidence(
        facts,
        signals,
        unknown,
        curl_line(target, Request("GET", f"{place}/api/v1/rules", headers)),
        curl_line(target, Request("GET", f"{place}/api/v1/query?query={PART}", headers)),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Dead rules behind a signal that nothing else tells of fail, others warn; then whether all is loaded."""
    rules = verdicts(evidence.facts)
    if not rules:
        return Finding.not_assessed(
            "Prometheus has loaded no rules, so there is nothing that could be dead.",
            follows_from="monitoring.alert_rules",
        )
    bad = [each for each in rules if each.verdict.bad]
    lost = _lost(evidence, rules)
    ratio = 1 - len(bad) / len(rules)
    limit = Limit.at_least(thresholds.pass_alive_ratio, thresholds.warn_alive_ratio, high=1)
    details = Details(value=ratio, unit="ratio", limit=limit, reproduce=_reproduce(evidence, bad))
    unloaded = _unloaded(evidence.facts)
    if not bad and (unsure := _unsure(evidence, rules)):
        signal, first = unsure
        return Finding.not_assessed(
            f"Whether the rules that tell of {signal} can do so cannot be judged yet: {_name(first)}: "
            f"{_text(first.why)}.",
            follows_from="monitoring.targets_up" if first.part else None,
        )
    if not bad:
        waiting = [each for each in rules if each.verdict is Verdict.NOT_YET]
        words = f"All {plural(len(rules), 'loaded rule')} can do what they are there for.{_waiting(waiting)}"
        if evidence.facts.reload_failed:
            details["fix"] = FIX_RELOAD
            return Finding.warned(f"{words}{unloaded}", **details)
        return Finding.passed(f"{words}{unloaded}", **details)
    behind = [each for each in bad if any(signal in lost for signal in _signals(evidence, rules, each))]
    told = sorted(bad, key=lambda each: (each not in behind, each.rule.kind == "record"))
    words = f"{plural(len(bad), 'rule')} of {len(rules)} cannot do what {_they(bad)} there for, limit 0. "
    if lost:
        words += f"Nothing else tells of {', '.join(lost)}. "
    words += " ".join(_told(each) for each in told[:MOST_TOLD])
    if len(told) > MOST_TOLD:
        words += (
            f" And {len(told) - MOST_TOLD} more: {', '.join(_name(each) for each in told[MOST_TOLD:][:12])}."
        )
    details["fix"] = " ".join(_fix(each) for each in told[:MOST_TOLD])
    if lost or ratio < thresholds.warn_alive_ratio:
        return Finding.failed(words + unloaded, **details)
    share = 0.5 * limit.share(ratio)
    return Finding.warned(words + unloaded, share=share, **details)


FIX_RELOAD = (
    "Check all rule files with `promtool check rules`: one bad expression keeps Prometheus from loading any "
    "of the changes."
)


def _lost(evidence: Evidence, rules: Sequence[Judged]) -> list[str]:
    """The signals of which only rules tell that cannot."""
    living: set[str] = set()
    dead: set[str] = set()
    for number, each in enumerate(rules):
        (dead if each.verdict.bad else living).update(evidence.signals.get(str(number), ()))
    return [signal.value for signal in REQUIRED if signal.value in dead - living]


def _unsure(evidence: Evidence, rules: Sequence[Judged]) -> tuple[str, Judged] | None:
    """A signal of which all rules are not judged yet, and the first of them."""
    for signal in REQUIRED:
        told = [
            each for number, each in enumerate(rules) if signal.value in evidence.signals.get(str(number), ())
        ]
        if told and all(each.verdict is Verdict.NOT_YET for each in told):
            return signal.value, told[0]
    return None


def _signals(evidence: Evidence, rules: Sequence[Judged], rule: Judged) -> tuple[str, ...]:
    number = next(number for number, each in enumerate(rules) if each is rule)
    return evidence.signals.get(str(number), ())


def _name(rule: Judged) -> str:
    return printable(rule.rule.name)[:80]


def _told(rule: Judged) -> str:
    """A rule, where it stands, which part of it is at fault, and why."""
    file = printable(PurePosixPath(rule.group.file).name)[:80]
    place = f"{file}, {printable(rule.group.name)[:80]}, rule {rule.position + 1}"
    part = f": `{_text(rule.part)}`" if rule.part else ""
    near = f" (there is {_text(rule.near)})" if rule.near and rule.verdict is Verdict.DEAD else ""
    return f"{_name(rule)} ({place}) {_words(rule)}{part}: {_text(rule.why)}{near}."


def _words(rule: Judged) -> str:
    words = WORDS[rule.verdict]
    return (
        words
        if rule.verdict is Verdict.ERROR
        else f"is {words}"
        if rule.verdict is not Verdict.LATENT
        else words
    )


def _fix(rule: Judged) -> str:
    if rule.mended:
        return f"{_name(rule)}: `{_text(rule.mended)}`."
    if rule.near:
        return f"{_name(rule)}: use {_text(rule.near)} in `{_text(rule.part)}`."
    return f"{_name(rule)}: replace `{_text(rule.part)}`, or remove the rule." if rule.part else ""


def _text(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= 300 else f"{shown[:299]}…"


def _they(bad: Sequence[Judged]) -> str:
    return "they are" if len(bad) > 1 else "it is"


def _waiting(waiting: Sequence[Judged]) -> str:
    if not waiting:
        return ""
    first = waiting[0]
    return f" {len(waiting)} cannot be judged yet, such as {_name(first)}: {_text(first.why)}."


def _unloaded(facts: Facts) -> str:
    words = ""
    if facts.reload_failed:
        words += " Prometheus could not load its configuration the last time, so these are rules from before."
    if facts.unloaded:
        words += f" No rule is loaded of {', '.join(_text(each) for each in facts.unloaded[:3])}."
    if facts.left_out:
        words += f" {plural(facts.left_out, 'more rule')} are too many to be read here."
    return words


def _reproduce(evidence: Evidence, bad: Sequence[Judged]) -> str:
    """The part at fault, asked of Prometheus."""
    part = next((each.part for each in bad if each.part), "")
    if not part:
        return evidence.reproduce
    return evidence.query.replace(PART, quote(part[:1_000], safe=""))
