"""What all load scenarios share: the plan that data/scenarios.toml says, driving it, and what can be judged.

Private to this family.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from checks.contract import InstrumentFailure, Instruments, LoadPlan, LoadSummary, Route, Target

ATTEMPTS = 3  # a hiccup of this machine is measured again; a driver that cannot keep up will say so each time
NO_REQUEST = "No request was sent."


def route_of(target: Target) -> Route:
    """The route that is driven: ``[ask]`` even where only ``[stream]`` works, since it is what users have.

    Raises InstrumentFailure where neither is declared.
    """
    if target.ask is None and target.stream is None:
        raise InstrumentFailure("No question is declared. Add `[ask]` to the target file.", missing="ask")
    return "ask" if target.ask else "stream"


def plan_of(target: Target, instruments: Instruments, scenario: str, **changes: Any) -> LoadPlan:
    """The plan of ``scenario`` in this profile, with questions of its own; ``changes`` replace its fields."""
    given = instruments.profile.scenarios[scenario]
    all_fresh = given.fresh_share >= 1
    planned: dict[str, Any] = {
        "scenario": scenario,
        "users": given.users,
        "duration_s": given.duration_s,
        "prompts": [] if all_fresh else instruments.prompts.repeats(given.distinct),
        "route": route_of(target),
        "fresh_share": given.fresh_share,
        "zipf_exponent": given.zipf_exponent,
        "warmup_s": given.warmup_s,
        "think_time_ms": given.think_time_ms,
        "min_requests": given.min_requests,
        "timeout_s": given.timeout_s,
    }
    return LoadPlan(**planned | changes)


async def drive(
    target: Target,
    instruments: Instruments,
    scenario: str,
    run: Callable[[LoadPlan], Awaitable[LoadSummary]] | None = None,
    **changes: Any,
) -> tuple[LoadPlan, LoadSummary]:
    """Drive the business route as ``scenario`` says, and return what was driven last and its figures.

    What the driver itself calls invalid is driven again with other questions, three times at most. ``run``
    stands for the driver where something else is to happen beside it.
    """
    run = run or instruments.load.run
    for attempt in range(1, ATTEMPTS + 1):
        plan = plan_of(target, instruments, scenario, **changes)
        summary = await run(plan)
        if summary.validity != "invalid" or attempt == ATTEMPTS:
            break
        instruments.say(f"{scenario} is measured again. {' '.join(summary.validity_reasons)}")
    return plan, summary


def unusable(summary: LoadSummary) -> str:
    """Why these figures cannot be judged, "" where they can."""
    if summary.validity == "invalid" or not summary.total_requests:
        why = " ".join(summary.validity_reasons) or NO_REQUEST
        return f"The load driver could not measure this scenario. {why}"
    if summary.partial:
        return f"This scenario was not measured whole: {summary.partial}."
    return ""


def example_of(summary: LoadSummary) -> str:
    """One example of the commonest failure, "" where nothing failed."""
    if not summary.failures:
        return ""
    kind = max(summary.failures, key=lambda name: summary.failures[name])
    return summary.failure_examples.get(kind, kind)


def remarks(summary: LoadSummary) -> str:
    """What stands beside the figures: how requests failed, what is suspect. Begins with a space."""
    example = example_of(summary)
    notes = f" Failures: {example}." if example else ""
    if summary.validity == "suspect" and summary.validity_reasons:
        notes += f" The measurement is suspect: {' '.join(summary.validity_reasons)}"
    return notes


def load_line(target: Target, how: str) -> str:
    """A line of Greenlight's own driver, for what a curl line cannot show."""
    return f"python -m app load {target.key} {how}"
