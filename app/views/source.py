"""Where pages get their objects: the history, the catalogue, the targets. Nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from app import paths, runs, targets
from app.history.database import default_url
from app.history.store import Store
from app.records import RunEvent, RunInfo, RunState, Snapshot
from checks import LoadedCheck, all_checks
from checks.contract.target import Target

EVENT_PAGE = 500
STALE_DAYS = 7


def store() -> Store:
    """The history. Raises HistoryError."""
    return _open(default_url())


@st.cache_resource(show_spinner=False)
def _open(url: str) -> Store:
    return Store.open(url)


def catalogue() -> dict[str, LoadedCheck]:
    """Every check by id. Raises BrokenCheckError."""
    return _load_checks(tuple(str(folder) for folder in paths.plugin_folders()))


@st.cache_resource(show_spinner=False)
def _load_checks(folders: tuple[str, ...]) -> dict[str, LoadedCheck]:
    return all_checks([Path(folder) for folder in folders])


def snapshot(run: RunInfo) -> Snapshot | None:
    """A whole run. One that has ended is read once for each rubric that scored it: it never changes."""
    if not run.state.final:
        return store().snapshot(run.run_id)
    return _read(default_url(), run.run_id, run.state.value, run.rubric.sha256 if run.rubric else "")


@st.cache_data(show_spinner=False, max_entries=64)
def _read(url: str, run_id: int, *version: str) -> Snapshot | None:
    del version  # part of the cache's key only
    return _open(url).snapshot(run_id)


@dataclass(frozen=True)
class Scope:
    """What the address asks for: a target, and one of its runs (``asked`` is its number, if any).

    ``runs`` stand newest first. ``name`` is the target's name for people.
    """

    key: str
    name: str
    url: str
    runs: tuple[RunInfo, ...] = ()
    asked: int | None = None
    target: Target | None = None
    target_error: str = ""

    @property
    def active(self) -> RunInfo | None:
        """The run of this target that goes on just now."""
        going = [run for run in self.runs if run.state is RunState.RUNNING]
        waiting = [run for run in self.runs if run.state is RunState.WAITING]
        return next(iter([*going, *reversed(waiting)]), None)

    @property
    def finished(self) -> tuple[RunInfo, ...]:
        """Runs that have a score, newest first."""
        return tuple(run for run in self.runs if run.score is not None)

    @property
    def run(self) -> RunInfo | None:
        """The run to show: the one asked for, or the newest that has a score."""
        if self.asked is not None:
            return next((run for run in self.runs if run.number == self.asked), None)
        return next(iter(self.finished), None)

    @property
    def query(self) -> dict[str, str]:
        """This scope as a query string's parts, with the run only where it was asked for."""
        run = {"run": str(self.asked)} if self.asked is not None else {}
        return {"target": self.key, **run}

    def before(self, run: RunInfo) -> RunInfo | None:
        """The scored run before ``run``."""
        return next((other for other in self.finished if other.number < run.number), None)

    def until(self, run: RunInfo) -> list[RunInfo]:
        """The scored runs up to ``run``, oldest first."""
        return [other for other in reversed(self.finished) if other.number <= run.number]

    def without_run(self) -> Scope:
        """The same target, at its newest run."""
        return replace(self, asked=None)


def scope() -> Scope | None:
    """Read target and run from the address; None where there is no target at all."""
    history = store()
    assessed = history.targets()
    declared = {target.key: target for target in targets.available()}
    keys = list(dict.fromkeys([*assessed, *declared]))
    wanted = st.query_params.get("target") or next(iter(keys), None)
    if wanted is None:
        return None
    found = tuple(history.runs(wanted)) if wanted in assessed else ()
    number = st.query_params.get("run", "")
    asked = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
    target, error = declared.get(wanted), ""
    if target is None:
        target, error = _load(wanted)
    name = target.title if target else (found[0].target_name if found else wanted)
    url = target.url if target else (found[0].url if found else "")
    return Scope(wanted, name, url, found, asked, target, error)


def _load(key: str) -> tuple[Target | None, str]:
    try:
        return targets.load(key), ""
    except targets.TargetError as error:
        return None, str(error)


def names() -> dict[str, str]:
    """Every target that is declared or was assessed: key and name, the most recently assessed first."""
    history = store()
    found = {key: key for key in history.targets()}
    for key in found:
        newest = history.runs(key, limit=1)
        found[key] = newest[0].target_name if newest else key
    return found | {target.key: target.title for target in targets.available()}


def active() -> list[RunInfo]:
    """Runs that wait or run, of all targets; those whose process is gone are marked first."""
    history = store()
    if not history.active():
        return []
    runs.reconcile(history)
    return history.active()


def events(run_id: int) -> list[RunEvent]:
    """All events of a run, oldest first. A page that is open asks only for what is new."""
    known: dict[int, list[RunEvent]] = st.session_state.setdefault("_events", {})
    if run_id not in known:
        known.clear()  # one run at a time is watched
        known[run_id] = []
    seen = known[run_id]
    while True:
        fresh = store().events(run_id, after_seq=seen[-1].seq if seen else 0, limit=EVENT_PAGE)
        seen.extend(fresh)
        if len(fresh) < EVENT_PAGE:
            return seen


def viewer_zone() -> tzinfo:
    """The viewer's time zone."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def local(when: datetime) -> datetime:
    """``when`` as the viewer's clock shows it."""
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return aware.astimezone(viewer_zone())


def now() -> datetime:
    """The viewer's now."""
    return datetime.now(viewer_zone())


def ended(run: RunInfo) -> datetime:
    """When a run ended, or began, or was asked for."""
    return local(run.finished_at or run.started_at or run.created_at)


def took_s(run: RunInfo) -> float | None:
    """How long a run took."""
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()


def is_stale(run: RunInfo) -> bool:
    """Whether the evidence of a run is older than a week."""
    return (now() - ended(run)).days >= STALE_DAYS


def good_title(check: str) -> str:
    """The good condition of a check, or its id where the catalogue no longer has it."""
    found = catalogue().get(check)
    return found.docs["title"] if found else check


def open_for(scope: Scope, run: RunInfo) -> int:
    """In how many scored runs in a row up to ``run`` a P0 has been open."""
    in_a_row = 0
    for other in reversed(scope.until(run)):
        if not other.open_p0:
            break
        in_a_row += 1
    return in_a_row
