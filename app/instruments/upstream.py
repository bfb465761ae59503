"""Reads how often the paid upstream was called, at the place that the target declares."""

from __future__ import annotations

from app.instruments.counts import read_count
from app.instruments.http import HttpProbe
from checks.contract import InstrumentFailure, Target


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
        return await read_count(self._http, self._declared.calls, "The upstream meter", "upstream.calls")
