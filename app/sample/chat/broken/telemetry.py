"""Defects of what the service measures of itself: metrics that are missing, still, or of the wrong kind."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from prometheus_client import Counter, Summary
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


def door(healthy: ASGIApp, telemetry: Telemetry, defects: AbstractSet[str]) -> ASGIApp:
    """What counts beside the telemetry."""
    return CountsCredentials(healthy, telemetry) if "metrics_credential_label" in defects else healthy


class CountsCredentials:
    """Callers that were refused are counted by what they tried to come in with."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        told = "Callers that were refused."
        self._refused = Counter("chat_refused_callers", told, ["caller"], registry=telemetry.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        caller = Headers(scope=scope).get("authorization", "") if scope["type"] == "http" else ""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401 and caller:
                self._refused.labels(caller.rpartition(" ")[2]).inc()
            await send(message)

        await self.app(scope, receive, send_counted)
