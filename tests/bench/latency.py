"""How far the reported p50 and p99 are from the truth, where every answer takes 100 ms; and memory."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.processes import Cores
from tests.bench.rows import Goal, Row, below, row
from tests.bench.servers import scripted
from tests.bench.sizes import Sizes
from tests.bench.tools import Figures, Load, Ours, Tool

TRUTH_MS = 100.0
GOALS: dict[tuple[int, int], Goal] = {
    (200, 50): below(1.5, "ms"),
    (200, 99): below(10, "ms"),
    (1000, 50): below(3, "ms"),
    (1000, 99): below(60, "ms"),
}
MEMORY_USERS = 1000
MEMORY_GOAL = below(150, "MB")


def measure(sizes: Sizes, cores: Cores, peers: Sequence[Tool]) -> list[Row]:
    """Rows for each number of users, percentile and peer."""
    rows: list[Row] = []
    for users in sizes.latency_users:
        found: dict[str, Figures] = {}
        late_ms = 0.0
        for tool in [Ours(), *peers]:
            if tool.missing:
                continue
            with scripted(cores.server, delay_ms=TRUTH_MS) as server:
                found[tool.name] = tool.run(
                    Load(server.url, users, sizes.latency_s, warmup_s=1), cores.client
                )
            if tool.name == Ours.name:
                late_ms = server.truth["late_p99_ms"]
        note = f"the server itself was late by {late_ms:.1f} ms (p99), which is in it"
        rows += _compared(users, found, peers, note)
    return rows


def _compared(users: int, found: dict[str, Figures], peers: Sequence[Tool], note: str) -> list[Row]:
    ours = found[Ours.name]
    rows: list[Row] = []
    for percent in (50, 99):
        for peer in peers:
            figures = found.get(peer.name)
            rows.append(
                row(
                    f"error of p{percent}, {users:,} users",
                    _error_ms(ours, percent),
                    "ms",
                    peer=_error_ms(figures, percent) if figures else None,
                    peer_name=peer.name,
                    goal=GOALS.get((users, percent)),
                    note=peer.missing or (note if percent == 99 else ""),
                )
            )
    if users == MEMORY_USERS:
        locust = next((found[peer.name] for peer in peers if peer.name in found), None)
        rows.append(
            row(
                f"peak memory, {users:,} users",
                ours.peak_bytes / 1e6,
                "MB",
                peer=locust.peak_bytes / 1e6 if locust else None,
                peer_name=peers[0].name,
                goal=MEMORY_GOAL,
            )
        )
    return rows


def _error_ms(figures: Figures, percent: int) -> float:
    reported = figures.p50_ms if percent == 50 else figures.p99_ms
    return abs(reported - TRUTH_MS)
