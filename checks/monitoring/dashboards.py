"""Dashboards show the service: they are there, and their panels have data.

Why it matters
    In an outage people open a dashboard first. One that is blank, asks for metrics that were renamed, or
    shows another service costs the minutes that it was made for.

How it is measured
    The dashboards that the target declares, or those of its Grafana that name the service, are read with all
    their rows and library panels. Variables are set as somebody sets them who looks at this service, and
    each query is asked through Grafana for the last hour. A query that gives nothing is looked at in
    Prometheus: one whose series may still come (errors that there were none of yet, a filter) is idle and not
    held against the dashboard; one that can never find them is blank, as is a panel without a query or with a
    data source that Grafana does not have. At least one query must read the service's own series. Grafana's
    API is used as it is documented; this check was not tried against a live Grafana.

How to fix it
    1. Open the panel that is named, and edit its query: Explore shows which metrics there are.
    2. Give the dashboard a variable for its data source, and export it without `__inputs`.
    3. Start from data/monitoring/chat-dashboard.json, and replace the job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Request,
    ServerDown,
    Target,
    curl_line,
    plural,
    printable,
    show,
)
from checks.contract.instruments.monitoring import Dashboard, Panel
from checks.monitoring._panels import Known, is_own, read_known, why_empty

CHECK = Check(
    failure_title="Dashboards do not show the service",
    kind=Kind.PASSIVE,
    does="Reads dashboards from Grafana, and asks for the data of their panels as an open dashboard does.",
    measures="of the panels' queries return data",
    needs=("grafana", "prometheus?", "promql", "target.grafana"),
    deadline_s=90,
    typical_s=2,
    beside=True,
)
MOST_QUERIES = 150
MOST_NAMED = 3
# Panels that show no query of their own.
QUIET = frozenset((
    "text", "row", "news", "dashlist", "alertlist", "annolist", "gettingstarted", "welcome", "canvas",
    "pluginlist", "debug",
))  # fmt: skip

State = Literal["data", "idle", "blank", "no query"]


@dataclass(frozen=True)
class Thresholds:
    """A dashboard may have a panel that is being rebuilt, not a tenth of them."""

    pass_ratio: float = 0.95
    warn_ratio: float = 0.80


@dataclass(frozen=True)
class Asked:
    """One query of a panel and what it gave. ``own`` is whether it reads the service's series, if known."""

    dashboard: str
    panel: str
    expression: str
    state: State
    error: str
    own: bool | None


@dataclass(frozen=True)
class Evidence:
    """The dashboards and their queries; ``left_out`` counts queries that there were too many of.

    ``scraped`` is whether Prometheus has series of the service at all, None where that is not known. ``gone``
    are declared dashboards that are not there.
    """

    grafana: str
    failure: str
    scraped: bool | None
    gone: tuple[str, ...]
    dashboards: tuple[str, ...]
    queries: tuple[Asked, ...]
    left_out: int
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the dashboards and ask what their panels ask. Raises InstrumentFailure where a key is missing."""
    declared = target.grafana
    place, headers = (declared.url, declared.headers) if declared else ("", {})
    uids = declared.dashboards if declared else ()
    path = f"/api/dashboards/uid/{uids[0]}" if uids else "/api/search?type=dash-db"
    line = curl_line(target, Request("GET", f"{place}{path}", headers))
    try:
        boards = await instruments.grafana.dashboards()
        known = await _known(target, instruments)
        pairs = [(board, panel, text) for board in boards for panel, text in _queries(board)]
        asked = [await _asked(instruments, known, *each) for each in pairs[:MOST_QUERIES]]
    except ServerDown as down:
        return Evidence(place, down.reason, None, (), (), (), 0, line)
    titles = tuple(_text(board.title or board.uid) for board in boards)
    scraped = not known.service.silent if known and known.service else None
    gone = tuple(_text(uid) for uid in uids if uid not in {board.uid for board in boards})
    return Evidence(place, "", scraped, gone, titles, tuple(asked), max(0, len(pairs) - MOST_QUERIES), line)


def _queries(board: Dashboard) -> list[tuple[Panel, str]]:
    """The queries of a dashboard's panels, "" for a panel that should have one and has none."""
    return [
        (panel, text)
        for panel in board.panels
        for text in panel.expressions or (("",) if panel.datasource and panel.kind not in QUIET else ())
    ]


async def _known(target: Target, instruments: Instruments) -> Known | None:
    try:
        return await read_known(target, instruments.prometheus, instruments.promql)
    except InstrumentFailure:  # optional: without it an empty query is a blank one
        return None


async def _asked(
    instruments: Instruments, known: Known | None, board: Dashboard, panel: Panel, text: str
) -> Asked:
    error = ""
    state: State = "no query"
    if text:
        shown = await instruments.grafana.shows(panel, text)
        error, state = shown.error, "data" if shown.data else "blank"
        if known and not shown.data and not shown.error:
            state = await _why(text, known)
    return Asked(
        _text(board.title or board.uid),
        _text(panel.title or panel.kind),
        _text(text),
        state,
        _text(error),
        is_own(text, known) if known and text else None,
    )


async def _why(text: str, known: Known) -> State:
    try:
        return await why_empty(text, known)
    except InstrumentFailure:  # as where there is no Prometheus
        return "blank"


def _text(text: str) -> str:
    return printable(text)[:200]


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """None, or none about this service, fails; else the share of queries that have data decides."""
    if evidence.failure:
        return _failed(
            evidence, evidence.failure, "Start Grafana, or correct `[grafana]` in the target file."
        )
    if evidence.gone:
        return _failed(
            evidence,
            f"Grafana {evidence.grafana} has no dashboard `{evidence.gone[0]}`, which `[grafana] dashboards` "
            "names.",
            "Restore it, or correct its uid: it stands in a dashboard's address, after /d/.",
        )
    if not evidence.queries:
        there = ", ".join(evidence.dashboards)
        return _failed(
            evidence,
            f"The dashboard {there} has no panel with a query."
            if there
            else f"Grafana {evidence.grafana} has no dashboard that shows this service.",
            "Make one, from data/monitoring/chat-dashboard.json; or name its uid as `[grafana] dashboards`.",
        )
    owned = [each.own for each in evidence.queries]
    if set(owned) == {False}:
        return _failed(
            evidence,
            f"None of {plural(len(owned), 'query', 'queries')} of {_named(evidence.dashboards)} reads series "
            "of this service.",
            "Add the service's own signals; data/monitoring/chat-dashboard.json has them to copy.",
        )
    return _by_share(evidence, thresholds)


def _by_share(evidence: Evidence, thresholds: Thresholds) -> Finding:
    # Of a service that is not scraped nothing comes, so nothing is idle.
    counted = [each for each in evidence.queries if each.state != "idle" or evidence.scraped is False]
    idle = len(evidence.queries) - len(counted)
    quiet = f"; {idle} idle, whose series may still come" if idle else ""
    if not counted:
        return Finding.not_assessed(
            f"All {plural(idle, 'query', 'queries')} are empty and may still get data: nothing has happened "
            "that they would show."
        )
    bad = [each for each in counted if each.state != "data"]
    value = 1 - len(bad) / len(counted)
    limit = Limit.at_least(thresholds.pass_ratio, thresholds.warn_ratio, high=1.0)
    return Finding.by_limit(
        value,
        "ratio",
        limit,
        f"{len(counted) - len(bad)} of {plural(len(counted), 'query', 'queries')} of "
        f"{_named(evidence.dashboards)} have data, limit {show(limit.pass_at, 'ratio')}{quiet}.{_blank(bad)}",
        fix=_fix(bad),
        reproduce=evidence.reproduce,
        follows_from="monitoring.targets_up" if evidence.scraped is False else None,
    )


def _failed(evidence: Evidence, reason: str, fix: str) -> Finding:
    return Finding.failed(reason, fix=fix, reproduce=evidence.reproduce)


def _named(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - MOST_NAMED} more" if len(titles) > MOST_NAMED else ""
    return ", ".join(f"`{title}`" for title in titles[:MOST_NAMED]) + more


def _blank(bad: Sequence[Asked]) -> str:
    """What shows nothing, and why: what stops most of them first."""
    if not bad:
        return ""
    errors = Counter(each.error for each in bad)
    [(most, _)] = errors.most_common(1)
    first = next(each for each in bad if each.error == most)
    if first.state == "no query":
        return f" `{first.panel}` has no query."
    return f" `{first.panel}` shows nothing: {first.error or first.expression}."


def _fix(bad: Sequence[Asked]) -> str:
    panels = list(dict.fromkeys(f"`{each.panel}`" for each in bad))
    more = f" and {len(panels) - MOST_NAMED} more" if len(panels) > MOST_NAMED else ""
    return f"Edit {', '.join(panels[:MOST_NAMED])}{more}: each asks for what is not there (any more)."
