"""The signal to end amid requests: what was under way then, and what became of it.

Private to this family.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Literal

from checks.contract import FailureKind, InstrumentFailure, Instruments, ProcessFact, Route, Target
from checks.error_recovery._crowd import Crowd, Sent
from checks.error_recovery._lifetime import LEVER, facts_now

LOOKS, LOOK_EVERY_S = 3, 0.15
LEAD_S = 0.05  # by then a request on a connection that was accepted has been read
LAST_BYTES_S = 1.0  # after the process is gone, for what it sent to arrive
POLL_S = 0.05
MAX_CHARS = 1_000


@dataclass(frozen=True)
class UnderWay:
    """A request that was under way when the signal came; times in s from the signal, None for never.

    ``began``: the first byte of its stream was there by then.
    """

    kind: Literal["answer", "stream"]
    sent_s: float
    began: bool
    ended_s: float | None
    good: bool
    status: int | None
    refused: bool
    problem: str


@dataclass(frozen=True)
class Told:
    """The signal: when nothing had been sent yet, when it had, and what came of it."""

    before_at: float
    at: float
    waiting: int | None
    visible: bool
    ended_s: float | None
    not_back: str


async def usual_ms(instruments: Instruments, route: Route) -> float:
    """What an answer to a never-seen question takes."""
    prompts = instruments.prompts.fresh(3)
    return median([(await instruments.questions.ask(each, route=route)).elapsed_ms for each in prompts])


async def told_to_end(target: Target, instruments: Instruments, crowd: Crowd) -> Told:
    """Send the signal, and watch the processes go and the requests end."""
    waiting = await _waiting(target, instruments)
    facts, before_at = facts_now(target, instruments), monotonic()
    at: float | None = None
    ended_s, not_back = None, ""
    try:
        async with instruments.faults.broken(LEVER, "term"):
            at = monotonic()
            crowd.stop()
            instruments.say(f"The service was sent {target.shutdown.signal}")
            if facts:
                ended_s = await _gone_s(instruments, facts, at, target.shutdown.within_s)
                await crowd.finished(LAST_BYTES_S)
            else:
                await crowd.finished(target.shutdown.within_s)
    except InstrumentFailure as failure:
        if at is None:
            raise
        not_back = failure.reason[:MAX_CHARS]
    return Told(before_at, at, waiting, bool(facts), ended_s, not_back)


async def _waiting(target: Target, instruments: Instruments) -> int | None:
    """The least number of our connections that the service has not accepted, over some looks."""
    counts = []
    for _ in range(LOOKS):
        await asyncio.sleep(LOOK_EVERY_S)
        counts.append(instruments.processes.waiting(target.levers[LEVER].port or target.port))
    return min((count for count in counts if count is not None), default=None)


async def _gone_s(
    instruments: Instruments, facts: list[ProcessFact], told_at: float, within_s: float
) -> float | None:
    while any(instruments.processes.runs(fact) for fact in facts):
        if monotonic() - told_at > within_s:
            return None
        await asyncio.sleep(POLL_S)
    return monotonic() - told_at


def _counts(sent: Sent, told: Told) -> bool:
    """Whether it was under way when the signal came.

    That was a moment before ``told.at``: what broke in between was broken by it.
    """
    if sent.sent_at > told.at - LEAD_S:
        return False
    if sent.ended_at is None:
        return True
    return sent.ended_at >= (told.at if sent.good else told.before_at)


def _seen(sent: Sent, told_at: float) -> UnderWay:
    return UnderWay(
        sent.kind,
        round(sent.sent_at - told_at, 3),
        sent.began_at is not None and sent.began_at <= told_at,
        None if sent.ended_at is None else round(sent.ended_at - told_at, 3),
        sent.good,
        sent.status,
        sent.failure is FailureKind.REFUSED,
        sent.problem,
    )


def under_way(crowd: Crowd, told: Told) -> tuple[UnderWay, ...]:
    """What was under way when the signal came."""
    return tuple(_seen(sent, told.at) for sent in crowd.sent if _counts(sent, told))
