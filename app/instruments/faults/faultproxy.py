"""A lever over Greenlight's own fault proxy (``app/faultproxy``): Toxiproxy's ways, HTTP errors, a count.

``errors`` answers every HTTP request with 503, ``few_errors`` the next FEW.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, TypeGuard

from app.instruments.faults.lever import LeverFailureError, NotWholeError
from app.instruments.faults.toxiproxy import TOXICS, Toxics, ToxiproxyLever
from checks.contract import ProxyCall, printable

FEW = 2
MAX_REQUEST_CHARS = 200


class FaultproxyLever(ToxiproxyLever):
    """One proxy of one fault proxy."""

    toxics: ClassVar[Mapping[str, Toxics]] = {
        **TOXICS,
        "errors": (("http_errors", "upstream", {"count": 0, "retry_after": 0}),),
        "few_errors": (("http_errors", "upstream", {"count": FEW, "retry_after": 0}),),
    }

    async def calls(self) -> int:
        """Calls that came to the proxy since it started. Raises LeverFailureError."""
        async with self._api_of_proxy() as api:
            found = (await api.call("GET")).get("calls")
        if not _is_count(found):
            raise LeverFailureError(self._other_kind())
        return found

    async def latest_calls(self, after: int) -> tuple[ProxyCall, ...]:
        """The last calls whose number is above ``after``. Raises LeverFailureError."""
        async with self._api_of_proxy() as api:
            latest = (await api.call("GET", f"/calls?after={after}")).get("latest")
        calls = [_call(item) for item in latest] if isinstance(latest, list) else [None]
        known = tuple(call for call in calls if call is not None)
        if len(known) < len(calls):
            raise LeverFailureError(self._other_kind())
        return known

    def _require_kind(self, proxy: Mapping[str, Any]) -> None:
        if not _is_count(proxy.get("calls")):
            raise NotWholeError(self._other_kind())

    def _other_kind(self) -> str:
        return (
            f"proxy {self._name} is not one of Greenlight's, since it counts no calls. Start "
            '`python -m app faults proxy` in its place, or declare it with `kind = "toxiproxy"`'
        )


def _call(item: object) -> ProxyCall | None:
    if not isinstance(item, dict):
        return None
    number, at_s, request = item.get("number"), item.get("at_s"), item.get("request")
    if not _is_count(number) or not isinstance(request, str):
        return None
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not math.isfinite(at_s):
        return None
    return ProxyCall(number, float(at_s), printable(request[:MAX_REQUEST_CHARS]), item.get("refused") is True)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
