"""How far the reported p50 and p99 are from the truth, where every answer takes 100 ms; and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.bench.processes import Cores
from tests.bench.rows import Goal, Row, below, row
from tests.bench.servers import scripted
from tests.bench.sizes import Sizes
from tests.bench.tools import Figures, Load, Ours, Tool

TRUTH_MS = 100.0
LIMITS_MS = {(200, 50): 1.5, (200, 99): 10.0, (1000, 50): 3.0, (1000, 99): 60.0}
MEMORY_USERS = 1000
MEMORY_GOAL = below(150, "MB")


def measure(sizes: Sizes, cores: Cores, peers: Sequence[Tool]) -> list[Row]:
    """Rows for each number of users, percentile and peer."""
    rows: list[Row] = []
    for users in sizes.latency_users:
        found: dict[str, Figures] = {}
        truth: dict[str, Any] = {}
        for tool in [Ours(), *peers]:
            if tool.missing:
                continue
            with scripted(cores.server, delay_ms=TRUTH_MS) as server:
                found[tool.name] = tool.run(
                    Load(server.url, users, sizes.latency_s, warmup_s=1), cores.client
                )
            if tool.name == Ours.name:
                truth = server.truth
        rows += _errors(users, found, peers, truth)
        if users == MEMORY_USERS:
            rows += _memory(users, found, peers)
    return rows


def _errors(users: int, found: dict[str, Figures], peers: Sequence[Tool], truth: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for percent in (50, 99):
        ours_ms = _error_ms(found[Ours.name], percent)
        goal, note = _goal(LIMITS_MS.get((users, percent)), truth[f"late_p{percent}_ms"])
        for peer in peers:
            figures = found.get(peer.name)
            rows.append(
                row(
                    f"error of p{percent}, {users:,} users",
                    ours_ms,
                    "ms",
                    peer=_error_ms(figures, percent) if figures else None,
                    peer_name=peer.name,
                    goal=goal,
                    note=peer.missing or note,
                )
            )
    return rows


def _goal(limit_ms: float | None, late_ms: float) -> tuple[Goal | None, str]:
    """The goal and a note on the server's own lateness, which is part of the error.

    There is no goal where that alone is beyond the limit: the server then did not have its core to itself,
    and nothing can be said of its client.
    """
    note = f"{late_ms:.1f} ms of it is the server's own lateness"
    if limit_ms is not None and late_ms > limit_ms:
        return None, f"{note}: too busy a machine to be judged"
    return below(limit_ms, "ms") if limit_ms is not None else None, note


def _memory(users: int, found: dict[str, Figures], peers: Sequence[Tool]) -> list[Row]:
    ours = found[Ours.name].peak_bytes / 1e6
    name = f"peak memory, {users:,} users"
    return [
        row(
            name,
            ours,
            "MB",
            peer=found[peer.name].peak_bytes / 1e6 if peer.name in found else None,
            peer_name=peer.name,
            goal=MEMORY_GOAL,
            note=peer.missing,
        )
        for peer in peers
    ]


def _error_ms(figures: Figures, percent: int) -> float:
    reported = figures.p50_ms if percent == 50 else figures.p99_ms
    return abs(reported - TRUTH_MS)
