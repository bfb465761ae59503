"""The declared Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RedisCounters:
    """Counters of a Redis at one moment. ``data_commands`` leaves out PING, INFO, AUTH and such.

    ``sees_all`` is False for a node of a cluster and for a replica: what a service sends may go elsewhere,
    so that their silence proves nothing.
    """

    run_id: str
    uptime_s: int
    keyspace_hits: int
    keyspace_misses: int
    data_commands: int
    sees_all: bool = True


@dataclass(frozen=True, slots=True)
class RedisState:
    """What a Redis says of its memory at one moment, and counts since its start (``run_id``).

    ``used_bytes`` is what counts against ``max_bytes`` (0: no limit), ``host_bytes`` the memory of its host
    (0: not said). A ``replica`` leaves evicting to its primary. ``sets`` are commands that store a value.
    """

    run_id: str
    replica: bool
    used_bytes: int
    max_bytes: int
    host_bytes: int
    policy: str
    evicted: int
    sets: int
    rejected: int


@dataclass(frozen=True, slots=True)
class KeySample:
    """Keys of the declared database and prefix: digest of the name -> seconds to live, None without end.

    ``complete``: these are all of them.
    """

    seconds: Mapping[str, int | None]
    complete: bool


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """An entry of the slow log: its number, which only grows, and the command without its arguments."""

    number: int
    took_ms: float
    command: str


@dataclass(frozen=True, slots=True)
class SlowLog:
    """The newest entries, newest first. ``from_ms``: what takes longer is logged; negative: nothing is."""

    commands: tuple[SlowCommand, ...]
    from_ms: float | None


class Redis(Protocol):
    """Reads the declared Redis. Raises InstrumentFailure when it cannot be reached or read."""

    async def ping_ms(self, count: int) -> list[float]:
        """Round trips of PING, each on a fresh connection, in ms."""

    async def get_ms(self, count: int) -> list[float]:
        """Round trips of GET on one warm connection in ms, for a key that is not there; at least one."""

    async def counters(self) -> RedisCounters:
        """The counters now; reading them does not move them."""

    async def state(self) -> RedisState:
        """Memory, its limit, and the counters that go with it."""

    async def keys(self) -> KeySample:
        """A sample of the keys, by SCAN, with their time to live: at least 500 or all, in bounded time."""

    async def slow_log(self) -> SlowLog:
        """The slow log's newest entries."""
