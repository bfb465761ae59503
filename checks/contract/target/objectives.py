"""The team's own limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from checks.contract.target.calls import Place, Table


class RateLimit(Table):
    """``[objectives.rate_limit]``: what one user, or one address, may send: ``burst``, then ``per_s``.

    ``path`` is a cheap GET route under that limit; without one the business question is asked.
    """

    per_s: float = Field(gt=0, le=10_000)
    burst: int = Field(ge=1, le=10_000)
    per: Literal["user", "address"] = "user"
    path: Place | None = None


class Objectives(Table):
    """``[objectives]``: the team's own limits. Each wins over the rubric's limit of the same meaning."""

    success_ratio: float | None = Field(default=None, gt=0, le=1)
    mean_latency_ms: float | None = Field(default=None, gt=0)
    hit_ratio: float | None = Field(default=None, gt=0, le=1)
    health_p95_ms: float | None = Field(default=None, gt=0)
    first_token_p10_ms: float | None = Field(default=None, gt=0)
    first_token_median_ms: float | None = Field(default=None, gt=0)
    cache_ping_p95_ms: float | None = Field(default=None, gt=0)
    cache_get_p99_ms: float | None = Field(default=None, gt=0)
    cache_speedup: float | None = Field(default=None, gt=1)
    calls_avoided_ratio: float | None = Field(default=None, gt=0, le=1)
    answer_within_s: float | None = Field(default=None, gt=0)
    peak_per_s: float | None = Field(default=None, gt=0, le=10_000)
    memory_bytes: float | None = Field(default=None, gt=0)
    body_bytes: int | None = Field(default=None, gt=0, le=1_000_000_000)
    recovery_s: float | None = Field(default=None, gt=0)
    rate_limit: RateLimit | None = None
