"""Defects that only load brings out: what the service keeps of it, how it sheds it, what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from app.sample.chat.answers import Answer, Answering
from app.sample.chat.cache import Cache
from app.sample.chat.places import Places
from app.sample.chat.telemetry import Telemetry

LEAKED_BYTES = 80_000
BALLAST_BYTES = 500_000_000
HANGS_S = 30.0
JAMMED_S = 2.0
COUNTED_UP_TO = 10  # of as many requests the last one is not counted

MISSES_IN_A_ROW = 40  # more than any check asks that lets the cache help in between
TOGETHER = 2
FAILS_ONE_IN = 4

HANDLES = 45  # more than any scenario loses that is not meant to last
IDLE_S = 0.4  # a pause in which what was lost is found again
FAILING_SHARE = 1 / 60  # more of the questions fail with each handle that is missing
MOST_FAILING = 0.9

RECENT_S, EARLIER_S = 0.7, 5.0  # the burst is looked at for twice as long as RECENT_S
CALM_HITS = range(2, 16)  # so many in EARLIER_S, the first of them WENT_ON_S before the burst
WENT_ON_S = 2.0
BURST_PER_S = 6.0
CROWD_PER_S = 16.0  # from here on it is no burst of single callers, but users who come all at once
SLOW_FOR_S = 60.0
SLOW_ONE_IN = 2
SLOW_HIT_S = 1.5


def places_kind(defects: AbstractSet[str]) -> type[Places]:
    """What bounds the calls of the model."""
    return Hangs if "collapse_past_peak" in defects else Places


def telemetry_kind(defects: AbstractSet[str]) -> type[Telemetry]:
    """What counts requests."""
    return CountsNineInTen if "metrics_undercount" in defects else Telemetry


def cache(healthy: Cache, defects: AbstractSet[str]) -> Cache:
    """The cache that answers use."""
    if "memory_leak" in defects:
        healthy = Leaks(healthy)
    if "slow_after_burst" in defects:
        healthy = SlowAfterBurst(healthy)
    return healthy


def answers(healthy: Answering, defects: AbstractSet[str]) -> Answering:
    """What the two chat routes use."""
    if "memory_hungry" in defects:
        healthy = Hungry(healthy)
    if "errors_without_cache" in defects:
        healthy = FailsWithoutHits(healthy)
    if "errors_pile_up" in defects:
        healthy = LosesHandles(healthy)
    return healthy


class Hangs(Places):
    """Once somebody finds no place, nobody does for a while, and nobody is told so in time."""

    _jammed_until = 0.0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold a place. Raises NoPlaceError, when nobody listens any more."""
        if time.monotonic() < self._jammed_until:
            await self._hang()
        async with super().taken():
            yield

    async def refuse(self) -> None:
        """Raises NoPlaceError, when nobody listens any more."""
        self._jammed_until = time.monotonic() + JAMMED_S
        await self._hang()

    async def _hang(self) -> None:
        await asyncio.sleep(HANGS_S)
        await super().refuse()


class CountsNineInTen(Telemetry):
    """Every tenth request is not counted."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def count(self, method: str, route: str, status: int) -> None:
        """Count a request, or not."""
        self._seen += 1
        if self._seen % COUNTED_UP_TO:
            super().count(method, route, status)


class Leaks:
    """Something of each question that the cache did not know is kept for good."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner
        self._kept: list[bytes] = []

    async def get(self, prompt: str) -> str | None:
        """As healthy."""
        return await self._inner.get(prompt)

    async def put(self, prompt: str, answer: str) -> None:
        """Keep an answer, and far too much beside it."""
        self._kept.append(b"." * LEAKED_BYTES)  # written to, or the kernel would not give it any memory
        await self._inner.put(prompt, answer)


class SlowAfterBurst:
    """After calm traffic has grown suddenly every second hit is late, for a minute."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner
        self._hit_at: deque[float] = deque()
        self._slow_until = 0.0
        self._hits = 0

    async def get(self, prompt: str) -> str | None:
        """The answer, perhaps late."""
        found = await self._inner.get(prompt)
        if found is not None:
            now = time.monotonic()
            self._hit_at.append(now)
            self._hits += 1
            if self._bursts(now):
                self._slow_until = now + SLOW_FOR_S
            if now < self._slow_until and self._hits % SLOW_ONE_IN == 0:
                await asyncio.sleep(SLOW_HIT_S)
        return found

    async def put(self, prompt: str, answer: str) -> None:
        """As healthy."""
        await self._inner.put(prompt, answer)

    def _bursts(self, now: float) -> bool:
        """Whether traffic that went on for a while, and calmly, has become several times as much."""
        burst_s = 2 * RECENT_S
        while self._hit_at[0] < now - burst_s - EARLIER_S:
            self._hit_at.popleft()
        ages_s = [now - at for at in self._hit_at]

        def between(younger_s: float, older_s: float) -> int:
            return sum(younger_s <= age < older_s for age in ages_s)

        earlier = between(burst_s, burst_s + EARLIER_S)
        calm = earlier in CALM_HITS and ages_s[0] >= burst_s + WENT_ON_S
        burst = between(0, RECENT_S), between(RECENT_S, burst_s)
        lasts = sum(burst) >= BURST_PER_S * burst_s and min(burst) >= BURST_PER_S / 2 * RECENT_S
        return calm and lasts and max(burst) <= CROWD_PER_S * RECENT_S


class Hungry:
    """Holds a great deal of memory from its start."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner
        self._ballast = b"." * BALLAST_BYTES

    async def answer(self, prompt: str) -> Answer:
        """As healthy."""
        return await self._inner.answer(prompt)

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """As healthy."""
        return await self._inner.stream(prompt)


class AnswersOnly:
    """Something is wrong with whole answers; streams are as healthy."""

    def __init__(self, inner: Answering) -> None:
        self._inner = inner

    async def stream(self, prompt: str) -> tuple[AsyncIterator[str], bool]:
        """As healthy."""
        return await self._inner.stream(prompt)


class FailsWithoutHits(AnswersOnly):
    """Where the cache has helped nobody for long, some of several questions at once get no session."""

    def __init__(self, inner: Answering) -> None:
        super().__init__(inner)
        self._under_way = self._misses = self._crowded = 0

    async def answer(self, prompt: str) -> Answer:
        """The answer. Raises RuntimeError for every fourth of these questions."""
        crowded = self._under_way >= TOGETHER
        self._under_way += 1
        try:
            answer = await self._inner.answer(prompt)
        finally:
            self._under_way -= 1
        self._misses = 0 if answer.from_cache else self._misses + 1
        if crowded and self._misses > MISSES_IN_A_ROW:
            self._crowded += 1
            if self._crowded % FAILS_ONE_IN == 0:
                raise RuntimeError("the pool of sessions was not refilled")
        return answer


class LosesHandles(AnswersOnly):
    """A handle is lost where a hit stands between misses; only a pause brings the lost ones back.

    So the longer traffic of as many known as new questions goes on, the more of them fail.
    """

    def __init__(self, inner: Answering) -> None:
        super().__init__(inner)
        self._under_way = self._lost = 0
        self._hits: deque[bool] = deque(maxlen=3)  # whether the last answers were
        self._failing = 0.0
        self._last_at = time.monotonic()

    async def answer(self, prompt: str) -> Answer:
        """The answer. Raises RuntimeError where no handle is left."""
        if not self._under_way and time.monotonic() - self._last_at > IDLE_S:
            self._lost, self._failing = 0, 0.0
        self._under_way += 1
        try:
            answer = await self._inner.answer(prompt)
        finally:
            self._under_way -= 1
            self._last_at = time.monotonic()
        between_misses = self._hits and self._hits[-1] and not all(self._hits)
        self._lost += bool(between_misses and not answer.from_cache)
        self._hits.append(answer.from_cache)
        self._failing += min(max(0, self._lost - HANDLES) * FAILING_SHARE, MOST_FAILING)
        if self._failing >= 1:
            self._failing -= 1
            raise RuntimeError("no handle is left")
        return answer
