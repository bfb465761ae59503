"""Twenty users are answered, every time.

Why it matters
    Twenty users is the claim the team makes ("handles 20 users"). Errors that show only here come from
    limits nobody set on purpose: pools, file descriptors, rates at the upstream.

How it is measured
    Twenty users on one connection each ask ten questions of the declared repeat mix in random order for the
    profile's time, with 100 ms to think in between. The questions are new to the service, there is no
    warm-up, and every request counts: the first ask of each is a miss. Success, mean latency and hit ratio
    are judged each; the worst decides. Hits are those that the replies' marker names.

How to fix it
    1. Mend `endpoint_health.primary_route` and `cache.hit_rate` first: they explain most failures here.
    2. Size workers and connection pools for twenty requests at once, and queue the rest with a bound.
    3. Shed what is too much with 429 or 503 and Retry-After, rather than let everyone wait.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import Check, Instruments, Kind, Target, objective
from checks.load_scenarios._closed import Evidence, judge, run

__all__ = ["CHECK", "Evidence", "Thresholds", "gather", "judge"]

CHECK = Check(
    failure_title="Twenty users are not served well",
    kind=Kind.LOAD,
    does="Twenty users ask at the same time.",
    measures="of requests were answered",
    needs=("questions", "load"),
    deadline_s=60,
    typical_s=0.5,
    scenario="heavy",
)


@dataclass(frozen=True)
class Thresholds:
    """Scenario 4 of the team's load suite, with the success of its own criteria: > 95 %, < 10 s, > 80 %."""

    pass_success_ratio: float = objective(0.95, "success_ratio")
    pass_mean_ms: float = objective(10_000, "mean_latency_ms")
    pass_hit_ratio: float = objective(0.8, "hit_ratio")
    warn_within_ratio: float = 0.2


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Run the scenario."""
    return await run(target, instruments, "heavy")
