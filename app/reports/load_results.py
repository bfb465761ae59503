"""The load results in the brief's own format: exactly the keys of ``data/load_test_results.json``."""

from __future__ import annotations

import json
from statistics import fmean

from app.records import LoadResult, Snapshot

KEYS = (
    "scenario", "total_requests", "successful", "failed", "success_rate", "cached_responses",
    "cache_hit_rate", "total_time_seconds", "requests_per_second", "avg_latency_ms", "median_latency_ms",
    "p95_latency_ms", "p99_latency_ms", "min_latency_ms", "max_latency_ms", "errors",
)  # fmt: skip


def render(snapshot: Snapshot) -> str:
    """Write every scenario of a run. A latency is null where nothing was answered, never 0."""
    run = snapshot.run
    document = {
        "timestamp": (run.finished_at or run.started_at or run.created_at).isoformat(),
        "test_results": [_scenario(result) for result in snapshot.load_results],
        "summary": {
            "total_scenarios": len(snapshot.load_results),
            "scenarios_passed": sum(result.passed is True for result in snapshot.load_results),
            "average_cache_hit_rate": _mean_hit_rate(snapshot.load_results),
        },
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _scenario(result: LoadResult) -> dict[str, object]:
    fields = result.model_dump(mode="json")
    return {key: fields[key] for key in KEYS}


def _mean_hit_rate(results: tuple[LoadResult, ...]) -> float | None:
    rates = [result.cache_hit_rate for result in results if result.cache_hit_rate is not None]
    return fmean(rates) if rates else None
