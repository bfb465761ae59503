"""What every page shares: style, sidebar, title row, and the way from page to page."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.records import RunInfo, RunState, Scorecard
from app.views import marks, source
from app.views.source import Scope
from app.wording import VERDICT_TITLES, ago, score_text
from checks.contract.wording import plural

STATIC = Path(__file__).parents[2] / "static"
VIEWS = "app/views"
HOME, PORTFOLIO = f"{VIEWS}/home.py", f"{VIEWS}/portfolio.py"
OVERVIEW, RUN, HISTORY = f"{VIEWS}/overview.py", f"{VIEWS}/run.py", f"{VIEWS}/history.py"
LOAD_RESULTS = f"{VIEWS}/load_results.py"
CHECK, SAMPLE = f"{VIEWS}/check.py", f"{VIEWS}/sample.py"
TICK_S = 1.0


@st.cache_resource(show_spinner=False)
def settle_memory() -> None:
    """Take what start-up made out of the garbage collector's rounds, once."""
    gc.collect()
    gc.freeze()


def dress() -> None:
    """Put the style sheet on the page."""
    mode = "dark" if st.context.theme.type == "dark" else "light"
    st.html(STATIC / "greenlight.css")
    # Dialogs and popovers stand outside .stApp, which alone carries the theme's colour scheme.
    st.html(f"<style>:root{{color-scheme:{mode}}}</style>")


def is_dark() -> bool:
    """Whether the page is dark."""
    return bool(st.context.theme.type == "dark")


def name_document(title: str) -> None:
    """Name the browser's tab."""
    st.set_page_config(page_title=f"{title} · Greenlight")


def document_title(name: str, card: Scorecard | None) -> str:
    """``Support chat API: not ready, 37.5``."""
    if card is None:
        return f"{name}: not assessed"
    return f"{name}: {VERDICT_TITLES[card.verdict].lower()}, {score_text(card.score)}"


def title_row(heading: str, facts: Sequence[str], *, badge: str = "") -> DeltaGenerator:
    """The h1 with its line of facts (HTML), and at the right a container for actions, which is returned."""
    left, right = st.columns([2.6, 1], vertical_alignment="center", gap="medium")
    inner = "".join(f"<span>{fact}</span>" for fact in facts if fact)
    left.html(
        f'<div class="gl-title"><h1>{marks.text(heading)}</h1>{badge}</div><p class="gl-facts">{inner}</p>'
    )
    return right.container(horizontal=True, horizontal_alignment="right", key="actions", gap="small")


def card(name: str, *, distribute: bool = False) -> DeltaGenerator:
    """A card, as tall as its neighbours in the row."""
    return st.container(
        border=True,
        key=f"card_{name}",
        height="stretch",
        gap="small",
        vertical_alignment="distribute" if distribute else "top",
    )


def row_link(name: str, html: str, page: str, label: str, query: Mapping[str, str]) -> None:
    """A list row whose whole area leads to a page. ``label`` is what a screen reader says."""
    with st.container(key=f"row_{name}", gap=None):
        st.html(html)
        st.page_link(page, label=marks.label(label), query_params=dict(query), width="stretch")


def back_link(scope: Scope) -> None:
    """The way back to the Overview."""
    with st.container(key="back"):
        st.page_link(OVERVIEW, label="Overview", icon=":material/arrow_back:", query_params=scope.query)


def sidebar(here: str, scope: Scope | None) -> None:
    """Wordmark, services, pages, and what runs just now. ``here`` is the page's address."""
    st.logo(STATIC / "wordmark.svg", icon_image=STATIC / "favicon.svg", size="medium")
    going = source.active()
    with st.sidebar:
        names = source.names()
        with st.container(key="nav", gap=2):
            if len(source.store().targets()) > 1:
                _nav(PORTFOLIO, "Portfolio", "grid_view", here == "portfolio", {})
            if scope is not None:
                _switcher(scope, names)
                _nav(OVERVIEW, "Overview", "speed", here in ("overview", "check"), scope.query)
                _nav(RUN, "Run", "play_circle", here == "run", scope.without_run().query)
                loads = ("Load results", "monitoring", here == "load_results")
                _nav(LOAD_RESULTS, *loads, scope.query)
                _nav(HISTORY, "History", "history", here == "history", scope.without_run().query)
            st.html('<p class="gl-setup">Set up</p>')
            _nav(SAMPLE, "Sample", "science", here == "sample", {})
        if going and here != "run":
            going_card([run.run_id for run in going])


def _nav(page: str, label: str, icon: str, here: bool, query: Mapping[str, str]) -> None:
    with st.container(key=f"{'here' if here else 'nav'}_{label.lower().replace(' ', '_')}"):
        st.page_link(page, label=label, icon=f":material/{icon}:", query_params=dict(query), width="stretch")


def _switcher(scope: Scope, names: Mapping[str, str]) -> None:
    keys = list(dict.fromkeys([*names, scope.key]))
    chosen = st.selectbox(
        "Service",
        keys,
        index=keys.index(scope.key),
        format_func=lambda key: names.get(key, key),
        key=f"service_{scope.key}",
    )
    if chosen != scope.key:
        st.switch_page(OVERVIEW, query_params={"target": chosen})


@st.fragment(run_every=TICK_S)
def going_card(run_ids: Sequence[int]) -> None:
    """The run that goes on, on every page; when it ends, the page is drawn again once."""
    found = [run for run in (source.store().run(run_id) for run_id in run_ids) if run is not None]
    going = [run for run in found if not run.state.final]
    if len(going) < len(run_ids):
        st.rerun()
    run = next((run for run in going if run.state is RunState.RUNNING), going[0])
    total = len(run.planned)
    with st.container(key="going", gap=None):
        share = run.done / total if total else 0
        words = f"Run in progress, {run.done} of {total}" if total else "Run is about to start"
        st.html(
            f'<div class="gl-going"><b>{marks.icon("running")} {marks.text(run.target_name)}</b>'
            f"<div>{words}</div>{marks.bar(share)}</div>"
        )
        label = marks.label(f"Open the run of {run.target_name}")
        st.page_link(RUN, label=label, query_params=run_query(run), width="stretch")


def run_query(run: RunInfo) -> dict[str, str]:
    """The address of a run."""
    return {"target": run.target, "run": str(run.number)}


def run_facts(run: RunInfo) -> list[str]:
    """The facts of a run's title row, as HTML."""
    ended, now = source.ended(run), source.now()
    took = source.took_s(run)
    exact = f"{ended:%Y-%m-%d %H:%M:%S %Z}"
    when = f'<span title="{exact}">Run #{run.number}, {marks.text(ago(ended, now))}</span>'
    profile = f"{marks.text(run.profile.capitalize())} profile"
    facts = [f"<code>{marks.text(run.url)}</code>", when]
    facts.append(f"{profile}, {marks.seconds(took)}" if took is not None else profile)
    if not run.faults:
        facts.append("Without fault checks")
    if run.based_on is not None:
        facts.append(f"{plural(len(run.planned), 'check')} run again, the others from run #{run.based_on}")
    if run.rubric is not None:
        facts.append(f"Rubric {run.rubric.version}")
    return facts
