"""What a scenario's sample file says of its plan, so that a file whose driver was killed can be summed up."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.instruments.load.figures.selfwatch import SelfReport
from app.instruments.load.figures.summary import Recorded, summarize
from app.samples.reading import SampleFile, SamplesError, open_samples
from checks.contract import LoadPlan, LoadSummary

UNKNOWN = SelfReport(lag_p99_ms=0.0, cpu_ratio=0.0, wait_ratio=0.0, slowest_callback_ms=0.0)
NOT_KNOWN = "How the load driver itself did is not known."


def about(plan: LoadPlan) -> dict[str, str]:
    """What a file of this plan's samples says of it; the questions are left out."""
    fields = dataclasses.asdict(dataclasses.replace(plan, prompts=()))
    known = {"scenario": plan.scenario, "model": plan.model, "users": str(plan.users)}
    return {**known, "plan": json.dumps(fields)}


def plan_of(file: SampleFile) -> LoadPlan:
    """The plan that ``file`` is of. Raises SamplesError where it does not say."""
    try:
        return TypeAdapter(LoadPlan).validate_json(file.about["plan"])
    except (KeyError, ValidationError) as error:
        raise SamplesError(f"The samples {file.path} do not say how they were made.") from error


def summarize_killed(path: Path, why: str) -> LoadSummary:
    """The figures of a scenario whose driver was killed, of what it had written by then.

    Raises SamplesError.
    """
    file = open_samples(path)
    return summarize(
        Recorded(plan_of(file), file, UNKNOWN, {}, measured_s=0.0, doubts=(NOT_KNOWN,), partial=why)
    )
