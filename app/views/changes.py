"""What moved: the score chart that opens a run, and the list of changes between two runs."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.compare import Change, Comparison
from app.records import RubricRef, RunInfo
from app.views import frame, marks, source
from app.views.charts.look import CONFIG, Figure, picked
from app.views.charts.score import score_history, score_history_alt
from app.views.source import Scope
from app.wording import signed

LEAST_POINTS = 0.05  # less is 0.0 on the page
MOST_ASIDE = 2  # changes that are neither better nor worse


@st.cache_resource(show_spinner=False, max_entries=64)
def _score_figure(
    _runs: Sequence[RunInfo], _rubric: RubricRef, *, ids: tuple[int, ...], zone: str, dark: bool
) -> Figure:
    """Finished runs never change, so their ids and the viewer's clock and mode are the whole key."""
    del ids, zone
    return score_history(_runs, _rubric, source.viewer_zone(), dark=dark)


def score_chart(scope: Scope, runs: Sequence[RunInfo], rubric: RubricRef, *, key: str) -> None:
    """The score of ``runs`` (oldest first); a click opens the run, as its row in History does."""
    dark = frame.is_dark()
    ids = tuple(run.run_id for run in runs)
    figure = _score_figure(runs, rubric, ids=ids, zone=str(source.viewer_zone()), dark=dark)
    event = st.plotly_chart(
        figure,
        theme=None,
        config=CONFIG,
        width="stretch",
        key=f"{key}_{len(runs)}_{dark}",
        on_select="rerun",
        selection_mode="points",
        alt=score_history_alt(runs),
    )
    number = picked(event)
    if number is not None:
        st.switch_page(frame.OVERVIEW, query_params={"target": scope.key, "run": str(number)})


def listing(found: Comparison, *, most: int) -> str:
    """Better, worse, new and within noise, each with its largest; better and worse stand even at none."""
    groups = [
        ("better", "pass", "better", found.better),
        ("worse", "fail", "worse", found.worse),
        ("none", "", "changed otherwise", found.other),
        ("say", "", "new", found.added),
        ("noise", "", "within noise", found.noise),
    ]
    always = ("better", "worse", "within noise")
    parts = [
        _group(shape, tone, word, items, most)
        for shape, tone, word, items in groups
        if items or word in always
    ]
    return f'<div class="gl-changes">{"".join(parts)}</div>'


def _group(shape: str, tone: str, word: str, items: Sequence[Change], most: int) -> str:
    head = f"<h3>{marks.icon(shape, tone)}{len(items)} {word}</h3>"
    if not items:
        return f'{head}<ul><li class="nil">None</li></ul>'
    counts = word in ("better", "worse")
    shown = items[: most if counts else MOST_ASIDE]
    rows = "".join(_row(change, with_points=counts) for change in shown)
    rest = len(items) - len(shown)
    more = f'<li class="nil">and {rest} more</li>' if rest > 0 else ""
    return f"{head}<ul>{rows}{more}</ul>"


def _row(change: Change, *, with_points: bool) -> str:
    title = marks.text(source.good_title(change.check))
    points = f"<b>{signed(change.points)}</b>" if with_points and abs(change.points) >= LEAST_POINTS else ""
    return f"<li><span>{title}<small>{marks.text(change.text)}</small></span>{points}</li>"
