"""From samples to figures. Every percentile is exact; memory is bounded however many samples there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from app.instruments.load.figures.selfwatch import SelfReport
from app.instruments.load.figures.streaming import streaming
from app.instruments.load.figures.validity import Judged, validity
from app.samples.reading import Columns, SampleFile
from app.statistics.intervals import (
    Interval,
    Source,
    mean_interval,
    normal_quantile,
    percentile_intervals,
    wilson,
)
from app.statistics.quantiles import exact_percentiles, percentile_with_failures
from app.statistics.steady import steady_state
from checks.contract import Arrivals, FailureKind, Goal, LoadPlan, LoadStep, LoadSummary

Floats = NDArray[np.float64]
Select = Callable[[Columns], NDArray[np.bool_]]
SHED_STATUSES = (429, 503)
SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Recorded:
    """What a scenario left behind, beside its samples.

    ``drops_s`` are the intended moments of arrivals that found no place; ``doubts`` what else speaks against
    the measurement; ``partial`` why it is not the whole of what was planned.
    """

    plan: LoadPlan
    samples: SampleFile
    watch: SelfReport
    examples: Mapping[str, str]
    measured_s: float
    warmup_requests: int = 0
    arrivals: Arrivals | None = None
    drops_s: Sequence[float] = ()
    doubts: tuple[str, ...] = ()
    partial: str = ""


def summarize(recorded: Recorded) -> LoadSummary:
    """The figures of one scenario over every measured request.

    Latencies and times of streams are over answered requests, those without a failure.
    """
    plan, file = recorded.plan, recorded.samples
    summary = _of_latencies(recorded)
    if plan.stages:
        summary = _with_open_model(summary, recorded)
    if plan.route == "stream" and (found := streaming(file, summary.duration_s)):
        first_ms, late_ms = found.first_token_p50_ms, found.first_token_p99_ms
        summary = replace(summary, streaming=found, ttft_p50_ms=first_ms, ttft_p99_ms=late_ms)
    judged = Judged(
        samples=summary.total_requests,
        wanted=plan.min_requests,
        median_ms=_shortest_median(summary),
        dispatch_p50_ms=summary.dispatch_delay_p50_ms,
        dispatch_p99_ms=summary.dispatch_delay_p99_ms,
        arrivals=recorded.arrivals,
    )
    state, reasons = validity(recorded.watch, judged, recorded.doubts, partial=bool(recorded.partial))
    return replace(
        summary,
        validity=state,
        validity_reasons=reasons,
        steps=tuple(_steps(recorded)),
        steady=steady_state(in_time(file, _latency_or_nan)) if _is_level(plan) else None,
        intervals=_intervals(file),
        warmup_requests=recorded.warmup_requests,
        partial=recorded.partial,
    )


def _of_latencies(recorded: Recorded) -> LoadSummary:
    """What there is to say of every scenario."""
    plan, file = recorded.plan, recorded.samples
    totals = _Totals.of(file, plan.goal)
    duration_s = max(recorded.measured_s, totals.last_end_s)
    p50_ms, p90_ms, p95_ms, p99_ms, p999_ms = _percentiles(file, "latency_ms", answered)
    return LoadSummary(
        scenario=plan.scenario,
        users=plan.users,
        total_requests=totals.requests,
        successful=totals.answered,
        failed=totals.requests - totals.answered,
        duration_s=duration_s,
        requests_per_second=totals.requests / duration_s if duration_s else 0.0,
        cached=totals.cached,
        marked=totals.answered if totals.judged else 0,
        mean_ms=totals.latency_sum_ms / totals.answered if totals.answered else None,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        p999_ms=p999_ms,
        p99_with_failures_ms=_with_failures(file, totals),
        min_ms=totals.min_ms if totals.answered else None,
        max_ms=totals.max_ms if totals.answered else None,
        ttft_p50_ms=None,
        ttft_p99_ms=None,
        received_bytes=totals.received_bytes,
        failures=dict(totals.failures),
        failure_examples=recorded.examples,
        warmup_s=plan.warmup_s,
        goodput_ratio=totals.good / totals.requests if plan.goal and totals.requests else None,
    )


def _with_open_model(summary: LoadSummary, recorded: Recorded) -> LoadSummary:
    """The same with what only the open model has: a rate, arrivals, and the two parts of a latency."""
    service = _percentiles(recorded.samples, "service_ms", answered)
    dispatch = _percentiles(recorded.samples, "dispatch_ms", everything)
    return replace(
        summary,
        model="open",
        rate_per_s=_mean_rate(recorded.plan),
        service_p50_ms=service[0],
        service_p99_ms=service[3],
        dispatch_delay_p50_ms=dispatch[0],
        dispatch_delay_p99_ms=dispatch[3],
        arrivals=recorded.arrivals,
    )


def answered(columns: Columns) -> NDArray[np.bool_]:
    """The requests that did not fail."""
    return np.asarray(columns["failure"] == "", np.bool_)


def everything(columns: Columns) -> NDArray[np.bool_]:
    """Every request."""
    return np.ones(len(columns["failure"]), np.bool_)


def values_of(file: SampleFile, name: str, select: Select, *also: str) -> Callable[[], Iterator[Floats]]:
    """A column of the requests selected, piece by piece, as often as it is called.

    ``service_ms`` is the latency without the dispatch delay.
    """
    columns = ("latency_ms", "dispatch_ms") if name == "service_ms" else (name,)

    def pieces() -> Iterator[Floats]:
        for batch in file.batches("failure", *columns, *also):
            values = batch["latency_ms"] - batch["dispatch_ms"] if name == "service_ms" else batch[name]
            yield np.asarray(values, np.float64)[select(batch)]

    return pieces


def in_time(file: SampleFile, measure: Callable[[Columns], Floats]) -> Source:
    """(start in s, value) of every request, NaN left out by who reads it."""
    return lambda: (
        (batch["start_s"], measure(batch)) for batch in file.batches("start_s", "latency_ms", "failure")
    )


def _latency_or_nan(batch: Columns) -> Floats:
    return np.where(answered(batch), batch["latency_ms"], np.nan)


def _intervals(file: SampleFile) -> dict[str, Interval]:
    """95 % intervals by the name of the figure, of those that there are samples enough for."""
    latencies = in_time(file, _latency_or_nan)
    found = percentile_intervals(latencies, (0.5, 0.95, 0.99, 0.999)) or ()
    names = ("p50_ms", "p95_ms", "p99_ms", "p999_ms")
    intervals = {name: item.interval for name, item in zip(names, found, strict=False)}
    if mean := mean_interval(latencies):
        intervals["mean_ms"] = mean.interval
    if success := mean_interval(in_time(file, lambda batch: answered(batch).astype(np.float64))):
        intervals["success_ratio"] = wilson(success.value, success.effective, normal_quantile(0.95))
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _percentiles(file: SampleFile, name: str, select: Select) -> Sequence[float | None]:
    pieces = values_of(file, name, select)
    return (
        exact_percentiles(pieces, SHARES) if any(len(piece) for piece in pieces()) else [None] * len(SHARES)
    )


def _with_failures(file: SampleFile, totals: _Totals) -> float | None:
    failed = totals.requests - totals.answered
    return percentile_with_failures(values_of(file, "latency_ms", answered), failed, 0.99)


def _is_level(plan: LoadPlan) -> bool:
    """Whether the load is the same all the time; where it is not, there is nothing to settle to."""
    return len({rate for stage in plan.stages for rate in (stage.from_per_s, stage.to_per_s)}) <= 1


def _mean_rate(plan: LoadPlan) -> float | None:
    whole_s = sum(stage.duration_s for stage in plan.stages)
    area = sum(stage.duration_s * (stage.from_per_s + stage.to_per_s) / 2 for stage in plan.stages)
    return area / whole_s if whole_s else None


def _shortest_median(summary: LoadSummary) -> float | None:
    """What the driver's own lateness is held against: the service's median without the dispatch delay.

    Of a stream that of its first token, which comes long before its end.
    """
    medians = (summary.service_p50_ms or summary.p50_ms, summary.ttft_p50_ms)
    return min((median for median in medians if median is not None), default=None)


@dataclass
class _Totals:
    """What one pass over the samples adds up."""

    requests: int = 0
    answered: int = 0
    judged: bool = False
    cached: int = 0
    latency_sum_ms: float = 0.0
    min_ms: float = float("inf")
    max_ms: float = 0.0
    last_end_s: float = 0.0
    received_bytes: int = 0
    good: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, file: SampleFile, goal: Goal | None) -> _Totals:
        totals = cls()
        names = ("start_s", "latency_ms", "failure", "cached", "bytes", "first_token_ms", "tokens")
        for batch in file.batches(*names):
            totals._add(batch, goal)
        return totals

    def _add(self, batch: Columns, goal: Goal | None) -> None:
        ok = answered(batch)
        latency_ms = batch["latency_ms"]
        self.requests += len(ok)
        self.answered += int(ok.sum())
        self.judged = self.judged or bool((batch["cached"][ok] >= 0).any())
        self.cached += int((batch["cached"][ok] == 1).sum())
        self.received_bytes += int(batch["bytes"].sum())
        if len(ok):
            self.last_end_s = max(self.last_end_s, float((batch["start_s"] + latency_ms / 1000).max()))
        if ok.any():
            self.latency_sum_ms += float(latency_ms[ok].sum())
            self.min_ms = min(self.min_ms, float(latency_ms[ok].min()))
            self.max_ms = max(self.max_ms, float(latency_ms[ok].max()))
        kinds, counts = np.unique(batch["failure"][~ok], return_counts=True)
        self.failures.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
        if goal is not None:
            self.good += int((ok & _meets(batch, goal)).sum())


def _meets(batch: Columns, goal: Goal) -> NDArray[np.bool_]:
    """Which answers reach every goal; a value that is not there is a miss."""
    good = np.ones(len(batch["latency_ms"]), np.bool_)
    if goal.latency_ms is not None:
        good &= batch["latency_ms"] <= goal.latency_ms
    if goal.first_token_ms is not None:
        good &= batch["first_token_ms"] <= goal.first_token_ms
    if goal.tpot_ms is not None:
        tokens = np.asarray(batch["tokens"], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            tpot = (batch["latency_ms"] - batch["first_token_ms"]) / (tokens - 1)
        good &= (tpot <= goal.tpot_ms) | (tokens == 1)
    return good


def _steps(recorded: Recorded) -> Iterator[LoadStep]:
    """The stages of an open run; of a closed one as many equal parts as its plan asks for."""
    plan, start_s = recorded.plan, 0.0
    for stage in plan.stages:
        rate_per_s = (stage.from_per_s + stage.to_per_s) / 2
        yield _step(recorded.samples, start_s, stage.duration_s, rate_per_s, recorded.drops_s)
        start_s += stage.duration_s
    parts = 0 if plan.stages or not recorded.measured_s else plan.parts
    for number in range(parts):
        part_s = recorded.measured_s / parts
        yield _step(recorded.samples, number * part_s, part_s, None, ())


def _step(
    file: SampleFile, start_s: float, duration_s: float, rate_per_s: float | None, drops_s: Sequence[float]
) -> LoadStep:
    """What was meant to start within these seconds; without a rate, what did start is what was offered."""
    end_s = start_s + duration_s

    def inside(batch: Columns) -> NDArray[np.bool_]:
        return (batch["start_s"] >= start_s) & (batch["start_s"] < end_s)

    sent = ok = shed = timed_out = 0
    for batch in file.batches("start_s", "failure", "status"):
        here = inside(batch)
        failure, status = batch["failure"][here], batch["status"][here]
        sent += int(here.sum())
        ok += int((failure == "").sum())
        shed += int(((failure == FailureKind.STATUS) & np.isin(status, SHED_STATUSES)).sum())
        timed_out += int((failure == FailureKind.TIMEOUT).sum())
    latencies = values_of(file, "latency_ms", lambda batch: inside(batch) & answered(batch), "start_s")
    p50_ms, p95_ms = exact_percentiles(latencies, (0.5, 0.95)) if ok else (None, None)
    dropped = sum(start_s <= at < end_s for at in drops_s)
    return LoadStep(
        start_s=start_s,
        duration_s=duration_s,
        offered_per_s=rate_per_s if rate_per_s is not None else sent / duration_s,
        scheduled=sent + dropped,
        dropped=dropped,
        answered=ok,
        failed=sent - ok,
        shed=shed,
        timed_out=timed_out,
        answered_per_s=ok / duration_s,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
    )
