"""Load results of a run: one scenario's figures and charts, against another run, and where it breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import wording
from app.records import LoadResult, RunInfo, RunState, ScoredFinding
from app.views import frame, load_cards, load_figures, load_numbers, marks, mending, run_live, source
from app.views.load_cards import Side
from app.views.source import Scope
from checks.contract.wording import plural

NO_RUN = "none"  # in the address: nothing to compare with


def page() -> None:
    """Draw the load results of the run, and the scenario, in the address."""
    scope = source.scope()
    frame.sidebar("load_results", scope)
    if scope is None:
        frame.name_document("Nothing to assess yet")
        mending.nothing_yet()
        return
    measured = source.store().load_scenarios(scope.key)
    run = _run(scope, measured)
    if run is None:
        _nothing(scope)
        return
    frame.name_document(f"{run.target_name}: load results of run #{run.number}")
    results = _results(run)
    frame.title_row("Load results", _facts(run, results))
    _banners(scope, run, bool(results))
    if not run.state.final:
        _live(run.run_id, len(results))
    if results:
        _show(scope, run, results, measured)
    elif run.state.final:
        _no_load(scope, run, measured)


def _run(scope: Scope, measured: Mapping[int, Sequence[str]]) -> RunInfo | None:
    """The run asked for, or the newest that ended with load results, or the one that goes on."""
    if scope.asked is not None:
        return scope.run
    ended = next((run for run in scope.runs if run.state.final and run.run_id in measured), None)
    return ended or scope.active or scope.run


def _results(run: RunInfo) -> dict[str, LoadResult]:
    snapshot = source.snapshot(run) if run.state.final else None
    found = snapshot.load_results if snapshot else source.store().load_results(run.run_id)
    return {result.scenario: result for result in found}


def _facts(run: RunInfo, results: Mapping[str, LoadResult]) -> list[str]:
    when = wording.moment(source.ended(run), source.now())
    facts = [marks.text(run.target_name), f"Run #{run.number}, {when}"]
    if results:
        total = sum(result.total_requests for result in results.values())
        kept = all(result.samples_file for result in results.values())
        facts.append(f"{'Every sample kept: ' if kept else ''}{plural(total, 'request')}")
    return facts


def _nothing(scope: Scope) -> None:
    frame.name_document("Load results")
    frame.title_row("Load results", [marks.text(scope.name)])
    with frame.card("empty"):
        if scope.asked is not None:
            st.html(marks.empty_state(f"No run #{scope.asked} for this service.", ""))
            _leads("Newest run", frame.LOAD_RESULTS, scope.without_run().query)
            return
        words = "An assessment loads the service with up to 50 users, and keeps every request."
        st.html(marks.empty_state("No load has been measured yet.", words))
        _leads("Run assessment", frame.RUN, scope.query)


def _no_load(scope: Scope, run: RunInfo, measured: Mapping[int, Sequence[str]]) -> None:
    with frame.card("empty"):
        words = "Its load scenarios were not chosen, or it ended before the first was through."
        st.html(marks.empty_state(f"Run #{run.number} has no load results.", words))
        other = next((other for other in scope.runs if other.run_id in measured), None)
        if other is not None:
            _leads(f"Open run #{other.number}", frame.LOAD_RESULTS, frame.run_query(other))
        else:
            _leads("Run assessment", frame.RUN, scope.without_run().query)


def _leads(label: str, page_file: str, query: dict[str, str]) -> None:
    with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
        if st.button(label, type="primary", key="centred_button"):
            st.switch_page(page_file, query_params=query)


def _banners(scope: Scope, run: RunInfo, has_results: bool) -> None:
    """A run that did not end well, and one that goes on beside the one shown."""
    if run.state in (RunState.INTERRUPTED, RunState.CANCELLED, RunState.BROKEN):
        word = {RunState.BROKEN: "stopped", RunState.CANCELLED: "was cancelled"}.get(
            run.state, "was interrupted"
        )
        kept = " The scenarios it finished are shown; they are not scored." if has_results else ""
        why = f" {marks.text(run.message)}" if run.message else ""
        st.html(marks.banner(f"<b>Run #{run.number} {word}.</b>{why}{kept}", "warn", "warn"))
    going = scope.active
    if going is not None and going.run_id != run.run_id:
        with st.container(key="watch"):
            st.page_link(
                frame.LOAD_RESULTS,
                label=f"Run #{going.number} goes on: watch its load scenarios",
                icon=":material/monitoring:",
                query_params=frame.run_query(going),
            )


@st.fragment(run_every=frame.TICK_S)
def _live(run_id: int, known: int) -> None:
    """The scenario under way, once a second; drawn anew when one is through or the run has ended."""
    source.active()  # marks a run whose process is gone
    run = source.store().run(run_id)
    if run is None or run.state.final or len(source.store().load_results(run_id)) != known:
        st.rerun()
    if run.state is RunState.WAITING:
        with frame.card("empty"):
            st.html(marks.empty_state(f"Run #{run.number} is waiting.", "Its load scenarios appear here."))
        return
    progress = run_live.read(run)
    with frame.card("current"):
        if progress.seconds:
            run_live.current(progress)
        else:
            st.html(_between(progress, known))


def _between(progress: run_live.Progress, known: int) -> str:
    now = progress.current
    check = f" Now: <code>{marks.text(now.check)}</code>." if now is not None and now.check else ""
    so_far = f"{plural(known, 'scenario')} so far, below." if known else "None has been measured so far."
    return marks.heading("No load scenario runs just now") + f'<p class="gl-quiet">{so_far}{check}</p>'


def _show(
    scope: Scope,
    run: RunInfo,
    results: dict[str, LoadResult],
    measured: Mapping[int, Sequence[str]],
) -> None:
    """One scenario of the run."""
    left, right = st.columns([2.6, 1], vertical_alignment="bottom", gap="medium")
    with left:
        result = results[_scenario(run, results)]
    with right:
        other, why_not = _against(scope, run, result.scenario, measured)
    finding = _finding(run, result.scenario)
    with frame.card("figures"):
        _figures(scope, run, result, finding)
    if not result.successful:
        with frame.card("empty"):
            st.html(_unanswered(result))
    else:
        _charts(run, result, results, other, why_not)
    load_numbers.show(results, f"{run.target}-run-{run.number}-load.csv")


def _scenario(run: RunInfo, results: Mapping[str, LoadResult]) -> str:
    """The scenario chosen; the address names it."""
    key = f"scenario_{run.run_id}_{len(results)}"
    _follow_address("scenario", key, list(results), next(iter(results)))
    chosen = st.segmented_control(
        "Scenario",
        list(results),
        required=True,
        format_func=lambda name: marks.label(load_figures.scenario_title(results[name])),
        key=key,
        wrap=True,
    )
    _tell_address("scenario", key, str(chosen))
    return str(chosen)


def _against(
    scope: Scope, run: RunInfo, scenario: str, measured: Mapping[int, Sequence[str]]
) -> tuple[RunInfo | None, str]:
    """The run to compare with: the one that the address names, or the last before this one; or why none."""
    others = {
        str(other.number): other
        for other in scope.runs
        if other.run_id != run.run_id and scenario in measured.get(other.run_id, ())
    }
    if not others:
        st.query_params.pop("against", None)
        return None, "No other run of this service has measured this scenario; the next one is compared."
    before = next((name for name, other in others.items() if other.number < run.number), next(iter(others)))
    key = f"against_{run.run_id}_{scenario}"
    _follow_address("against", key, [*others, NO_RUN], before)
    chosen = st.selectbox(
        "Compare with", [*others, NO_RUN], format_func=lambda number: _run_label(others.get(number)), key=key
    )
    _tell_address("against", key, chosen)
    return others.get(chosen), "Choose a run to compare with above."


def _follow_address(name: str, key: str, options: Sequence[str], otherwise: str) -> None:
    """Give the widget ``key`` the value that the address has, at first and whenever that was changed."""
    asked = st.query_params.get(name, "")
    if key not in st.session_state:
        st.session_state[key] = asked if asked in options else otherwise
    elif asked in options and asked != st.session_state.get(f"_told_{key}"):
        st.session_state[key] = asked


def _tell_address(name: str, key: str, chosen: str) -> None:
    st.session_state[f"_told_{key}"] = chosen
    if st.query_params.get(name) != chosen:
        st.query_params[name] = chosen


def _run_label(run: RunInfo | None) -> str:
    if run is None:
        return "No other run"
    return f"Run #{run.number}, {wording.moment(source.ended(run), source.now())}"


def _finding(run: RunInfo, scenario: str) -> ScoredFinding | None:
    """What the check of this scenario found."""
    snapshot = source.snapshot(run) if run.state.final else None
    found = snapshot.findings if snapshot else source.store().findings(run.run_id)
    drives = {check for check, loaded in source.catalogue().items() if loaded.about.scenario == scenario}
    by_check = {finding.check: finding for finding in found}
    own = by_check.get(f"load_scenarios.{scenario}")
    return own or next((by_check[check] for check in sorted(drives) if check in by_check), None)


def _figures(scope: Scope, run: RunInfo, result: LoadResult, finding: ScoredFinding | None) -> None:
    st.html(
        load_figures.heading(result, finding)
        + load_figures.warnings(result)
        + load_figures.eight(result, finding)
        + load_figures.remarks(result, finding)
    )
    if finding is not None:
        with st.container(key="load_check"):
            query = {"target": scope.key, "run": str(run.number), "check": finding.check}
            label = f"How {marks.label(finding.check)} judges it"
            st.page_link(frame.CHECK, label=label, query_params=query)


def _unanswered(result: LoadResult) -> str:
    sent = f"0 of {result.total_requests:,}"
    first = next(iter(result.failure_examples.values()), "") or next(iter(result.errors), "")
    return marks.empty_state(f"No request was answered in this scenario: {sent}", first)


def _charts(
    run: RunInfo, result: LoadResult, results: dict[str, LoadResult], other: RunInfo | None, why_not: str
) -> None:
    samples = load_cards.samples_of(result)
    left, right = st.columns([1.55, 1], gap="small")
    with left, frame.card("over_time"):
        load_cards.over_time_card(result, samples)
    with right, frame.card("spread"):
        load_cards.spread_card(result, samples)
    load_cards.streams(result, samples)
    before = _results(other).get(result.scenario) if other else None
    left, right = st.columns(2, gap="small")
    with left, frame.card("against"):
        side = Side(other, before) if other and before else None
        load_cards.against_card(side, Side(run, result), why_not)
    with right, frame.card("knee"):
        load_cards.knee_card(result, results)


if __name__ == "__main__":
    page()
