"""What the scenarios with a given arrival rate share. Private to this family.

Arrivals come whatever became of those before, as users do who do not know of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checks.contract import Instruments, LoadPlan, LoadStep, LoadSummary, Stage, Target
from checks.load_scenarios._driving import drive


def level(per_s: float, duration_s: float) -> Stage:
    """A stage of one rate."""
    return Stage(duration_s, per_s, per_s)


async def drive_stages(
    target: Target, instruments: Instruments, scenario: str, stages: Sequence[Stage], **changes: Any
) -> tuple[LoadPlan, LoadSummary]:
    """Drive ``scenario`` with these stages instead of users that wait for their answers."""
    total_s = sum(stage.duration_s for stage in stages)
    return await drive(target, instruments, scenario, stages=tuple(stages), duration_s=total_s, **changes)


def unserved(step: LoadStep) -> int:
    """Arrivals of a stage that got no answer, those that found no place included."""
    return step.failed + step.dropped
