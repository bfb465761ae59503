"""Checks that notice many defects, by a short name."""

from __future__ import annotations

CACHE_CHECKS = (
    "cache.hit_rate",
    "cache.speedup",
    "cache.cost_saving",
    "cache.monthly_cost",
    "cache.stampede",
    "cache.outage_recovery",
)
CACHE_SERVER_CHECKS = ("cache.memory_bound", "cache.ttl_coverage", "cache.latency")
LOAD_CHECKS = (
    "load_scenarios.baseline",
    "load_scenarios.light",
    "load_scenarios.medium",
    "load_scenarios.heavy",
)
STRESS, SPIKE = "load_scenarios.stress", "load_scenarios.spike"
SATURATION, CACHE_HOSTILE = "load_scenarios.saturation", "load_scenarios.cache_hostile"
SOAK, MEMORY_CEILING = "load_scenarios.soak", "load_scenarios.memory_ceiling"
COUNTS_AGREE = "load_scenarios.counts_agree"
API_CONTRACT = "endpoint_health.api_contract"
UNANSWERED = (*LOAD_CHECKS, STRESS, SPIKE, SATURATION, CACHE_HOSTILE, SOAK, MEMORY_CEILING)

ERROR_DISCLOSURE = "endpoint_health.error_disclosure"
BODY_LIMITS = "endpoint_health.body_limits"
STREAM_PROTOCOL = "endpoint_health.stream_protocol"
