"""Defects of what the service measures of itself: metrics that are missing, still, or of the wrong kind."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from prometheus_client import Counter, Summary

from app.sample.chat.broken import load
from app.sample.chat.telemetry import Telemetry


class CountsAllAsAnswers(Telemetry):
    """Its middleware counts a reply before its status is known."""

    def count(self, method: str, route: str, status: int) -> None:
        """Count a reply as answered, whatever became of it."""
        super().count(method, route, min(status, 200))


class CountsNoServerErrors(Telemetry):
    """Its middleware is left by an exception before it has counted."""

    def count(self, method: str, route: str, status: int) -> None:
        """Count a reply, unless it is a server error."""
        if status < 500:
            super().count(method, route, status)


def kind(defects: AbstractSet[str]) -> type[Telemetry]:
    """What counts requests."""
    if "errors_counted_as_answers" in defects:
        return CountsAllAsAnswers
    return CountsNoServerErrors if "server_errors_uncounted" in defects else load.telemetry_kind(defects)


def spoiled(telemetry: Telemetry, defects: AbstractSet[str]) -> Telemetry:
    """The metrics, some of them changed."""
    registry = telemetry.registry
    if "latency_not_a_histogram" in defects:
        registry.unregister(telemetry.duration)
        name, told = "http_request_duration_seconds", "Time to the last byte of a reply."
        averages = Summary(name, told, ["method", "route"], registry=registry)
        telemetry.duration = averages  # type: ignore[assignment]  # both observe
    if "cache_series_still" in defects:  # another pair of counters is counted up than is registered
        telemetry.cache_hits = Counter("chat_cache_hits", "Hits.", registry=None)
        telemetry.cache_misses = Counter("chat_cache_misses", "Misses.", registry=None)
    if "saturation_unknown" in defects:
        registry.unregister(telemetry.in_flight)
    return telemetry
