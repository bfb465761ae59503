"""What the alerts of a service say and when they speak: facts, not yet judged. Private to this family."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import FailureKind, InstrumentFailure, Reply, Request, Target, curl_line, printable
from checks.contract.instruments.http import Http
from checks.contract.instruments.monitoring import Prometheus, Rule
from checks.contract.promql import Node, Selector
from checks.monitoring._kept import ACTION, NAMED, Kept, kept, named_in
from checks.monitoring._readings import readings
from checks.monitoring._service import Service, values_now
from checks.monitoring._signals import Context, Rulebook, covered, whose_is

SEVERITIES = ("severity", "priority", "urgency", "level", "sev")
KNOWN = (
    "critical", "warning", "warn", "info", "information", "page", "ticket", "error", "none", "major", "minor",
    "high", "medium", "low", "notice", "emergency", "fatal", "notify", "debug",
)  # fmt: skip
WAKING = re.compile(r"critical|page\w*|p[01]|sev-?[01]|emergency|fatal|high|disaster", re.IGNORECASE)
SUMMARIES = re.compile(r"summary|description|message|title|text", re.IGNORECASE)
RUNBOOKS = re.compile(r"(run|play)_?book(_?(url|link|uri))?", re.IGNORECASE)
LINK = re.compile(r"https?://[^\s<>\"')\]]+")
MISSING = re.compile(r"<title>[^<]*(\b404\b|not found|does not exist|no such page)[^<]*<", re.IGNORECASE)
STEADY_S = 1_800.0  # a share over so long a range does not flap
MOST_LOOKED_UP = 60


@dataclass(frozen=True)
class Facts:
    """One alert. ``meant`` is the severity that a misspelt one looks like; ``pages``: it wakes somebody.

    ``noisy``: it compares a share or a percentile over ``range_s``, the shortest it reads, and no other.
    ``mistakes`` are labels that its texts name and its expression does not leave, and where. ``doubtful`` are
    such that it may leave or not, by the metric whose series must have them.
    """

    name: str
    file: str
    group: str
    position: int
    severity: str
    meant: str
    pages: bool
    summary: str
    runbook: str
    runbook_text: str
    for_s: float
    noisy: bool
    range_s: float
    mistakes: tuple[tuple[str, str], ...]
    doubtful: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Link:
    """What a runbook's link leads to. ``problem`` or why it is ``unverified`` in words; "" where it opens."""

    status: int | None = None
    problem: str = ""
    unverified: str = ""
    undeclared: bool = False
    behind_login: bool = False


def rules_line(target: Target) -> str:
    """The shell line that shows the loaded alerts."""
    place = target.prometheus.url if target.prometheus else ""
    headers = target.prometheus.headers if target.prometheus else {}
    return curl_line(target, Request("GET", f"{place}/api/v1/rules?type=alert", headers))


def facts_of(rules: Sequence[Rule], book: Rulebook, context: Context) -> list[Facts]:
    """The alerts that read series of the service."""
    return [
        _facts(rules[number], node, book, context.service)
        for number, node in book.alerts.items()
        if any(_of_service(each.selector, context) for each in readings(node, book.recordings))
        or any(each.whose == "own" for each in covered(node, book.recordings, context))
    ]


def _of_service(selector: Selector, context: Context) -> bool:
    """Whether it reads series of the service, or says that it means them though there are none now."""
    marks = (context.service.marks or {}).items()
    names = any(each.operator == "=" and (each.label, each.value) in marks for each in selector.matchers)
    whose = whose_is(selector, context)
    return whose == "own" or (names and (whose == "nowhere" or context.service.silent))


def _facts(rule: Rule, node: Node, book: Rulebook, service: Service) -> Facts:
    severity = next((rule.labels[name] for name in SEVERITIES if rule.labels.get(name)), "")
    texts = {name: text for name, text in rule.annotations.items() if text.strip()}
    summary = next((text for name, text in texts.items() if SUMMARIES.fullmatch(name)), "")
    runbook = next((text for name, text in texts.items() if RUNBOOKS.fullmatch(name)), "")
    shares = [
        each
        for each in readings(node, book.recordings)
        if each.fires in ("high", "low") and (each.divided or each.how in ("quantile", "mean"))
    ]
    ranges = {each.selector.range_s or 0.0 for each in shares}
    left = kept(node, book.recordings)
    named = [
        (label, where)
        for where, text in {**rule.labels, **rule.annotations}.items()
        for label in named_in(text)
    ]
    return Facts(
        name=printable(rule.name)[:120],
        file=printable(rule.file)[:200],
        group=printable(rule.group)[:120],
        position=rule.position,
        severity=printable(severity)[:40],
        meant=_meant(severity),
        pages=bool(WAKING.fullmatch(severity)),
        summary=printable(summary)[:200],
        runbook=_link(runbook, rule, service),
        runbook_text=printable(runbook)[:200],
        for_s=rule.for_s,
        noisy=len(ranges) == 1 and min(ranges) < STEADY_S,
        range_s=min(ranges, default=0.0),
        mistakes=tuple((label[:60], where[:60]) for label, where in named if not left.has(label))[:10],
        doubtful=_doubtful(named, left, service),
    )


def _meant(severity: str) -> str:
    said = severity.lower()
    if said in KNOWN or len(said) < 5:
        return ""
    return next(iter(difflib.get_close_matches(said, KNOWN, n=1, cutoff=0.8)), "")


def _link(text: str, rule: Rule, service: Service) -> str:
    """The URL of a runbook, its template filled in as far as that can be done; "" where there is none."""
    marks = service.marks or {}

    def value_of(match: re.Match[str]) -> str:
        named = NAMED.search(match[1])
        return marks.get((named[1] or named[2]) if named else "", match[0])

    for alert in rule.alerts:  # an active one has its texts filled in
        text = next((each for name, each in alert.annotations.items() if RUNBOOKS.fullmatch(name)), text)
        break
    filled = ACTION.sub(value_of, text)
    found = LINK.search(filled)
    return printable(found[0])[:500] if found else ""


def _doubtful(
    named: Sequence[tuple[str, str]], left: Kept, service: Service
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Labels of an open set that no scrape target has: their series may have them, or nobody."""
    known = {label for labels in service.targets for label in labels}
    metrics = tuple(dict.fromkeys(each.name for each in left.selectors if each.name))[:5]
    return tuple(
        (label[:60], where[:60], metrics)
        for label, where in named
        if left.has(label) and label not in left.named and label not in known and metrics
    )[:10]


async def look_up(alerts: Sequence[Facts], service: Service, prometheus: Prometheus) -> list[Facts]:
    """The same alerts, with the labels that none of their series has among their mistakes."""
    known: dict[tuple[str, str], bool] = {}
    found = []
    for alert in alerts:
        wrong = []
        for label, where, metrics in alert.doubtful:
            for metric in metrics:
                if (label, metric) not in known and len(known) < MOST_LOOKED_UP:
                    known[label, metric] = await _may_have(label, metric, service, prometheus)
            if not any(known.get((label, metric), True) for metric in metrics):
                wrong.append((label, where))
        found.append(dataclasses.replace(alert, mistakes=(*alert.mistakes, *wrong), doubtful=()))
    return found


async def _may_have(label: str, metric: str, service: Service, prometheus: Prometheus) -> bool:
    """Whether series of ``metric`` have ``label``; what has no series now may have it."""
    if metric not in service.metrics:
        return True
    return bool(await values_now(label, f"{metric}{service.selector}", prometheus))


async def link_of(url: str, http: Http, timeout_s: float) -> Link:
    """Open a link and say what became of it."""
    if "{{" in url or "}}" in url:
        return Link(unverified="it holds a template")
    try:
        reply = await http.send(Request("GET", url.partition("#")[0]), timeout_s=timeout_s)
    except InstrumentFailure as failure:  # an origin that is not declared, no URL at all, no time left
        undeclared = "not declared" in failure.reason
        why = "its host is not declared" if undeclared else printable(failure.reason)[:120].rstrip(".")
        return Link(unverified=why, undeclared=undeclared)
    return _opened(reply)


def _opened(reply: Reply) -> Link:
    status, failure = reply.status, reply.failure
    led_off = failure is not None and failure.kind is FailureKind.REDIRECT  # to where people log in
    if led_off or status in (401, 403):
        return Link(status, behind_login=True)
    if status == 429:
        return Link(status, unverified="its host limits the rate of requests")
    problem = ""
    if failure is not None:
        problem = f"gives no reply ({printable(failure.detail)[:120]})"
    elif not reply.succeeded:
        problem = f"answers {status}"
    elif not reply.body.strip():
        problem = "is an empty page"
    elif MISSING.search(reply.text[:20_000]):
        problem = "is a page that says that there is none"
    return Link(status, problem)
