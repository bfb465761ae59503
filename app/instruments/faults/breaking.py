"""The instrument that checks use: break within ``async with``, and restore whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.instruments.faults.faultproxy import FaultproxyLever
from app.instruments.faults.ledger import Ledger
from app.instruments.faults.lever import Aim, Lever, LeverFailureError, NotWholeError
from app.instruments.faults.levers import aim_of, lever_from, restored
from app.instruments.references import References
from checks.contract import InstrumentFailure, ProxyCall, Target
from checks.contract.target.dependencies import Lever as Declared

LeverHook = Callable[[str, str, str, str], None]


class Breaker:
    """The declared levers. ``refusal`` says of a lever's name why it may not be used, or None.

    ``on_change`` hears lever, way, what ("broken", "restored", "failed") and a detail: how to restore it by
    hand, nothing, why it failed.
    """

    def __init__(
        self,
        target: Target,
        references: References,
        ledger: Ledger,
        refusal: Callable[[str], InstrumentFailure | None],
        on_change: LeverHook,
    ) -> None:
        self._target = target
        self._references = references
        self._ledger = ledger
        self._refusal = refusal
        self._on_change = on_change

    def ways(self, lever: str) -> tuple[str, ...]:
        """The ways in which ``lever`` can break its dependency; empty where it is not declared."""
        declared = self._target.levers.get(lever)
        return self._lever(declared).ways if declared else ()

    async def calls(self, lever: str) -> int:
        """Calls that came to the lever's proxy since it started, answered or not.

        Raises InstrumentFailure where this kind of lever does not count, or its proxy does not tell.
        """
        try:
            return await self._counting(lever).calls()
        except LeverFailureError as error:
            raise self._useless(lever, error) from error

    async def latest_calls(self, lever: str, *, after: int) -> tuple[ProxyCall, ...]:
        """Those of the last calls whose number is above ``after``, in the order they came.

        Raises InstrumentFailure where this kind of lever does not count, or its proxy does not tell.
        """
        try:
            return await self._counting(lever).latest_calls(after)
        except LeverFailureError as error:
            raise self._useless(lever, error) from error

    def _counting(self, lever: str) -> FaultproxyLever:
        if refusal := self._refusal(lever):
            raise refusal
        declared = self._target.levers[lever]
        counting = self._lever(declared)
        if not isinstance(counting, FaultproxyLever):
            raise InstrumentFailure(
                f"Lever {lever} is of kind {declared.kind}, which counts no calls. Start `python -m app "
                f"faults proxy` before what it breaks, and declare `[levers.{lever}]` with "
                '`kind = "faultproxy"`.',
                missing=f"levers.{lever}.kind",
            )
        return counting

    @asynccontextmanager
    async def broken(self, lever: str, way: str) -> AsyncIterator[None]:
        """Break on entering, restore on leaving, by success, exception or cancellation.

        Raises InstrumentFailure where the lever may not be used, does not work, or (loudest) did not
        restore; its entry then stays in the ledger and the next start tries again.
        """
        if refusal := self._refusal(lever):
            raise refusal
        declared = self._target.levers[lever]
        puller = self._lever(declared)
        if way not in puller.ways:
            can = ", ".join(puller.ways) or "nothing"
            raise InstrumentFailure(
                f"Lever {lever} cannot {way}; it can {can}. Change `[levers.{lever}]` in the target file.",
                missing=f"levers.{lever}.ways",
            )
        entry = self._ledger.write(self._target.key, lever, way, declared, aim_of(declared, self._target))
        puller = self._lever(declared, entry)
        whole = True
        try:
            # not cut short: half a break that goes on behind our back would outlast the restore
            await _to_its_end(puller.break_it(way))
            self._on_change(lever, way, "broken", puller.by_hand())
            yield
        except NotWholeError as error:
            whole = False
            raise self._useless(lever, error) from error
        except LeverFailureError as error:
            raise self._useless(lever, error) from error
        finally:
            if whole:
                await _to_its_end(self._restore(puller, lever, way, entry))
            else:
                self._ledger.erase(entry)

    def _lever(self, declared: Declared, entry: Path | None = None) -> Lever:
        def keep(aim: Aim) -> None:
            if entry is not None:
                self._ledger.keep(entry, aim)

        return lever_from(declared, self._references, aim_of(declared, self._target), keep)

    def _useless(self, lever: str, error: LeverFailureError) -> InstrumentFailure:
        return InstrumentFailure(self._references.hide(f"Lever {lever} does not work: {error}."))

    async def _restore(self, puller: Lever, lever: str, way: str, entry: Path) -> None:
        problem = await restored(puller)
        if problem is None:
            self._ledger.erase(entry)
            self._on_change(lever, way, "restored", "")
            return
        text = self._references.hide(problem)
        self._on_change(lever, way, "failed", f"{text}. Restore it by hand: {puller.by_hand()}")
        raise InstrumentFailure(
            f"Lever {lever} could not be restored: {text}. Restore it by hand: {puller.by_hand()}"
        )


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for ``work`` however often this task is cancelled meanwhile, then let the cancellation go on."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not (task.cancelled() or task.exception()):
        raise asyncio.CancelledError
    task.result()
