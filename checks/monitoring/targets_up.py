"""Prometheus scrapes the service: every instance is up, was just scraped, and stays so.

Why it matters
    Whatever is not scraped has no past and no alerts: a rule over series that are not there is silent in the
    worst outage. A target that comes and goes tears holes into rates, and alerts reset in each of them.

How it is measured
    The scrape targets of the declared Prometheus that are this service's: those with its `[prometheus]
    labels`, and of them those at the address of its metrics route. Where none is at that address, the start
    time on the metrics page must be one that Prometheus knows, or the labels are another service's. A target
    must be up, scraped within three intervals, and keep samples of the page. Of the last hour's scrapes those
    are counted at which it went down, less the restarts of its process. Where there were few yet, and it went
    down at one, some more are waited for. A scrape interval longer than the time for which Prometheus
    takes a sample as current counts as coming and going too.

How to fix it
    1. Add the service to `scrape_configs`, with a label that no other service has.
    2. Open the target's URL from where Prometheus runs: the error on its page /targets says what it saw.
    3. Where targets come and go: look at the time-out of the scrape against the time that the metrics page
       takes, and at samples that relabelling drops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
from checks.monitoring._targets import LOOKBACK_S, Seen, read_lookback_s, read_targets, same_process

CHECK = Check(
    failure_title="Prometheus does not scrape the service",
    kind=Kind.PASSIVE,
    does="Reads the targets of the declared Prometheus, and how they were in the last hour.",
    measures="of the service's targets are up",
    needs=("prometheus", "metrics?", "target.prometheus"),
    deadline_s=45,
    typical_s=0.4,
    beside=True,
)


@dataclass(frozen=True)
class Thresholds:
    """A scrape may fail once; what fails again and again is no accident.

    ``max_down_ratio`` is of the scrapes at which it went down: 12 of an hour's 240 at the usual interval.
    """

    max_missed_intervals: float = 3
    min_fresh_s: float = 10
    max_down_ratio: float = 0.05
    least_times_down: float = 2
    min_up_ratio: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """The service's targets, and which jobs there are otherwise.

    ``same_process`` is whether one of them started when the service says it did; None where that is not
    needed (it is at the service's address) or cannot be told.
    """

    server: str
    failure: str
    labels: dict[str, str]
    targets: tuple[Seen, ...]
    others: tuple[str, ...]
    same_process: bool | None
    lookback_s: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the targets and their last hour. Raises InstrumentFailure where a declaration is missing."""
    declared = target.prometheus
    server, labels = (declared.url, dict(declared.labels)) if declared else ("", {})
    request = Request("GET", f"{server}/api/v1/targets?state=active", declared.headers if declared else {})
    line = curl_line(target, request)
    prometheus = instruments.prometheus
    try:
        scraped, own, seen = await read_targets(target, prometheus)
        same = await same_process(target, instruments, own)
        lookback_s = await read_lookback_s(prometheus)
    except ServerDown as down:
        return Evidence(server, down.reason, labels, (), (), None, LOOKBACK_S, line)
    if not own and not labels and scraped:
        raise InstrumentFailure(
            "Prometheus scrapes nothing at the address of this service, so its targets cannot be told from "
            'others\'. Add `[prometheus] labels`, such as `labels = { job = "chat" }`, to the target file.',
            missing="prometheus.labels",
        )
    others = sorted({printable(each.labels.get("job", ""))[:80] for each in scraped})
    return Evidence(server, "", labels, seen, tuple(others[:20]), same, lookback_s, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Absent, down or stale fails; what comes and goes, or is down in part, warns."""
    if evidence.failure:
        return _failed(evidence, evidence.failure, "Start Prometheus, or correct `[prometheus] url`.")
    if not evidence.targets:
        return _absent(evidence)
    if evidence.same_process is False:
        return _failed(
            evidence,
            f"The targets with {_written(evidence.labels)} are another service's: none of "
            f"{plural(len(evidence.targets), 'target')} started when this service did.",
            "Scrape this service too, and give its job a label of its own.",
        )
    wrong = {each.url: said for each in evidence.targets if (said := _wrong(each, thresholds))}
    value = 1 - len(wrong) / len(evidence.targets)
    if wrong:
        said = next(iter(wrong.values()))
        text = f"{plural(len(wrong), 'target')} of {len(evidence.targets)} cannot be used: {said}"
        found = Finding.failed if value == 0 else Finding.warned
        return found(
            text, value=value, unit="ratio", reproduce=evidence.reproduce,
            fix="Open the target's URL from where Prometheus runs; its page /targets shows what it saw.",
        )  # fmt: skip
    unsteady = [said for each in evidence.targets if (said := _unsteady(each, evidence, thresholds))]
    if unsteady:
        return Finding.warned(
            unsteady[0], value=value, unit="ratio", reproduce=evidence.reproduce,
            fix="Compare the scrape's interval and time-out with the time that the metrics page takes.",
        )  # fmt: skip
    ages = [each.age_s for each in evidence.targets if each.age_s is not None]
    last = f", the oldest scrape {show(max(ages), 's')} ago" if ages else ""
    return Finding.passed(
        f"{plural(len(evidence.targets), 'target')} up{last}, scraped every "
        f"{show(max(each.interval_s for each in evidence.targets), 's')}.",
        value=value, unit="ratio", reproduce=evidence.reproduce,
    )  # fmt: skip


def _failed(evidence: Evidence, reason: str, fix: str) -> Finding:
    return Finding.failed(reason, fix=fix, reproduce=evidence.reproduce)


def _absent(evidence: Evidence) -> Finding:
    jobs = ", ".join(f"`{job}`" for job in evidence.others if job)
    scraped = f"It scrapes the jobs {jobs}." if jobs else "It scrapes nothing at all."
    whose = f"with {_written(evidence.labels)}" if evidence.labels else "of this service"
    return _failed(
        evidence,
        f"Prometheus {evidence.server} has no target {whose}. {scraped}",
        "Add the service to `scrape_configs`; correct `[prometheus] labels` if they are not its.",
    )


def _wrong(seen: Seen, thresholds: Thresholds) -> str:
    """Why a target is no use now, "" where it is of use."""
    if seen.health == "unknown" and seen.age_s is None:
        return f"{seen.url} was never scraped."
    if seen.health != "up":
        return f"{seen.url} is {seen.health}: {seen.error or 'no reason is told'}."
    fresh_s = max(thresholds.min_fresh_s, thresholds.max_missed_intervals * seen.interval_s)
    if seen.age_s is not None and seen.age_s > fresh_s:
        return (
            f"{seen.url} was last scraped {show(seen.age_s, 's')} ago, limit {show(fresh_s, 's')} "
            f"({show(thresholds.max_missed_intervals, 'count')} intervals)."
        )
    if seen.kept == 0:
        return f"{seen.url} is up, and no sample of its page is kept."
    if seen.up_ratio < thresholds.min_up_ratio:
        return (
            f"{seen.url} was up in {show(seen.up_ratio, 'ratio')} of the last hour's scrapes, limit "
            f"{show(thresholds.min_up_ratio, 'ratio')}."
        )
    return ""


def _unsteady(seen: Seen, evidence: Evidence, thresholds: Thresholds) -> str:
    ratio = seen.times_down / max(seen.scrapes, 1.0)
    if seen.times_down >= thresholds.least_times_down and ratio > thresholds.max_down_ratio:
        return (
            f"{seen.url} comes and goes: it went down {show(seen.times_down, 'count')} times in "
            f"{show(seen.scrapes, 'count')} scrapes of the last hour without a restart, limit "
            f"{show(thresholds.max_down_ratio, 'ratio')}."
        )
    if seen.interval_s > evidence.lookback_s:
        return (
            f"{seen.url} is scraped every {show(seen.interval_s, 's')}, and Prometheus takes a sample as "
            f"current for {show(evidence.lookback_s, 's')}: its series come and go."
        )
    return ""


def _written(labels: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
