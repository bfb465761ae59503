"""Reads a number where the target declares it: a JSON value, or the sum of a Prometheus metric's series."""

from __future__ import annotations

from app.instruments.http import HttpProbe
from app.instruments.metrics import MOST_COUNT, UnreadablePageError, metric_sum
from checks.contract import InstrumentFailure, Reply, Request, at_path
from checks.contract.target.calls import Count

TIMEOUT_S = 5.0


class DeclaredCounts:
    """Reads whatever count a target declares."""

    def __init__(self, http: HttpProbe) -> None:
        self._http = http

    async def read(self, count: Count, what: str, key: str) -> float:
        """The number now. Raises InstrumentFailure when it cannot be read."""
        return await read_count(self._http, count, what, key)


async def read_count(http: HttpProbe, count: Count, what: str, key: str) -> float:
    """The number now. ``what`` names it in words and ``key`` is where it is declared.

    Raises InstrumentFailure when it cannot be read.
    """
    reply = await http.send(Request("GET", count.url, count.headers), timeout_s=TIMEOUT_S)
    if reply.failure is not None or reply.status != 200:
        why = reply.failure.detail if reply.failure else f"status {reply.status}"
        raise InstrumentFailure(f"{what} {count.url} cannot be read: {why}.")
    value = (
        _metric(reply, count.metric, what)
        if count.metric
        else at_path(reply.document(), count.json_path or "")
    )
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MOST_COUNT:
        place = f"metric {count.metric}" if count.metric else f"number at `{count.json_path}`"
        raise InstrumentFailure(f"{what} {count.url} shows no {place}.", missing=key)
    return float(value)


def _metric(reply: Reply, metric: str, what: str) -> float | None:
    try:
        return metric_sum(reply, metric)
    except UnreadablePageError as error:
        raise InstrumentFailure(f"{what} is {error}.") from error
