"""How long and how often everything is measured: in full, as a smoke test, and as small as a test can be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Durations in seconds; ``rounds`` is how often each tool has its turn, the median counts."""

    rounds: int
    throughput_s: float
    throughput_users: tuple[int, ...]
    latency_s: float
    latency_users: tuple[int, ...]
    stall_s: float
    streams: tuple[int, ...]
    streams_s: float
    stream_peer: bool
    samples: int
    honesty_s: float
    pairs: int


FULL = Sizes(
    rounds=9,
    throughput_s=2,
    throughput_users=(1, 20, 200),
    latency_s=8,
    latency_users=(200, 1000),
    stall_s=30,
    streams=(1, 50, 200),
    streams_s=6,
    stream_peer=True,
    samples=10_000_000,
    honesty_s=5,
    pairs=400,
)
QUICK = Sizes(
    rounds=1,
    throughput_s=2,
    throughput_users=(20,),
    latency_s=3,
    latency_users=(200,),
    stall_s=8,
    streams=(50,),
    streams_s=3,
    stream_peer=False,
    samples=1_000_000,
    honesty_s=3,
    pairs=5,
)
