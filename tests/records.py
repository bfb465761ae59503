"""Runs to show and export in tests: as found, mended, interrupted, and hostile in every field.

Scored with the first version of the project's rubric, which is kept beside this file: their figures tell a
story, and should not move when the catalogue grows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from app import scoring
from app.records import Breakage, LoadResult, RunInfo, RunState, Scorecard, ScoredFinding, Snapshot
from app.rubric import Rubric
from checks.contract.findings import Limit, Outcome
from checks.contract.load import LoadStep
from checks.contract.target.team import Claim, Waiver

WHEN = datetime(2026, 11, 18, 14, 21, tzinfo=UTC)
RUBRIC = Rubric.model_validate(
    tomllib.loads(Path(__file__).with_name("records_rubric.toml").read_text(encoding="utf-8"))
).model_copy(update={"sha256": "5f2d" * 16})
HOSTILE = (
    "<script>alert(1)</script> [link](javascript:alert(2)) ![i](http://evil.example/i.png) | a | b |\n"
    "# heading\n```\n---\n\x1b[31mred\x1b[0m\x07 \"quoted' `tick` **bold** {{ 7*7 }} {% raw %} "
    "\u202egnp.exe @everyone https://evil.example www.evil.example =HYPERLINK(1) [bold red]rich[/] \\"
)
CLAIMS = (
    Claim(text="Readiness score", check="score", value=60),
    Claim(text="Cache makes answers faster", check="cache.speedup", value=5),
    Claim(text="Model calls avoided", check="cache.cost_saving", value=0.8),
    Claim(text="Fallback when Redis is down", check="cache.outage_fallback", value=1),
)

GOOD: dict[str, dict[str, Any]] = {
    "cache.reachable": {
        "title": "The cache answers quickly",
        "reason": "PING takes 0.4 ms at p95, limit 5 ms.",
        "value": 0.4,
        "unit": "ms",
        "limit": Limit(5, 50, "lower", 0, 60),
    },
    "cache.hit_rate": {
        "title": "Repeated questions are answered from the cache",
        "reason": "83.6 % of repeated questions came from the cache, limit 70 %.",
        "value": 0.836,
        "unit": "ratio",
        "limit": Limit(0.7, 0.5, "higher", 0, 1),
        "interval": (0.79, 0.87),
        "reproduce": "redis-cli -p 6390 info stats | grep keyspace",
        "evidence": {"questions": 240, "hits": 201, "redis": {"hits": 201, "misses": 39}},
    },
    "cache.speedup": {
        "title": "The cache makes answers faster",
        "reason": "Cached answers are 84x faster, limit 5x.",
        "value": 84.0,
        "unit": "x",
        "limit": Limit(5, 2, "higher", 0, 100),
        "interval": (71.0, 96.0),
    },
    "cache.cost_saving": {
        "title": "The cache avoids paid calls",
        "reason": "83 % of paid calls were avoided, limit 80 %.",
        "value": 0.83,
        "unit": "ratio",
        "limit": Limit(0.8, 0.5, "higher", 0, 1),
    },
    "cache.outage_fallback": {
        "title": "Answers stay correct without the cache",
        "reason": "40 of 40 questions answered while the cache was cut.",
        "value": 1.0,
        "unit": "ratio",
        "limit": Limit(1, 1, "higher", 0, 1),
    },
    "endpoint_health.liveness": {
        "title": "The health route answers fast",
        "reason": "GET /health says healthy, p95 4 ms, limit 200 ms.",
        "value": 4.0,
        "unit": "ms",
        "limit": Limit(200, 1000, "lower", 0, 1200),
    },
    "endpoint_health.primary_route": {
        "title": "The primary route answers",
        "reason": "20 of 20 requests to /api/chat were answered.",
        "value": 1.0,
        "unit": "ratio",
        "limit": Limit(1, 0.95, "higher", 0, 1),
    },
    "endpoint_health.bad_input": {
        "title": "Bad input is refused cleanly",
        "reason": "All 24 bad requests were refused with a 4xx status.",
        "value": 0.0,
        "unit": "count",
        "limit": Limit(0, 0, "lower", 0, 24),
    },
    "endpoint_health.stream_first_token": {
        "title": "The first token comes early",
        "reason": "The first token comes after 240 ms at p50, limit 800 ms.",
        "value": 240.0,
        "unit": "ms",
        "limit": Limit(800, 2000, "lower", 0, 3000),
        "interval": (221.0, 262.0),
    },
    "endpoint_health.single_server": {
        "title": "One server answers",
        "reason": "50 connections met one instance.",
        "value": 1.0,
        "unit": "count",
        "limit": Limit(1, 1, "lower", 0, 4),
    },
    "monitoring.metrics_exposed": {
        "title": "Metrics are exposed",
        "reason": "/metrics parses: 41 series in 12 families.",
        "value": 41.0,
        "unit": "count",
    },
    "error_recovery.upstream_hang": {
        "title": "A silent upstream does not hang the caller",
        "reason": "503 after 2.1 s, limit 30 s.",
        "value": 2.1,
        "unit": "s",
        "limit": Limit(30, 60, "lower", 0, 90),
    },
    "error_recovery.compensation": {
        "title": "A failed order leaves nothing behind",
        "reason": "3 of 3 failed steps were undone at every party.",
        "value": 0.0,
        "unit": "count",
        "limit": Limit(0, 0, "lower", 0, 4),
    },
}
USERS = {"baseline": 1, "light": 5, "medium": 10, "heavy": 20}
GOOD |= {
    f"load_scenarios.{name}": {
        "title": f"{users} {'user is' if users == 1 else 'users are'} served",
        "reason": f"99.8 % of requests of {users} users succeeded, limit 95 %.",
        "value": 0.998,
        "unit": "ratio",
        "limit": Limit(0.95, 0.76, "higher", 0, 1),
        "seconds": 6.4,
    }
    for name, users in USERS.items()
}
BAD: dict[str, dict[str, Any]] = {
    "cache.hit_rate": {
        "title": "Repeated questions miss the cache",
        "reason": "The service never touched its cache: 0 of 240 questions came from it, limit 70 %.",
        "value": 0.0,
        "interval": (0.0, 0.02),
        "fix": "Look the question up before the model is called, and store the answer after it.",
    },
    "cache.speedup": {
        "title": "The cache makes nothing faster",
        "reason": "Repeated questions take as long as new ones: 1x, limit 5x.",
        "value": 1.0,
        "interval": (0.94, 1.07),
        "follows_from": "cache.hit_rate",
        "fix": "Call the cache before the model.",
    },
    "cache.cost_saving": {
        "title": "Every repeat is paid for again",
        "reason": "0 % of paid calls were avoided, limit 80 %: $4,200 a month.",
        "value": 0.0,
        "follows_from": "cache.hit_rate",
        "fix": "Call the cache before the model.",
    },
    "endpoint_health.primary_route": {
        "title": "The primary route answers with an error",
        "reason": "POST /api/chat answers 500 in 20 of 20 requests; POST /api/v1/chat/stream works.",
        "value": 0.0,
        "fix": 'Mend /api/chat, or declare the route that works: [stream] path = "/api/v1/chat/stream".',
        "reproduce": 'curl -sS -X POST http://127.0.0.1:8003/api/chat -d \'{"message": "Hello"}\'',
        "evidence": {"statuses": {"500": 20}, "works": "POST /api/v1/chat/stream"},
    },
    "endpoint_health.single_server": {
        "title": "A stale server still answers",
        "reason": "2 instances answered on 50 connections, limit 1.",
        "value": 2.0,
        "fix": "End the older process: kill 4711.",
    },
    "error_recovery.upstream_hang": {
        "title": "A silent upstream hangs the caller",
        "reason": "No answer in 60 s, limit 30 s.",
        "value": 60.0,
        "fix": "Give the call to the upstream a deadline shorter than the caller's.",
    },
    "error_recovery.compensation": {
        "title": "A failed order leaves residue behind",
        "reason": "Step 3 of 4 leaves 1 invoice, limit 0.",
        "value": 1.0,
        "fix": "Run the compensation of every step that was done, in reverse order.",
    },
}
BAD |= {
    f"load_scenarios.{name}": {
        "title": f"{users} {'user is' if users == 1 else 'users are'} not served",
        "reason": f"0 % of requests of {users} users succeeded, limit 95 %.",
        "value": 0.0,
        "follows_from": "endpoint_health.primary_route",
        "fix": "Mend the primary route first.",
    }
    for name, users in USERS.items()
}


BROKEN_AT = datetime(2026, 11, 18, 11, 30, tzinfo=UTC)


def finding(check: str, outcome: Outcome = Outcome.PASS, **changes: Any) -> ScoredFinding:
    """One scored finding of ``check`` under the project's rubric; it earns what its outcome earns."""
    entry = RUBRIC.checks[check]
    said: dict[str, Any] = {"seconds": 1.2, "measured_at": WHEN, **GOOD[check]}
    if outcome is Outcome.FAIL:
        said |= BAD.get(check, {})
    if not outcome.measured:
        said |= {"value": None, "unit": None, "limit": None, "interval": None}
    shares = {Outcome.PASS: 1.0, Outcome.WARN: 0.5}
    earned = entry.points * shares.get(outcome, 0.0)
    return ScoredFinding(
        check=check,
        outcome=outcome,
        severity=entry.severity,
        category=entry.category,
        points=entry.points,
        **{"earned": earned, **said, **changes},
    )


def card(
    *changed: ScoredFinding, claims: Sequence[Claim] = CLAIMS, waivers: Sequence[Waiver] = ()
) -> Scorecard:
    """Every check of the rubric, all passing but for ``changed``, scored."""
    by_check = {item.check: item for item in changed}
    findings = [by_check.get(check) or finding(check) for check in RUBRIC.checks]
    return scoring.score(findings, RUBRIC, claims=claims, waivers=waivers, today=date(2026, 11, 18))


def run_info(number: int = 4, scorecard: Scorecard | None = None, **changes: Any) -> RunInfo:
    """The row of a run whose summary agrees with ``scorecard``."""
    started = WHEN + timedelta(hours=5 * (number - 4))
    summary: dict[str, Any] = {}
    if scorecard is not None:
        summary = {
            name: getattr(scorecard, name)
            for name in ("score", "grade", "verdict", "coverage", "best_possible", "categories", "rubric")
        }
        summary["open_p0"] = sum(item.blocks for item in scorecard.findings)
    given: dict[str, Any] = {
        "run_id": number,
        "number": number,
        "target": "sample",
        "target_name": "Support chat API",
        "url": "http://127.0.0.1:8003",
        "profile": "quick",
        "started_by": "an operator",
        "created_at": started,
        "started_at": started,
        "finished_at": started + timedelta(seconds=81),
        "state": RunState.FINISHED,
        "planned": tuple(RUBRIC.checks),
        "done": len(RUBRIC.checks),
        **summary,
    }
    return RunInfo(**(given | changes))


def load_result(scenario: str, **changes: Any) -> LoadResult:
    """A scenario that went well; pass what differs."""
    given: dict[str, Any] = {
        "scenario": scenario,
        "total_requests": 240,
        "successful": 240,
        "failed": 0,
        "success_rate": 1.0,
        "cached_responses": 200,
        "cache_hit_rate": 200 / 240,
        "total_time_seconds": 6.1,
        "requests_per_second": 39.3,
        "avg_latency_ms": 61.4,
        "median_latency_ms": 4.2,
        "p90_latency_ms": 290.0,
        "p95_latency_ms": 339.0,
        "p99_latency_ms": 502.5,
        "min_latency_ms": 2.1,
        "max_latency_ms": 611.0,
        "users": USERS.get(scenario, 1),
        "bytes": 52_000,
        "passed": True,
    }
    return LoadResult(**(given | changes))


def load_step(**changes: Any) -> LoadStep:
    """A step of an open run that held."""
    given: dict[str, Any] = {
        "start_s": 0.0, "duration_s": 10.0, "offered_per_s": 20.0, "scheduled": 200, "dropped": 0,
        "answered": 200, "failed": 0, "shed": 0, "timed_out": 0, "answered_per_s": 20.0, "p50_ms": 60.0,
        "p95_ms": 90.0,
    }  # fmt: skip
    return LoadStep(**(given | changes))


def doubtful() -> Snapshot:
    """A mended run with an open scenario that was cut off, and one that the driver calls invalid."""
    cut = load_result(
        "spike", model="open", rate_per_s=20.0, partial="Its worker was killed after 3 of 10 s."
    )
    late = load_result("heavy", validity="invalid", validity_reasons=("Requests left 90 ms late.",))
    return mended().model_copy(update={"load_results": (cut, late)})


def as_found() -> Snapshot:
    """The situation of the brief: five causes hold everything down, one check could not be measured."""
    scorecard = card(
        *(finding(check, Outcome.FAIL) for check in BAD),
        finding("endpoint_health.stream_first_token", Outcome.WARN, value=1400.0, interval=(1310.0, 1490.0),
                title="The first token comes late",
                reason="First token after 1.4 s at p50, limit 800 ms.", fix="Stream at once."),
        finding("cache.outage_fallback", Outcome.NOT_ASSESSED, title="Answers stay correct without the cache",
                reason="No lever for the cache is declared. Add `[levers.cache]` to the target file.",
                missing="[levers.cache]"),
    )  # fmt: skip
    broken = {
        "successful": 0,
        "failed": 240,
        "success_rate": 0.0,
        "cached_responses": 0,
        "cache_hit_rate": None,
        "avg_latency_ms": None,
        "median_latency_ms": None,
        "p90_latency_ms": None,
        "p95_latency_ms": None,
        "p99_latency_ms": None,
        "min_latency_ms": None,
        "max_latency_ms": None,
        "passed": False,
        "errors": ["status: 500 Internal Server Error"],
        "failures": {"status": 240},
    }
    return Snapshot(
        run=run_info(4, scorecard),
        scorecard=scorecard,
        load_results=tuple(load_result(name, **broken) for name in USERS),
    )


def mended() -> Snapshot:
    """A service that is ready: one warning, one check that does not apply."""
    scorecard = card(
        finding("cache.speedup", Outcome.WARN, value=3.5, interval=(3.1, 3.9), earned=2.5,
                title="The cache helps little", reason="Cached answers are 3.5x faster, limit 5x.",
                fix="Keep the answer, not the pieces of it."),
        finding("endpoint_health.single_server", Outcome.NOT_APPLICABLE, title="One server answers",
                reason="The service is on another host, and declares no instance id."),
    )  # fmt: skip
    return Snapshot(
        run=run_info(13, scorecard),
        scorecard=scorecard,
        load_results=tuple(load_result(name) for name in USERS),
    )


def interrupted() -> Snapshot:
    """A run that was killed: it has no score."""
    run = run_info(
        10,
        state=RunState.INTERRUPTED,
        done=8,
        finished_at=None,
        message="Interrupted after 8 of 17 checks. Broken dependencies were restored.",
    )
    return Snapshot(run=run, scorecard=None)


def hostile() -> Snapshot:
    """Every text that can come from outside holds markup, escapes and line breaks."""
    texts = {"title": HOSTILE, "reason": HOSTILE, "fix": HOSTILE, "reproduce": HOSTILE, "missing": HOSTILE}
    findings = [
        finding(check, outcome, evidence={HOSTILE: [HOSTILE, {"deep": HOSTILE}]}, **texts)
        for check, outcome in zip(RUBRIC.checks, [*Outcome, *Outcome, *Outcome], strict=False)
    ]
    waiver = Waiver(
        check=findings[2].check, reason=HOSTILE, owner=HOSTILE, approver=HOSTILE, until="2027-01-01"
    )
    claims = [Claim(text=HOSTILE, check="score", value=60)]
    scorecard = scoring.score(findings, RUBRIC, claims=claims, waivers=[waiver], today=date(2026, 11, 18))
    run = run_info(5, scorecard, target_name=HOSTILE, url=HOSTILE, started_by=HOSTILE, message=HOSTILE,
                   profile=HOSTILE, target=HOSTILE)  # fmt: skip
    result = load_result(HOSTILE, errors=[HOSTILE], failures={HOSTILE: 3}, validity="suspect",
                         validity_reasons=(HOSTILE,), passed=False)  # fmt: skip
    return Snapshot(run=run, scorecard=scorecard, load_results=(result,))


def history() -> list[RunInfo]:
    """Thirteen runs of one service, oldest first: a climb with an interrupted run and a change of rubric."""
    found, good = as_found().scorecard, mended().scorecard
    assert found is not None
    assert good is not None
    climb = (34.2, 34.2, 36.1, 37.5, 42.6, 68.1, 67.5, 76.1, 80.0, None, 84.6, 89.5, 97.4)
    runs = []
    for number, score in enumerate(climb, start=1):
        if score is None:
            runs.append(run_info(number, state=RunState.INTERRUPTED, done=8))
            continue
        base = found if score < 60 else good
        rubric = base.rubric.model_copy(update={"version": 1 if number < 3 else 2})
        verdict, grade = ("PRODUCTION READY", "A+") if number == 13 else ("NOT READY", "F")
        runs.append(run_info(number, base, score=score, best_possible=min(100, score + 3), rubric=rubric,
                             verdict=verdict, grade=grade, open_p0=0 if number == 13 else 9))  # fmt: skip
    return runs


def broken() -> Snapshot:
    """A run that cut the cache and could not put the stock's partner back."""
    cut = Breakage(check="cache.outage_fallback", lever="cache", way="hang", began_at=BROKEN_AT, seconds=5.2,
                   restored=True, by_hand="curl -X POST http://127.0.0.1:8474/proxies/cache")  # fmt: skip
    stuck = Breakage(check="error_recovery.compensation", lever="stock", way="refuse", began_at=BROKEN_AT,
                     seconds=9.0, problem="connection refused", by_hand="systemctl start stock")  # fmt: skip
    return mended().model_copy(update={"breakages": (cut, stuck)})
