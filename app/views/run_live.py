"""A run while it goes on, and what it left behind: progress, the current check, events, families, queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import profiles, wording
from app import rubric as rubrics
from app.records import RunEvent, RunInfo, RunState, ScoredFinding
from app.targets import TargetError, load
from app.views import frame, marks, source
from app.views.charts.load import live_load
from app.views.charts.look import CONFIG
from app.views.run_form import expected_s
from app.wording import family_title
from checks import LoadedCheck
from checks.contract import show, thresholds_for
from checks.contract.findings import Outcome
from checks.contract.wording import plural

MOST_EVENTS = 60
MOST_SO_FAR = 4


@dataclass(frozen=True)
class Progress:
    """What a run has done so far, as one reading of the history."""

    run: RunInfo
    findings: tuple[ScoredFinding, ...]
    events: Sequence[RunEvent]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcome of each finished check."""
        return {finding.check: finding.outcome for finding in self.findings}

    @property
    def running(self) -> tuple[RunEvent, ...]:
        """The events with which the checks that run just now began; most run alone."""
        if self.run.state.final:
            return ()
        under_way: dict[str | None, RunEvent] = {}
        for event in (event for event in self.events if event.kind == "check"):
            if "outcome" in event.data:
                under_way.pop(event.check, None)
            else:
                under_way[event.check] = event
        return tuple(under_way.values())

    @property
    def current(self) -> RunEvent | None:
        """The event with which the running check began; of several the latest."""
        return self.running[-1] if self.running else None

    @property
    def seconds(self) -> list[dict[str, Any]]:
        """What was told of each second of the current scenario."""
        began = self.current
        if began is None:
            return []
        return [event.data for event in self.events if event.kind == "load" and event.seq > began.seq]


def read(run: RunInfo) -> Progress:
    """What the history knows of a run by now."""
    return Progress(run, source.store().findings(run.run_id), source.events(run.run_id))


@st.fragment(run_every=frame.TICK_S)
def live(run_id: int) -> None:
    """The run, once a second; when it ends the page is drawn again once."""
    source.active()  # marks a run whose process is gone
    run = source.store().run(run_id)
    if run is None or run.state is not RunState.RUNNING:
        st.rerun()
    progress = read(run)
    with frame.card("progress"):
        st.html(_progress(progress))
    left, right = st.columns([1.92, 1], gap="small")
    with left, frame.card("current"):
        current(progress)
    with right, frame.card("events"):
        st.html(_events(progress))
    left, right = st.columns([1.92, 1], gap="small")
    with left, frame.card("groups"):
        st.html(_families(progress))
    with right, frame.card("queue"):
        st.html(_queue(run))


def finished(run: RunInfo) -> None:
    """What a run that has ended left behind."""
    progress = read(run)
    if progress.findings:
        with frame.card("progress"):
            st.html(_progress(progress))
    left, right = st.columns([1.92, 1], gap="small")
    with left, frame.card("findings"):
        st.html(marks.heading("Findings", "By family", count=len(progress.findings)))
        _findings(progress)
    with right, frame.card("events"):
        st.html(_events(progress))


def _findings(progress: Progress) -> None:
    """Every finding as a row that leads to its check."""
    found = {finding.check: finding for finding in progress.findings}
    groups: dict[str, list[ScoredFinding]] = {}
    for check in [check for check in _planned(progress) if check in found]:
        groups.setdefault(found[check].family, []).append(found[check])
    if not groups:
        st.html('<p class="gl-quiet">No check finished in this run.</p>')
    for family, inside in groups.items():
        st.html(f'<h3 class="gl-group">{marks.text(family_title(family))}</h3>')
        with st.container(gap=None):
            for finding in inside:
                _finding(progress.run, finding)


def _finding(run: RunInfo, finding: ScoredFinding) -> None:
    earned = f"{finding.earned:.1f} of {finding.points:.1f}"
    html = (
        f'<div class="gl-row">{marks.outcome_icon(finding.outcome)}<div>'
        f'<div class="what">{marks.text(finding.title)}'
        f'<span class="gl-vh">, {wording.OUTCOME_WORDS[finding.outcome]}</span></div>'
        f'<div class="more gl-two">{marks.prose(finding.reason, 240)}</div></div>'
        f'<div class="cost">{earned}<small>{finding.severity}</small></div></div>'
    )
    query = {**frame.run_query(run), "check": finding.check}
    name = f"finding_{finding.check.replace('.', '_')}"
    frame.row_link(name, html, frame.CHECK, f"Open {finding.title}", query)


def _planned(progress: Progress) -> list[str]:
    """The run's checks, grouped by family in the order that the families begin."""
    planned = list(progress.run.planned) or [finding.check for finding in progress.findings]
    families = list(dict.fromkeys(check.partition(".")[0] for check in planned))
    return sorted(planned, key=lambda check: families.index(check.partition(".")[0]))


def _progress(progress: Progress) -> str:
    run, outcomes = progress.run, progress.outcomes
    planned = _planned(progress)
    done = sum(check in outcomes for check in planned)
    waiting = len(planned) - done - len(progress.running)
    finished_last = progress.findings[-1] if progress.findings else None
    words = f"<b>{done} of {len(planned)}</b> checks"
    if not run.state.final and run.started_at is not None:
        gone = (source.now() - source.local(run.started_at)).total_seconds()
        left = _left_s(progress)
        words += f" · {marks.seconds(round(max(gone, 0)))} gone"
        words += f" · about <b>{marks.seconds(round(left))}</b> left" if left >= 1 else " · nearly done"
    spoken = (
        f"{finished_last.title}: {wording.OUTCOME_WORDS[finished_last.outcome].lower()}"
        if finished_last
        else ""
    )
    counts = marks.counts(list(outcomes.values()), waiting if not run.state.final else None)
    current = [event.check for event in progress.running if event.check]
    return (
        f'<h2 class="gl-vh">Progress</h2><div class="gl-progress"><span>{words}</span>{counts}</div>'
        f'<p class="gl-vh" role="status">{marks.text(spoken)}</p>'
        f"{marks.strip(planned, outcomes, now=current, big=True)}"
    )


def _left_s(progress: Progress) -> float:
    catalogue, outcomes = source.catalogue(), progress.outcomes
    profile = profiles.load().get(progress.run.profile)
    left = [
        catalogue[check] for check in progress.run.planned if check not in outcomes and check in catalogue
    ]
    if profile is None or not left:
        return 0.0
    total = expected_s(left, profile)
    for now in progress.running:
        if now.check in catalogue:
            spent = (source.now() - source.local(now.at)).total_seconds()
            total -= min(spent, expected_s([catalogue[now.check]], profile))
    return total


def current(progress: Progress) -> None:
    """The check that runs just now; a load scenario with its figures and a chart of each second."""
    now = progress.current
    loaded = source.catalogue().get(now.check or "") if now else None
    if now is None:
        words = "The run is about to begin." if not progress.findings else "The next check is about to begin."
        st.html(marks.heading("Between checks") + f'<p class="gl-quiet">{words}</p>')
        return
    title = marks.text(now.text if loaded is None else loaded.docs["title"])
    head = (
        f'<div class="gl-h"><h2>{marks.icon("running")}{title}</h2>'
        f'<p class="gl-note"><code>{marks.text(now.check or "")}</code>{_ends(progress)}</p></div>'
    )
    seconds = progress.seconds
    if not seconds:
        st.html(head + _last_words(progress, loaded) + _so_far(progress))
        return
    st.html(head + _figures(progress, loaded, seconds))
    if not any(item["answered"] for item in seconds):
        sent = sum(item["failed"] for item in seconds)
        st.html(
            f'<p class="gl-quote"><b>No request was answered in this scenario</b>: 0 of {sent:,} so far.</p>'
        )
        return
    st.plotly_chart(
        live_load(seconds, dark=frame.is_dark()),
        theme=None,
        config=CONFIG,
        width="stretch",
        key=f"live_{now.check}",
        alt=f"Latency and answers a second of the scenario {seconds[-1]['scenario']}, so far",
    )


def _ends(progress: Progress) -> str:
    seconds = progress.seconds
    if not seconds:
        return ""
    left = seconds[-1]["duration_s"] - seconds[-1]["second"]
    return f" · {marks.seconds(left)} left" if left >= 1 else " · ending"


def _last_words(progress: Progress, loaded: LoadedCheck | None) -> str:
    """What the check does, and the last thing it said."""
    now = progress.current
    does = marks.text(loaded.about.does) if loaded else ""
    said = [
        event for event in progress.events if now and event.seq > now.seq and event.kind in ("say", "lever")
    ]
    last = f'<p class="gl-quote">{marks.text(said[-1].text)}</p>' if said else ""
    return f'<p class="gl-say">{does}</p>{last}'


def _so_far(progress: Progress) -> str:
    """What does not pass so far, newest first."""
    open_ = [
        item
        for item in reversed(progress.findings)
        if item.outcome in (Outcome.FAIL, Outcome.WARN, Outcome.ERROR)
    ]
    if not open_:
        return ""
    rows = "".join(
        f'<div class="gl-row">{marks.outcome_icon(item.outcome)}<div>'
        f'<div class="what">{marks.text(item.title)}</div>'
        f'<div class="more gl-two">{marks.prose(item.reason, 240)}</div></div>'
        f'<div class="cost">{item.severity}</div></div>'
        for item in open_[:MOST_SO_FAR]
    )
    return f'<h3 class="gl-group">Found so far</h3><div class="gl-lined">{rows}</div>'


def _figures(progress: Progress, loaded: LoadedCheck | None, seconds: Sequence[dict[str, Any]]) -> str:
    answered = sum(item["answered"] for item in seconds)
    failed = sum(item["failed"] for item in seconds)
    hits, marked = (sum(item[key] or 0 for item in seconds) for key in ("hits", "marked"))
    limits = _limits(progress.run, loaded)
    success = answered / (answered + failed) if answered + failed else None
    hit_ratio = hits / marked if marked else None
    last = seconds[-1]
    sent = plural(answered + failed, "request")
    pairs = [
        ("Succeeded", _against(success, limits.get("pass_success_ratio"))),
        ("Cache hits", _against(hit_ratio, limits.get("pass_hit_ratio"))),
        ("p50", _value(_ms(last.get("p50_ms")), "last second")),
        ("p95", _value(_ms(last.get("p95_ms")), f"of {sent}")),
        ("Throughput", _value(f"{last['answered']}/s", plural(failed, "error"))),
    ]
    if last.get("model") == "open":
        dropped = f"{last.get('dropped') or 0:,} dropped"
        pairs.append(("Due", _value(show(last.get("offered_per_s") or 0.0, "per_s"), dropped)))
    return marks.facts(pairs, "gl-live")


def _limits(run: RunInfo, loaded: LoadedCheck | None) -> dict[str, float]:
    """The limits of the running scenario, as it will be judged."""
    if loaded is None:
        return {}
    try:
        entry = rubrics.load().checks.get(loaded.id)
        limits = thresholds_for(loaded.thresholds, entry.thresholds if entry else {}, load(run.target))
    except (rubrics.RubricError, TargetError):
        return {}  # the run itself says what is wrong with them
    return {name: getattr(limits, name) for name in limits.__dataclass_fields__}


def _ms(value: float | None) -> str:
    return wording.ABSENT if value is None else show(value, "ms")


def _value(value: str, below: str) -> str:
    return f"{marks.text(value)}<small>{marks.text(below)}</small>"


def _against(ratio: float | None, limit: float | None) -> str:
    if ratio is None:
        return f"{wording.ABSENT}<small>not marked</small>"
    if limit is None:
        return marks.text(show(ratio, "ratio"))
    outcome = Outcome.PASS if ratio >= limit else Outcome.FAIL
    needs = f"needs ≥ {show(limit, 'ratio')}"
    return (
        f"{marks.text(show(ratio, 'ratio'))}<small>{marks.outcome_icon(outcome)}{marks.text(needs)}</small>"
    )


def _events(progress: Progress) -> str:
    shown = [event for event in reversed(progress.events) if _tells(event, progress)][:MOST_EVENTS]
    rows = "".join(_event(event, progress) for event in shown)
    nothing = "No event was kept." if progress.run.state.final else "Nothing has happened yet."
    listed = (
        f'<ul class="gl-events" tabindex="0" aria-label="Events">{rows}</ul>'
        if rows
        else f'<p class="gl-quiet">{nothing}</p>'
    )
    return marks.heading("Events", "Newest first") + listed


def _tells(event: RunEvent, progress: Progress) -> bool:
    """Whether an event is worth a line: not each second of load, and a check's begin only while it runs."""
    if event.kind == "load":
        return False
    return event.kind != "check" or "outcome" in event.data or event is progress.current


def _event(event: RunEvent, progress: Progress) -> str:
    at = source.local(event.at)
    shape, first, second = _told(event, progress)
    below = f"<small>{marks.text(second, 200)}</small>" if second else ""
    return f"<li><time>{at:%H:%M:%S}</time>{shape}<span>{marks.text(first, 200)}{below}</span></li>"


def _told(event: RunEvent, progress: Progress) -> tuple[str, str, str]:
    """Shape, words and second line of an event."""
    data = event.data
    if event.kind == "check" and "outcome" in data:
        return marks.outcome_icon(Outcome(data["outcome"])), event.text, str(data.get("reason", ""))
    if event.kind == "check":
        going = progress.current is event
        return marks.icon("running" if going else "waiting", "none"), event.text, str(event.check or "")
    if event.kind == "lever":
        return marks.icon("lever", "none"), event.text, str(data.get("detail", ""))
    return marks.icon("say", "none"), event.text, ""


def _families(progress: Progress) -> str:
    outcomes = progress.outcomes
    groups: dict[str, list[str]] = {}
    for check in _planned(progress):
        groups.setdefault(check.partition(".")[0], []).append(check)
    now = progress.current.check if progress.current else None
    rows = [_family_row(family, inside, outcomes, now) for family, inside in groups.items()]
    columns = [("Family", ""), ("Finished", "n"), ("State", ""), ("Detail", "opt")]
    return marks.heading("Families") + marks.table(
        columns, rows, label="Families of this run", empty="No check was planned."
    )


def _family_row(
    family: str, inside: Sequence[str], outcomes: dict[str, Outcome], now: str | None
) -> list[str]:
    done = [outcomes[check] for check in inside if check in outcomes]
    failed, warned = done.count(Outcome.FAIL) + done.count(Outcome.ERROR), done.count(Outcome.WARN)
    if now in inside:
        state = marks.badge("Running", "running", "none")
    elif failed:
        state = marks.badge("Has failures", "fail", "fail")
    elif warned:
        state = marks.badge("Has warnings", "warn", "warn")
    elif len(done) == len(inside) and Outcome.PASS in done:
        state = marks.badge("Passes", "pass", "pass")
    elif done and len(done) == len(inside):
        state = marks.badge("Not assessed", "none", "none")
    else:
        state = marks.badge("Waiting", "waiting", "none")
    words = [f"{failed} failed" if failed else "", f"{warned} warned" if warned else ""]
    left = len(inside) - len(done)
    words.append(f"{left} left" if left else "")
    name = f"<b>{marks.text(family_title(family))}</b>"
    return [name, f"{len(done)} of {len(inside)}", state, marks.text(", ".join(filter(None, words)))]


def _queue(run: RunInfo) -> str:
    others = [other for other in source.store().active() if other.run_id != run.run_id]
    rows = "".join(_queued(other, run) for other in others)
    empty = '<p class="gl-quiet">No other run waits.</p>'
    return marks.heading("Queue", "Everyone's runs") + (rows or empty)


def _queued(other: RunInfo, run: RunInfo) -> str:
    if other.state is RunState.RUNNING:
        state = marks.badge("Running", "running", "none")
    elif other.target == run.target:
        state = marks.badge(f"After #{run.number}", "waiting", "none")
    else:
        state = marks.badge("Waiting", "waiting", "none")
    below = marks.text(f"{other.profile.capitalize()}, {other.started_by}")
    name = marks.text(other.target_name)
    return f'<div class="gl-queue"><span><b>{name}</b><small>{below}</small></span>{state}</div>'
