"""The load driver as checks get it: its figures also go to whoever watches the run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from app.instruments.load.driver import LoadDriver
from app.records import LoadResult
from checks.contract import Knee, LoadPlan, LoadSummary, Target

FEWEST_RATES = 3  # below that a knee is a guess


class WatchedLoad:
    """Runs scenarios, and hands each one's figures to ``on_result``, also those of one that was cancelled.

    ``make`` makes the driver, given where the figures of a cancelled scenario go.
    """

    def __init__(
        self,
        make: Callable[[Callable[[LoadSummary], None]], LoadDriver],
        target: Target,
        samples_file: Callable[[str], Path] | None,
        on_result: Callable[[LoadResult], None],
    ) -> None:
        self._driver = make(self._tell)
        self._peak_per_s = target.objectives.peak_per_s
        self._samples_file = samples_file
        self._on_result = on_result
        self._started_at = datetime.now(UTC)

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run the scenario to its end. Raises what LoadDriver.run raises."""
        self._started_at = datetime.now(UTC)
        summary = await self._driver.run(plan)
        self._tell(summary)
        return summary

    def _tell(self, summary: LoadSummary) -> None:
        file = self._samples_file(summary.scenario) if self._samples_file else None
        result = load_result(summary, str(file) if file else None)
        told = {"started_at": self._started_at, "peak_per_s": self._peak_per_s}
        self._on_result(result.model_copy(update=told))


def _knee(summary: LoadSummary) -> Knee | None:
    """Where an open run whose steps only went up breaks; None for any other."""
    rates = [step.offered_per_s for step in summary.steps]
    if summary.model == "closed" or len(set(rates)) < FEWEST_RATES or rates != sorted(rates):
        return None
    from app.statistics.knees import knee  # noqa: PLC0415 - SciPy loads slowly

    return knee(summary.steps)


def load_result(summary: LoadSummary, samples_file: str | None) -> LoadResult:
    """The figures under the keys of the brief's report. ``passed`` stays open: a check judges."""
    total = summary.total_requests
    return LoadResult(
        scenario=summary.scenario,
        total_requests=total,
        successful=summary.successful,
        failed=summary.failed,
        success_rate=summary.successful / total if total else 0.0,
        cached_responses=summary.cached,
        cache_hit_rate=summary.cached / summary.marked if summary.marked else None,
        total_time_seconds=summary.duration_s,
        requests_per_second=summary.requests_per_second,
        avg_latency_ms=summary.mean_ms,
        median_latency_ms=summary.p50_ms,
        p90_latency_ms=summary.p90_ms,
        p95_latency_ms=summary.p95_ms,
        p99_latency_ms=summary.p99_ms,
        min_latency_ms=summary.min_ms,
        max_latency_ms=summary.max_ms,
        ttft_p50_ms=summary.ttft_p50_ms,
        ttft_p99_ms=summary.ttft_p99_ms,
        errors=[f"{kind}: {example}" for kind, example in summary.failure_examples.items()],
        failures=dict(summary.failures),
        users=summary.users,
        bytes=summary.received_bytes,
        validity=summary.validity,
        validity_reasons=summary.validity_reasons,
        samples_file=samples_file,
        failure_examples=dict(summary.failure_examples),
        model=summary.model,
        rate_per_s=summary.rate_per_s,
        warmup_s=summary.warmup_s,
        warmup_requests=summary.warmup_requests,
        p999_latency_ms=summary.p999_ms,
        p99_with_failures_ms=summary.p99_with_failures_ms,
        intervals=dict(summary.intervals),
        service_p50_ms=summary.service_p50_ms,
        service_p99_ms=summary.service_p99_ms,
        dispatch_delay_p50_ms=summary.dispatch_delay_p50_ms,
        dispatch_delay_p99_ms=summary.dispatch_delay_p99_ms,
        arrivals=summary.arrivals,
        steps=summary.steps,
        knee=_knee(summary),
        streaming=summary.streaming,
        steady=summary.steady,
        goodput_ratio=summary.goodput_ratio,
        partial=summary.partial,
    )
