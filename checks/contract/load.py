"""Load as checks see it: what a scenario is to do, and the figures that came out of it.

Times of one request, all from its start (in the open model: from when it was *meant* to be sent, so that a
stall of the service cannot hide):

``latency``      to the last byte, or to the declared end of a stream
``first byte``   to the first byte of the reply
``first event``  to the first event of a stream, whatever is in it
``first token``  to the first event with text; a role-only or empty chunk is not a token
``first answer`` to the first text that is not reasoning
``gap``          between one event with text and the next, each gap by itself
``TPOT``         (end - first token) / (tokens - 1), time per output token
``normalised``   end / tokens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Validity = Literal["valid", "suspect", "invalid"]
Route = Literal["ask", "stream"]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of an open run: the arrival rate goes evenly from ``from_per_s`` to ``to_per_s``."""

    duration_s: float
    from_per_s: float
    to_per_s: float


@dataclass(frozen=True, slots=True)
class StopRule:
    """Ends a scenario before its time: a limit breached for ``for_s`` without a break."""

    for_s: float
    max_failure_ratio: float | None = None
    max_p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """What a good answer is, for goodput. An answer that misses one of them, and any failure, is a miss."""

    latency_ms: float | None = None
    first_token_ms: float | None = None
    tpot_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a scenario does.

    Closed model (no ``stages``): ``users`` ask, wait for the answer, think, and ask again. Open model:
    requests are sent when ``stages`` say so, whatever became of those before; ``users`` is then how many may
    be under way at once, and an arrival that finds no place is dropped and counted.

    Questions come from ``prompts`` at random, each as likely as the other or, with ``zipf_exponent``, the
    earlier in the list the likelier; a ``fresh_share`` of them has never been seen.

    A closed run is also summed up in ``parts`` stretches of equal length, which are its steps.
    """

    scenario: str
    users: int
    duration_s: float
    prompts: Sequence[str]
    route: Route = "ask"
    fresh_share: float = 0.0
    zipf_exponent: float | None = None
    warmup_s: float = 0.0
    think_time_ms: float = 100.0
    min_requests: int = 0
    timeout_s: float = 30.0
    stages: tuple[Stage, ...] = ()
    spacing: Literal["poisson", "even"] = "poisson"
    stop: StopRule | None = None
    goal: Goal | None = None
    parts: int = 0

    @property
    def model(self) -> Literal["closed", "open"]:
        """Which model this is."""
        return "open" if self.stages else "closed"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Every arrival of an open run is accounted for: ``scheduled == sent + dropped``, or it is invalid."""

    scheduled: int
    sent: int
    dropped: int


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One stage of an open run or part of a closed one. Requests belong to where they were meant to start.

    ``shed`` counts refusals with 429 or 503, ``timed_out`` requests without an answer in time; both are part
    of ``failed``. ``answered_per_s`` is over the stage's own duration.
    """

    start_s: float
    duration_s: float
    offered_per_s: float
    scheduled: int
    dropped: int
    answered: int
    failed: int
    shed: int
    timed_out: int
    answered_per_s: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Streaming:
    """Times of the streams that did not fail, in ms; gaps are pooled over all streams, each by itself."""

    first_event_p50_ms: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    first_token_p99_ms: float | None
    first_answer_p50_ms: float | None
    gap_p50_ms: float | None
    gap_p95_ms: float | None
    gap_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    normalised_p50_ms: float | None
    tokens: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Steady:
    """The part of a scenario after it settled, found on the sample stream; the raw figures are kept beside.

    ``found`` is False where it never settled; the figures are then over the second half. ``drift_ratio`` is
    how much the latency changed from its start to its end (0.1: a tenth more), ``drifts`` whether that is
    more than chance.
    """

    found: bool
    from_s: float
    requests: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    drift_ratio: float
    drifts: bool


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """One scenario's figures, over every sample. Latencies are over answered requests, in ms.

    ``failures`` maps a FailureKind to its count, ``failure_examples`` to one example. ``marked`` counts
    the replies whose cache marker could be read. Percentiles are None without a single answer.
    ``p99_with_failures_ms`` counts a failure as a request that never ended; None where that is unbounded.
    ``intervals`` has 95 % intervals by the name of the figure, where there are enough samples for one.
    ``partial`` says in words why this is not the whole of what was planned ("" where it is).
    """

    scenario: str
    users: int
    total_requests: int
    successful: int
    failed: int
    duration_s: float
    requests_per_second: float
    cached: int
    marked: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    min_ms: float | None
    max_ms: float | None
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    received_bytes: int
    failures: Mapping[str, int]
    failure_examples: Mapping[str, str]
    validity: Validity = "valid"
    validity_reasons: tuple[str, ...] = ()
    model: Literal["closed", "open"] = "closed"
    rate_per_s: float | None = None
    warmup_s: float = 0.0
    warmup_requests: int = 0
    p999_ms: float | None = None
    p99_with_failures_ms: float | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    service_p50_ms: float | None = None
    service_p99_ms: float | None = None
    dispatch_delay_p50_ms: float | None = None
    dispatch_delay_p99_ms: float | None = None
    arrivals: Arrivals | None = None
    steps: tuple[LoadStep, ...] = ()
    streaming: Streaming | None = None
    steady: Steady | None = None
    goodput_ratio: float | None = None
    partial: str = ""


class Load(Protocol):
    """Greenlight's own load driver."""

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run the scenario to its end; samples are kept by the run, the summary is returned."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through points in time that outliers do not move (Theil-Sen).

    ``per_hour`` is its slope in the value's unit, with its 95 % interval; ``start`` and ``end`` are the
    line's values at the first and last point.
    """

    per_hour: float
    interval: Interval
    start: float
    end: float
    span_s: float
    points: int


@dataclass(frozen=True, slots=True)
class Usl:
    """The Universal Scalability Law fitted to load and throughput: contention, coherency, peak."""

    per_s_of_one: float
    contention: float
    coherency: float
    peak_per_s: float | None
    r_squared: float


@dataclass(frozen=True, slots=True)
class Knee:
    """Where more load stops giving more answers.

    ``per_s`` is None where no step broke: the service held ``at_least_per_s``. ``resolved`` says whether the
    steps around it lie clearly on their sides; ``monotone`` whether what was served never fell and rose
    again.
    """

    per_s: float | None
    interval: Interval | None
    at_least_per_s: float
    resolved: bool
    monotone: bool
    usl: Usl | None
    words: str


class Statistics(Protocol):
    """Sums that a check should not do by itself. Pure; the results are evidence."""

    def trend(self, points: Sequence[tuple[float, float]]) -> Trend | None:
        """The trend of (time in s, value) points; None for fewer than ten."""

    def knee(self, steps: Sequence[LoadStep]) -> Knee:
        """Where the steps of an open run break."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """How one scenario loads the service, for one profile: an entry of data/scenarios.toml.

    ``peak_factors`` makes it an open run, a step each: arrivals as multiples of the declared peak.
    ``duration_s`` is of the whole measurement, or of each step.
    """

    duration_s: float
    min_requests: int
    users: int
    think_time_ms: float = 100.0
    warmup_s: float = 0.0
    fresh_share: float = 0.0
    zipf_exponent: float | None = None
    distinct: int = 10
    timeout_s: float = 30.0
    peak_factors: tuple[float, ...] = ()

    @property
    def total_s(self) -> float:
        """How long it takes without waiting for the last answers."""
        return self.warmup_s + self.duration_s * max(1, len(self.peak_factors))
