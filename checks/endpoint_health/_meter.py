"""The upstream meter beside routes that should cost nothing. Private to this family."""

from __future__ import annotations

from checks.contract import InstrumentFailure, Instruments


async def calls_now(instruments: Instruments) -> float | None:
    """Paid calls so far; None without a meter: then nothing is said of what a route costs."""
    try:
        return await instruments.upstream.calls()
    except InstrumentFailure:
        return None
