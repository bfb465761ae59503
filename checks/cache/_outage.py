"""Users who go on asking while a dependency is cut. Private to this family."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

from checks.cache._mix import Meter
from checks.contract import Answer, InstrumentFailure, Instruments, Route

WAYS = {"refuse": "refuses connections", "hang": "is silent"}
USERS = 2
PACE_S = 0.1
RECOVERY_S = 10.0


def ways_of(instruments: Instruments) -> list[str]:
    """The ways in which the cache can be cut here. Raises InstrumentFailure where there is none."""
    ways = [way for way in WAYS if way in instruments.faults.ways("cache")]
    if not ways:
        raise InstrumentFailure(
            'The lever `cache` has neither way "refuse" nor "hang".', missing="levers.cache.ways"
        )
    return ways


@dataclass(frozen=True, slots=True)
class Probe:
    """One question: when (from the cut), what came, and a digest of the text to find canned answers.

    ``way`` is how the dependency was cut, "" before. ``status`` is None where there was no reply.
    """

    way: str
    at_s: float
    never_seen: bool
    good: bool
    status: int | None
    elapsed_ms: float
    problem: str
    text_sha256: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A never-seen question and the same again: what tells whether the second was a hit.

    ``calls`` are the upstream meter's on each side, None where it was not read; ``cached`` is what the second
    answer says of itself; ``commands`` are those that Redis saw meanwhile, None where it was not read.
    """

    good: bool
    calls: tuple[float, float] | None
    cached: bool | None
    commands: int | None
    problem: str

    @property
    def free(self) -> bool | None:
        """Whether the repeat cost no upstream call; None where the meter was not read or did not move."""
        if self.calls is None or not self.calls[0]:
            return None
        return self.calls[1] <= self.calls[0] / 2

    @property
    def tells(self) -> bool:
        """Whether a hit could be told from a miss."""
        return self.free is not None or self.cached is not None

    def hit(self, *, uses_redis: bool) -> bool:
        """Whether the repeat was a hit: by the meter, else by its marker.

        Memory that stands in for Redis makes hits too, so Redis must have been called where it was before.
        """
        if not self.good or (uses_redis and self.commands == 0):
            return False
        return bool(self.cached if self.free is None else self.free)


class CommandCount:
    """How many data commands Redis saw, as changes since it was last read; None where it cannot be read."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._last: int | None = None

    async def change(self) -> int | None:
        """Commands since the last reading; None for the first."""
        last = self._last
        try:
            self._last = (await self._instruments.redis.counters()).data_commands
        except InstrumentFailure:
            self._last = None  # an optional witness: without it, it is taken on trust that the lever cuts
        return None if last is None or self._last is None else self._last - last


class Pairs:
    """Asks pairs, one at a time, so that what the meter and Redis count belongs to them."""

    def __init__(self, instruments: Instruments, route: Route) -> None:
        self._instruments = instruments
        self._route = route
        self._meter = Meter(instruments)
        self._commands = CommandCount(instruments)

    async def ask(self, timeout_s: float) -> Pair:
        """One never-seen question, twice."""
        [prompt] = self._instruments.prompts.fresh(1)
        await self._meter.change()
        await self._commands.change()
        first = await self._instruments.questions.ask(prompt, route=self._route, timeout_s=timeout_s)
        cold = await self._meter.change()
        again = await self._instruments.questions.ask(prompt, route=self._route, timeout_s=timeout_s)
        warm = await self._meter.change()
        return Pair(
            first.good and again.good,
            None if self._meter.problem else (cold, warm),
            again.cached,
            await self._commands.change(),
            first.problem or again.problem,
        )


class Users:
    """Two users, some questions that the service will know, and as many new ones as are needed."""

    def __init__(self, instruments: Instruments, route: Route, known: Sequence[str]) -> None:
        self._instruments = instruments
        self._route = route
        self._known = known

    async def ask_known(self) -> list[Probe]:
        """Ask each of the known questions, which are new just now, once."""
        probes: list[Probe] = []

        async def user(number: int) -> None:
            for prompt in self._known[number::USERS]:
                answer = await self._ask(prompt, 30.0)
                probes.append(_probe("", 0.0, True, answer))

        await asyncio.gather(*(user(number) for number in range(USERS)))
        return probes

    async def watch(self, way: str, duration_s: float, deadline_s: float) -> list[Probe]:
        """Ask known and new questions in turn for ``duration_s``; each answer has ``deadline_s``."""
        probes: list[Probe] = []
        started = monotonic()

        async def user(turn: int) -> None:
            while monotonic() - started < duration_s:
                new = turn % 2 == 1
                prompt = self._new() if new else self._known[turn % len(self._known)]
                at_s = monotonic() - started
                probes.append(_probe(way, at_s, new, await self._ask(prompt, deadline_s)))
                turn += 1
                await asyncio.sleep(PACE_S)

        await asyncio.gather(*(user(number) for number in range(USERS)))
        return sorted(probes, key=lambda probe: probe.at_s)

    async def answered_again_s(self, counter: CommandCount, *, used_cache: bool) -> float | None:
        """Seconds until a new question is answered well; None when that takes over RECOVERY_S.

        Returns when the service also calls its cache again, where it did before and that can be seen: a
        breaker that is still open would hide the next cut from it.
        """
        started = monotonic()
        answered_s: float | None = None
        await counter.change()
        while monotonic() - started < RECOVERY_S:
            good = (await self._ask(self._new(), RECOVERY_S)).good
            if good and answered_s is None:
                answered_s = monotonic() - started
            if good and not (used_cache and await counter.change() == 0):
                break
            await asyncio.sleep(2 * PACE_S)
        return answered_s

    async def _ask(self, prompt: str, timeout_s: float) -> Answer:
        return await self._instruments.questions.ask(prompt, route=self._route, timeout_s=timeout_s)

    def _new(self) -> str:
        return self._instruments.prompts.fresh(1)[0]


def _probe(way: str, at_s: float, never_seen: bool, answer: Answer) -> Probe:
    digest = sha256(answer.text.encode("utf-8", "replace")).hexdigest()[:16]
    return Probe(way, at_s, never_seen, answer.good, answer.status, answer.elapsed_ms, answer.problem, digest)


def same_texts(probes: Sequence[Probe]) -> int:
    """How many different questions got one and the same good answer, at most."""
    texts = Counter(probe.text_sha256 for probe in probes if probe.never_seen and probe.good)
    return max(texts.values(), default=0)


def still_connected(before: tuple[int | None, int], meanwhile: tuple[int | None, int]) -> bool:
    """Whether a lever did not cut: Redis saw refused questions as it saw those before.

    Both are commands and questions. It is about refusing only, since silence may let commands through.
    """
    (usual, asked), (seen, cut) = before, meanwhile
    return bool(usual and seen and usual >= asked and seen >= cut)
