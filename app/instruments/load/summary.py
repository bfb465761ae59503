"""From samples to figures. Pure; every percentile is exact.

Percentiles are the sample at rank ceil((n - 1) * q), numpy's method "higher": a latency that some request
really had, never interpolated, and never below the share of requests it speaks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.instruments.load.samples import FAILURE_KINDS, Cached, Rows
from app.instruments.load.selfwatch import SelfReport
from checks.contract import LoadPlan, LoadSummary


def summarize(
    plan: LoadPlan, rows: Rows, duration_s: float, examples: Mapping[str, str], watch: SelfReport
) -> LoadSummary:
    """The figures of one scenario over ``rows``, every measured request of ``duration_s``.

    Latencies and times to first token are over answered requests, those without a failure.
    """
    latencies = answered(rows)
    tokens = first_tokens(rows)
    failures = failure_counts(rows)
    marked, cached = marked_and_cached(rows)
    median_ms = percentile(latencies, 50)
    validity, reasons = watch.validity(len(rows), plan.min_requests, median_ms)
    return LoadSummary(
        scenario=plan.scenario,
        users=plan.users,
        total_requests=len(rows),
        successful=len(latencies),
        failed=len(rows) - len(latencies),
        duration_s=duration_s,
        requests_per_second=len(rows) / duration_s if duration_s else 0.0,
        cached=cached,
        marked=marked,
        mean_ms=float(latencies.mean()) if len(latencies) else None,
        p50_ms=median_ms,
        p90_ms=percentile(latencies, 90),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        min_ms=float(latencies.min()) if len(latencies) else None,
        max_ms=float(latencies.max()) if len(latencies) else None,
        ttft_p50_ms=percentile(tokens, 50),
        ttft_p99_ms=percentile(tokens, 99),
        received_bytes=int(rows["bytes"].sum(dtype=np.int64)),
        failures=failures,
        failure_examples=examples,
        validity=validity,
        validity_reasons=reasons,
    )


def second_of(plan: LoadPlan, second: int, rows: Rows) -> dict[str, Any]:
    """What is told of one second while the scenario runs: ``rows`` are the requests that ended in it."""
    latencies = answered(rows)
    marked, hits = marked_and_cached(rows)
    return {
        "scenario": plan.scenario,
        "second": second,
        "duration_s": plan.duration_s,
        "users": plan.users,
        "answered": len(latencies),
        "failed": len(rows) - len(latencies),
        "p50_ms": percentile(latencies, 50),
        "p95_ms": percentile(latencies, 95),
        "p99_ms": percentile(latencies, 99),
        "hits": hits,
        "marked": marked,
    }


def answered(rows: Rows) -> NDArray[np.float64]:
    """Latencies of the requests that did not fail, in ms."""
    latencies: NDArray[np.float64] = rows["latency_ms"][rows["failure"] == 0]
    return latencies


def first_tokens(rows: Rows) -> NDArray[np.float64]:
    """Times to first token of the requests that did not fail, in ms; empty where nothing streamed."""
    times: NDArray[np.float64] = rows["first_token_ms"][rows["failure"] == 0]
    return times[~np.isnan(times)]


def percentile(values: NDArray[np.float64], q: float) -> float | None:
    """The exact ``q``-th percentile (0..100), or None without a value."""
    return float(np.percentile(values, q, method="higher")) if len(values) else None


def failure_counts(rows: Rows) -> dict[str, int]:
    """Failed requests by FailureKind, those that occurred."""
    counts = np.bincount(rows["failure"], minlength=len(FAILURE_KINDS) + 1)[1:]
    return {str(kind): int(number) for kind, number in zip(FAILURE_KINDS, counts, strict=True) if number}


def marked_and_cached(rows: Rows) -> tuple[int, int]:
    """How many replies could be judged by the marker, and how many came from the cache.

    A reply without the marker is a miss where other replies have it (many services mark hits only). Where
    none has it, the marker may be declared wrongly, and nothing is judged.
    """
    no, yes, not_found = (
        int((rows["cached"] == which).sum()) for which in (Cached.NO, Cached.YES, Cached.NOT_FOUND)
    )
    return (no + yes + not_found if no + yes else 0), yes
