"""The load driver as checks get it: its figures also go to whoever watches the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.instruments.load.driver import LoadDriver
from app.records import LoadResult
from checks.contract import LoadPlan, LoadSummary


class WatchedLoad:
    """Runs scenarios, and hands each one's figures to ``on_result``."""

    def __init__(
        self,
        driver: LoadDriver,
        samples_file: Callable[[str], Path] | None,
        on_result: Callable[[LoadResult], None],
    ) -> None:
        self._driver = driver
        self._samples_file = samples_file
        self._on_result = on_result

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run the scenario to its end. Raises what LoadDriver.run raises."""
        summary = await self._driver.run(plan)
        file = self._samples_file(plan.scenario) if self._samples_file else None
        self._on_result(load_result(summary, str(file) if file else None))
        return summary


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
        streaming=summary.streaming,
        steady=summary.steady,
        goodput_ratio=summary.goodput_ratio,
        partial=summary.partial,
    )
