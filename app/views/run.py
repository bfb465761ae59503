"""Run: choose and launch an assessment, or watch the one that the address names."""

from __future__ import annotations

import streamlit as st

from app import runs, wording
from app.records import RunInfo, RunState
from app.views import frame, marks, run_form, run_live, source
from app.views.source import Scope
from app.wording import signed
from checks.contract.wording import plural


def page() -> None:
    """Draw the form, or the run that is asked for or goes on just now."""
    scope = source.scope()
    frame.sidebar("run", scope)
    if scope is None:
        frame.name_document("Nothing to assess yet")
        frame.title_row("Run an assessment", [])
        with frame.card("empty"):
            st.html(
                marks.empty_state("Nothing to assess yet.", "Start the bundled sample on the Sample page.")
            )
        return
    run = scope.run if scope.asked is not None else scope.active
    if scope.asked is not None and run is None:
        _no_such_run(scope)
    elif run is None:
        run_form.show(scope)
    else:
        if scope.asked is None:  # so that a copied address, or a refresh, comes back to this run
            st.query_params["run"] = str(run.number)
        _one_run(scope, run)


def _no_such_run(scope: Scope) -> None:
    frame.name_document(f"No run #{scope.asked}")
    frame.title_row(scope.name, [])
    with frame.card("empty"):
        st.html(marks.empty_state(f"No run #{scope.asked} for this service.", ""))
        with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
            if st.button("Newest run", type="primary", key="newest"):
                st.switch_page(frame.OVERVIEW, query_params=scope.without_run().query)


def _one_run(scope: Scope, run: RunInfo) -> None:
    heading, words = _heading(run)
    frame.name_document(f"{run.target_name}: {words}")
    actions = frame.title_row(heading, _facts(run))
    with actions:
        _actions(scope, run)
    if run.state is RunState.WAITING:
        _waiting(scope, run)
    elif run.state.final:
        _ended(scope, run)
        run_live.finished(run)
    else:
        run_live.live(run.run_id)


def _heading(run: RunInfo) -> tuple[str, str]:
    words = {
        RunState.WAITING: "is waiting",
        RunState.RUNNING: "is in progress",
        RunState.FINISHED: "is finished",
        RunState.INTERRUPTED: "was interrupted",
        RunState.CANCELLED: "was cancelled",
        RunState.BROKEN: "stopped",
    }[run.state]
    return f"Run #{run.number} {words}", f"run #{run.number} {words}"


def _facts(run: RunInfo) -> list[str]:
    faults = "with fault checks" if run.faults else "without fault checks"
    began = source.local(run.started_at or run.created_at)
    same_day = began.date() == source.now().date()
    when = f"{began:%H:%M}" if same_day else wording.moment(began, source.now())
    facts = [
        marks.text(run.target_name),
        f"{marks.text(run.profile.capitalize())} profile, {faults}",
        f"Started {when} by {marks.text(who(run))}",
    ]
    took = source.took_s(run)
    if took is not None and run.state.final:
        facts.append(f"Took {marks.seconds(took)}")
    if not run.state.final:
        facts.append("You can close this tab: the run goes on")
    return facts


def who(run: RunInfo) -> str:
    """Who started a run, in words."""
    return {"dashboard": "an operator", "cli": "the command line", "first start": "the first start"}.get(
        run.started_by, run.started_by
    )


def _actions(scope: Scope, run: RunInfo) -> None:
    if not run.state.final:
        label = "Leave the queue" if run.state is RunState.WAITING else "Cancel run"
        if st.button(label, icon=":material/stop_circle:", key="cancel"):
            runs.cancel(source.store(), run.run_id)
            st.toast("The run is asked to stop. What it broke on purpose is put back first.")
        return
    if st.button("New run", icon=":material/play_arrow:", key="new_run"):
        st.switch_page(frame.RUN, query_params=scope.without_run().query)
    if run.score is not None and st.button("Open the Overview", type="primary", key="open_overview"):
        st.switch_page(frame.OVERVIEW, query_params=frame.run_query(run))


@st.fragment(run_every=frame.TICK_S)
def _waiting(scope: Scope, run: RunInfo) -> None:
    now = source.store().run(run.run_id)
    if now is None or now.state is not RunState.WAITING:
        st.rerun()
    source.active()  # marks a run whose process is gone
    before = [other for other in runs.ahead_of(source.store(), run) if other.target == scope.key]
    with frame.card("empty"):
        turn = f"It begins when run #{before[0].number} has ended." if before else "It begins in a moment."
        words = f"Started by {who(run)}. {turn}"
        st.html(marks.empty_state(f"Waiting for run #{run.number} of this service.", words))


def _ended(scope: Scope, run: RunInfo) -> None:
    with frame.card("ended"):
        if run.score is None or run.verdict is None:
            st.html(f'<p class="gl-say">{_unscored_words(run)}</p>')
            return
        tone = wording.VERDICT_TONES[run.verdict]
        before = scope.before(run)
        moved = ""
        if before is not None and before.score is not None:
            moved = f" {signed(run.score - before.score)} points since run #{before.number}."
        open_p0 = f"{plural(run.open_p0, 'P0 check')} open." if run.open_p0 else "No P0 is open."
        line = wording.score_line(run.score, run.coverage, run.best_possible)
        st.html(
            f'<div class="gl-{tone}"><p class="gl-word">{marks.icon(marks.VERDICT_ICONS[run.verdict], tone)}'
            f"<span>{run.verdict.value}</span></p>"
            f'<p class="gl-say">{open_p0}{moved} {_part_words(run)}</p>'
            f'<p class="gl-quiet">{line}</p></div>'
        )


def _part_words(run: RunInfo) -> str:
    every = len(source.catalogue())
    if len(run.planned) >= every or not run.planned:
        return ""
    return f"{len(run.planned)} of {every} checks were run; the others count as not assessed."


def _unscored_words(run: RunInfo) -> str:
    kept = "What it found is kept and is not scored."
    if run.state is RunState.BROKEN:
        first = marks.text(run.message or "Its process ended.")
        return f"<b>{first}</b> {plural(run.done, 'check')} finished. {kept if run.done else ''}"
    verb = "was cancelled" if run.state is RunState.CANCELLED else "was interrupted"
    total = f" of {len(run.planned)}" if run.planned else ""
    return f"<b>Run #{run.number} {verb} after {run.done}{total} checks.</b> {kept}"


if __name__ == "__main__":
    page()
