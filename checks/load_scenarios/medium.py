"""Ten users are answered fast, every time.

Why it matters
    This is the load that the team expects on a working day, and its own criterion is a mean latency below
    five seconds for up to twenty users.

How it is measured
    Ten users on one connection each ask ten questions of the declared repeat mix in random order for the
    profile's time, with 100 ms to think in between. The questions are new to the service, there is no
    warm-up, and every request counts: the first ask of each is a miss. Success, mean latency and hit ratio
    are judged each; the worst decides. Hits are those that the replies' marker names.

How to fix it
    1. Mend `endpoint_health.primary_route` and `cache.hit_rate` first: they explain most failures here.
    2. Compare with `light`: where latency grows with users but answers a second do not, something is full.
       Look at workers, connection pools and the upstream's own limit on parallel calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import Check, Instruments, Kind, Target, objective
from checks.load_scenarios._closed import Evidence, judge, run

__all__ = ["CHECK", "Evidence", "Thresholds", "gather", "judge"]

CHECK = Check(
    failure_title="Ten users are not served well",
    kind=Kind.LOAD,
    does="Ten users ask at the same time.",
    measures="of requests were answered",
    needs=("questions", "load"),
    deadline_s=60,
    typical_s=0.5,
    scenario="medium",
)


@dataclass(frozen=True)
class Thresholds:
    """Scenario 3 of the team's load suite: > 95 %, < 5 s, > 75 %; each within 20 % still warns."""

    pass_success_ratio: float = objective(0.95, "success_ratio")
    pass_mean_ms: float = objective(5_000, "mean_latency_ms")
    pass_hit_ratio: float = objective(0.75, "hit_ratio")
    warn_within_ratio: float = 0.2


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Run the scenario."""
    return await run(target, instruments, "medium")
