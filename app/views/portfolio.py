"""Portfolio: every service that was assessed, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import wording
from app.causes import costs
from app.records import RubricRef, RunInfo, RunState, Verdict
from app.views import frame, marks, source
from app.wording import ABSENT, BAND_NAMES, percent, signed
from checks.contract.wording import plural

COLUMNS = 3
NEAR = 9  # points: closer labels alternate in height
NEAR_END = 88  # from here a label ends at its mark, so that it stays within the card


@dataclass(frozen=True)
class Service:
    """One service: its runs, newest first."""

    key: str
    name: str
    runs: tuple[RunInfo, ...]

    @property
    def scored(self) -> tuple[RunInfo, ...]:
        """Runs with a score, newest first."""
        return tuple(run for run in self.runs if run.score is not None)

    @property
    def newest(self) -> RunInfo | None:
        """The newest run with a score."""
        return next(iter(self.scored), None)

    @property
    def running(self) -> RunInfo | None:
        """The run that goes on."""
        return next((run for run in self.runs if run.state is RunState.RUNNING), None)


def page() -> None:
    """Draw all services."""
    frame.sidebar("portfolio", source.scope())
    frame.name_document("Portfolio")
    history = source.store()
    names = source.names()
    services = [Service(key, names.get(key, key), tuple(history.runs(key))) for key in history.targets()]
    frame.title_row(_headline(services), _facts(services))
    if not services:
        with frame.card("empty"):
            st.html(
                marks.empty_state("Nothing to assess yet.", "Start the bundled sample on the Sample page.")
            )
        return
    services.sort(key=lambda service: service.newest.score or 0.0 if service.newest else -1.0)
    rubric = next((service.newest.rubric for service in services if service.newest), None)
    if rubric is not None:
        with frame.card("lane"):
            st.html(_lane([service for service in services if service.newest], rubric))
    for start in range(0, len(services), COLUMNS):
        columns = st.columns(COLUMNS, gap="small")
        for column, service in zip(columns, services[start : start + COLUMNS], strict=False):
            with column:
                _card(service)


def _headline(services: Sequence[Service]) -> str:
    ready = sum(
        service.newest is not None and service.newest.verdict is Verdict.PRODUCTION for service in services
    )
    verb = "is" if ready == 1 else "are"
    noun = "service" if len(services) == 1 else "services"
    return f"{ready} of {len(services)} {noun} {verb} production ready"


def _facts(services: Sequence[Service]) -> list[str]:
    newest = [service.newest for service in services if service.newest]
    blocked = [run for run in newest if run.open_p0]
    facts = []
    if blocked:
        checks = plural(sum(run.open_p0 or 0 for run in blocked), "P0 check")
        facts.append(f"{checks} open in {plural(len(blocked), 'service')}")
    stale = sum(source.is_stale(run) for run in newest)
    if stale:
        facts.append(f"{plural(stale, 'assessment')} stale")
    running = sum(service.running is not None for service in services)
    if running:
        facts.append(f"{running} running")
    return facts or ["No P0 is open"]


def _lane(services: Sequence[Service], rubric: RubricRef) -> str:
    edges = [band.from_score for band in rubric.bands] + [100.0]
    zones = "".join(
        f'<span class="gl-{wording.VERDICT_TONES[band.verdict]}" style="width:{high - low:g}%">'
        f"{marks.text(BAND_NAMES[band.verdict])}</span>"
        for band, low, high in zip(rubric.bands, edges, edges[1:], strict=False)
    )
    ticks = "".join(f'<span class="tick" style="left:{edge:g}%">{edge:g}</span>' for edge in edges[1:-1])
    places, last, raised = [], -100.0, False
    for service in services:
        run = service.newest
        if run is None or run.verdict is None or run.score is None:
            continue
        raised = run.score - last < NEAR and not raised
        last = run.score
        icon = marks.icon(marks.VERDICT_ICONS[run.verdict], wording.VERDICT_TONES[run.verdict])
        up = (" up" if raised else "") + (" end" if run.score > NEAR_END else "")
        left = min(max(run.score, 3), 97)
        places.append(
            f'<span class="mark{up}" style="left:{left:g}%">'
            f"<b>{marks.text(service.name, 40)}</b>{icon}</span>"
        )
    words = ", ".join(
        f"{service.name} {wording.score_text(service.newest.score)}" for service in services if service.newest
    )
    return (
        f'<div class="gl-lane" role="img" aria-label="{marks.text(words, 1000)}">{"".join(places)}'
        f'<div class="zones">{zones}</div>{ticks}</div>'
    )


def _card(service: Service) -> None:
    run = service.newest
    with st.container(border=True, key=f"card_row_{service.key}", height="stretch", gap=None):
        st.html(_without_score(service) if run is None else _with_score(service, run))
        page_file = frame.OVERVIEW if run else frame.RUN
        st.page_link(
            page_file,
            label=marks.label(f"Open {service.name}"),
            query_params={"target": service.key},
            width="stretch",
        )


def _with_score(service: Service, run: RunInfo) -> str:
    verdict = run.verdict or Verdict.NOT_READY
    tone = wording.VERDICT_TONES[verdict]
    circle = marks.ring(run.score, run.grade or "", run.best_possible, tone)
    past = [other.score for other in reversed(service.scored) if other.score is not None]
    earlier = service.scored[1].score if len(service.scored) > 1 else None
    change = ABSENT if earlier is None else signed((run.score or 0.0) - earlier)
    figures = marks.facts(
        [("Open P0", str(run.open_p0 or "None")), ("Coverage", percent(run.coverage)), ("Since last", change)]
    )
    return (
        f'<div class="gl-card-top"><div><h2>{marks.text(service.name)}</h2>'
        f"{marks.verdict_badge(verdict)}</div>{circle}</div>{_worst(run)}{marks.spark(past, 100)}{figures}"
        f'<p class="gl-card-foot">{_age(service, run)}</p>'
    )


def _worst(run: RunInfo) -> str:
    snapshot = source.snapshot(run)
    found = costs(snapshot.scorecard) if snapshot and snapshot.scorecard else []
    if not found:
        return '<p class="gl-card-worst">Nothing costs points</p>'
    root = found[0].root
    shape = marks.outcome_icon(root.outcome)
    return f'<p class="gl-card-worst">{shape}<span>{marks.text(root.title)}</span></p>'


def _age(service: Service, run: RunInfo) -> str:
    if service.running is not None:
        done, total = service.running.done, len(service.running.planned)
        return f"{marks.icon('running')} Running now, {done} of {total}"
    ago = wording.ago(source.ended(run), source.now())
    if source.is_stale(run):
        return f'{marks.icon("warn", "warn")} <span class="gl-stale">Assessed {marks.text(ago)}, stale</span>'
    return marks.text(ago)


def _without_score(service: Service) -> str:
    newest = service.runs[0]
    state = wording.STATE_WORDS[newest.state].lower()
    return (
        f'<div class="gl-card-top"><div><h2>{marks.text(service.name)}</h2>'
        f"{marks.badge('Not assessed yet', 'none', 'none')}</div>{marks.ring(None, '', None, 'none')}</div>"
        f'<p class="gl-card-foot">Run #{newest.number} {state}</p>'
    )


if __name__ == "__main__":
    page()
