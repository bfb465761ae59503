"""Runs the checks: their order, deadlines, cancellation, and what a crash becomes.

Each check runs in a thread and event loop of its own, so that one that blocks, crashes or talks nonsense
becomes a visible ERROR and the others go on. Those that disturb nobody run first and side by side, a few at a
time; every other one runs alone. What can harm comes last; after each check that can, the primary
question is asked again, and what stopped answering is said to have been broken by that check.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import uvloop

from app.rubric import Rubric
from checks import LoadedCheck
from checks.contract import (
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Outcome,
    Profile,
    show,
    thresholds_for,
)
from checks.contract.target import Target

MAX_EVIDENCE_BYTES = 512_000
TICK_S = 0.1
STOP_GRACE_S = 10.0  # restoring a lever and closing connections, after a deadline or a cancel
FAULT_STOP_GRACE_S = 30.0
PROBE_TIMEOUT_S = 10.0
RETRY_S = 0.5
MAX_REASON_LENGTH = 500
SIDE_BY_SIDE = 4
RECOVERY_S = 20.0  # a breaker may need a while to close again before a service counts as broken by us

KIND_ORDER = {Kind.PASSIVE: 0, Kind.ACTIVE: 1, Kind.LOAD: 2, Kind.FAULT: 4}
HOSTILE_ORDER = 3
BESIDE_ORDER = -1


class Cancelled(Exception):  # noqa: N818 - somebody's wish, not an error
    """The run was asked to stop."""


class Overrun(Exception):  # noqa: N818 - a fact about a check
    """A check did not end within its deadline."""


class Nonsense(Exception):  # noqa: N818 - a fact about a check
    """A check returned what no check may return."""


class Toolbox(Protocol):
    """What the engine needs of app.instruments.toolbox.Toolbox."""

    def refusal(self, check: LoadedCheck) -> InstrumentFailure | None:
        """Why this check cannot be carried out on this target, if so."""

    def open(self, check: LoadedCheck) -> AbstractAsyncContextManager[Instruments]:
        """Fresh instruments for one check."""

    async def primary_answers(self, timeout_s: float) -> bool | None:
        """Whether the business question is answered; None where none is declared."""


@dataclass(frozen=True)
class Measured:
    """A check's finding with the evidence and thresholds it came from."""

    check: LoadedCheck
    finding: Finding
    evidence: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    measured_at: datetime | None = None


@dataclass(frozen=True)
class Watcher:
    """Who hears of a run: ``began`` and ``ended`` for each check; ``cancelled`` says when to stop.

    ``abandoned`` is called when a check could not be stopped, to restore what it may have broken. All are
    called from whichever thread carries the check out.
    """

    began: Callable[[LoadedCheck], None]
    ended: Callable[[Measured], None]
    cancelled: Callable[[], bool]
    abandoned: Callable[[LoadedCheck], None]


def in_order(checks: Sequence[LoadedCheck], rubric: Rubric) -> list[LoadedCheck]:
    """Side by side, passive, active, load, hostile, fault; within a kind as the rubric lists them."""
    listed = {name: place for place, name in enumerate(rubric.checks)}

    def place(check: LoadedCheck) -> tuple[int, int, str]:
        harm = HOSTILE_ORDER if check.about.hostile else KIND_ORDER[check.about.kind]
        if _beside(check):
            harm = BESIDE_ORDER
        return (harm, listed.get(check.id, len(listed)), check.id)

    return sorted(checks, key=place)


@dataclass(frozen=True)
class Engine:
    """Carries out checks on one target."""

    target: Target
    toolbox: Toolbox
    rubric: Rubric
    profile: Profile
    watcher: Watcher

    def run(self, checks: Sequence[LoadedCheck]) -> list[Measured]:
        """Carry out ``checks`` and return what each found, in the order they ran. Raises Cancelled."""
        order = in_order(checks, self.rubric)
        first = [check for check in order if _beside(check)]
        return self._side_by_side(first) + self._one_by_one(order[len(first) :])

    def _side_by_side(self, checks: Sequence[LoadedCheck]) -> list[Measured]:
        def carry_out(check: LoadedCheck) -> Measured:
            if self.watcher.cancelled():
                raise Cancelled
            self.watcher.began(check)
            measured = self._measure(check)
            self.watcher.ended(measured)
            return measured

        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="beside") as pool:
            return list(pool.map(carry_out, checks))

    def _one_by_one(self, checks: Sequence[LoadedCheck]) -> list[Measured]:
        results: list[Measured] = []
        broken_by: LoadedCheck | None = None
        answered: bool | None = None
        for check in checks:
            if self.watcher.cancelled():
                raise Cancelled
            self.watcher.began(check)
            if broken_by:
                measured = _unmeasured(check, broken_by)
            else:
                harmful = _can_harm(check) and self.toolbox.refusal(check) is None
                if harmful and answered is None:
                    answered = self._primary_answers()
                measured = self._measure(check)
                if harmful and answered and not self._recovers():
                    broken_by, measured = check, _our_probe_broke_it(measured)
            results.append(measured)
            self.watcher.ended(measured)
        return results

    def _measure(self, check: LoadedCheck) -> Measured:
        refusal = self.toolbox.refusal(check)
        if refusal:
            return Measured(check, Finding.not_assessed(refusal.reason, missing=refusal.missing))
        started, at = time.monotonic(), datetime.now(UTC)
        deadline_s = check.about.deadline_in(self.profile)

        async def attempt() -> Measured:
            async with self.toolbox.open(check) as instruments:
                evidence = await check.gather(self.target, instruments)
            kept = _as_json(check, evidence)
            finding, thresholds = judged(check, evidence, self.target, self.rubric)
            return Measured(check, finding, kept, thresholds)

        try:
            grace_s = FAULT_STOP_GRACE_S if check.about.kind is Kind.FAULT else STOP_GRACE_S
            abandon = functools.partial(self.watcher.abandoned, check)
            measured: Measured = _in_own_loop(attempt, deadline_s, grace_s, self.watcher.cancelled, abandon)
        except Cancelled:
            raise
        except InstrumentFailure as failure:
            measured = Measured(check, Finding.not_assessed(failure.reason, missing=failure.missing))
        except Overrun as overrun:
            measured = Measured(check, Finding.errored(str(overrun)))
        except Nonsense as nonsense:
            measured = Measured(check, Finding.errored(f"The check itself broke: {nonsense}."))
        except BaseException as error:  # noqa: BLE001 - whatever a check raises becomes a visible finding
            reason = f"The check itself broke: {type(error).__name__}: {_one_line(error)}"
            measured = Measured(check, Finding.errored(reason))
        return dataclasses.replace(measured, seconds=time.monotonic() - started, measured_at=at)

    def _primary_answers(self) -> bool:
        async def ask() -> bool | None:
            return await self.toolbox.primary_answers(PROBE_TIMEOUT_S)

        try:
            wait_s = PROBE_TIMEOUT_S + STOP_GRACE_S
            return bool(_in_own_loop(ask, wait_s, STOP_GRACE_S, self.watcher.cancelled, lambda: None))
        except (InstrumentFailure, Overrun):
            return False

    def _recovers(self) -> bool:
        end = time.monotonic() + RECOVERY_S
        while not self._primary_answers():
            if time.monotonic() > end:
                return False
            time.sleep(RETRY_S)
        return True


def judged(
    check: LoadedCheck, evidence: Any, target: Target, rubric: Rubric
) -> tuple[Finding, dict[str, Any]]:
    """Judge ``evidence`` under the rubric and the target's objectives; also used to score a run again."""
    entry = rubric.checks.get(check.id)
    thresholds = thresholds_for(check.thresholds, entry.thresholds if entry else {}, target)
    finding = check.judge(evidence, thresholds)
    if not isinstance(finding, Finding):
        raise Nonsense(f"judge returned {type(finding).__name__}, not a Finding")
    if finding.outcome is Outcome.ERROR:
        raise Nonsense("judge returned ERROR, which only the engine may say")
    return finding, dataclasses.asdict(thresholds)


def _can_harm(check: LoadedCheck) -> bool:
    return check.about.hostile or check.about.kind in (Kind.LOAD, Kind.FAULT)


def _beside(check: LoadedCheck) -> bool:
    return check.about.beside and not _can_harm(check)


class _Attempt(threading.Thread):
    """One coroutine in a thread and loop of its own, which can be asked to stop from outside."""

    def __init__(self, make: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(daemon=True, name="check")
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stopped = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self.result = runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the engine's thread, which raises it
            self.error = error

    async def _main(self) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopped.is_set():
            raise asyncio.CancelledError
        return await self._make()

    def stop(self) -> None:
        """Cancel the coroutine; it may take a moment to put back what it broke."""
        self._stopped.set()
        if self._loop and self._task and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)


def _in_own_loop(
    make: Callable[[], Awaitable[Any]],
    deadline_s: float,
    grace_s: float,
    cancelled: Callable[[], bool],
    abandoned: Callable[[], None],
) -> Any:
    attempt = _Attempt(make)
    attempt.start()
    end = time.monotonic() + deadline_s
    reason: Cancelled | Overrun | None = None
    while attempt.is_alive() and reason is None:
        attempt.join(TICK_S)
        if cancelled():
            reason = Cancelled()
        elif time.monotonic() > end:
            reason = Overrun(f"The check did not end within its deadline of {show(deadline_s, 's')}.")
    if reason and attempt.is_alive():
        attempt.stop()
        attempt.join(grace_s)
        if attempt.is_alive():
            abandoned()
        raise reason
    if attempt.error:
        raise attempt.error
    return attempt.result


def _our_probe_broke_it(measured: Measured) -> Measured:
    found = measured.finding
    text = (
        f"{found.reason} Our probe broke it: the service answered before this check and has not answered for "
        f"{show(RECOVERY_S, 's')} after it. Restart the service, then run the assessment again."
    )
    outcome = Outcome.ERROR if found.outcome is Outcome.ERROR else Outcome.FAIL
    return dataclasses.replace(measured, finding=found.but(outcome=outcome, share=0.0, reason=text))


def _unmeasured(check: LoadedCheck, broken_by: LoadedCheck) -> Measured:
    reason = f"The service no longer answers since {broken_by.id}."
    return Measured(check, Finding.not_assessed(reason, follows_from=broken_by.id))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:MAX_REASON_LENGTH]


def _as_json(check: LoadedCheck, evidence: Any) -> dict[str, Any]:
    if not isinstance(evidence, check.evidence):
        raise Nonsense(f"gather returned {type(evidence).__name__}, not its Evidence")
    try:
        text = json.dumps(dataclasses.asdict(evidence), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Nonsense(f"its evidence is not JSON: {error}") from error
    if len(text) > MAX_EVIDENCE_BYTES:
        raise Nonsense(f"its evidence has {len(text):,} bytes, more than {MAX_EVIDENCE_BYTES:,}")
    kept: dict[str, Any] = json.loads(text)
    return kept
