"""The pager that Alertmanager notifies: it keeps what it hears and passes it on to whoever listens.

Who listens is an assessment, for as long as a drill lasts. The pager takes a notification whether or not
anybody listens, so that none fails outside of a drill.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

KEPT = 200
FORWARD_WITHIN_S = 1.0


@dataclass
class Pager:
    """Keeps the latest notifications; ``forwards_to`` is the URL of who may listen."""

    forwards_to: str | None = None
    notifications: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    last_heartbeat: str | None = None

    async def alerts(self, request: Request) -> Response:
        """Take a notification in Alertmanager's webhook format."""
        body = await request.body()
        notification = await request.json()
        alerts = [(alert["status"], alert["labels"].get("alertname")) for alert in notification["alerts"]]
        self.notifications.append({"heard_at": _now(), "status": notification["status"], "alerts": alerts})
        if self.forwards_to is not None:
            with contextlib.suppress(httpx.HTTPError):  # mostly nobody listens
                async with httpx.AsyncClient(timeout=FORWARD_WITHIN_S, trust_env=False) as client:
                    kind = request.headers.get("content-type", "application/json")
                    await client.post(self.forwards_to, content=body, headers={"Content-Type": kind})
        return JSONResponse({"status": "taken"})

    async def heartbeat(self, _: Request) -> Response:
        """Take the watchdog's notification."""
        self.last_heartbeat = _now()
        return JSONResponse({"status": "alive"})

    async def heard(self, _: Request) -> Response:
        """What was heard so far, the latest last."""
        return JSONResponse(
            {"last_heartbeat": self.last_heartbeat, "notifications": list(self.notifications)}
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()
