"""One check of one run: value against limits, evidence, how to reproduce it, and how to fix it."""

from __future__ import annotations

from inspect import cleandoc

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import wording
from app.causes import Cause, costs
from app.records import RunInfo, Scorecard, ScoredFinding, Snapshot
from app.views import evidence, frame, marks, source
from app.views.charts.check import check_history
from app.views.charts.look import CONFIG, picked
from app.views.source import Scope
from app.wording import category_title, score_text
from checks import LoadedCheck
from checks.contract import Kind
from checks.contract.findings import Outcome
from checks.contract.wording import plural

MOST_RUNS = 30
KIND_WORDS = {
    Kind.PASSIVE: "Passive check",
    Kind.ACTIVE: "Active check",
    Kind.LOAD: "Load check",
    Kind.FAULT: "Fault check",
}


def page() -> None:
    """Draw the check that the address names, in the run that it names."""
    scope = source.scope()
    frame.sidebar("check", scope)
    if scope is None:
        frame.name_document("Nothing to assess yet")
        st.html(
            marks.empty_state("Nothing to assess yet.", "Start the bundled sample, or add a target file.")
        )
        return
    check = st.query_params.get("check", "")
    run = scope.run
    finding, snapshot = _found(run, check)
    if run is None or finding is None:
        _not_found(scope, run, check)
        return
    loaded = source.catalogue().get(check)
    frame.name_document(f"{finding.title}: {wording.OUTCOME_WORDS[finding.outcome].lower()}")
    frame.back_link(scope)
    actions = frame.title_row(
        finding.title, _facts(run, finding, loaded), badge=marks.outcome_badge(finding.outcome)
    )
    _again(actions, scope, check)
    _older(scope, run, check)
    _cards(scope, run, finding, loaded, snapshot)


def _cards(
    scope: Scope, run: RunInfo, finding: ScoredFinding, loaded: LoadedCheck | None, snapshot: Snapshot | None
) -> None:
    left, right = st.columns([1.77, 1], gap="small")
    with left, frame.card("value"):
        st.html(_value(finding, loaded))
    with right, frame.card("costs"):
        _costs(scope, run, finding, snapshot.scorecard if snapshot else None)
    left, right = st.columns([1.77, 1], gap="small")
    with left, frame.card("evidence"):
        _evidence(finding)
    with right, frame.card("docs"):
        _docs(finding, loaded)
    with frame.card("history"):
        _history(scope, run, finding)


def _found(run: RunInfo | None, check: str) -> tuple[ScoredFinding | None, Snapshot | None]:
    """The finding, also of a run that has no score (it is kept, not scored)."""
    if run is None:
        return None, None
    snapshot = source.snapshot(run) if run.state.final else None
    card = snapshot.scorecard if snapshot else None
    findings = card.findings if card else source.store().findings(run.run_id)
    return next((item for item in findings if item.check == check), None), snapshot


def _not_found(scope: Scope, run: RunInfo | None, check: str) -> None:
    frame.name_document("No such finding")
    frame.back_link(scope)
    frame.title_row(scope.name, [])
    if run is None:
        words = f"No run #{scope.asked} for this service." if scope.asked else "Not assessed yet."
    else:
        words = f"Run #{run.number} has no finding of {check or 'this check'}."
    with frame.card("empty"):
        st.html(marks.empty_state(words, "Open the Overview and pick a check there."))


def _facts(run: RunInfo, finding: ScoredFinding, loaded: LoadedCheck | None) -> list[str]:
    kind = KIND_WORDS[loaded.about.kind] if loaded else "Check"
    when = wording.moment(source.ended(run), source.now())
    return [
        f"<code>{marks.text(finding.check)}</code>",
        f'<span class="gl-p">{finding.severity}</span>',
        marks.text(category_title(finding.category)),
        f"{kind}, {marks.seconds(finding.seconds)}",
        f"Run #{run.number}, {when}",
    ]


def _again(where: DeltaGenerator, scope: Scope, check: str) -> None:
    with where:
        if st.button("Run this check again", type="primary", icon=":material/replay:", key="again"):
            st.switch_page(frame.RUN, query_params={"target": scope.key, "only": check})


def _older(scope: Scope, run: RunInfo, check: str) -> None:
    newest = scope.finished[0] if scope.finished else None
    if newest is None or newest.number <= run.number:
        return
    finding, _ = _found(newest, check)
    if finding is None:
        return
    says = wording.OUTCOME_WORDS[finding.outcome].lower()
    reason = marks.text(finding.reason, 200)
    words = f"This is an older run. In the newest, <b>run #{newest.number}</b>: {says}. {reason}"
    st.html(marks.banner(words, marks.OUTCOME_ICONS[finding.outcome], wording.OUTCOME_TONES[finding.outcome]))


def _value(finding: ScoredFinding, loaded: LoadedCheck | None) -> str:
    parts = []
    if finding.value is not None and finding.unit is not None:
        # A check may fail by another measure than this one: the number has the colour of its own limit.
        own = finding.limit.outcome(finding.value) if finding.limit else finding.outcome
        measures = loaded.about.measures if loaded else ""
        parts.append(
            f'<div class="gl-value gl-{wording.OUTCOME_TONES[own]}">'
            f"<strong>{marks.text(wording.value_text(finding))}</strong>"
            f"<span>{marks.text(measures)}</span></div>"
        )
        pairs = marks.limit_words(finding)
        if finding.interval is not None:
            pairs.append(("95 % interval", marks.text(wording.interval_text(finding))))
        parts.append(marks.facts(pairs))
    parts.append(f'<p class="gl-conclusion">{_conclusion(finding)}</p>')
    parts.append(marks.scale(finding))
    return f'<h2 class="gl-vh">Value</h2>{"".join(parts)}'


def _conclusion(finding: ScoredFinding) -> str:
    reason = marks.prose(finding.reason)
    if finding.outcome is Outcome.ERROR:
        return f"<b>The check itself broke.</b> {reason} It earns 0 until it can be measured."
    if finding.outcome is Outcome.NOT_ASSESSED:
        adds = (
            f" Add <code>{marks.text(finding.missing)}</code> to the target file." if finding.missing else ""
        )
        worth = f" Worth {plural_points(finding.points)}."
        return f"<b>Not assessed.</b> {reason}{adds}{worth}"
    if finding.outcome is Outcome.NOT_APPLICABLE:
        return f"<b>Not applicable.</b> {reason} It leaves the score."
    return reason


def plural_points(points: float) -> str:
    """Points in words: ``6 points``, ``1 point``, ``2.5 points``."""
    return plural(int(points), "point") if points == int(points) else f"{points:.1f} points"


def _costs(scope: Scope, run: RunInfo, finding: ScoredFinding, card: Scorecard | None) -> None:
    lost = finding.points - finding.earned
    none = finding.outcome is Outcome.NOT_APPLICABLE or lost <= 0
    pairs = [("Points", f"{finding.earned:.3g} <small>of {finding.points:.3g}</small>")]
    cause = _cause_of(card, finding) if card else None
    if card and card.score is not None and not none:
        total = sum(category.applicable for category in card.categories)
        fixed = 100 * (sum(item.earned for item in card.findings) + lost) / total
        pairs.append(("Score with it fixed", f"{card.score:.1f} <small>to</small> {score_text(fixed)}"))
    st.html(marks.heading("What it earns" if none else "What it costs") + marks.facts(pairs, "gl-costs"))
    if finding.waived_until:
        words = f"Waived until {marks.text(finding.waived_until)}. It lifts the cap and earns nothing."
        st.html(f'<p class="gl-quiet">{words}</p>')
    related = [item for item in cause.findings if item.check != finding.check] if cause else []
    if not related:
        st.html('<p class="gl-quiet">No other check fails with it.</p>' if not none else "<p></p>")
        return
    st.html(f'<p class="gl-quiet">{_relation(finding, related)}</p>')
    with st.container(gap=None):
        for item in related:
            _related(scope, run, item)


def _cause_of(card: Scorecard, finding: ScoredFinding) -> Cause | None:
    return next((cause for cause in costs(card) if finding in cause.findings), None)


def _relation(finding: ScoredFinding, related: list[ScoredFinding]) -> str:
    if finding.follows_from:
        return f"It follows from <code>{marks.text(finding.follows_from)}</code>; fix that first:"
    verb = "follows" if len(related) == 1 else "follow"
    return f"{plural(len(related), 'more check')} {verb} from it:"


def _related(scope: Scope, run: RunInfo, item: ScoredFinding) -> None:
    html = (
        f'<div class="gl-related">{marks.outcome_badge(item.outcome)}<code>{marks.text(item.check)}</code>'
        f"<span>{plural_points(item.points)}</span></div>"
    )
    query = {"target": scope.key, "run": str(run.number), "check": item.check}
    frame.row_link(f"related_{item.check.replace('.', '_')}", html, frame.CHECK, f"Open {item.title}", query)


def _evidence(finding: ScoredFinding) -> None:
    st.html(
        marks.heading("Evidence", "What was measured, before it was judged")
        + evidence.tables(finding.evidence)
    )
    if finding.evidence:
        with st.expander("As it is kept"):
            st.code(evidence.as_json(finding.evidence), language=None, wrap_lines=True)
    if finding.reproduce:
        st.html(marks.heading("Reproduce"))
        st.code(wording.many_lines(finding.reproduce), language=None, wrap_lines=True)


def _docs(finding: ScoredFinding, loaded: LoadedCheck | None) -> None:
    if loaded is None:
        st.html(marks.heading("About this check"))
        st.html('<p class="gl-quiet">This check is no longer in the catalogue.</p>')
        return
    st.html(marks.heading("Why it matters"))
    st.markdown(_markdown(loaded.docs["why"]))
    st.html(marks.heading("How to fix it"))
    if finding.fix:
        _fix(finding.fix)
    st.markdown(_markdown(loaded.docs["fix"]))
    with st.expander("How it is measured"):
        st.markdown(_markdown(loaded.docs["how"]))


def _fix(words: str) -> None:
    """What this very finding says to do; lines after the first are to be pasted."""
    first, _, rest = words.partition("\n")
    st.html(f'<p class="gl-quote">{marks.prose(first)}</p>')
    if rest.strip():
        st.code(wording.many_lines(rest), language=None, wrap_lines=True)


def _markdown(text: str) -> str:
    """A part of a check's docstring: its first line is not indented, the others are."""
    return cleandoc("    " + text)


def _history(scope: Scope, run: RunInfo, finding: ScoredFinding) -> None:
    found = source.store().check_history(scope.key, finding.check, limit=MOST_RUNS)
    measured = [item for _, item in found if item is not None]
    title = f"This check in {plural(len(found), 'run')}"
    if finding.limit is None or finding.unit is None or len(measured) < 2:
        st.html(marks.heading(title) + _outcome_rows(found))
        return
    st.html(marks.heading(title, _since(found)))
    dark = frame.is_dark()
    figure = check_history(found, finding.limit, finding.unit, run.number, dark=dark)
    event = st.plotly_chart(
        figure,
        theme=None,
        config=CONFIG,
        width="stretch",
        key=f"history_{finding.check}_{run.number}_{dark}",
        on_select="rerun",
        selection_mode="points",
        alt=f"{finding.title}: {wording.value_text(finding)} in run #{run.number}, {_since(found)}",
    )
    number = picked(event)
    if number is not None and number != run.number:
        st.switch_page(frame.CHECK, query_params={**scope.query, "run": str(number), "check": finding.check})
    with st.expander("As a table"):
        st.html(_outcome_rows(found))


def _since(found: list[tuple[RunInfo, ScoredFinding | None]]) -> str:
    """``Passes since run #6``: how long the newest outcome has stood."""
    known = [(run, item) for run, item in found if item is not None]
    if not known:
        return ""
    last = known[-1][1].outcome
    first = known[-1][0]
    for run, item in reversed(known):
        if item.outcome is not last:
            break
        first = run
    return f"{wording.OUTCOME_WORDS[last]} since run #{first.number}"


def _outcome_rows(found: list[tuple[RunInfo, ScoredFinding | None]]) -> str:
    rows = [
        [
            f"#{run.number}",
            marks.text(wording.moment(source.ended(run), source.now())),
            marks.outcome_badge(item.outcome) if item else marks.text(wording.STATE_WORDS[run.state]),
            marks.text(wording.value_text(item)) if item else wording.ABSENT,
        ]
        for run, item in reversed(found)
    ]
    columns = [("Run", ""), ("Ended", ""), ("Outcome", ""), ("Value", "n")]
    return marks.table(columns, rows, label="This check in each run", empty="No run has measured it yet.")


if __name__ == "__main__":
    page()
