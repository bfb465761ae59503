"""The bundled sample from the browser: starting it, mending a defect, assessing it again."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from app import causes as why
from app import runs
from app.errors import UserError
from app.records import RunInfo, Scorecard
from app.sample import processes, stack
from app.sample.defects import AS_FOUND, DEFECTS, Defect
from app.targets import SAMPLE_KEY
from app.views import frame, marks, source
from app.views.source import Scope
from checks.contract.wording import plural


def start(defects: Iterable[str]) -> bool:
    """Start the sample on its port, or the next free one; a refusal is said on the page. Whether it is up."""
    try:
        with st.spinner("Starting the sample"):
            port = processes.nearest_free(stack.CHAT_PORT) or stack.CHAT_PORT
            stack.up(tuple(defects), chat_port=port)
    except UserError as error:
        st.error(marks.label(str(error), 600), icon=":material/error:")
        return False
    return True


def set_defects(names: Iterable[str]) -> bool:
    """Give the running sample exactly these defects. Whether it worked."""
    try:
        with st.spinner("Restarting the chat API"):
            stack.set_defects(tuple(names))
    except UserError as error:
        st.error(marks.label(str(error), 600), icon=":material/error:")
        return False
    return True


def assess(key: str = SAMPLE_KEY, *, profile: str = "quick") -> None:
    """Start a run and go to its page; a refusal is said on this one."""
    try:
        run = runs.start(source.store(), key, profile=profile)
    except UserError as error:
        st.error(marks.label(str(error), 600), icon=":material/error:")
        return
    st.switch_page(frame.RUN, query_params=frame.run_query(run))


def nothing_yet() -> None:
    """The page of a history without any target: what to do first."""
    frame.title_row("Greenlight", ["Is this service ready for production, and how do we know?"])
    with frame.card("empty"):
        words = "Add a target file to data/targets, or start the bundled sample as it was found."
        st.html(marks.empty_state("Nothing to assess yet.", words, with_ring=True))
        with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
            clicked = st.button("Start the sample", type="primary", key="start_sample")
        if clicked and (stack.status() is not None or start(AS_FOUND)):
            assess()


def no_target(scope: Scope) -> None:
    """What to say of a service that cannot be assessed: the sample is not up, or its file is broken."""
    if scope.key != SAMPLE_KEY:
        st.html(marks.empty_state("This service cannot be assessed.", scope.target_error))
        return
    st.html(marks.empty_state("The sample is not running.", "Start it, then assess it."))
    with st.container(horizontal=True, horizontal_alignment="center", key="centred"):
        if st.button("Open the sample", type="primary", key="open_sample"):
            st.switch_page(frame.SAMPLE)


def offer(scope: Scope, run: RunInfo, card: Scorecard) -> None:
    """On the sample's newest run: mend what costs most, or assess again what was mended."""
    if scope.key != SAMPLE_KEY or scope.finished[0].run_id != run.run_id or scope.active is not None:
        return
    state = stack.status()
    if state is None:
        return
    if changed_since(state, run):
        left = f"{plural(len(state.defects), 'defect')} left" if state.defects else "no defect left"
        _line(
            f"<b>The sample was changed after this run</b>, {left}. Assess it again to see the score move.",
            "Assess again",
            assess,
        )
        return
    defect = first_to_mend(card, state.defects)
    if defect is not None:
        words = f"<b>{marks.text(defect.title)}.</b> {marks.text(defect.description)}"
        _line(words, "Mend this defect", lambda: _mend(defect, state.defects))


def _mend(defect: Defect, switched_on: Iterable[str]) -> None:
    if set_defects(name for name in switched_on if name != defect.name):
        st.rerun()


def _line(html: str, button: str, action: object) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="offer", gap="small"):
        st.html(f'<div class="gl-offer">{marks.icon("lever")}<span>{html}</span></div>', width="stretch")
        clicked = st.button(button, key="offer_button")
        st.page_link(frame.SAMPLE, label="All defects", icon=":material/science:")
    if clicked:
        action()  # type: ignore[operator]  # a plain function without arguments


def changed_since(state: stack.State, run: RunInfo) -> bool:
    """Whether a part of the sample was started after ``run`` had ended."""
    ended = (run.finished_at or run.created_at).timestamp()
    return any(part.started_at > ended for part in state.parts)


def first_to_mend(card: Scorecard, switched_on: Iterable[str]) -> Defect | None:
    """The switched-on defect that explains the root of the cause with the most points."""
    defects = [DEFECTS[name] for name in switched_on if name in DEFECTS]
    explained = (
        defect for cause in why.costs(card) for defect in defects if cause.root.check in defect.notices
    )
    return next(explained, None)
