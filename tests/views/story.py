"""Histories to show: runs of tests/records.py, kept in a real store as a run process would keep them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from app.history.store import Store
from app.records import RunEvent, RunInfo, RunState, Scorecard
from checks.contract.findings import Outcome
from checks.contract.target import Target
from tests import records

TARGET = Target(key="sample", url="http://127.0.0.1:8003", name="Support chat API", claims=records.CLAIMS)
OTHER = Target(key="orders", url="http://127.0.0.1:8004", name="Order intake")
CACHE = ("cache.hit_rate", "cache.speedup", "cache.cost_saving")
PLANNED = tuple(records.RUBRIC.checks)
DAY = timedelta(days=1)


def card(broken: Iterable[str] = ()) -> Scorecard:
    """A scorecard where ``broken`` fail and the rest passes."""
    return records.card(*(records.finding(check, Outcome.FAIL) for check in broken))


def scored(scorecard: Scorecard | None) -> Scorecard:
    """A scorecard that must be there."""
    assert scorecard is not None
    return scorecard


def found(store: Store, run_id: int) -> RunInfo:
    """A run that must be there."""
    run = store.run(run_id)
    assert run is not None
    return run


def date(store: Store, run_id: int, ago: timedelta, *, took_s: float = 72) -> None:
    """Move a run into the past."""
    ended = datetime.now(UTC) - ago
    began = ended - timedelta(seconds=took_s)
    store._set(run_id, created_at=began, started_at=began, finished_at=ended)


def keep(
    store: Store,
    scorecard: Scorecard,
    *,
    ago: timedelta = timedelta(minutes=12),
    target: Target = TARGET,
    started_by: str = "dashboard",
) -> RunInfo:
    """Keep a finished run that ended ``ago``."""
    run = store.create_run(target, profile="quick", faults=True, started_by=started_by, planned=PLANNED)
    store.start_run(run.run_id, PLANNED)
    at = datetime.now(UTC) - ago
    for seq, item in enumerate(scorecard.findings, 1):
        data = {"outcome": item.outcome.value, "reason": item.reason}
        event = RunEvent(seq=seq, at=at, kind="check", check=item.check, text=item.title, data=data)
        store.add_event(run.run_id, event)
    store.finish_run(run.run_id, scorecard)
    date(store, run.run_id, ago)
    return found(store, run.run_id)


def keep_interrupted(store: Store, *, done: int = 8, ago: timedelta = 2 * DAY) -> RunInfo:
    """Keep a run that was interrupted after ``done`` checks."""
    run = store.create_run(TARGET, profile="quick", faults=True, started_by="ci", planned=PLANNED)
    store.start_run(run.run_id, PLANNED)
    for item in scored(records.as_found().scorecard).findings[:done]:
        store.add_finding(run.run_id, item)
    store.end_run(run.run_id, RunState.INTERRUPTED, "The run's process is gone.")
    date(store, run.run_id, ago, took_s=30)
    return found(store, run.run_id)


def tell(store: Store) -> None:
    """Keep thirteen runs of one week: a climb from as found to mended, the tenth interrupted."""
    as_found = scored(records.as_found().scorecard)
    cache = (*CACHE, "error_recovery.compensation")
    climb: list[tuple[Scorecard | None, timedelta, str]] = [
        (as_found, 6.9 * DAY, "schedule"),
        (as_found, 6 * DAY, "schedule"),
        (as_found, 5.5 * DAY, "schedule"),
        (as_found, 5 * DAY, "dashboard"),
        (card((*cache, "endpoint_health.primary_route")), 4 * DAY, "ci"),
        (card((*cache, "error_recovery.upstream_hang")), 3.6 * DAY, "ci"),
        (card((*cache, "error_recovery.upstream_hang")), 3.2 * DAY, "schedule"),
        (card(cache), 3 * DAY, "dashboard"),
        (card(("cache.hit_rate", "error_recovery.compensation")), 2.4 * DAY, "ci"),
        (None, 2 * DAY, "ci"),
        (card(("error_recovery.compensation",)), 1.5 * DAY, "ci"),
        (card(("cache.hit_rate", "cache.cost_saving")), DAY, "dashboard"),
        (scored(records.mended().scorecard), timedelta(minutes=12), "team lead"),
    ]
    for scorecard, ago, who in climb:
        if scorecard is None:
            keep_interrupted(store, ago=ago)
        else:
            keep(store, scorecard, ago=ago, started_by=who)


def keep_running(store: Store, *, seconds: int = 4, pid: int | None = None, **load: Any) -> RunInfo:
    """Keep a run in its heavy load scenario, carried out by process ``pid`` (by default this one)."""
    run = store.create_run(TARGET, profile="quick", faults=True, started_by="dashboard", planned=PLANNED)
    store.start_run(run.run_id, PLANNED)
    owner = psutil.Process(pid or os.getpid())
    store.own(run.run_id, owner.pid, owner.create_time())
    began = datetime.now(UTC) - timedelta(seconds=44)
    store._set(run.run_id, created_at=began, started_at=began)
    events: list[Mapping[str, Any]] = [{"kind": "run", "text": "Support chat API, quick profile, 17 checks"}]
    for check in PLANNED:
        item = records.finding(check)
        events.append({"kind": "check", "check": check, "text": item.title, "data": {"began": True}})
        if check == "load_scenarios.heavy":
            break
        store.add_finding(run.run_id, item)
        data = {"outcome": item.outcome.value, "reason": item.reason}
        events.append({"kind": "check", "check": check, "text": item.title, "data": data})
    lever = {"lever": "cache", "way": "refuse", "what": "restored", "detail": "put back by toxiproxy:cache"}
    events.append({"kind": "lever", "text": "cache restored", "data": lever})
    events += [
        {"kind": "load", "text": "heavy", "data": second_of_load(second, **load)}
        for second in range(1, seconds + 1)
    ]
    for seq, event in enumerate(events, 1):
        store.add_event(run.run_id, RunEvent(seq=seq, at=began + timedelta(seconds=seq), **event))
    return found(store, run.run_id)


def second_of_load(second: int, **changes: Any) -> dict[str, Any]:
    """What the load driver tells of one second of the heavy scenario."""
    return {
        "scenario": "heavy",
        "second": second,
        "duration_s": 6,
        "users": 20,
        "answered": 30 + second,
        "failed": 0,
        "p50_ms": 60.0,
        "p95_ms": 1900.0 + 90 * second,
        "p99_ms": 3200.0,
        "hits": 25,
        "marked": 30,
    } | changes
