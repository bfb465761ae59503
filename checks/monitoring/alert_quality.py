"""An alert says how bad it is, what is wrong and what to do, and waits neither too short nor too long.

Why it matters
    At three in the morning an alert is read by someone who did not write it. Without a severity it goes to
    nobody or to everybody, without a runbook that opens the first half hour is searching, a text with a hole
    where a name should be costs trust, and one that flaps is muted by the end of the week.

How it is measured
    Of each loaded alert that reads the service's series: a severity label (one that looks misspelt does not
    count), a summary, a link to a runbook, `for:`, and its texts. Each link is opened: it must lead to a
    page, not to an error or an empty one; what is behind a login counts as there. Only origins that the
    target file declares are asked; other links are said to be not verified. A share or a percentile over a
    short range needs some `for:`, and a page must not wait more than an hour. Texts must not name a label
    that the expression does not leave: `sum by (job)` leaves no instance, and the alert's own labels are
    not among them.

How to fix it
    1. Give each alert `severity`, `summary` and `runbook_url`, and a page behind each link.
    2. Give ratios `for: 5m` or so, or two ranges that must both be over the limit.
    3. In texts, name only labels that the outermost `by (...)` keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Target,
    plural,
    show,
)
from checks.monitoring._alerts import Facts, Link, facts_of, link_of, look_up, rules_line
from checks.monitoring._service import read_service
from checks.monitoring._signals import read_context, rulebook

CHECK = Check(
    failure_title="Alerts do not say what to do",
    kind=Kind.PASSIVE,
    does="Reads the loaded alerts of this service, and opens their runbook links where those are declared.",
    measures="of what an alert should say is there",
    needs=("prometheus", "promql", "http", "target.prometheus"),
    deadline_s=60,
    typical_s=0.8,
    beside=True,
)
MOST_ALERTS = 100
MOST_LINKS = 30
TOGETHER = 5
TIMEOUT_S = 5.0
MOST_NAMED = 3  # problems that a reason tells in full


@dataclass(frozen=True)
class Thresholds:
    """Shares of what should be there; ``max_page_s`` is the longest `for:` of what wakes somebody."""

    pass_ratio: float = 1.0
    warn_ratio: float = 0.5
    max_page_s: float = 3_600


@dataclass(frozen=True)
class Evidence:
    """The alerts of the service, and what became of their links by URL.

    ``silent``: Prometheus has no series that the service told it.
    """

    alerts: tuple[Facts, ...]
    loaded: int
    silent: bool
    selector: str
    links: dict[str, Link]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the alerts and open their links."""
    service = await read_service(target, instruments.prometheus)
    rules = await instruments.prometheus.rules()
    book = rulebook(rules, instruments.promql)
    context = await read_context(service, book, instruments.prometheus)
    found = facts_of(rules, book, context)[:MOST_ALERTS]
    found = await look_up(found, service, instruments.prometheus)
    urls = list(dict.fromkeys(each.runbook for each in found if each.runbook))
    gate = asyncio.Semaphore(TOGETHER)

    async def opened(url: str) -> Link:
        async with gate:
            return await link_of(url, instruments.http, TIMEOUT_S)

    links = await asyncio.gather(*(opened(url) for url in urls[:MOST_LINKS]))
    return Evidence(
        alerts=tuple(found),
        loaded=sum(rule.kind == "alert" for rule in rules),
        silent=service.silent,
        selector=service.selector,
        links=dict(zip(urls, links, strict=False)),
        reproduce=rules_line(target),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The share of all alerts' qualities that are there; what is missing is named, the most common first."""
    if not evidence.alerts and evidence.silent:
        return Finding.not_assessed(
            f"Prometheus has no series {evidence.selector} now, and no alert names them.",
            follows_from="monitoring.targets_up",
        )
    if not evidence.alerts:
        return Finding.failed(
            f"None of {plural(evidence.loaded, 'alert')} that Prometheus has loaded reads series of "
            f"{evidence.selector}.",
            fix="Add alerts for this service first; data/monitoring/chat.rules.yml has some to copy.",
            reproduce=evidence.reproduce,
            follows_from="monitoring.alert_rules",
        )
    wanting = {each: _wanting(each, evidence.links, thresholds) for each in evidence.alerts}
    total = len(QUALITIES) * len(evidence.alerts)
    there = total - sum(map(len, wanting.values()))
    words = [f"{alert.name} {what}" for alert, lacks in wanting.items() for what in lacks.values()]
    named = "; ".join(words[:MOST_NAMED])
    more = f" (and {len(words) - MOST_NAMED} more)" if len(words) > MOST_NAMED else ""
    limit = Limit.at_least(thresholds.pass_ratio, thresholds.warn_ratio, high=1)
    many = plural(len(evidence.alerts), "alert")
    qualities = ", ".join(QUALITIES)
    reason = f"{many} of this service, each with {qualities}: {show(there / total, 'ratio')} is there, limit "
    return Finding.by_limit(
        there / total,
        "ratio",
        limit,
        f"{reason}{show(thresholds.pass_ratio, 'ratio')}.{f' {named}{more}.' if words else ''}"
        f"{_behind_logins(evidence)}",
        fix=_fix({what for lacks in wanting.values() for what in lacks}, evidence),
        reproduce=evidence.reproduce,
    )


QUALITIES = ("severity", "summary", "runbook", "for", "texts")


def _wanting(alert: Facts, links: Mapping[str, Link], thresholds: Thresholds) -> dict[str, str]:
    """What an alert lacks, by quality, in words."""
    lacks = {}
    if not alert.severity:
        lacks["severity"] = "has no severity"
    elif alert.meant:
        lacks["severity"] = f"has the severity {alert.severity}, which looks like {alert.meant} misspelt"
    if not alert.summary:
        lacks["summary"] = "has no summary"
    runbook = _runbook(alert, links)
    if runbook:
        lacks["runbook"] = runbook
    if alert.noisy and not alert.for_s:
        lacks["for"] = f"fires at the first value over a range of {show(alert.range_s, 's')}, with no `for:`"
    elif alert.pages and alert.for_s > thresholds.max_page_s:
        limit = show(thresholds.max_page_s, "s")
        lacks["for"] = f"wakes somebody only after {show(alert.for_s, 's')}, limit {limit}"
    if alert.mistakes:
        label, where = alert.mistakes[0]
        lacks["texts"] = f"names `$labels.{label}` in its {where}, which its expression does not leave"
    return lacks


def _runbook(alert: Facts, links: Mapping[str, Link]) -> str:
    if not alert.runbook:
        return "has a runbook that is no link" if alert.runbook_text else "has no runbook"
    link = links.get(alert.runbook)
    if link is None or link.unverified:
        return (
            f"has a runbook that was not verified ({link.unverified if link else 'there are too many links'})"
        )
    return f"has a runbook that {link.problem}: {alert.runbook}" if link.problem else ""


def _behind_logins(evidence: Evidence) -> str:
    walled = sum(link.behind_login for link in evidence.links.values())
    return (
        f" {plural(walled, 'runbook')} could not be read behind a login, and counted as there."
        if walled
        else ""
    )


def _fix(lacking: set[str], evidence: Evidence) -> str:
    remedies = {
        "severity": "Label each alert with a severity that your routes know.",
        "summary": "Give each alert a summary.",
        "runbook": "Link a runbook that opens in each alert.",
        "for": "Give ratios `for: 5m` or so, and a page an hour at most.",
        "texts": "Keep the label in the outermost `by (...)`, or take it out of the text.",
    }
    words = [text for quality, text in remedies.items() if quality in lacking]
    if any(link.undeclared for link in evidence.links.values()):
        words.append(
            'Declare where runbooks are, so that links are tried: `[prometheus] runbooks = ["https://..."]`.'
        )
    return " ".join(words)
