"""Five users are answered fast, every time.

Why it matters
    A handful of people at once is an ordinary minute. A service that serves them one after the other,
    or loses some of their requests, has no room for growth.

How it is measured
    Five users on one connection each ask ten questions of the declared repeat mix in random order for the
    profile's time, with 100 ms to think in between. The questions are new to the service, there is no
    warm-up, and every request counts: the first ask of each is a miss. Success, mean latency and hit ratio
    are judged each; the worst decides. Hits are those that the replies' marker names.

How to fix it
    1. Mend `endpoint_health.primary_route` and `cache.hit_rate` first: they explain most failures here.
    2. If the mean grew fivefold against `baseline`, requests wait for each other: look for a global lock,
       a blocking call in an event loop, or a single worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import Check, Instruments, Kind, Target, objective
from checks.load_scenarios._closed import Evidence, judge, run

__all__ = ["CHECK", "Evidence", "Thresholds", "gather", "judge"]

CHECK = Check(
    failure_title="Five users are not served well",
    kind=Kind.LOAD,
    does="Five users ask at the same time.",
    measures="of requests were answered",
    needs=("questions", "load"),
    deadline_s=60,
    typical_s=0.5,
    scenario="light",
)


@dataclass(frozen=True)
class Thresholds:
    """Scenario 2 of the team's load suite: > 95 %, < 4 s, > 70 %; each within 20 % still warns."""

    pass_success_ratio: float = objective(0.95, "success_ratio")
    pass_mean_ms: float = objective(4_000, "mean_latency_ms")
    pass_hit_ratio: float = objective(0.7, "hit_ratio")
    warn_within_ratio: float = 0.2


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Run the scenario."""
    return await run(target, instruments, "light")
