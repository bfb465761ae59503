"""The bundled sample: start and stop it, see its parts, mend its defects one at a time, assess it again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import streamlit as st

from app.errors import UserError
from app.sample import stack
from app.sample.defects import AS_FOUND, DEFECTS, Defect
from app.targets import SAMPLE_KEY
from app.views import frame, marks, mending, source
from app.wording import ABSENT, ago, family_title
from checks.wording import plural


def page() -> None:
    """Draw the sample as it is."""
    scope = source.scope()
    frame.sidebar("sample", scope)
    frame.name_document("The bundled sample")
    state = stack.status()
    facts = ["A chat API with a cache, a paid model and an order route, on this machine"]
    if state is not None:
        facts = [f"<code>{marks.text(state.url)}</code>", _defect_words(state.defects), *facts]
    actions = frame.title_row("Sample", facts)
    if state is None:
        _stopped()
        return
    with actions:
        _actions(state)
    with frame.card("parts"):
        st.html(_parts(state))
    with frame.card("defects"):
        _defects(state)


def _defect_words(defects: Iterable[str]) -> str:
    on = len(tuple(defects))
    return f"{plural(on, 'defect')} switched on" if on else "Healthy: no defect is switched on"


def _stopped() -> None:
    with frame.card("empty"):
        words = "As found it has the defects that a real team met; healthy it has none."
        st.html(marks.empty_state("The sample is not running.", words))
        with st.container(horizontal=True, horizontal_alignment="center", key="centred", gap="small"):
            as_found = st.button("Start as found", type="primary", key="start_as_found")
            healthy = st.button("Start healthy", key="start_healthy")
    if (as_found and mending.start(AS_FOUND)) or (healthy and mending.start(())):
        st.rerun()


def _actions(state: stack.State) -> None:
    if st.button("Stop", icon=":material/stop:", key="stop_sample"):
        try:
            with st.spinner("Stopping the sample"):
                stack.down()
        except UserError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.rerun()
    busy = any(run.target == SAMPLE_KEY for run in source.active())
    label = "Assess again" if source.store().runs(SAMPLE_KEY, limit=1) else "Assess"
    if busy:
        st.page_link(frame.RUN, label="Open its run", query_params={"target": SAMPLE_KEY})
    elif st.button(
        label, type="primary", icon=":material/play_arrow:", key="assess_sample", disabled=not _whole(state)
    ):
        mending.assess()


def _whole(state: stack.State) -> bool:
    return all(part.alive for part in state.parts)


def _parts(state: stack.State) -> str:
    now = source.now()
    rows = []
    for part in state.parts:
        began = source.local(datetime.fromtimestamp(part.started_at, UTC))
        alive = marks.badge("Running", "pass", "pass") if part.alive else marks.badge("Ended", "fail", "fail")
        since = f'<span title="{began:%Y-%m-%d %H:%M:%S}">{marks.text(ago(began, now))}</span>'
        name = marks.two_lines(part.name, "")
        rows.append([name, alive, f"<code>{marks.text(part.url) or ABSENT}</code>", str(part.pid), since])
    columns = [("Process", ""), ("State", ""), ("Address", ""), ("Process id", "n opt"), ("Started", "n opt")]
    note = "Each is a process of its own"
    return marks.heading("Parts", note) + marks.table(columns, rows, label="Processes of the sample")


def _defects(state: stack.State) -> None:
    on = set(state.defects)
    st.html(marks.heading("Defects", "Mending one restarts the chat API only", count=len(on)))
    busy = any(run.target == SAMPLE_KEY for run in source.active())
    if busy:
        words = "A run is going on: what changes now would change what it measures."
        st.html(marks.banner(words, "running"))
    _all_at_once(state, busy=busy)
    groups: dict[str, list[Defect]] = {}
    for defect in DEFECTS.values():
        groups.setdefault(defect.group, []).append(defect)
    ordered = sorted(groups.items(), key=lambda item: not any(defect.name in on for defect in item[1]))
    for group, inside in ordered:
        st.html(f'<h3 class="gl-group">{marks.text(family_title(group))}</h3>')
        for defect in sorted(inside, key=lambda item: item.name not in on):
            _defect(defect, on, busy=busy)


def _all_at_once(state: stack.State, *, busy: bool) -> None:
    with st.container(horizontal=True, gap="small", key="all_defects"):
        found = set(state.defects) == set(AS_FOUND)
        if st.button("As found", key="as_found", disabled=busy or found) and mending.set_defects(AS_FOUND):
            st.rerun()
        if st.button("Mend all", key="mend_all", disabled=busy or not state.defects) and mending.set_defects(
            ()
        ):
            st.rerun()


def _defect(defect: Defect, on: set[str], *, busy: bool) -> None:
    broken = defect.name in on
    with st.container(key=f"defect_{defect.name}"):
        left, right = st.columns([5, 1], vertical_alignment="center")
        state = marks.badge("Broken", "fail", "fail") if broken else marks.badge("Mended", "pass", "pass")
        checks = ", ".join(defect.notices)
        left.html(
            f'<div class="gl-defect">{state}<div><div class="what">{marks.text(defect.title)}</div>'
            f'<div class="more">{marks.text(defect.description)}</div>'
            f'<div class="more">Noticed by <code>{marks.text(checks)}</code></div></div></div>'
        )
        label = "Mend" if broken else ("Break again" if defect.name in AS_FOUND else "Break")
        if right.button(label, key=f"switch_{defect.name}", disabled=busy, help=f"{label}: {defect.title}"):
            names = on - {defect.name} if broken else on | {defect.name}
            if mending.set_defects(names):
                st.rerun()


if __name__ == "__main__":
    page()
