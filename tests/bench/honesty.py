"""A driver that cannot keep up says so, and does not blame the service."""

from __future__ import annotations

from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.processes import Cores, busy, last_json
from tests.bench.rows import Goal, Row, row
from tests.bench.servers import scripted
from tests.bench.sizes import Sizes
from tests.bench.tools import GRACE_S, start_ours

ARRIVALS_PER_S = 20_000
MOST_AT_ONCE = 1000
KEPT_UP_MS = 5.0  # arrivals sent within this at p99 were not held up
GOAL = Goal("invalid, with reasons", lambda ours: ours == 1)


def measure(sizes: Sizes, cores: Cores) -> list[Row]:
    """Rows whose figure is 1 where the verdict fits what happened, and 0 where it does not."""
    closed = {"users": 200}
    arrivals = {"users": MOST_AT_ONCE, "rate_per_s": ARRIVALS_PER_S}
    return [
        _judged("200 users, 1 ms replies, half a core", closed, sizes, cores, halved=True),
        _judged(f"{ARRIVALS_PER_S:,} arrivals a second, half a core", arrivals, sizes, cores, halved=True),
        _judged(f"{ARRIVALS_PER_S:,} arrivals a second", arrivals, sizes, cores, halved=False),
    ]


def _judged(name: str, load: dict[str, Any], sizes: Sizes, cores: Cores, *, halved: bool) -> Row:
    with (
        TemporaryDirectory(prefix="greenlight-bench-") as folder,
        scripted(cores.server, delay_ms=1) as server,
        busy(cores.client) if halved else nullcontext(),
    ):
        given = {"url": server.url, "duration_s": sizes.honesty_s, "samples": f"{folder}/bench.parquet"}
        program = start_ours({**given, **load}, cores.client)
        summary = last_json(program.wait(sizes.honesty_s * 3 + GRACE_S).output)["summary"]
    reasons = summary["validity_reasons"]
    said_so = summary["validity"] == "invalid" and bool(reasons)
    note = f"{summary['validity']}: {reasons[0] if reasons else 'no reason given'}"
    if not said_so and _kept_up(summary):
        return row(f"honest: {name}", 1.0, "", goal=GOAL, note=f"kept up, so {summary['validity']} is right")
    return row(f"honest: {name}", float(said_so), "", goal=GOAL, note=note)


def _kept_up(summary: dict[str, Any]) -> bool:
    arrivals = summary["arrivals"]
    return (
        arrivals is not None
        and arrivals["sent"] == arrivals["scheduled"]
        and summary["dispatch_delay_p99_ms"] <= KEPT_UP_MS
    )
