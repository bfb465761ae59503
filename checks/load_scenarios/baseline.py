"""One user is answered fast, every time.

Why it matters
    What is slow or wrong for one user is not a matter of load. The other scenarios are read against
    this one: it shows what a request costs when nothing else happens.

How it is measured
    One user on one connection each asks ten questions of the declared repeat mix in random order for the
    profile's time, and until there are 73, with 50 ms to think in between. The questions are new to the
    service, there is no warm-up, and every request counts: the first ask of each is a miss. Success, mean
    latency and hit ratio are judged each; the worst decides. Hits are those that the replies' marker names.

How to fix it
    1. Mend `endpoint_health.primary_route` and `cache.hit_rate` first: they explain most failures here.
    2. Profile a single request: what it waits for, one thing after the other, is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import Check, Instruments, Kind, Target, objective
from checks.load_scenarios._closed import Evidence, judge, run

__all__ = ["CHECK", "Evidence", "Thresholds", "gather", "judge"]

CHECK = Check(
    failure_title="One user alone is not served well",
    kind=Kind.LOAD,
    does="One user asks a question after the other.",
    measures="of requests were answered",
    needs=("questions", "load"),
    deadline_s=60,
    typical_s=0.5,
    scenario="baseline",
)


@dataclass(frozen=True)
class Thresholds:
    """Scenario 1 of the team's load suite: > 95 %, < 3 s, > 50 %; each within 20 % still warns."""

    pass_success_ratio: float = objective(0.95, "success_ratio")
    pass_mean_ms: float = objective(3_000, "mean_latency_ms")
    pass_hit_ratio: float = objective(0.5, "hit_ratio")
    warn_within_ratio: float = 0.2


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Run the scenario."""
    return await run(target, instruments, "baseline")
