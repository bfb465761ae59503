"""A Redis in memory, as its checks see it, and instruments whose questions leave keys in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from checks.contract import (
    Answer,
    InstrumentFailure,
    KeySample,
    RedisCounters,
    RedisState,
    SlowCommand,
    SlowLog,
)
from tests.checks.scripted import Route, ScriptedInstruments, ScriptedQuestions, an_answer

STATE = RedisState(
    run_id="first",
    replica=False,
    used_bytes=10_000_000,
    max_bytes=64_000_000,
    host_bytes=8_000_000_000,
    policy="allkeys-lru",
    evicted=7,
    sets=100,
    rejected=3,
)


def a_state(**changes: object) -> RedisState:
    return replace(STATE, **changes)


@dataclass
class RedisModel:
    """What a service does with a Redis. ``failures`` are raised by the methods that they name.

    ``ttl_s(route)``: what an answer's key gets. ``after`` changes the state with the first question.
    ``stores(route)``: keys that one question leaves.
    """

    state_now: RedisState = STATE
    after: dict[str, object] = field(default_factory=dict)
    old_keys: dict[str, int | None] = field(default_factory=dict)
    ttl_s: Callable[[Route], int | None] = lambda route: 900
    stores: Callable[[Route], int] = lambda route: 1
    sees_all: bool = True
    complete: bool = True
    gets_ms: Sequence[float] = (0.2,)
    slow: tuple[SlowCommand, ...] = ()
    slow_with_questions: tuple[SlowCommand, ...] = ()
    log_from_ms: float | None = 10.0
    failures: dict[str, InstrumentFailure] = field(default_factory=dict)
    commands: int = 0
    asked: int = 0
    gets: int = 0

    def __post_init__(self) -> None:
        self.kept = dict(self.old_keys)

    def answer(self, prompt: str, route: Route) -> Answer:
        if not self.asked:
            self.state_now = replace(self.state_now, **self.after)
            self.slow = self.slow_with_questions + self.slow
        self.asked += 1
        self.commands += self.stores(route)
        self.kept |= {f"{route} {prompt} {n}": self.ttl_s(route) for n in range(self.stores(route))}
        return an_answer(f"About {prompt}", route=route)

    async def state(self) -> RedisState:
        self._fail("state")
        return self.state_now

    async def counters(self) -> RedisCounters:
        self._fail("counters")
        return RedisCounters(self.state_now.run_id, 60, 0, 0, self.commands, self.sees_all)

    async def keys(self) -> KeySample:
        self._fail("keys")
        return KeySample(dict(self.kept), self.complete)

    async def get_ms(self, count: int) -> list[float]:
        self._fail("get_ms")
        self.gets += count
        return [self.gets_ms[n % len(self.gets_ms)] for n in range(count)]

    async def slow_log(self) -> SlowLog:
        self._fail("slow_log")
        return SlowLog(self.slow, self.log_from_ms)

    def _fail(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]

    def instruments(self, **changes: object) -> ScriptedInstruments:
        given = {"redis": self, "questions": ScriptedQuestions(self.answer)} | changes
        return ScriptedInstruments(**given)
