"""A step is made to fail, and what undoes the steps before it as well, so that the undo is pending.

Private to this family. The hard part is the moment: the partner of an earlier step must answer while that
step is done, and be away when it is undone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from checks.contract import (
    Failing,
    Flag,
    InstrumentFailure,
    Instruments,
    Request,
    Step,
    Target,
    TransactionRequest,
    at_path,
)
from checks.error_recovery._flow import (
    Played,
    Whole,
    declared,
    made_to_fail,
    new_values,
    play,
    restored,
    untriable,
)
from checks.error_recovery._state import Change, State, changes, effects, read_state

STILL_LOOKS = (2, 1, 0, 4, 1, 0)  # per attempt: too few cut a partner too early, too many too late
LOOK_S = 0.03
REPLY_S = 4.0  # by then a step that hangs is restored, and fails at the latest
HOLD_S = 0.8  # the undo goes on failing for this long at least
OUTAGE_PARTS = 5  # or a fifth of the profile's outage, so that one who gives up early is seen
BEFORE_KILL_S = 0.3
BACK_S = 30.0
HELD = ("hang", "slow")  # a step that fails like this leaves time to cut another partner


@dataclass(frozen=True)
class Undoing:
    """One attempt. ``pending``: what was left undone while the partner was away; ``residue``: in the end.

    ``flagged``: whether it then showed where that is declared. ``skipped`` says why nothing could be tried.
    """

    step: str
    killed: bool
    skipped: str = ""
    accepted: bool = False
    status: int | None = None
    pending: tuple[Change, ...] = ()
    effects_pending: dict[str, float] = field(default_factory=dict)
    residue: tuple[Change, ...] = ()
    effects_after: dict[str, float] = field(default_factory=dict)
    settled_s: float = 0.0
    flagged: bool = False

    def untried(self, whole: Whole) -> str:
        """Why it says nothing; "" where something was left undone."""
        if self.accepted and self.effects_pending == whole.effects:
            return "what was broken made no difference, and the transaction went through"
        return self.skipped

    def carried_on(self, whole: Whole) -> bool:
        """Whether all is as before, or all is done as the caller was promised."""
        return not self.residue or (self.accepted and self.effects_after == whole.effects)


def killer(target: Target) -> str:
    """The lever that kills the service: the one that is named, else the one that can; "" where none can."""
    named = target.transaction.service if target.transaction else None
    able = [name for name, lever in target.levers.items() if "kill" in lever.ways]
    return named or (able[0] if len(able) == 1 else "")


async def attempted(
    instruments: Instruments, target: Target, step: Step, kill: str, left_by: list[State]
) -> Undoing:
    """One attempt, and others where the moment was missed.

    ``left_by`` is kept here: the states before the latest attempts that left something behind. What they left
    may be undone while this one is tried (a restart takes it up), and is no residue of this one.
    """
    undoing = Undoing(step.name, bool(kill))
    impossible = untriable(instruments, step) or untriable(instruments, step.compensation or step)
    if impossible:
        return dataclasses.replace(undoing, skipped=impossible)
    for number, looks in enumerate(STILL_LOOKS):
        try:
            undoing = await _Attempt(instruments, target, step, kill, looks, first=not number).made(left_by)
        except InstrumentFailure as failure:
            if failure.missing != "transaction.state":
                raise
            return dataclasses.replace(undoing, skipped=failure.reason.rstrip("."))
        if not undoing.skipped:
            break
    return undoing


class _Attempt:
    """``looks``: how often the state must be found still before the moment to cut is thought to have come."""

    def __init__(
        self, instruments: Instruments, target: Target, step: Step, kill: str, looks: int, *, first: bool
    ) -> None:
        self._instruments = instruments
        self._target = target
        self._transaction = declared(target)
        self._step = step
        self._undo = step.compensation or step
        self._kill = kill
        self._looks = looks
        self._values = new_values()
        self._within = step.request or self._transaction.calls[0].name
        self._under_way = asyncio.Event()
        self._breaking, self._over = asyncio.Lock(), False
        self._begins_with: State = {}
        self._held = _held(instruments, step)
        # With time amid the step there is no need to cut before it; between two requests there is a moment.
        between = step.request not in (None, self._transaction.calls[0].name) and first
        self._cut_before = between or self._held.lever is None or self._held.way not in HELD

    async def made(self, left_by: list[State]) -> Undoing:
        """Carry it out. The request stays open until the end: a service may answer when all is undone."""
        transaction, kill = self._transaction, self._kill
        before = await self._state()
        bases = [before, *left_by]
        flag = await _flag(self._instruments, transaction.flagged)
        async with AsyncExitStack() as opened:
            async with AsyncExitStack() as away:
                sending = await self._failing(away, opened)
                now = await self._state()
                if changes(before, now):
                    hold_s = max(HOLD_S, self._instruments.profile.outage_s / OUTAGE_PARTS)
                    await asyncio.sleep(min(BEFORE_KILL_S if kill else hold_s, transaction.settle_s))
                    now = await self._state()
                pending = changes(before, now)
                if kill and pending:
                    async with self._instruments.faults.broken(kill, "kill"):
                        pass
                    await _back(self._instruments, self._target)
            ended = monotonic()
            # What the failing step held back has come by now: its partner was back before.
            after = await restored(self._instruments, transaction, bases, self._values, late_s=LOOK_S)
            settled_s = round(monotonic() - ended, 2)
            played = sending.result() if sending.done() else Played(problem="no reply")
        base = min(bases, key=lambda base: len(changes(base, after)))
        residue = changes(base, after)
        left_by[:] = bases if residue and not played.accepted else []
        return Undoing(
            self._step.name,
            bool(kill),
            skipped="" if pending else "nothing was left to undo while its lever was broken",
            accepted=played.accepted,
            status=played.status,
            pending=pending,
            effects_pending=effects(before, now),
            residue=residue,
            effects_after=effects(base, after),
            settled_s=settled_s,
            flagged=bool(residue) and _raised(flag, await _flag_now(self._instruments, transaction.flagged)),
        )

    async def _failing(self, away: AsyncExitStack, opened: AsyncExitStack) -> asyncio.Task[Played]:
        """Send the transaction, its step failing, and break into ``away`` what undoing needs meanwhile.

        On return the step's own partner is back, and nothing more is broken.
        """
        async with made_to_fail(self._instruments, self._held, self._step.request) as fail:

            async def begin(call: TransactionRequest) -> None:
                async with self._breaking:
                    if self._over or call.name != self._within:
                        return
                    if self._cut_before:
                        await self._cut(away)
                    self._begins_with = await self._state()
                    self._under_way.set()
                    await fail(call)

            headers = {**self._step.fail_header, **self._undo.fail_header}
            sending = await opened.enter_async_context(
                _sending(
                    play(
                        self._instruments,
                        self._transaction,
                        headers=headers,
                        before=begin,
                        values=self._values,
                    )
                )
            )
            try:
                await self._cut_amid(sending, away)
                await asyncio.wait({sending}, timeout=REPLY_S)
                async with self._breaking:  # a lever that is slow to break is broken by now, or never
                    self._over = True
            except BaseException:
                await _ended(sending)  # or it would break something when the rest is restored
                raise
        await asyncio.wait({sending}, timeout=HOLD_S)
        return sending

    async def _cut_amid(self, sending: asyncio.Task[Played], away: AsyncExitStack) -> None:
        if not self._cut_before:
            await self._begun(sending)
            if not sending.done():
                await self._cut(away)

    async def _cut(self, away: AsyncExitStack) -> None:
        if self._undo.lever is not None:
            await away.enter_async_context(self._instruments.faults.broken(self._undo.lever, self._undo.way))

    async def _begun(self, sending: asyncio.Task[Played]) -> None:
        """Wait until earlier steps of this request show and no longer grow, or the transaction is over."""
        started = asyncio.ensure_future(self._under_way.wait())
        await asyncio.wait({sending, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        last = self._begins_with
        still, deadline = -1, monotonic() + self._transaction.settle_s
        while still < self._looks and not sending.done() and monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
            now = await self._state()
            if not changes(self._begins_with, now):
                continue
            still = 0 if changes(last, now) else still + 1
            last = now

    async def _state(self) -> State:
        return await read_state(self._instruments, self._transaction.state, self._values)


def _held(instruments: Instruments, step: Step) -> Failing:
    """The step's means, in a way that leaves time, where its lever has one."""
    if step.lever is None or step.way in HELD:
        return step
    way = next((way for way in HELD if way in instruments.faults.ways(step.lever)), step.way)
    return step.model_copy(update={"way": way})


@asynccontextmanager
async def _sending(work: Coroutine[Any, Any, Played]) -> AsyncIterator[asyncio.Task[Played]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[Played]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # which whoever asks for the result hears of


async def _back(instruments: Instruments, target: Target) -> None:
    """Wait until the service talks again. Raises InstrumentFailure where it does not."""
    deadline = monotonic() + BACK_S
    request = Request("GET", target.health.liveness or "/", target.health.headers)
    while (await instruments.http.send(request, timeout_s=2.0, fresh_connection=True)).failure is not None:
        if monotonic() > deadline:
            raise InstrumentFailure("The service did not come back after it was killed.")
        await asyncio.sleep(LOOK_S)


async def _flag(instruments: Instruments, flag: Flag | None) -> Any:
    """What stands where a failed undo would show. Raises InstrumentFailure where that cannot be read."""
    if flag is None:
        return None
    if flag.equals is None:
        return await instruments.counts.read(flag, "The flag of a failed undo at", "transaction.flagged")
    reply = await instruments.http.send(Request("GET", flag.url, flag.headers), timeout_s=5.0)
    if not reply.succeeded:
        raise InstrumentFailure(f"{flag.url} cannot be read.", missing="transaction.flagged")
    found = at_path(reply.document(), flag.json_path or "")
    return type(found) is type(flag.equals) and found == flag.equals


async def _flag_now(instruments: Instruments, flag: Flag | None) -> Any:
    try:
        return await _flag(instruments, flag)
    except InstrumentFailure:  # a place that cannot be read shows nobody anything
        return None


def _raised(before: Any, now: Any) -> bool:
    """Whether the flag shows it: a value that is there now, or a number that is higher."""
    if now is None or isinstance(now, bool):
        return bool(now) and not before
    return bool(now > before)
