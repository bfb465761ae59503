"""A history to show: thirteen runs of the sample from as found to mended, scored by the real rubric."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app import paths
from app.history.store import Store
from app.records import LoadResult, RunEvent, RunInfo, RunState, Scorecard, ScoredFinding
from app.rubric import Rubric
from app.scoring import score
from checks.findings import Limit, Outcome
from checks.target import Claim, Target

NOW = datetime.now(UTC)
PASS, WARN, FAIL = Outcome.PASS, Outcome.WARN, Outcome.FAIL
NOT_ASSESSED, NOT_APPLICABLE, ERROR = Outcome.NOT_ASSESSED, Outcome.NOT_APPLICABLE, Outcome.ERROR

TARGET = Target(
    key="sample",
    url="http://127.0.0.1:8003",
    name="Support chat API",
    allow_faults=True,
    claims=(
        Claim(text="Readiness score", check="score", value=60),
        Claim(text="Cache makes answers faster", check="cache.speedup", value=5),
        Claim(text="Model calls avoided", check="cache.cost_saving", value=0.8),
        Claim(text="Serves 20 users", check="load_scenarios.heavy", value=0.95),
    ),
)


@dataclass(frozen=True)
class Said:
    """What one check says in one state of the service."""

    outcome: Outcome
    title: str
    reason: str
    value: float | None = None
    unit: str | None = None
    limit: Limit | None = None
    interval: tuple[float, float] | None = None
    follows: str | None = None
    missing: str | None = None
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)


RATIO = Limit(pass_at=0.7, warn_at=0.5, better="higher", low=0, high=1)
SUCCESS = Limit(pass_at=0.95, warn_at=0.76, better="higher", low=0, high=1)
PRIMARY = "endpoint_health.primary_route"

MENDED: dict[str, Said] = {
    "cache.reachable": Said(
        PASS,
        "The cache answers",
        "PING p95 0.4\u00a0ms, limit 5\u00a0ms",
        0.4,
        "ms",
        Limit(5, 50, "lower", 0, 60),
    ),
    "cache.hit_rate": Said(
        PASS,
        "Repeated questions are answered from the cache",
        "83.6\u00a0% of repeated questions came from the cache, needs ≥ 70\u00a0%",
        0.836,
        "ratio",
        RATIO,
        (0.81, 0.86),
    ),
    "cache.speedup": Said(
        PASS,
        "A cached answer is faster",
        "8.4x faster, needs ≥ 5x",
        8.4,
        "x",
        Limit(5, 2, "higher", 1, 12),
        (7.1, 9.6),
    ),
    "cache.cost_saving": Said(
        PASS,
        "Repeated questions cost nothing",
        "83\u00a0% of paid calls avoided, needs ≥ 80\u00a0%",
        0.83,
        "ratio",
        Limit(0.8, 0.5, "higher", 0, 1),
    ),
    "cache.outage_fallback": Said(
        PASS, "Answers stay correct without the cache", "40 of 40 answers good during the outage"
    ),
    "endpoint_health.liveness": Said(
        PASS,
        "The health route answers fast",
        "p95 12\u00a0ms, limit 200\u00a0ms",
        12,
        "ms",
        Limit(200, 1000, "lower", 0, 1200),
    ),
    PRIMARY: Said(
        PASS,
        "The primary route answers",
        "20 of 20 requests answered",
        20,
        "count",
        Limit(20, 19, "higher", 0, 20),
    ),
    "endpoint_health.single_server": Said(PASS, "One server answers", "50 connections saw one instance"),
    "endpoint_health.bad_input": Said(PASS, "Bad input is refused", "All 14 kinds of bad input got 4xx"),
    "endpoint_health.stream_first_token": Said(
        WARN,
        "The first token comes late",
        "p50 1.4\u00a0s, full points at 0.8\u00a0s",
        1.4,
        "s",
        Limit(0.8, 4, "lower", 0, 5),
        (1.32, 1.48),
    ),
    **{
        f"load_scenarios.{name}": Said(
            PASS,
            f"{name.capitalize()} load is served",
            f"99.6\u00a0% of {users} users' requests succeeded, needs > 95\u00a0%",
            0.996,
            "ratio",
            SUCCESS,
        )
        for name, users in (("baseline", 1), ("light", 5), ("medium", 10), ("heavy", 20))
    },
    "monitoring.metrics_exposed": Said(PASS, "Metrics can be scraped", "/metrics parses: 34 series"),
    "error_recovery.upstream_hang": Said(
        PASS,
        "A silent upstream is given up on",
        "503 after 8.2\u00a0s, limit 30\u00a0s",
        8.2,
        "s",
        Limit(30, 60, "lower", 0, 70),
    ),
    "error_recovery.compensation": Said(
        PASS, "A failed order is undone", "4 of 4 failed steps left nothing behind"
    ),
}

AS_FOUND: dict[str, Said] = {
    PRIMARY: Said(
        FAIL,
        "The primary route answers with an error",
        "/api/chat answers 500; /api/v1/chat/stream works",
        0,
        "count",
        Limit(20, 19, "higher", 0, 20),
        evidence={
            "asked": 20,
            "good": 0,
            "statuses": {"500": 20},
            "candidates": [
                {"method": "POST", "path": "/api/chat", "status": 500, "good": False},
                {"method": "POST", "path": "/api/v1/chat/stream", "status": 200, "good": True},
            ],
        },
    ),
    "cache.hit_rate": Said(
        FAIL,
        "Repeated questions miss the cache",
        "The service never touched its cache: it answered 240 questions, 200 of them repeats, and Redis saw no "
        "command from it",
        0.0,
        "ratio",
        RATIO,
        evidence={
            "questions": 240,
            "repeats": 200,
            "marked_hits": 0,
            "redis_before": {"hits": 0, "misses": 0, "commands": 1204},
            "redis_after": {"hits": 0, "misses": 0, "commands": 1204},
            "median_ms": 339.2,
        },
    ),
    "cache.speedup": Said(
        FAIL,
        "A repeated question is no faster",
        "1x faster, needs ≥ 5x",
        1.0,
        "x",
        Limit(5, 2, "higher", 1, 12),
        (0.9, 1.1),
        "cache.hit_rate",
    ),
    "cache.cost_saving": Said(
        FAIL,
        "Every repeat is paid for again",
        "0\u00a0% of paid calls avoided, needs ≥ 80\u00a0%",
        0.0,
        "ratio",
        Limit(0.8, 0.5, "higher", 0, 1),
        None,
        "cache.hit_rate",
    ),
    **{
        f"load_scenarios.{name}": Said(
            FAIL,
            f"{name.capitalize()} load is not served",
            "0\u00a0% succeeded, needs > 95\u00a0%",
            0.0,
            "ratio",
            SUCCESS,
            None,
            PRIMARY,
        )
        for name in ("baseline", "light", "medium", "heavy")
    },
    "endpoint_health.single_server": Said(
        FAIL,
        "A stale server still answers",
        "2 instances answer: chat-7f3a and chat-19c2",
        2,
        "count",
        Limit(1, 1, "lower", 0, 4),
    ),
    "error_recovery.compensation": Said(
        FAIL,
        "A failed order leaves residue behind",
        "Step 3 of 4 leaves 1 invoice, limit 0",
        1,
        "count",
        Limit(0, 0, "lower", 0, 4),
    ),
    "error_recovery.upstream_hang": Said(
        FAIL,
        "A silent upstream hangs the caller",
        "No answer in 60\u00a0s, limit 30\u00a0s",
        60,
        "s",
        Limit(30, 60, "lower", 0, 90),
    ),
    "cache.outage_fallback": Said(
        NOT_ASSESSED,
        "A cache outage takes the service down",
        "No cache lever is declared",
        missing="[levers.cache]",
    ),
}

CACHE = ("cache.hit_rate", "cache.speedup", "cache.cost_saving")
LOAD = tuple(name for name in MENDED if name.startswith("load_scenarios."))


def rubric() -> Rubric:
    """The project's rubric, without asking whether its checks are there."""
    text = paths.ROOT.joinpath("data", "rubric.toml").read_text(encoding="utf-8")
    return Rubric.model_validate({**tomllib.loads(text), "sha256": "0" * 64})


def finding(check: str, said: Said) -> ScoredFinding:
    """One finding with the points that the rubric gives it."""
    entry = rubric().checks[check]
    share = {PASS: 1.0, WARN: 0.6}.get(said.outcome, 0.0)
    good = said.outcome is PASS
    return ScoredFinding(
        check=check,
        title=said.title,
        outcome=said.outcome,
        severity=entry.severity,
        category=entry.category,
        points=entry.points,
        earned=entry.points * share,
        value=said.value,
        unit=said.unit,
        limit=said.limit,
        interval=said.interval,
        reason=said.reason,
        fix="" if good else f"Mend {check}: look the question up before the model is called.",
        reproduce=f'curl -s http://127.0.0.1:8003/api/chat -d \'{{"message":"{check}"}}\'',
        follows_from=said.follows,
        missing=said.missing,
        evidence=dict(said.evidence),
        seconds=3.4,
        measured_at=NOW,
    )


def findings(
    broken: Iterable[str] = (), changes: Mapping[str, Said] | None = None
) -> tuple[ScoredFinding, ...]:
    """A finding for each check: mended, but for ``broken`` (as found) and ``changes``."""
    said = {**MENDED, **{check: AS_FOUND[check] for check in broken}, **(changes or {})}
    return tuple(finding(check, said[check]) for check in MENDED)


def card(broken: Iterable[str] = (), changes: Mapping[str, Said] | None = None) -> Scorecard:
    """The scorecard of such findings, by the real scoring."""
    return score(findings(broken, changes), rubric(), claims=TARGET.claims, today=date.today())


def load_result(scenario: str, *, users: int, good: bool) -> LoadResult:
    """The figures of one scenario."""
    return LoadResult(
        scenario=scenario,
        total_requests=240,
        successful=240 if good else 0,
        failed=0 if good else 240,
        success_rate=1.0 if good else 0.0,
        cached_responses=200 if good else 0,
        cache_hit_rate=0.83 if good else None,
        total_time_seconds=6.0,
        requests_per_second=40.0,
        avg_latency_ms=339.0 if good else None,
        median_latency_ms=64.0 if good else None,
        p90_latency_ms=900.0 if good else None,
        p95_latency_ms=1840.0 if good else None,
        p99_latency_ms=3300.0 if good else None,
        min_latency_ms=2.0 if good else None,
        max_latency_ms=7900.0 if good else None,
        users=users,
        passed=good,
    )


def keep(
    store: Store,
    scorecard: Scorecard,
    *,
    ago: timedelta = timedelta(minutes=12),
    target: Target = TARGET,
    took_s: float = 72,
    started_by: str = "dashboard",
    profile: str = "quick",
) -> RunInfo:
    """Keep a finished run that ended ``ago``."""
    planned = [item.check for item in scorecard.findings]
    run = store.create_run(target, profile=profile, faults=True, started_by=started_by, planned=planned)
    store.start_run(run.run_id, planned)
    store.add_event(run.run_id, RunEvent(seq=1, at=NOW - ago, kind="run", text="Run started"))
    for number, item in enumerate(scorecard.findings, 2):
        event = RunEvent(
            seq=number,
            at=NOW - ago,
            kind="check",
            check=item.check,
            text=item.title,
            data={"outcome": item.outcome},
        )
        store.add_event(run.run_id, event)
    store.finish_run(run.run_id, scorecard)
    date_run(store, run.run_id, ago, took_s)
    return found(store, run.run_id)


def date_run(store: Store, run_id: int, ago: timedelta, took_s: float) -> None:
    """Move a run into the past."""
    ended = NOW - ago
    began = ended - timedelta(seconds=took_s)
    store._set(run_id, created_at=began, started_at=began, finished_at=ended)


def found(store: Store, run_id: int) -> RunInfo:
    """A run that must be there."""
    run = store.run(run_id)
    assert run is not None
    return run


def keep_interrupted(store: Store, *, done: int, ago: timedelta) -> RunInfo:
    """Keep a run that was interrupted after ``done`` checks."""
    items = findings(AS_FOUND)
    planned = [item.check for item in items]
    run = store.create_run(TARGET, profile="quick", faults=True, started_by="ci", planned=planned)
    store.start_run(run.run_id, planned)
    for item in items[:done]:
        store.add_finding(run.run_id, item)
    store.end_run(run.run_id, RunState.INTERRUPTED, "Its process is gone; broken dependencies were restored")
    date_run(store, run.run_id, ago, 30)
    return found(store, run.run_id)


def tell(store: Store) -> None:
    """Keep the whole story: thirteen runs in a week."""
    day = timedelta(days=1)
    everything = tuple(AS_FOUND)
    without = [
        (everything, 7 * day, "schedule"),
        (everything, 6 * day, "schedule"),
        (tuple(c for c in everything if c != "endpoint_health.single_server"), 5.5 * day, "schedule"),
        (tuple(c for c in everything if c != "endpoint_health.single_server"), 5 * day, "dashboard"),
        (tuple(c for c in everything if c not in LOAD and c != PRIMARY), 4 * day, "ci"),
        (("cache.outage_fallback", *CACHE, "error_recovery.compensation"), 3.6 * day, "ci"),
        ((*CACHE, "error_recovery.compensation", "error_recovery.upstream_hang"), 3.2 * day, "schedule"),
        ((*CACHE, "error_recovery.compensation"), 3 * day, "dashboard"),
        (("cache.hit_rate", "error_recovery.compensation"), 2.4 * day, "ci"),
        None,
        (("error_recovery.compensation",), 1.5 * day, "ci"),
        (("cache.outage_fallback",), day, "dashboard"),
        ((), timedelta(minutes=12), "team lead"),
    ]
    for entry in without:
        if entry is None:
            keep_interrupted(store, done=7, ago=2 * day)
        else:
            broken, ago, who = entry
            keep(store, card(broken), ago=ago, started_by=who)


def keep_running(store: Store, *, seconds: int = 4) -> RunInfo:
    """Keep a run that is in its heavy load scenario."""
    items = {item.check: item for item in findings()}
    planned = list(items)
    run = store.create_run(TARGET, profile="quick", faults=True, started_by="dashboard", planned=planned)
    store.start_run(run.run_id, planned)
    at, seq = NOW - timedelta(seconds=40), 1
    store.add_event(run.run_id, RunEvent(seq=seq, at=at, kind="run", text="Run started"))
    finished = [
        check for check in planned if not check.startswith(("load_scenarios.heavy", "error_recovery"))
    ]
    for check in finished:
        item = items[check]
        for text, data in (("Began", {}), (item.title, {"outcome": item.outcome, "reason": item.reason})):
            seq += 1
            at += timedelta(seconds=1)
            event = RunEvent(seq=seq, at=at, kind="check", check=check, text=text, data=data)
            store.add_event(run.run_id, event)
        store.add_finding(run.run_id, item)
    heavy = "load_scenarios.heavy"
    store.add_event(run.run_id, RunEvent(seq=seq + 1, at=at, kind="check", check=heavy, text="Began"))
    store.add_event(
        run.run_id,
        RunEvent(
            seq=seq + 2, at=at, kind="lever", check=heavy, text="Cache restored", data={"what": "restored"}
        ),
    )
    for second in range(1, seconds + 1):
        data = {
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
        }
        event = RunEvent(seq=seq + 2 + second, at=at, kind="load", check=heavy, text="", data=data)
        store.add_event(run.run_id, event)
    started = NOW - timedelta(seconds=44)
    store._set(run.run_id, created_at=started, started_at=started)
    return found(store, run.run_id)
