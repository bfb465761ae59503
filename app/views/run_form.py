"""The form of a run: service, profile, families and single checks, and the question before fault checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from app import profiles, runs, targets
from app.errors import UserError
from app.views import frame, marks, mending, source
from app.views.source import Scope
from app.wording import family_title
from checks import LoadedCheck
from checks.contract import Kind
from checks.contract.instruments import Profile
from checks.contract.target import Target
from checks.contract.wording import plural

DOES = {
    Kind.PASSIVE: "looks",
    Kind.ACTIVE: "asks",
    Kind.LOAD: "sends many requests",
    Kind.FAULT: "breaks and restores",
}
PROFILE_WORDS = {
    "quick": "A first answer: short scenarios, few samples.",
    "standard": "For a release: percentiles that hold.",
    "deep": "Long scenarios: what shows only with time.",
}


def show(scope: Scope) -> None:
    """Draw the form for the target in ``scope``."""
    frame.name_document(f"{scope.name}: run an assessment")
    actions = frame.title_row(
        "Run an assessment", [marks.text(scope.name), f"<code>{marks.text(scope.url)}</code>"]
    )
    if scope.target is None:
        with frame.card("empty"):
            mending.no_target(scope)
        return
    checks = source.catalogue()
    families = _families(checks)
    _preset(scope, checks)
    with frame.card("what"):
        profile = _what(scope)
    with frame.card("families"):
        st.html(marks.heading("Checks", "A family opens to its single checks"))
        for family, inside in families.items():
            _family(scope, family, inside, profile)
    chosen = [check for check in checks if st.session_state.get(_key(scope, check), True)]
    st.html(f'<p class="gl-sum">{_summary([checks[check] for check in chosen], profile)}</p>')
    with actions:
        ready = bool(chosen)
        clicked = st.button(
            "Run assessment", type="primary", icon=":material/play_arrow:", disabled=not ready, key="launch"
        )
    if clicked:
        _launch(scope, scope.target, [checks[check] for check in chosen], profile, len(checks))


def _families(checks: Mapping[str, LoadedCheck]) -> dict[str, list[LoadedCheck]]:
    families: dict[str, list[LoadedCheck]] = {}
    for check in checks.values():
        families.setdefault(check.family, []).append(check)
    return families


def _preset(scope: Scope, checks: Mapping[str, LoadedCheck]) -> None:
    """``only=CHECK`` in the address chooses that one check, once."""
    only = st.query_params.get("only")
    if only not in checks or st.session_state.get("_preset") == (scope.key, only):
        return
    st.session_state["_preset"] = (scope.key, only)
    for check in checks.values():
        st.session_state[_key(scope, check.id)] = check.id == only
    for family, inside in _families(checks).items():
        st.session_state[_key(scope, family)] = all(check.id == only for check in inside)


def _key(scope: Scope, name: str) -> str:
    return f"pick_{scope.key}_{name}"


def _what(scope: Scope) -> Profile:
    left, right = st.columns(2, gap="medium")
    every = {target.key: target.title for target in targets.available()}
    every.setdefault(scope.key, scope.name)
    keys = list(every)
    chosen = left.selectbox(
        "Service to assess",
        keys,
        index=keys.index(scope.key),
        format_func=every.__getitem__,
        key=f"what_{scope.key}",
    )
    if chosen != scope.key:
        st.switch_page(frame.RUN, query_params={"target": chosen})
    known = profiles.load()
    name = right.segmented_control(
        "Profile",
        list(known),
        default=profiles.DEFAULT,
        required=True,
        format_func=str.capitalize,
        key="profile",
        bind="query-params",
    )
    name = name if name in known else profiles.DEFAULT
    right.html(f'<p class="gl-quiet">{marks.text(PROFILE_WORDS.get(name, ""))}</p>')
    return known[name]


def _family(scope: Scope, family: str, inside: Sequence[LoadedCheck], profile: Profile) -> None:
    family_key = _key(scope, family)
    keys = [_key(scope, check.id) for check in inside]

    def all_or_none() -> None:
        for key in keys:
            st.session_state[key] = st.session_state[family_key]

    def settle() -> None:
        st.session_state[family_key] = all(st.session_state.get(key, True) for key in keys)

    for key in (family_key, *keys):
        st.session_state.setdefault(key, True)
    picked = [check for check, key in zip(inside, keys, strict=True) if st.session_state[key]]
    with st.container(key=f"family_{family}", gap="xsmall"):
        left, right = st.columns([1, 3.2], vertical_alignment="top")
        left.checkbox(family_title(family), key=family_key, on_change=all_or_none)
        plug = ":material/power:" if any(check.about.kind is Kind.FAULT for check in inside) else None
        with right.expander(_family_words(inside, picked, profile), icon=plug, key=f"open_{family}"):
            for check, key in zip(inside, keys, strict=True):
                _single(check, key, settle)


def _single(check: LoadedCheck, key: str, settle: object) -> None:
    left, right = st.columns([1, 1.4], vertical_alignment="center")
    left.checkbox(check.docs["title"], key=key, on_change=settle)  # type: ignore[arg-type]  # a plain function
    plug = f"{marks.icon('lever')} " if check.about.kind is Kind.FAULT else ""
    right.html(f'<p class="gl-pick">{plug}{marks.text(check.about.does)}</p>')


def _family_words(inside: Sequence[LoadedCheck], picked: Sequence[LoadedCheck], profile: Profile) -> str:
    """``5 checks, about 28 s: asks, loads, breaks and restores``, as the label of an expander."""
    whole = len(picked) == len(inside)
    count = plural(len(inside), "check") if whole else f"{len(picked)} of {len(inside)} checks"
    kinds = [kind for kind in Kind if any(check.about.kind is kind for check in inside)]
    time = f", about {marks.seconds(expected_s(picked, profile))}" if picked else ""
    return f"**{count}**{time}: {', '.join(DOES[kind] for kind in kinds)}"


def expected_s(checks: Sequence[LoadedCheck], profile: Profile) -> float:
    """About how long ``checks`` take."""
    return sum(check.about.takes_in(profile) for check in checks)


def _summary(checks: Sequence[LoadedCheck], profile: Profile) -> str:
    if not checks:
        return "<b>No check is chosen.</b> Choose a family to run."
    faults = sum(check.about.kind is Kind.FAULT for check in checks)
    breaks = f", {faults} break something on purpose and put it back" if faults > 1 else ""
    breaks = ", 1 breaks something on purpose and puts it back" if faults == 1 else breaks
    return (
        f"<b>{plural(len(checks), 'check')}</b>, about {marks.seconds(expected_s(checks, profile))}{breaks}."
    )


def _launch(
    scope: Scope, target: Target, checks: Sequence[LoadedCheck], profile: Profile, every: int
) -> None:
    only = tuple(check.id for check in checks) if len(checks) < every else ()
    faults = [check for check in checks if check.about.kind is Kind.FAULT]
    if faults and target.allow_faults:
        _confirm(scope, target, faults, only, profile.name)
    else:
        _start(scope, only, profile.name, faults=target.allow_faults)


def _confirm(
    scope: Scope, target: Target, faults: Sequence[LoadedCheck], only: tuple[str, ...], profile: str
) -> None:
    @st.dialog(f"Run {plural(len(faults), 'fault check')}?")
    def ask() -> None:
        levers = "".join(
            f"<li>{marks.icon('lever')} <b>{marks.text(name)}</b>: {marks.text(', '.join(lever.ways))}, "
            f"by {marks.text(lever.kind)}</li>"
            for name, lever in target.levers.items()
        )
        named = f'<ul class="gl-levers">{levers}</ul>' if levers else ""
        words = f"They break dependencies of {marks.text(target.title)} on purpose and put them back."
        st.html(f"<p>{words}</p>{named}")
        agreed = st.checkbox("Nobody depends on this service just now", key="agreed")
        with st.container(horizontal=True, gap="small"):
            if st.button("Run assessment", type="primary", disabled=not agreed, key="launch_faults"):
                _start(scope, only, profile, faults=True)
            if st.button("Leave them out", key="launch_without"):
                _start(scope, only, profile, faults=False)

    ask()


def _start(scope: Scope, only: tuple[str, ...], profile: str, *, faults: bool) -> None:
    try:
        into = scope.finished[0] if only and scope.finished else None
        run = runs.start(source.store(), scope.key, profile=profile, only=only, faults=faults, into=into)
    except UserError as error:
        st.error(marks.label(str(error), 600), icon=":material/error:")
        return
    st.switch_page(frame.RUN, query_params=frame.run_query(run))
