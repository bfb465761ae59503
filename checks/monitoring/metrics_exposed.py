"""Metrics are exposed in a form that Prometheus reads, bounded and without secrets.

Why it matters
    Without metrics nobody sees a failing service before its users do. With a series for each user or path the
    monitoring itself falls over, and what stands in a label is readable for everyone who may see a dashboard.

How it is measured
    The metrics page is read, then some questions are asked (one of them twice, so that a hit is among them)
    and paths are requested that do not exist, one with a made-up token in its query and one route with a
    made-up credential, and the page is read again: cardinality and secrets appear only after traffic. It
    must parse as Prometheus text or OpenMetrics. Series are counted, and distinct values of each label;
    values are searched for keys, tokens, passwords, mail addresses, and for the user, session, paths, token
    and credential of our own requests. Found secrets are never kept, only the label and the kind.

How to fix it
    1. Serve `/metrics` with a Prometheus client library.
    2. Label by route template and status, never by path, user, session or text.
    3. Take a secret out of its label, and replace it: it has been in every scrape.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Request,
    Scrape,
    Target,
    curl_line,
    plural,
    secret_kind,
    show,
)
from checks.monitoring._page import Page, page_of, unread

CHECK = Check(
    failure_title="Metrics cannot be used",
    kind=Kind.ACTIVE,
    does="Reads the metrics page before and after questions, unknown paths, and one unknown credential.",
    measures="series on the metrics page",
    needs=("metrics", "http", "questions?", "target.health.metrics"),
    deadline_s=150,
    typical_s=2,
    beside=True,
)
QUESTIONS = 4
UNKNOWN_PATHS = 5
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Thresholds:
    """Limits of the catalogue. Above ``warn_series`` the page is read no further, which fails."""

    max_series: float = 10_000
    warn_series: float = 50_000
    max_label_values: float = 200


@dataclass(frozen=True)
class Leak:
    """A label that holds what no label may. ``kind`` says what; the value itself is not kept."""

    label: str
    kind: str
    secret: bool


@dataclass(frozen=True)
class Evidence:
    """The page before and after traffic, and what was found in its labels."""

    url: str
    before: Page
    after: Page
    asked: int
    leaks: tuple[Leak, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read, make traffic that we would recognise in a label, read again."""
    before = await instruments.metrics.scrape()
    own: dict[str, Leak] = {}
    asked = 0
    if before.failure is None and before.status == 200:
        own, asked = await _traffic(target, instruments)
    after = await instruments.metrics.scrape() if asked or own else before
    request = Request("GET", target.health.metrics or "/metrics", target.health.headers)
    leaks = {leak for scrape in (before, after) for leak in _leaks(scrape, own)}
    return Evidence(
        url=target.absolute(request.url),
        before=page_of(before),
        after=page_of(after),
        asked=asked,
        leaks=tuple(sorted(leaks, key=lambda leak: (not leak.secret, leak.label, leak.kind))),
        reproduce=f"{curl_line(target, request)} | promtool check metrics",
    )


async def _traffic(target: Target, instruments: Instruments) -> tuple[dict[str, Leak], int]:
    """Make requests; returns what each text of ours would leak, and how many questions were asked."""
    word = f"{instruments.random.getrandbits(48):012x}"
    own = {f"person-{word}": Leak("", "the user", False), f"visit-{word}": Leak("", "the session", False)}
    asked = 0
    try:
        route = await instruments.questions.route()
        prompts = instruments.prompts.fresh(QUESTIONS) if route else []
        for prompt in [*prompts, *prompts[:1]]:
            await instruments.questions.ask(
                prompt,
                route=route or "ask",
                user=f"person-{word}",
                session=f"visit-{word}",
                timeout_s=TIMEOUT_S,
            )
            own[prompt] = Leak("", "the question", False)
            asked += 1
    except InstrumentFailure:  # optional: a service with no declared question still has metrics
        asked = 0
    for number in range(UNKNOWN_PATHS):
        path = f"/{word}-{number}"
        await instruments.http.send(Request("GET", path), timeout_s=TIMEOUT_S)
        own[path] = Leak("", "the path", False)
    for request in _with_secrets(target, word):
        await instruments.http.send(request, timeout_s=TIMEOUT_S)
    own[f"token-{word}"] = Leak("", "the token in the query", True)
    own[f"key-{word}"] = Leak("", "the credential", True)
    return own, asked


def _with_secrets(target: Target, word: str) -> tuple[Request, Request]:
    """A token where links carry it, and a credential that nobody has, to a route that asks for one if any."""
    header = target.auth.header if target.auth else "Authorization"
    protected = target.auth.protected if target.auth else ()
    place = next((each.path for each in protected if each.method == "GET"), f"/{word}-0")
    return (
        Request("GET", f"/{word}-0?access_token=token-{word}"),
        Request("GET", place, {header: f"Bearer key-{word}"}),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Absent or unreadable fails, a secret fails; too many series, and personal labels, warn."""
    no_basis = unread(
        evidence.before,
        evidence.after,
        evidence.url,
        fix="Serve Prometheus text or OpenMetrics with a client library; check it with promtool.",
        reproduce=evidence.reproduce,
    )
    if no_basis:
        return no_basis
    secrets = [leak for leak in evidence.leaks if leak.secret]
    series = evidence.after.series
    limit = Limit.at_most(thresholds.max_series, thresholds.warn_series)
    if secrets:
        return Finding.failed(
            f"The label `{secrets[0].label}` holds {secrets[0].kind}.",
            fix="Take it out of the label, and replace the secret: it has been in every scrape.",
            reproduce=evidence.reproduce,
        )
    doubts = _doubts(evidence, thresholds)
    if doubts:
        return Finding.warned(
            f"{doubts[0]}{f' Also: {doubts[1]}' if len(doubts) > 1 else ''}",
            value=series, unit="count", limit=limit,
            fix="Label by route template and status, never by path, user, session or text.",
            reproduce=evidence.reproduce,
        )  # fmt: skip
    return Finding.passed(
        f"{plural(evidence.after.families, 'metric')} in {show(series, 'count')} series, limit "
        f"{show(thresholds.max_series, 'count')}; no label holds what it must not.",
        value=series, unit="count", limit=limit, reproduce=evidence.reproduce,
    )  # fmt: skip


def _doubts(evidence: Evidence, thresholds: Thresholds) -> list[str]:
    series = evidence.after.series
    doubts = []
    if series > thresholds.max_series:
        doubts.append(
            f"There are {show(series, 'count')} series, limit {show(thresholds.max_series, 'count')}."
        )
    many = {
        name: count
        for name, count in evidence.after.label_values.items()
        if count > thresholds.max_label_values
    }
    if many:
        name = max(many, key=lambda each: many[each])
        doubts.append(
            f"The label `{name}` has {many[name]} values or more, limit "
            f"{show(thresholds.max_label_values, 'count')}: a series for each."
        )
    doubts += [f"The label `{leak.label}` holds {leak.kind}." for leak in evidence.leaks if not leak.secret]
    return doubts


def _leaks(scrape: Scrape, own: dict[str, Leak]) -> set[Leak]:
    leaks = set()
    for label, values in scrape.labels.items():
        for value in values:
            found = secret_kind(label, value)
            if found:
                leaks.add(Leak(label[:80], *found))
            leaks |= {
                Leak(label[:80], f"{ours.kind} of each request", ours.secret)
                for text, ours in own.items()
                if text in value
            }
    return leaks
