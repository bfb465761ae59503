"""Transactions before and after a crash, and the state of their parties read back.

Private to this family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from checks.contract import InstrumentFailure, Instruments, Target, Transaction
from checks.error_recovery._flow import Played, play
from checks.error_recovery._lifetime import LEVER, facts_now, processes_of
from checks.error_recovery._records import Loss, Pattern, difference, learnt, losses
from checks.error_recovery._state import State, read_state

AT_ONCE = 6
AGAIN_S = 60.0
POLL_S = 0.1
MAX_CHARS = 500


@dataclass(frozen=True)
class Crash:
    """What was sent before the kill and came of it, and what was said and seen of the kill."""

    played: tuple[Played, ...]
    killed_after_s: float
    survivors: tuple[int, ...]
    not_back: str

    @property
    def counts(self) -> tuple[int, int]:
        """How many were acknowledged, and how many not."""
        done = sum(played.whole for played in self.played)
        return done, len(self.played) - done


@dataclass
class Books:
    """The state of all parties, with what each of the transactions so far has made.

    A party that shows one transaction at a time is read for each of them: a table by their nonces.
    """

    instruments: Instruments
    transaction: Transaction
    values: list[Mapping[str, str | int]] = field(default_factory=list)

    async def read(self) -> State:
        """Raises InstrumentFailure where a party cannot be read."""
        shared = [probe for probe in self.transaction.state if not probe.of_one]
        state = dict(await read_state(self.instruments, shared))
        for probe in (probe for probe in self.transaction.state if probe.of_one):
            made: dict[str, object] = {}
            for values in self.values:
                seen = await read_state(self.instruments, [probe], values)
                if probe.name in seen:
                    made[str(values["nonce"])] = seen[probe.name]
            state[probe.name] = made
        return state

    async def read_again(self, within_s: float) -> State:
        """The state as soon as all of it can be read. Raises InstrumentFailure."""
        until = monotonic() + within_s
        while True:
            try:
                return await self.read()
            except InstrumentFailure:
                if monotonic() > until:
                    raise
            await asyncio.sleep(POLL_S)

    async def settled(self, before: State) -> State:
        """The state once it differs from ``before`` and stays, or when ``settle_s`` is over."""
        until = monotonic() + self.transaction.settle_s
        after = await self.read()
        while monotonic() < until:
            await asyncio.sleep(POLL_S)
            earlier, after = after, await self.read()
            if after != before and after == earlier:
                break
        return after

    async def play(self) -> Played:
        """One more transaction."""
        played = await play(self.instruments, self.transaction)
        self.values.append(played.values)
        return played


async def learn(books: Books) -> tuple[Pattern, State]:
    """What two transactions do alike, and the state after them."""
    states = [await books.read()]
    for _ in range(2):
        await books.play()
        states.append(await books.settled(states[-1]))
    first, second = difference(states[0], states[1]), difference(states[1], states[2])
    return learnt(first, second, books.values), states[2]


async def crash(target: Target, instruments: Instruments, books: Books) -> Crash:
    """Some transactions at once, and a kill as soon as the last is answered. The service is running again."""
    before = processes_of(facts_now(target, instruments))
    played = await asyncio.gather(*(books.play() for _ in range(AT_ONCE)))
    answered_at, killed_at, not_back = monotonic(), None, ""
    try:
        async with instruments.faults.broken(LEVER, "kill"):
            killed_at = monotonic()
    except InstrumentFailure as failure:
        if killed_at is None:
            raise
        not_back = failure.reason[:MAX_CHARS]
    after = processes_of(facts_now(target, instruments))
    left = tuple(old.pid for old in before if any(old.same_as(new) for new in after))
    return Crash(tuple(played), killed_at - answered_at, left, not_back)


async def read_back(
    books: Books, pattern: Pattern, before: State, crashed: Crash
) -> tuple[tuple[Loss, ...], State]:
    """What is missing when ``settle_s`` are over, or nothing as soon as nothing is; and the state then.

    Raises InstrumentFailure where it cannot be read.
    """
    state = await books.read_again(0 if crashed.not_back else AGAIN_S)
    until = monotonic() + books.transaction.settle_s
    while found := losses(pattern, difference(before, state), *crashed.counts, books.values):
        if monotonic() > until:
            break
        await asyncio.sleep(POLL_S)
        state = await books.read()
    return found, state


async def one_more(books: Books, pattern: Pattern, before: State) -> tuple[tuple[Loss, ...], str]:
    """What is wrong with one transaction after the crash, or why there was none. Raises InstrumentFailure."""
    until = monotonic() + AGAIN_S
    while not (played := await books.play()).whole:
        if not played.broke_off or monotonic() > until:
            return (), played.problem
        await asyncio.sleep(POLL_S)
        before = await books.read()
    return losses(pattern, difference(before, await books.settled(before)), 1, 0, books.values), ""
