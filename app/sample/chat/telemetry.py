"""What the service tells about itself: metrics for Prometheus, and the id that follows a request."""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[\w.:-]{1,64}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
ASKING = ("/api/chat", "/api/v1/chat/stream", "/api/orders")
FAILING = ("500", "503", "504")
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """The metrics of one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        for route, status in itertools.product(ASKING, FAILING):  # so that the first one is an increase too
            self.requests.labels("POST", route, status)
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to the last byte of a reply.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.cache_hits = Counter("chat_cache_hits", "Answers that the cache had.", registry=self.registry)
        self.cache_misses = Counter(
            "chat_cache_misses", "Answers that the cache did not have.", registry=self.registry
        )
        self.cache_up = Gauge(
            "chat_cache_up", "1 while Redis answers, 0 while memory stands in.", registry=self.registry
        )
        self.model_calls = Counter(
            "chat_model_calls", "Calls of the paid model.", ["outcome"], registry=self.registry
        )
        self.orders = Counter("chat_orders", "Orders by outcome.", ["outcome"], registry=self.registry)
        self.pending_compensations = Gauge(
            "chat_pending_compensations", "Orders that still have to be undone.", registry=self.registry
        )

    def count(self, method: str, route: str, status: int) -> None:
        """Count a reply."""
        self.requests.labels(method, route, str(status)).inc()


class Traced:
    """Gives each request an id, echoes what the caller sent, and counts and times the reply."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Trace one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        incoming = Headers(scope=scope)
        request_id, traceparent = incoming.get("x-request-id", ""), incoming.get("traceparent", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, complete = 500, False

        async def send_traced(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                if TRACEPARENT.fullmatch(traceparent):
                    headers["traceparent"] = traceparent
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)

        began = time.perf_counter()
        self.telemetry.in_flight.inc()
        try:
            await self.app(scope, receive, send_traced)
        except Exception:
            if not complete:
                raise
            # The caller has its 500. Raised further, this would close a connection that the caller may be
            # using again already.
            LOG.exception("request %s failed", request_id)
        finally:
            self.telemetry.in_flight.dec()
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, elapsed_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if route != "unmatched" else "any"
        self.telemetry.count(method, route, status)
        self.telemetry.duration.labels(method, route).observe(elapsed_s)
