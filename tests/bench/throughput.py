"""Requests a second from one core, and what each costs, against an nginx on the other core."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.bench.processes import BenchError, Cores
from tests.bench.rows import Goal, Row, at_least_times, row
from tests.bench.servers import nginx, nginx_missing
from tests.bench.sizes import Sizes
from tests.bench.tools import Figures, Load, Ours, Tool

CPU_USERS = 20
GOALS: dict[tuple[str, int], Goal] = {
    ("Locust FastHttpUser", 20): at_least_times(8),
    ("wrk", 20): at_least_times(0.35),
    ("wrk", 200): at_least_times(0.5),
}


def measure(sizes: Sizes, cores: Cores, peers: Sequence[Tool]) -> list[Row]:
    """Rows for each number of users and each peer."""
    if missing := nginx_missing():
        return [row("throughput a core", None, "requests/s", note=missing)]
    rows: list[Row] = []
    with nginx(cores.server) as server:
        for users in sizes.throughput_users:
            load = Load(server.url, users, sizes.throughput_s)
            figures = _in_turn([Ours(), *peers], load, cores.client, sizes.rounds)
            ours = figures.pop(Ours.name)
            rows += _compared(users, ours, figures, peers)
    return rows


def _in_turn(tools: Sequence[Tool], load: Load, core: int, rounds: int) -> dict[str, list[Figures]]:
    """Every tool once a round, so that a noisy minute of the machine meets all of them."""
    figures: dict[str, list[Figures]] = {}
    for _ in range(rounds):
        for tool in tools:
            if not tool.missing:
                found = tool.run(load, core)
                if found.failed:
                    raise BenchError(f"{tool.name}: {found.failed} of {found.requests} requests failed")
                figures.setdefault(tool.name, []).append(found)
    return figures


def _of_pairs(ours: Sequence[Figures], theirs: Sequence[Figures]) -> float:
    """How many times the peer's rate ours is: the median over rounds, in each of which both had their turn.

    A virtual machine's core may be half as fast from one moment to the next; what is measured a second later
    meets the same core more often than what is measured a minute later.
    """
    return median(one.per_s / other.per_s for one, other in zip(ours, theirs, strict=True))


def _compared(
    users: int, ours: list[Figures], others: dict[str, list[Figures]], peers: Sequence[Tool]
) -> list[Row]:
    rows: list[Row] = []
    rate, cpu = median(one.per_s for one in ours), median(one.cpu_us for one in ours)
    plural = "users" if users > 1 else "user"
    for peer in peers:
        figures = others.get(peer.name)
        rows.append(
            row(
                f"throughput a core, {users} {plural}",
                rate,
                "requests/s",
                peer=median(one.per_s for one in figures) if figures else None,
                peer_name=peer.name,
                ratio=_of_pairs(ours, figures) if figures else None,
                goal=GOALS.get((peer.name, users)),
                note=peer.missing,
            )
        )
    if users == CPU_USERS:
        once = f"the summary took {median(one.once_s for one in ours):.1f} s on top, once"
        for peer in peers:
            figures = others.get(peer.name)
            peer_cpu = median(one.cpu_us for one in figures) if figures else None
            name = f"CPU a request, {users} {plural}"
            rows.append(row(name, cpu, "us", peer=peer_cpu, peer_name=peer.name, note=peer.missing or once))
    return rows
