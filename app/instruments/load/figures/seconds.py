"""What is told of each second while a scenario runs, and when it has to stop before its time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.instruments.load.samples import Cached, Rows
from checks.contract import LoadPlan, StopRule, show

STOPPED = "stopped after"  # how the words of a scenario begin that its own rule ended


def second_of(plan: LoadPlan, second: int, rows: Rows) -> dict[str, Any]:
    """The figures of one second: ``rows`` are the requests that ended in it."""
    latencies = answered(rows)
    found = {which: int((rows["cached"] == which).sum()) for which in Cached}
    judged = found[Cached.NO] + found[Cached.YES]
    late = {"dispatch_p99_ms": _percentile(rows["dispatch_ms"], 99)} if plan.stages else {}
    return late | {
        "scenario": plan.scenario,
        "second": second,
        "duration_s": plan.duration_s,
        "model": plan.model,
        "users": plan.users,
        "answered": len(latencies),
        "failed": len(rows) - len(latencies),
        "p50_ms": _percentile(latencies, 50),
        "p95_ms": _percentile(latencies, 95),
        "p99_ms": _percentile(latencies, 99),
        "hits": found[Cached.YES],
        "marked": judged + found[Cached.NOT_FOUND] if judged else 0,
    }


def answered(rows: Rows) -> NDArray[np.float64]:
    """Latencies of the requests that did not fail, in ms."""
    latencies: NDArray[np.float64] = rows["latency_ms"][rows["failure"] == 0]
    return latencies


def _percentile(values: NDArray[np.float64], share: float) -> float | None:
    return float(np.percentile(values, share, method="higher")) if len(values) else None


class Stopper:
    """Watches a StopRule second by second."""

    def __init__(self, rule: StopRule | None) -> None:
        self._rule = rule
        self._breached_since: float | None = None

    def breach(self, now_s: float, told: dict[str, Any]) -> str:
        """Why to stop, once a limit was breached for long enough without a break; "" before.

        A second in which nothing ended is like the one before it.
        """
        rule, ended = self._rule, told["answered"] + told["failed"]
        if rule is None or not ended:
            return ""
        words = _breached(rule, told["failed"] / ended, told["p95_ms"])
        if not words:
            self._breached_since = None
            return ""
        if self._breached_since is None:
            self._breached_since = now_s - 1.0  # the second that is told lies before its end
        if now_s - self._breached_since < rule.for_s:
            return ""
        return f"{STOPPED} {show(now_s, 's')}: {words} for {show(rule.for_s, 's')}"


def _breached(rule: StopRule, failure_ratio: float, p95_ms: float | None) -> str:
    if rule.max_failure_ratio is not None and failure_ratio > rule.max_failure_ratio:
        limit = show(rule.max_failure_ratio, "ratio")
        return f"{show(failure_ratio, 'ratio')} of requests failed, limit {limit},"
    if rule.max_p95_ms is not None and p95_ms is not None and p95_ms > rule.max_p95_ms:
        return f"p95 was {show(p95_ms, 'ms')}, limit {show(rule.max_p95_ms, 'ms')},"
    return ""
