"""Reads the service's memory while a scenario runs. Private to this family."""

from __future__ import annotations

import asyncio
import time

from checks.contract import InstrumentFailure, Instruments, LoadPlan, LoadSummary

USUAL_EVERY_S = 0.25
FEWEST_READINGS = 80  # also of a short scenario
MOST_READINGS = 400  # also of a night's


class MemoryWatch:
    """Runs plans as ``instruments.load`` does, and reads the memory meanwhile.

    ``points`` are of the plan that ran last: seconds since the end of its warm-up and resident bytes.
    ``unread`` counts readings that failed.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self.points: list[tuple[float, float]] = []
        self.unread = 0

    async def run(self, plan: LoadPlan) -> LoadSummary:
        """Run ``plan``. Raises what the driver raises."""
        self.points, self.unread = [], 0
        reader = asyncio.create_task(self._read(plan))
        try:
            summary = await self._instruments.load.run(plan)
        finally:
            reader.cancel()
            await asyncio.wait({reader})
        if not reader.cancelled():
            reader.result()  # it never ends by itself, so this raises what ended it
        return summary

    async def _read(self, plan: LoadPlan) -> None:
        measured_from = time.monotonic() + plan.warmup_s
        every_s = min(USUAL_EVERY_S, plan.duration_s / FEWEST_READINGS)
        every_s = max(every_s, plan.duration_s / MOST_READINGS)
        while True:
            try:
                reading = await self._instruments.memory.read()
            except InstrumentFailure:  # it could be read before; a service under load may be late once
                self.unread += 1
            else:
                self.points.append((time.monotonic() - measured_from, reading.resident_bytes))
            await asyncio.sleep(every_s)
