"""History of a service: the trend, every run, and two of them compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import wording
from app.compare import Comparison, compare
from app.records import RunInfo, Snapshot, Verdict
from app.views import changes, frame, marks, source
from app.views.charts.look import CONFIG
from app.views.charts.pair import dumbbells
from app.views.run import who
from app.views.source import Scope
from app.wording import VERDICT_TITLES, category_title, signed
from checks.contract.wording import plural

EVERYTHING = "All"
TINTS = {  # tint of each verdict's pill, light and dark
    Verdict.PRODUCTION: ("#E3F0F8", "#0F2A3A"),
    Verdict.CONDITIONS: ("#E3F0F8", "#0F2A3A"),
    Verdict.MVP: ("#FCF1D9", "#30240A"),
    Verdict.NOT_READY: ("#FEF0E6", "#371B0B"),
}
PLAIN_TINT = ("#EEF0F2", "#1D2327")
ROW_HEIGHT = 31
FILTER_WORDS = {"dashboard": "Dashboard", "cli": "Command line", "ci": "CI"}


def page() -> None:
    """Draw the history of the target in the address."""
    scope = source.scope()
    frame.sidebar("history", scope)
    if scope is None or not scope.runs:
        _empty(scope)
        return
    frame.name_document(f"{scope.name}: history")
    actions = frame.title_row("History", _facts(scope))
    shown = [run for run in _filtered(scope) if run.state.final]
    with frame.card("trend"):
        _trend(scope, shown)
    with frame.card("runs"):
        picked = _table(scope, shown)
    _compare(scope, picked, actions)


def _empty(scope: Scope | None) -> None:
    frame.name_document("History")
    frame.title_row("History", [marks.text(scope.name)] if scope else [])
    with frame.card("empty"):
        st.html(marks.empty_state("No run yet.", "Each assessment adds one, and none is ever changed."))
        if scope is not None:
            with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
                if st.button("Run assessment", type="primary", key="first_run"):
                    st.switch_page(frame.RUN, query_params={"target": scope.key})


def _facts(scope: Scope) -> list[str]:
    first = source.ended(scope.runs[-1])
    unscored = sum(run.state.final and run.score is None for run in scope.runs)
    facts = [marks.text(scope.name), f"{plural(len(scope.runs), 'run')} since {first.day} {first:%b}"]
    if unscored:
        facts.append(f"{unscored} without a score")
    return facts


def _filtered(scope: Scope) -> list[RunInfo]:
    """The runs that the filters leave, newest first."""
    people = list(dict.fromkeys(run.started_by for run in scope.runs))
    used = list(dict.fromkeys(run.profile for run in scope.runs))
    found = list(scope.runs)
    if len(people) < 2 and len(used) < 2:
        return found
    with st.container(horizontal=True, gap="large", key="filters"):
        if len(people) > 1:
            by = _choice("Started by", people, "by")
            found = [run for run in found if by in (EVERYTHING, run.started_by)]
        if len(used) > 1:
            profile = _choice("Profile", used, "profile")
            found = [run for run in found if profile in (EVERYTHING, run.profile)]
    return found


def _choice(label: str, options: Sequence[str], key: str) -> str:
    chosen = st.segmented_control(
        label,
        [EVERYTHING, *options],
        default=EVERYTHING,
        required=True,
        format_func=lambda name: FILTER_WORDS.get(name) or marks.label(name.capitalize()),
        key=f"filter_{key}",
        wrap=True,
    )
    return str(chosen)


def _trend(scope: Scope, shown: Sequence[RunInfo]) -> None:
    st.html(marks.heading("Score over time", "Click a run to open it"))
    rubric = next((run.rubric for run in shown if run.rubric is not None), None)
    if rubric is None:
        st.html('<p class="gl-quiet">No run has a score yet.</p>')
        return
    changes.score_chart(scope, list(reversed(shown)), rubric, key="history")


def _table(scope: Scope, shown: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs as a table; returns those that are selected, oldest first."""
    st.html(marks.heading("Runs", "Pick two to compare them"))
    key = f"runs_{scope.key}_{len(shown)}_{shown[0].number if shown else 0}"
    # The address chooses once; from then on the table does, and the address follows it.
    rows = st.session_state.setdefault(f"_first_{key}", [shown.index(run) for run in _asked(shown)])
    selection: Any = {"selection": {"rows": rows, "columns": [], "cells": []}}
    event = st.dataframe(
        _frame(shown),
        hide_index=True,
        column_config=_columns(),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default=selection,
        row_height=ROW_HEIGHT,
        height=min(len(shown) + 1, 14) * ROW_HEIGHT + 6,
        placeholder=wording.ABSENT,
        key=key,
        alt=f"{plural(len(shown), 'run')} of {scope.name}, newest first",
    )
    chosen = [shown[row] for row in event["selection"]["rows"] if row < len(shown)]
    picked = sorted(chosen, key=lambda run: run.number)
    if len(picked) >= 2:
        st.query_params.update({"a": str(picked[0].number), "b": str(picked[-1].number)})
    else:
        for name in ("a", "b"):
            st.query_params.pop(name, None)
    _open_links(picked)
    return picked


def _open_links(picked: Sequence[RunInfo]) -> None:
    with st.container(horizontal=True, key="open_runs", gap="small"):
        for run in picked[:2]:
            st.page_link(
                frame.OVERVIEW if run.score is not None else frame.RUN,
                label=f"Open run #{run.number}",
                icon=":material/open_in_new:",
                query_params=frame.run_query(run),
            )


def _asked(shown: Sequence[RunInfo]) -> list[RunInfo]:
    """The pair that the address names."""
    numbers = {st.query_params.get(name, "") for name in ("a", "b")}
    return [run for run in shown if str(run.number) in numbers]


def _frame(shown: Sequence[RunInfo]) -> pd.DataFrame:
    now = source.now()
    return pd.DataFrame(
        {
            "Run": [f"#{run.number}" for run in shown],
            "Started": [wording.moment(source.local(run.started_at or run.created_at), now) for run in shown],
            "Verdict": [[_verdict(run)] for run in shown],
            "Score": [run.score for run in shown],
            "Coverage": [wording.percent(run.coverage) for run in shown],
            "Open P0": pd.array([run.open_p0 for run in shown], dtype="Int64"),
            "Six categories": [
                [category.out_of_ten or 0.0 for category in run.categories] or None for run in shown
            ],
            "Rubric": [str(run.rubric.version) if run.rubric else None for run in shown],
            "Profile": [run.profile.capitalize() for run in shown],
            "Started by": [who(run) for run in shown],
        }
    )


def _verdict(run: RunInfo) -> str:
    return VERDICT_TITLES[run.verdict] if run.verdict else wording.STATE_WORDS[run.state]


def _columns() -> dict[str, Any]:
    mode = 1 if frame.is_dark() else 0
    states = ("Interrupted", "Cancelled", "Broken")
    options = [*(VERDICT_TITLES[verdict] for verdict in TINTS), *states]
    tints = [*(tint[mode] for tint in TINTS.values()), *(PLAIN_TINT[mode] for _ in states)]
    config = st.column_config
    return {
        "Run": config.TextColumn(width=55),
        "Started": config.TextColumn(width=105),
        "Verdict": config.MultiselectColumn(options=options, color=tints, width=165),
        "Score": config.ProgressColumn(min_value=0, max_value=100, format="%.1f", color="gray", width=150),
        "Coverage": config.TextColumn(alignment="right", width=75),
        "Open P0": config.NumberColumn(width=75),
        "Six categories": config.BarChartColumn(y_min=0, y_max=10, color="gray", width=130),
        "Rubric": config.TextColumn(width=60),
        "Profile": config.TextColumn(width=70),
    }


def _compare(scope: Scope, picked: Sequence[RunInfo], actions: DeltaGenerator) -> None:
    if len(picked) == 1:
        st.html(f'<p class="gl-quiet">Pick a second run to compare with run #{picked[0].number}.</p>')
        return
    if not picked:
        return
    before, after = picked[0], picked[-1]
    first, second = (source.snapshot(run) for run in (before, after))
    if not (first and first.scorecard and second and second.scorecard):
        missing = before if before.score is None else after
        words = f"Run #{missing.number} has no score, so it cannot be compared."
        st.html(marks.banner(marks.text(words), "none"))
        return
    found = compare(first, second)
    with actions, st.popover("Copy link", icon=":material/link:"):
        st.code(_address(scope, before, after), language=None, wrap_lines=True)
    st.html(_headline(before, after, found))
    if found.rubric_changed:
        words = "<b>The rubric changed between these runs.</b> The two scores do not mean the same."
        st.html(marks.banner(words, "warn", "warn"))
    _both(found, first, second)


def _address(scope: Scope, before: RunInfo, after: RunInfo) -> str:
    query = urlencode({"target": scope.key, "a": before.number, "b": after.number})
    return urlunsplit(urlsplit(st.context.url or "")._replace(query=query))


def _headline(before: RunInfo, after: RunInfo, found: Comparison) -> str:
    tone = "pass" if found.score_change > 0 else "fail" if found.score_change < 0 else "none"
    moved = f"{signed(found.score_change)} points" if found.score_change else "the same score"
    badges = " to ".join(marks.verdict_badge(run.verdict) for run in (before, after) if run.verdict)
    return (
        f'<div class="gl-headline"><h2>Run #{before.number} to run #{after.number}</h2>'
        f'<b class="gl-{tone}">{marks.text(moved)}</b><span>{badges}</span></div>'
    )


def _both(found: Comparison, first: Snapshot, second: Snapshot) -> None:
    left, right = st.columns(2, gap="small")
    with left, frame.card("by_category"):
        st.html(marks.heading("By category", "Out of ten"))
        dark = frame.is_dark()
        labels = (f"#{first.run.number}", f"#{second.run.number}")
        st.plotly_chart(
            dumbbells(found.categories, labels, dark=dark),
            theme=None,
            config=CONFIG,
            width="stretch",
            key=f"dumbbells_{first.run.number}_{second.run.number}_{dark}",
            alt=_spoken(found),
        )
    with right, frame.card("by_check"):
        st.html(marks.heading("By check", "Largest first") + changes.listing(found, most=6))


def _spoken(found: Comparison) -> str:
    moved = [
        f"{category_title(category.name)} {signed(category.change)}"
        for category in found.categories
        if category.change
    ]
    return f"Categories out of ten: {', '.join(moved) or 'none moved'}"


if __name__ == "__main__":
    page()
