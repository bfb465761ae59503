"""Overview of a service: the answer first, then what blocks it, what moved, and what to fix next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import reports, wording
from app.causes import Cause, Fix, Goal, causes, costs, next_fixes
from app.compare import Comparison, compare
from app.records import CategoryScore, ClaimState, RunInfo, RunState, Scorecard, Snapshot
from app.views import changes, frame, marks, mending, source
from app.views.source import Scope
from app.wording import ABSENT, category_title, score_text, signed
from checks.contract.wording import NBSP, plural

MOST_ROWS = 5
MOST_FIXES = 5


def page() -> None:
    """Draw the page for the target and run in the address."""
    scope = source.scope()
    frame.sidebar("overview", scope)
    if scope is None:
        frame.name_document("Nothing to assess yet")
        mending.nothing_yet()
        return
    run = scope.run
    if run is None or run.score is None:
        _without_score(scope, run)
        return
    snapshot = source.snapshot(run)
    if snapshot is None or snapshot.scorecard is None:
        _without_score(scope, run)
        return
    _with_score(scope, snapshot, snapshot.scorecard)


def _with_score(scope: Scope, snapshot: Snapshot, card: Scorecard) -> None:
    run = snapshot.run
    frame.name_document(frame.document_title(run.target_name, card))
    actions = frame.title_row(run.target_name, frame.run_facts(run))
    _actions(actions, scope, snapshot)
    _banners(scope, run)
    mending.offer(scope, run, card)
    left, right = st.columns([1.2, 1], gap="small")
    with left, frame.card("verdict", distribute=True):
        for part in (_verdict(run, card), _rail(card), _outcomes(card)):
            st.html(part)
    with right, frame.card("blockers"):
        _blockers(scope, run, card)
    st.html(_tiles(scope, run, card))
    left, right = st.columns([1.9, 1], gap="small")
    with left, frame.card("trend"):
        _trend(scope, run, card)
    with right, frame.card("since"):
        _since(scope, snapshot)
    left, right = st.columns([1.2, 1], gap="small")
    with left, frame.card("next"):
        _next(card)
    with right, frame.card("claims"):
        st.html(marks.heading("Claimed beside measured", "What the team wrote down") + _claims(card.claims))


def _without_score(scope: Scope, run: RunInfo | None) -> None:
    frame.name_document(frame.document_title(scope.name, None))
    facts = [f"<code>{marks.text(scope.url)}</code>"] if scope.url else []
    frame.title_row(scope.name, facts)
    _banners(scope, run)
    with frame.card("empty"):
        if scope.asked is not None and run is None:
            st.html(marks.empty_state(f"No run #{scope.asked} for this service.", ""))
            _centred("Newest run", frame.OVERVIEW, scope.without_run().query)
        elif scope.target is None:
            mending.no_target(scope)
        else:
            words = (
                "A quick run takes about four minutes. It breaks something only where the target allows it."
            )
            st.html(marks.empty_state("Not assessed yet.", words, with_ring=True))
            _centred("Run assessment", frame.RUN, scope.without_run().query)


def _centred(label: str, page_file: str, query: dict[str, str]) -> None:
    with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
        if st.button(label, type="primary", key="centred_button"):
            st.switch_page(page_file, query_params=query)


def _actions(where: DeltaGenerator, scope: Scope, snapshot: Snapshot) -> None:
    with where:
        with st.popover("Export", icon=":material/ios_share:"):
            for name, export in reports.FORMATS.items():
                st.download_button(
                    export.label,
                    data=partial(export.render, snapshot),  # made when it is clicked
                    file_name=export.filename(snapshot),
                    mime=export.media_type,
                    key=f"export_{name}",
                    type="tertiary",
                    on_click="ignore",
                )
        if st.button("Run assessment", type="primary", icon=":material/play_arrow:", key="assess"):
            st.switch_page(frame.RUN, query_params=scope.without_run().query)


def _banners(scope: Scope, run: RunInfo | None) -> None:
    """What to know before reading the score: an older run, a newer one without a score, old evidence."""
    newest = scope.runs[0] if scope.runs else None
    if (
        newest
        and newest.state.final
        and newest.score is None
        and (run is None or newest.number >= run.number)
    ):
        st.html(marks.banner(_ended_words(newest), "warn", "warn"))
    if run is None or run.score is None:
        return
    later = scope.finished[0]
    if later.number != run.number:
        words = f"This is an older run. The newest is <b>run #{later.number}</b>: {_short(later)}."
        st.html(marks.banner(words, "clock"))
    elif source.is_stale(run):
        age = wording.old(source.ended(run), source.now())
        st.html(marks.banner(f"<b>Evidence is {age}.</b> Run the assessment again.", "warn", "warn"))


def _short(run: RunInfo) -> str:
    if run.verdict is None:
        return wording.STATE_WORDS[run.state].lower()
    return f"{wording.VERDICT_TITLES[run.verdict].lower()}, {score_text(run.score)}"


def _ended_words(run: RunInfo) -> str:
    total = len(run.planned)
    after = f" after {run.done} of {total} checks" if total else ""
    if run.state is RunState.BROKEN:
        first = f"Run #{run.number} stopped: {marks.text(run.message or 'its process ended')}"
        return f"<b>{first.rstrip('.')}.</b> {plural(run.done, 'check')} finished."
    word = "was cancelled" if run.state is RunState.CANCELLED else "was interrupted"
    return f"<b>Run #{run.number} {word}{after}.</b> What it found is kept and is not scored."


def _verdict(run: RunInfo, card: Scorecard) -> str:
    tone = wording.VERDICT_TONES[card.verdict]
    word = card.verdict.value
    size = " long" if len(word) > marks.LONG_VERDICT else ""
    why = _lowered(card)
    age = wording.old(source.ended(run), source.now())
    evidence = f'<span class="gl-stale">{age}, stale</span>' if source.is_stale(run) else age
    figures = marks.facts(
        [
            ("Coverage", wording.percent(card.coverage)),
            ("Best possible", score_text(card.best_possible)),
            ("Open P0", str(sum(finding.blocks for finding in card.findings))),
            ("Evidence", evidence),
        ]
    )
    circle = marks.ring(card.score, card.grade, card.best_possible, tone)
    return (
        f'<div class="gl-hero gl-{tone}">{circle}<div><p class="gl-word{size}">'
        f"{marks.icon(marks.VERDICT_ICONS[card.verdict], tone)}<span>{word}</span></p>"
        f'<p class="gl-say">{marks.text(wording.verdict_sentence(card))}</p>{why}{figures}</div></div>'
    )


def _lowered(card: Scorecard) -> str:
    if card.capped_by and card.band is not card.verdict:
        first, more = card.capped_by[0], len(card.capped_by) - 1
        words = f"capped by {first}" + (f" and {more} more" if more else "")
    elif card.lowered_by:
        words = f"lowered: {card.lowered_by}"
    else:
        return ""
    return f'<p class="gl-why">{marks.text(words)}</p>'


def _rail(card: Scorecard) -> str:
    if card.score is None:
        return ""
    claimed = next((claim.claimed for claim in card.claims if claim.check == "score"), None)
    tone = wording.VERDICT_TONES[card.verdict]
    return marks.rail(card.score, card.best_possible, card.rubric, tone, claimed)


def _outcomes(card: Scorecard) -> str:
    outcomes = {finding.check: finding.outcome for finding in card.findings}
    return f"<div>{marks.counts(list(outcomes.values()))}{marks.strip(list(outcomes), outcomes)}</div>"


def _blockers(scope: Scope, run: RunInfo, card: Scorecard) -> None:
    blocking = causes(card)
    if blocking:
        open_runs = source.open_for(scope, run)
        note = f"Open for {plural(open_runs, 'run')}" if open_runs > 1 else ""
        st.html(marks.heading("What blocks the release", note, count=_open_p0(blocking)))
        rows = blocking
    else:
        rows = costs(card)
        title = "What still costs points" if rows else "Nothing costs points"
        st.html(marks.heading(title, "Nothing blocks", count=len(rows) or None))
    with st.container(gap=None):
        for cause in rows[:MOST_ROWS]:
            _cause_row(scope, run, cause)
    rest = rows[MOST_ROWS:]
    if rest:
        together = sum(cause.points for cause in rest)
        verb = "costs" if len(rest) == 1 else "cost"
        st.html(f'<p class="gl-rest">{len(rest)} more {verb} {together:.1f} points together</p>')
    with st.container(key="all_checks"):
        label = f"All {plural(len(card.findings), 'check')} of run #{run.number}"
        st.page_link(frame.RUN, label=label, query_params=frame.run_query(run))


def _open_p0(blocking: Sequence[Cause]) -> int:
    return sum(len(cause.blockers) for cause in blocking)


def _cause_row(scope: Scope, run: RunInfo, cause: Cause) -> None:
    root = cause.root
    closes = len(cause.blockers)
    below = plural(closes, "P0") if closes > 1 else root.severity
    also = marks.text(cause.also) if cause.also else ""
    html = (
        f'<div class="gl-row">{marks.outcome_icon(root.outcome)}<div>'
        f'<div class="what">{marks.text(root.title)}'
        f'<span class="gl-vh">, {wording.OUTCOME_WORDS[root.outcome]}</span></div>'
        f'<div class="more"><span class="gl-two">{marks.prose(root.reason, 240)}</span>{also}</div></div>'
        f'<div class="cost">{signed(-cause.points)}{NBSP}points<small>{below}</small></div></div>'
    )
    query = {"target": scope.key, "run": str(run.number), "check": root.check}
    frame.row_link(f"cause_{root.check.replace('.', '_')}", html, frame.CHECK, f"Open {root.title}", query)


def _tiles(scope: Scope, run: RunInfo, card: Scorecard) -> str:
    until = scope.until(run)
    before = scope.before(run)
    tiles = "".join(_tile(category, before, until) for category in card.categories)
    return f'<h2 class="gl-vh">Categories out of ten</h2><div class="gl-tiles">{tiles}</div>'


def _tile(category: CategoryScore, before: RunInfo | None, until: Sequence[RunInfo]) -> str:
    title = f"<h3>{marks.text(category_title(category.name))}</h3>"
    if category.out_of_ten is None:
        nothing = f'<div class="v"><strong>{ABSENT}</strong></div><div class="p">Nothing applies</div>'
        return f'<div class="gl-tile">{title}{nothing}</div>'
    past = [value for value in (_out_of_ten(other, category.name) for other in until) if value is not None]
    points = f"{category.earned:.1f} of {category.applicable:.1f}{NBSP}points"
    return (
        f'<div class="gl-tile">{title}<div class="v"><span><strong>{category.out_of_ten:.1f}</strong>'
        f'<small>{NBSP}/10</small></span><span class="d">{_moved(category, before)}</span></div>'
        f"{marks.spark(past, 10)}{marks.bar(category.out_of_ten / 10, _tile_tone(category.out_of_ten))}"
        f'<div class="p">{points}</div></div>'
    )


def _moved(category: CategoryScore, before: RunInfo | None) -> str:
    was = _out_of_ten(before, category.name) if before else None
    if was is None or category.out_of_ten is None:
        return ""
    change = round(category.out_of_ten - was, 1)
    return signed(change) if change else "no change"


def _out_of_ten(run: RunInfo, name: str) -> float | None:
    return next((category.out_of_ten for category in run.categories if category.name == name), None)


def _tile_tone(out_of_ten: float) -> str:
    """The verdict's colours on the scale of ten: the bands begin at 6, 7.5 and 9."""
    if out_of_ten >= 9:
        return "pass"
    if out_of_ten >= 7.5:
        return "cond"
    return "warn" if out_of_ten >= 6 else "fail"


def _trend(scope: Scope, run: RunInfo, card: Scorecard) -> None:
    shown = [other for other in reversed(scope.runs) if other.state.final]
    st.html(marks.heading("Score over time", "Click a run to open it" if len(shown) > 1 else ""))
    changes.score_chart(scope, shown, card.rubric, key=f"trend_{run.number}")


def _since(scope: Scope, snapshot: Snapshot) -> None:
    before = scope.before(snapshot.run)
    earlier = source.snapshot(before) if before else None
    if before is None or earlier is None:
        st.html(marks.heading("Since the last run"))
        st.html('<p class="gl-quiet"><b>This is the first run.</b> Changes appear from the next one.</p>')
        return
    found: Comparison = compare(earlier, snapshot)
    note = f"{signed(found.score_change)} points" if found.score_change else "no change"
    st.html(marks.heading(f"Since run #{before.number}", note) + changes.listing(found, most=3))


def _next(card: Scorecard) -> None:
    plan = next_fixes(card)
    if not plan.fixes:
        st.html(marks.heading("What is left to win") + _nothing_to_fix(card))
        return
    steps = plan.fixes[: max(MOST_FIXES, plan.steps_to_goal or 0)]
    starts = [card.score or 0.0, *(fix.score_after for fix in steps)]
    goals = _goals(card, plan.goal)
    rows = [_fix_row(fix, start, goals) for fix, start in zip(steps, starts, strict=False)]
    columns = [("Fix", ""), ("Points", "n"), ("", "opt"), ("Score after", "n strong")]
    summary = f'<p class="gl-foot">{marks.icon("cond", "pass")}<span>{marks.text(plan.summary)}</span></p>'
    st.html(
        marks.heading(*_next_words(plan.goal))
        + marks.table(columns, rows, label="Fixes in order, with the score after each")
        + (summary if plan.summary else "")
    )


def _nothing_to_fix(card: Scorecard) -> str:
    left = (card.best_possible or 0.0) - (card.score or 0.0)
    if left:
        points = marks.text(score_text(left))
        words = f"<b>Nothing to fix.</b> What was not measured may still earn {points} points."
    else:
        words = "<b>Nothing.</b> Every point that can be earned is earned."
    return f'<p class="gl-quiet">{words}</p>'


def _next_words(goal: Goal | None) -> tuple[str, str]:
    if goal is None:
        return "What is left to win", "The best grade is reached"
    if goal.verdict is None:
        return "What the next grade needs", f"{goal.title} from {goal.score:g}"
    return "What the next verdict needs", goal.needs


def _goals(card: Scorecard, goal: Goal | None) -> list[float]:
    """The score of the goal and of the band above it, as ticks."""
    if goal is None:
        return []
    above = [band.from_score for band in card.rubric.bands if band.from_score > goal.score]
    return [goal.score, *above[:1]]


def _fix_row(fix: Fix, before: float, goals: Sequence[float]) -> list[str]:
    root = fix.cause.root
    closes = f"closes {plural(fix.closes, 'P0')}" if fix.closes else f"{root.check}, {root.severity}"
    return [
        f"<b>{marks.text(source.good_title(root.check))}</b><small>{marks.text(closes)}</small>",
        signed(fix.score_after - before),
        marks.step_bar(before, fix.score_after, goals),
        score_text(fix.score_after),
    ]


def _claims(claims: Sequence[ClaimState]) -> str:
    if not claims:
        return (
            '<p class="gl-quiet"><b>No claim is written down.</b> '
            "Add <code>[[claims]]</code> to the target file to hold one against its measurement.</p>"
        )
    rows = []
    for claim in claims:
        outcome = wording.CLAIM_OUTCOMES[claim.verdict]
        tone, shape = wording.OUTCOME_TONES[outcome], marks.OUTCOME_ICONS[outcome]
        claimed, measured = wording.claim_texts(claim)
        rows.append(
            [
                marks.text(claim.text),
                marks.text(claimed),
                f"<b>{marks.text(measured)}</b>",
                marks.badge(wording.CLAIM_WORDS[claim.verdict], shape, tone),
            ]
        )
    columns = [("Claim", ""), ("Claimed", "r"), ("Measured", "r"), ("Verdict", "n")]
    return marks.table(columns, rows, label="Claims beside what was measured")


if __name__ == "__main__":
    page()
