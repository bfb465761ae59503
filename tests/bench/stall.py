"""The stall test: one full stop of the service in a steady load. Who says what a visitor at random met?

100 requests a second, answers after 100 ms, and for a fifteenth of the time the server does nothing at all. A
closed loop sends nothing meanwhile, so what it reports hides the stall (coordinated omission); wrk2's README
shows it first. What is true follows from when each request was due and from when the server stood still.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from tempfile import TemporaryDirectory

from tests.bench.processes import Cores, last_json
from tests.bench.rows import Goal, Row, row
from tests.bench.servers import Server, scripted
from tests.bench.sizes import Sizes
from tests.bench.tools import GRACE_S, Figures, Load, Ours, Tool, start_ours

SERVICE_S = 0.1
PER_S = 100
USERS = 10  # of a closed loop: as many as 100 requests a second of 100 ms keep busy
MOST_AT_ONCE = 1000
STALL_SHARE = 1 / 15
START_UP_S = 2.0
WITHIN = Goal("97 to 103 %", lambda ours: 97 <= ours <= 103)


@dataclass(frozen=True, slots=True)
class Stall:
    """When the server stood still, as unix time."""

    from_s: float
    to_s: float

    def true_latency_s(self, due_s: float) -> float:
        """What a request that was due then had to wait."""
        if self.from_s <= due_s < self.to_s:
            return self.to_s + SERVICE_S - due_s
        if due_s < self.from_s < due_s + SERVICE_S:  # read before the stall, answered after it
            return self.to_s - due_s
        return SERVICE_S


def percentile(values: Sequence[float], percent: int) -> float:
    """The value at rank ceil((n - 1) * q), as the driver defines it."""
    ordered = sorted(values)
    return ordered[ceil((len(ordered) - 1) * percent / 100)]


def measure(sizes: Sizes, cores: Cores, peers: Sequence[Tool]) -> list[Row]:
    """Rows of the share of the true p95 and p99 that each tool reports, in percent."""
    shares = _open(sizes, cores)
    others = _closed(sizes, cores, [Ours(), *(peer for peer in peers if not peer.missing)])
    rows: list[Row] = []
    for percent in (95, 99):
        for tool in [Ours(), *peers]:
            name = f"{tool.name}, closed" if isinstance(tool, Ours) else tool.name
            rows.append(
                row(
                    f"stall test: share of the true p{percent}",
                    shares[percent],
                    "%",
                    peer=others[tool.name][percent] if tool.name in others else None,
                    peer_name=name,
                    goal=WITHIN,
                    note=tool.missing,
                )
            )
    return rows


def _open(sizes: Sizes, cores: Cores) -> dict[int, float]:
    """Our open model, against the very arrivals that it had scheduled."""
    with (
        TemporaryDirectory(prefix="greenlight-bench-") as folder,
        scripted(cores.server, delay_ms=SERVICE_S * 1000) as server,
    ):
        load = {"users": MOST_AT_ONCE, "rate_per_s": PER_S, "duration_s": sizes.stall_s, "tell_due": True}
        given = {"url": server.url, "samples": f"{folder}/bench.parquet", **load}
        program = start_ours(given, cores.client)
        try:
            stall = _stalled(sizes, [server])
            document = last_json(program.wait(sizes.stall_s + GRACE_S).output)
        finally:
            program.end()
    true_s = [stall.true_latency_s(due_s) for due_s in document["due_unix_s"]]
    summary = document["summary"]
    return {
        percent: summary[f"p{percent}_ms"] / 1000 / percentile(true_s, percent) * 100 for percent in (95, 99)
    }


def _closed(sizes: Sizes, cores: Cores, tools: Sequence[Tool]) -> dict[str, dict[int, float]]:
    """All other tools at once, each with its own server: at this rate none of them feels another."""
    figures: dict[str, Figures] = {}
    with ExitStack() as stack:
        started = []
        servers = []
        for tool in tools:
            server = stack.enter_context(scripted(cores.server, delay_ms=SERVICE_S * 1000))
            load = Load(server.url, USERS, sizes.stall_s, per_user_per_s=PER_S / USERS)
            program = tool.start(load, cores.client)
            stack.callback(program.end)
            started.append((tool, program))
            servers.append(server)
        stall = _stalled(sizes, servers)
        for tool, program in started:
            figures[tool.name] = tool.figures(program.wait(sizes.stall_s + GRACE_S))
    visits = round(PER_S * sizes.stall_s)
    first_s = stall.from_s - sizes.stall_s / 3
    true_s = [stall.true_latency_s(first_s + number / PER_S) for number in range(visits)]
    return {
        name: {
            95: found.p95_ms / 1000 / percentile(true_s, 95) * 100,
            99: found.p99_ms / 1000 / percentile(true_s, 99) * 100,
        }
        for name, found in figures.items()
    }


def _stalled(sizes: Sizes, servers: Sequence[Server]) -> Stall:
    """Stop the servers for a while, in the middle of the load."""
    time.sleep(START_UP_S + sizes.stall_s / 3)
    for server in servers:
        server.program.freeze()
    from_s = time.time()
    try:
        time.sleep(sizes.stall_s * STALL_SHARE)
    finally:
        to_s = time.time()
        for server in servers:
            server.program.thaw()
    return Stall(from_s, to_s)
