"""The load driver as checks get it: its figures also go to whoever watches the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


REPORT_NAMES = {  # the brief's report has names of its own for some figures of a summary
    "cached_responses": "cached",
    "total_time_seconds": "duration_s",
    "avg_latency_ms": "mean_ms",
    "median_latency_ms": "p50_ms",
    "p90_latency_ms": "p90_ms",
    "p95_latency_ms": "p95_ms",
    "p99_latency_ms": "p99_ms",
    "p999_latency_ms": "p999_ms",
    "min_latency_ms": "min_ms",
    "max_latency_ms": "max_ms",
    "bytes": "received_bytes",
}


def load_result(summary: LoadSummary, samples_file: str | None) -> LoadResult:
    """The figures under the keys of the brief's report. ``passed`` stays open: a check judges."""
    total = summary.total_requests
    same: dict[str, Any] = {
        one.name: getattr(summary, one.name) for one in fields(summary) if one.name in LoadResult.model_fields
    }
    renamed: dict[str, Any] = {name: getattr(summary, theirs) for name, theirs in REPORT_NAMES.items()}
    return LoadResult(
        **same,
        **renamed,
        success_rate=summary.successful / total if total else 0.0,
        cache_hit_rate=summary.cached / summary.marked if summary.marked else None,
        errors=[f"{kind}: {example}" for kind, example in summary.failure_examples.items()],
        knee=_knee(summary),
        samples_file=samples_file,
    )
