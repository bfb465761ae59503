"""What a run is once it is measured and scored: the objects that history keeps and views and reports show.

Pure and frozen. ``Snapshot`` is the whole of a run; its JSON form is the export that programs rely on, so a
key may be added but never renamed or given another meaning.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from checks.contract.findings import Limit, Outcome
from checks.contract.load import Arrivals, Knee, LoadStep, Steady, Streaming

SCHEMA_VERSION = 1
Severity = Literal["P0", "P1", "P2"]


class Record(BaseModel):
    """A frozen record."""

    model_config = ConfigDict(frozen=True)


class RunState(StrEnum):
    """Where a run is. The last four are final."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    BROKEN = "broken"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (RunState.WAITING, RunState.RUNNING)


class Verdict(StrEnum):
    """The answer to "may this service go to production?", worst first."""

    NOT_READY = "NOT READY"
    MVP = "ACCEPTABLE FOR MVP"
    CONDITIONS = "READY WITH CONDITIONS"
    PRODUCTION = "PRODUCTION READY"


class ScoredFinding(Record):
    """A finding with what the rubric makes of it. ``title`` is the good condition where it passed."""

    check: str
    title: str
    outcome: Outcome
    severity: Severity
    category: str
    points: float
    earned: float
    value: float | None = None
    unit: str | None = None
    limit: Limit | None = None
    interval: tuple[float, float] | None = None
    reason: str
    fix: str = ""
    reproduce: str = ""
    follows_from: str | None = None
    missing: str | None = None
    evidence: dict[str, Any] = {}
    thresholds: dict[str, Any] = {}
    seconds: float = 0.0
    measured_at: datetime | None = None
    waived_until: str | None = None

    @property
    def family(self) -> str:
        """The folder of its check."""
        return self.check.partition(".")[0]

    @property
    def blocks(self) -> bool:
        """Whether it keeps the service from production: a P0 that failed and is not waived."""
        return self.severity == "P0" and self.outcome is Outcome.FAIL and self.waived_until is None


class CategoryScore(Record):
    """One category: points earned of those applicable, and the same on a scale of ten."""

    name: str
    earned: float
    applicable: float
    out_of_ten: float | None


class WaiverState(Record):
    """A waiver as it stands: in force, or why it is not."""

    check: str
    reason: str
    owner: str
    approver: str
    until: str
    in_force: bool
    note: str = ""


class ClaimState(Record):
    """What the team says beside what was measured."""

    text: str
    check: str
    claimed: float
    measured: float | None
    unit: str
    better: Literal["higher", "lower"]
    verdict: Literal["verified", "refuted", "not measured"]


class BandMark(Record):
    """From which score, and with which coverage, a verdict may be given."""

    verdict: Verdict
    from_score: float
    min_coverage: float


class RubricRef(Record):
    """Which rubric scored a run, with its scale, so that a run can be shown where the rubric is not at hand.

    ``bands`` stand from worst to best; ``grades`` maps a letter to the score it begins at.
    """

    name: str
    version: int
    sha256: str
    bands: tuple[BandMark, ...] = ()
    grades: dict[str, float] = {}


class Scorecard(Record):
    """The score of a set of findings under one rubric.

    ``score``, ``best_possible`` are 0..100 (None when nothing is applicable); ``coverage`` is a ratio.
    ``capped_by`` lists the P0 checks that hold the verdict down; ``lowered_by`` says in words when too
    little coverage, or a P0 that was not assessed, did.
    """

    score: float | None
    grade: str
    verdict: Verdict
    band: Verdict
    coverage: float
    best_possible: float | None
    capped_by: tuple[str, ...] = ()
    lowered_by: str = ""
    categories: tuple[CategoryScore, ...]
    findings: tuple[ScoredFinding, ...]
    waivers: tuple[WaiverState, ...] = ()
    claims: tuple[ClaimState, ...] = ()
    rubric: RubricRef


class LoadResult(Record):
    """One scenario, with the keys of the brief's report and more; latencies in ms over answered requests.

    In the open model a latency counts from when the request was meant to be sent. The parts that are objects
    are those of ``checks.contract.load``. ``partial`` says why this is not the whole of what was planned.
    """

    scenario: str
    total_requests: int
    successful: int
    failed: int
    success_rate: float
    cached_responses: int
    cache_hit_rate: float | None
    total_time_seconds: float
    requests_per_second: float
    avg_latency_ms: float | None
    median_latency_ms: float | None
    p90_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None
    min_latency_ms: float | None
    max_latency_ms: float | None
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None
    errors: list[str] = []
    failures: dict[str, int] = {}
    failure_examples: dict[str, str] = {}
    users: int
    bytes: int = 0
    passed: bool | None = None
    validity: Literal["valid", "suspect", "invalid"] = "valid"
    validity_reasons: tuple[str, ...] = ()
    samples_file: str | None = None
    model: Literal["closed", "open"] = "closed"
    rate_per_s: float | None = None
    warmup_s: float = 0.0
    warmup_requests: int = 0
    p999_latency_ms: float | None = None
    p99_with_failures_ms: float | None = None
    intervals: dict[str, tuple[float, float]] = {}
    service_p50_ms: float | None = None
    service_p99_ms: float | None = None
    dispatch_delay_p50_ms: float | None = None
    dispatch_delay_p99_ms: float | None = None
    arrivals: Arrivals | None = None
    steps: tuple[LoadStep, ...] = ()
    knee: Knee | None = None
    peak_per_s: float | None = None
    streaming: Streaming | None = None
    steady: Steady | None = None
    goodput_ratio: float | None = None
    started_at: datetime | None = None
    partial: str = ""


class RunInfo(Record):
    """A run without what it found.

    ``based_on`` is the number of the run of the same target into which its checks were run again: the
    checks that were not planned have their findings from there.
    """

    run_id: int
    number: int
    target: str
    target_name: str
    url: str
    profile: str
    faults: bool = True
    based_on: int | None = None
    started_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    state: RunState
    planned: tuple[str, ...] = ()
    done: int = 0
    message: str = ""
    score: float | None = None
    grade: str | None = None
    verdict: Verdict | None = None
    coverage: float | None = None
    best_possible: float | None = None
    open_p0: int | None = None
    categories: tuple[CategoryScore, ...] = ()
    rubric: RubricRef | None = None


class RunEvent(Record):
    """Something that happened in a run, in order of ``seq``.

    ``kind``: ``run`` (started, ended), ``check`` (began; ``data.outcome`` when it ended), ``say`` (progress),
    ``lever`` (broke or restored something), ``load`` (one second of a scenario: ``data`` has ``scenario,
    second, duration_s, users, answered, failed, p50_ms, p95_ms, p99_ms, hits, marked``).
    """

    seq: int
    at: datetime
    kind: Literal["run", "check", "say", "lever", "load"]
    check: str | None = None
    text: str
    data: dict[str, Any] = {}


class Breakage(Record):
    """One time that a check broke something on purpose.

    ``seconds`` is until it was put back, or until that failed (``problem``); None where the run ended before.
    ``by_hand`` is the shell line that puts it back.
    """

    check: str
    lever: str
    way: str
    began_at: datetime
    seconds: float | None = None
    restored: bool = False
    problem: str = ""
    by_hand: str = ""


class Snapshot(Record):
    """A whole run, ready to be shown or exported.

    ``unscored_findings`` is what a run found that never came to a score.
    """

    run: RunInfo
    scorecard: Scorecard | None
    load_results: tuple[LoadResult, ...] = ()
    unscored_findings: tuple[ScoredFinding, ...] = ()
    breakages: tuple[Breakage, ...] = ()

    @property
    def findings(self) -> tuple[ScoredFinding, ...]:
        """What was found, scored or not."""
        return self.scorecard.findings if self.scorecard else self.unscored_findings
