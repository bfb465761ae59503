"""The figures of one load as JSON: the keys of the brief's report and more, as ``load --json`` writes them.

Programs rely on the keys: one is added, never renamed or given another meaning.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from app.records import LoadResult
from checks.contract.load import LoadPlan

SCHEMA_VERSION = 1


def render(result: LoadResult, plan: LoadPlan, workers: int) -> str:
    """``document`` as text."""
    return json.dumps(document(result, plan, workers), indent=2, allow_nan=False) + "\n"


def document(result: LoadResult, plan: LoadPlan, workers: int) -> dict[str, Any]:
    """One object. Latencies in ms over answered requests, in the open model from the intended start.

    ``duration_s`` and ``warmup_s`` are what was asked for, ``total_time_seconds`` what was measured.
    ``p99_with_failures_ms`` counts a failure as a request that never ended; null where that is unbounded.
    A figure that could not be measured is null, never 0.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        **_brief(result),
        **_plan(result, plan, workers),
        **_latencies(result),
        "bytes": result.bytes,
        "failures": {
            kind: {"count": count, "example": result.failure_examples.get(kind, "")}
            for kind, count in result.failures.items()
        },
        "arrivals": asdict(result.arrivals) if result.arrivals else None,
        "steps": [asdict(step) for step in result.steps],
        "streaming": asdict(result.streaming) if result.streaming else None,
        "steady": asdict(result.steady) if result.steady else None,
        "goodput_ratio": result.goodput_ratio,
        "intervals": {name: list(interval) for name, interval in result.intervals.items()},
        "validity": result.validity,
        "validity_reasons": list(result.validity_reasons),
        "partial": result.partial,
        "samples_file": result.samples_file,
    }


def _brief(result: LoadResult) -> dict[str, Any]:
    return {
        "timestamp": result.started_at.isoformat() if result.started_at else None,
        "scenario": result.scenario,
        "total_requests": result.total_requests,
        "successful": result.successful,
        "failed": result.failed,
        "success_rate": result.success_rate,
        "cached_responses": result.cached_responses,
        "cache_hit_rate": result.cache_hit_rate,
        "total_time_seconds": result.total_time_seconds,
        "requests_per_second": result.requests_per_second,
        "avg_latency_ms": result.avg_latency_ms,
        "median_latency_ms": result.median_latency_ms,
        "p95_latency_ms": result.p95_latency_ms,
        "p99_latency_ms": result.p99_latency_ms,
        "min_latency_ms": result.min_latency_ms,
        "max_latency_ms": result.max_latency_ms,
        "errors": list(result.errors),
    }


def _plan(result: LoadResult, plan: LoadPlan, workers: int) -> dict[str, Any]:
    size: dict[str, Any] = {"users": plan.users}
    if plan.stages:
        size = {"rate": _rate(plan), "max_in_flight": plan.users, "spacing": plan.spacing}
    return {
        "model": plan.model,
        **size,
        "workers": workers,
        "route": plan.route,
        "duration_s": plan.duration_s,
        "warmup_s": plan.warmup_s,
        "warmup_requests": result.warmup_requests,
        "think_time_ms": None if plan.stages else plan.think_time_ms,
        "timeout_s": plan.timeout_s,
    }


def _rate(plan: LoadPlan) -> float:
    """Arrivals a second over the whole run, as planned: of one steady stage just its rate."""
    arrivals = sum(stage.duration_s * (stage.from_per_s + stage.to_per_s) / 2 for stage in plan.stages)
    return arrivals / sum(stage.duration_s for stage in plan.stages)


def _latencies(result: LoadResult) -> dict[str, Any]:
    return {
        "p50_latency_ms": result.median_latency_ms,
        "p90_latency_ms": result.p90_latency_ms,
        "p999_latency_ms": result.p999_latency_ms,
        "p99_with_failures_ms": result.p99_with_failures_ms,
        "ttft_p50_ms": result.ttft_p50_ms,
        "ttft_p99_ms": result.ttft_p99_ms,
        "service_p50_ms": result.service_p50_ms,
        "service_p99_ms": result.service_p99_ms,
        "dispatch_delay_p50_ms": result.dispatch_delay_p50_ms,
        "dispatch_delay_p99_ms": result.dispatch_delay_p99_ms,
    }
