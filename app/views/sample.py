"""The bundled sample: start and stop it, see its parts, mend its defects one at a time, assess it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import streamlit as st

from app.errors import UserError
from app.sample import stack
from app.sample.defects import AS_FOUND, DEFECTS, Defect
from app.sample.monitoring import servers as monitoring
from app.targets import SAMPLE_KEY
from app.views import frame, marks, mending, source
from app.wording import ABSENT, ago, family_title
from checks.contract.wording import plural

MOST_NOTICES = 3
PARTS = {
    "valkey": "Cache (Valkey)",
    "stub": "Paid model and partners",
    "faultproxy": "Fault proxy",
    "chat": "Chat API",
    "older chat": "Chat API of an earlier start",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "grafana": "Stand-in for Grafana's API",
}


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
            st.error(marks.label(str(error), 600), icon=":material/error:")
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
        name = marks.text(PARTS.get(part.name, part.name))
        rows.append([name, alive, f"<code>{marks.text(part.url) or ABSENT}</code>", str(part.pid), since])
    columns = [
        ("Process", ""),
        ("State", ""),
        ("Address", "opt"),
        ("Process id", "n opt"),
        ("Started", "n opt"),
    ]
    note = "Each is a process of its own"
    table = marks.table(columns, rows, label="Processes of the sample")
    missing = monitoring.unwatched(state)
    return marks.heading("Parts", note) + table + (marks.banner(marks.text(missing), "na") if missing else "")


def _defects(state: stack.State) -> None:
    on = set(state.defects)
    st.html(marks.heading("Defects", "Mending one restarts only what has to", count=len(on)))
    busy = any(run.target == SAMPLE_KEY for run in source.active())
    if busy:
        words = "A run is going on: what changes now would change what it measures."
        st.html(marks.banner(words, "running"))
    _all_at_once(state, busy=busy)
    told = [defect for name, defect in DEFECTS.items() if name in AS_FOUND or name in on]
    for defect in sorted(told, key=lambda item: item.name not in on):
        _defect(defect, on, busy=busy)
    others = [defect for defect in DEFECTS.values() if defect not in told]
    with st.expander(f"{len(others)} more to break on purpose, each for the checks that must notice it"):
        _by_family(others, on, busy=busy)


def _by_family(defects: Sequence[Defect], on: set[str], *, busy: bool) -> None:
    groups: dict[str, list[Defect]] = {}
    for defect in defects:
        groups.setdefault(defect.group, []).append(defect)
    for group, inside in groups.items():
        st.html(f'<h3 class="gl-group">{marks.text(family_title(group))}</h3>')
        for defect in inside:
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
        state = _state(defect, broken=broken)
        left.html(
            f'<div class="gl-defect">{state}<div><div class="what">{marks.text(defect.title)}</div>'
            f'<div class="more">{marks.text(defect.description)}</div>'
            f'<div class="more">Noticed by {_notices(defect)}</div></div></div>'
        )
        label = "Mend" if broken else ("Break again" if defect.name in AS_FOUND else "Break")
        where = right.container(horizontal=True, horizontal_alignment="right")
        if where.button(label, key=f"switch_{defect.name}", disabled=busy, help=f"{label}: {defect.title}"):
            names = on - {defect.name} if broken else on | {defect.name}
            if mending.set_defects(names):
                st.rerun()


def _notices(defect: Defect) -> str:
    shown = defect.notices[:MOST_NOTICES]
    more = len(defect.notices) - len(shown)
    names = ", ".join(f"<code>{marks.text(check)}</code>" for check in shown)
    return f"{names} and {more} more" if more else names


def _state(defect: Defect, *, broken: bool) -> str:
    if broken:
        return marks.badge("Broken", "fail", "fail")
    return (
        marks.badge("Mended", "pass", "pass") if defect.name in AS_FOUND else marks.badge("Off", "na", "none")
    )


if __name__ == "__main__":
    page()
