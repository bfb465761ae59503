"""Reads how often the paid upstream was called, at the place that the target declares."""

from __future__ import annotations

import math

from app.instruments.http import HttpProbe
from app.instruments.metrics import UnreadablePageError, metric_sum
from checks.contract import InstrumentFailure, Reply, Request, Target, at_path

TIMEOUT_S = 5.0


class UpstreamMeter:
    """A running count: a JSON number, or the sum of a Prometheus metric's series."""

    def __init__(self, target: Target, http: HttpProbe) -> None:
        self._declared = target.upstream
        self._http = http

    async def calls(self) -> float:
        """Calls so far. Raises InstrumentFailure when the meter cannot be read."""
        if self._declared is None:
            raise InstrumentFailure(
                "No upstream meter is declared. Add `[upstream] calls` to the target file.",
                missing="upstream.calls",
            )
        count = self._declared.calls
        reply = await self._http.send(Request("GET", count.url, count.headers), timeout_s=TIMEOUT_S)
        if reply.failure is not None or reply.status != 200:
            why = reply.failure.detail if reply.failure else f"status {reply.status}"
            raise InstrumentFailure(f"The upstream meter {count.url} cannot be read: {why}.")
        value = (
            _metric(reply, count.metric) if count.metric else at_path(reply.document(), count.json_path or "")
        )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            place = f"metric {count.metric}" if count.metric else f"number at `{count.json_path}`"
            raise InstrumentFailure(
                f"The upstream meter {count.url} shows no {place}.", missing="upstream.calls"
            )
        return float(value)


def _metric(reply: Reply, metric: str) -> float | None:
    try:
        return metric_sum(reply, metric)
    except UnreadablePageError as error:
        raise InstrumentFailure(f"The upstream meter is {error}.") from error
