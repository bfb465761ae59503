"""Two long streams are begun, one of them is left, and what it held is watched. Private to this family.

The one that is kept is the control: only while it goes on does a stream that was left and is gone show that
leaving ended it, and not its own last token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from checks.contract import InstrumentFailure, Instruments, OpenStream, Request, Target

SPEAKS_WITHIN_S = 10.0
GAUGE_WITHIN_S = 1.5  # a gauge may be renewed about once a second
WATCHED_S = 31.0  # a little longer than the limit of the warning
EVERY_S = 0.1


@dataclass(frozen=True)
class Leaving:
    """What was seen. ``problem`` says why leaving could not be tried, "" where it was.

    ``gauge`` is what the declared gauge said before, and while both streams were open; None where it cannot
    be read, for the reason ``no_gauge``. ``freed_s`` is when it was back, ``closed_s`` when the service had
    closed its end of the connection; None for neither seen. ``held`` is whether that end could be seen.
    ``outlived`` is whether the kept stream still went on then.
    """

    problem: str = ""
    gauge: tuple[float, float] | None = None
    no_gauge: str = ""
    freed_s: float | None = None
    held: bool = False
    closed_s: float | None = None
    outlived: bool = False

    @property
    def gauge_moved(self) -> bool:
        """Whether the gauge saw two more streams."""
        return self.gauge is not None and self.gauge[1] >= self.gauge[0] + 2


async def leave_one(target: Target, instruments: Instruments, requests: Sequence[Request]) -> Leaving:
    """Begin the two ``requests``, leave the second and watch until it is freed, for WATCHED_S at most."""
    kept_request, left_request = requests
    instruments.processes.listening(target.port)
    before, no_gauge = await _gauge(instruments)
    async with instruments.sse.opened(kept_request) as kept:
        async with instruments.sse.opened(left_request) as left:
            problem = await _speak(target, kept) or await _speak(target, left)
            if problem:
                return Leaving(problem=problem)
            gauge = await _risen(instruments, before) if before is not None else None
            held = bool(left.port and instruments.processes.holds_connection(target.port, left.port))
            port = left.port or 0
            await asyncio.sleep(EVERY_S)
            if left.over:
                return Leaving(problem="its answers end at once, however long they were asked to be")
        begun = Leaving(gauge=gauge, no_gauge=no_gauge, held=held)
        return await _watched(target, instruments, begun, kept, port)


async def _watched(
    target: Target, instruments: Instruments, begun: Leaving, kept: OpenStream, port: int
) -> Leaving:
    started = monotonic()
    freed_s: float | None = None
    closed_s: float | None = None
    outlived = False
    while True:
        over = kept.over
        if begun.gauge_moved and freed_s is None:
            now, _ = await _gauge(instruments)
            allowed = (begun.gauge or (0.0, 0.0))[0] + (0 if over else 1)
            freed_s = monotonic() - started if now is not None and now <= allowed else None
        if begun.held and closed_s is None:
            holds = instruments.processes.holds_connection(target.port, port)
            closed_s = None if holds else monotonic() - started
        seen = (freed_s is not None or not begun.gauge_moved) and (closed_s is not None or not begun.held)
        if seen or monotonic() - started > WATCHED_S:
            outlived = seen and not over
            break
        await asyncio.sleep(EVERY_S)
    return Leaving(
        gauge=begun.gauge, no_gauge=begun.no_gauge, held=begun.held, outlived=outlived,
        freed_s=_rounded(freed_s), closed_s=_rounded(closed_s),
    )  # fmt: skip


async def _speak(target: Target, stream: OpenStream) -> str:
    """Wait for the first token of a stream; why it cannot be left amid its answer, "" where it can."""
    declared = target.stream
    assert declared is not None  # noqa: S101 - the check needs target.stream
    started = monotonic()
    while not any(declared.text(event.name, event.data) for event in stream.events):
        if stream.over or monotonic() - started > SPEAKS_WITHIN_S:
            why = stream.failure.detail if stream.failure else f"status {stream.status}"
            return f"a long answer did not begin within {SPEAKS_WITHIN_S:g} s ({why[:200]})"
        await asyncio.sleep(EVERY_S / 4)
    return ""


async def _risen(instruments: Instruments, before: float) -> tuple[float, float] | None:
    """The gauge before and now, once it knows of both streams or GAUGE_WITHIN_S are over."""
    started = monotonic()
    while True:
        now, _ = await _gauge(instruments)
        if now is None:
            return None
        if now >= before + 2 or monotonic() - started > GAUGE_WITHIN_S:
            return (before, now)
        await asyncio.sleep(EVERY_S)


async def _gauge(instruments: Instruments) -> tuple[float | None, str]:
    try:
        return await instruments.sse.open_streams(), ""
    except InstrumentFailure as failure:  # optional: without it less is seen, and the finding says so
        return None, failure.reason


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
