"""The JSON export: everything of a run, under the keys that programs rely on.

A key may be added, never renamed or given another meaning; otherwise ``SCHEMA_VERSION`` goes up and
``parse`` learns to read both. The published schema is ``schema.json`` in this folder. Why it is as it is:
docs/decisions/0001-export-format.md.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import UserError
from app.records import (
    SCHEMA_VERSION,
    Breakage,
    CategoryScore,
    ClaimState,
    LoadResult,
    RubricRef,
    RunInfo,
    RunState,
    Scorecard,
    ScoredFinding,
    Snapshot,
    Verdict,
    WaiverState,
)
from checks.contract.wording import UNITS

MAX_CHARACTERS = 32 * 1024 * 1024  # a run of 55 checks is about 0.2 MB; what is larger is not one of ours
MAX_DEPTH = 64  # evidence is a handful of levels deep; far deeper nesting would exhaust whoever walks it

Score = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class SnapshotError(UserError):
    """A file is not a snapshot that can be read; the message names file, key and remedy."""


class Export(BaseModel):
    """A Greenlight run. Times are ISO 8601 with their offset, ratios 0..1, points those of the rubric."""

    model_config = ConfigDict(frozen=True, title="Greenlight run", extra="ignore")

    schema_version: Literal[1] = 1
    run_id: Count
    number: Count = Field(description="Counts the runs of one target, from 1.")
    target: str = Field(description="The target's key.")
    target_name: str
    url: str
    profile: str
    faults: bool = Field(description="Whether fault checks were allowed.")
    started_by: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    state: RunState
    message: str
    planned: tuple[str, ...] = Field(description="Ids of the checks that were to run.")
    done: Count
    scored: bool = Field(description="False for a run that never came to a score.")
    score: Score | None
    grade: str | None
    verdict: Verdict | None
    band: Verdict | None = Field(description="The verdict of the score and coverage alone, before caps.")
    coverage: Ratio | None
    best_possible: Score | None
    open_p0: Count | None
    capped_by: tuple[str, ...]
    lowered_by: str
    categories: tuple[CategoryScore, ...]
    findings: tuple[ScoredFinding, ...]
    claims: tuple[ClaimState, ...]
    waivers: tuple[WaiverState, ...]
    load_results: tuple[LoadResult, ...]
    breakages: tuple[Breakage, ...] = Field(default=(), description="What was broken on purpose.")
    rubric: RubricRef | None

    @model_validator(mode="after")
    def _can_be_shown(self) -> Export:
        needed = ("grade", "verdict", "band", "coverage", "rubric")
        absent = [name for name in needed if getattr(self, name) is None]
        if self.scored and absent:
            raise ValueError(f"{absent[0]} is null, yet the run is scored")
        for finding in self.findings:
            if finding.unit is not None and finding.unit not in UNITS:
                raise ValueError(f"findings: {finding.check}: unknown unit {finding.unit!r}")
            if finding.measured_at is not None and finding.measured_at.tzinfo is None:
                raise ValueError(f"findings: {finding.check}: measured_at has no offset from UTC")
        for claim in self.claims:
            if claim.unit and claim.unit not in UNITS:
                raise ValueError(f"claims: {claim.check}: unknown unit {claim.unit!r}")
        return self


def render(snapshot: Snapshot) -> str:
    """Write the export: strict JSON, keys always in the same order, one trailing line break."""
    document = _finite(_export(snapshot).model_dump(mode="json"))
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def parse(text: str, source: str = "snapshot") -> Snapshot:
    """Read an export of this or an older schema. ``source`` is its name in messages. Raises SnapshotError."""
    if len(text) > MAX_CHARACTERS:
        raise SnapshotError(f"{source}: longer than {MAX_CHARACTERS:,} characters, so not an export")
    try:
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise SnapshotError(f"{source}: not JSON: {reason}. Export the run as JSON and try again.") from error
    if _deeper_than(document, MAX_DEPTH):
        raise SnapshotError(f"{source}: nested deeper than {MAX_DEPTH} levels, so not an export")
    _readable_version(document, source)
    try:
        return _snapshot(Export.model_validate(document))
    except ValidationError as error:
        raise SnapshotError(
            f"{source}: {_first(error)}. Export the run again and leave the file as it is."
        ) from error


def schema() -> str:
    """The JSON Schema of the export, as published in ``schema.json``."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Export.model_json_schema(mode="serialization"),
    }
    return json.dumps(document, indent=2) + "\n"


def _export(snapshot: Snapshot) -> Export:
    run, card = snapshot.run, snapshot.scorecard
    summary: RunInfo | Scorecard = run if card is None else card
    return Export(
        **{name: getattr(run, name) for name in _OF_RUN},
        **{name: getattr(summary, name) for name in _OF_SUMMARY},
        scored=card is not None,
        band=card.band if card else None,
        capped_by=card.capped_by if card else (),
        lowered_by=card.lowered_by if card else "",
        findings=snapshot.findings,
        claims=card.claims if card else (),
        waivers=card.waivers if card else (),
        load_results=snapshot.load_results,
        breakages=snapshot.breakages,
    )


_OF_RUN = (
    "run_id", "number", "target", "target_name", "url", "profile", "faults", "started_by", "created_at",
    "started_at", "finished_at", "state", "message", "planned", "done", "open_p0",
)  # fmt: skip
_OF_SUMMARY = ("score", "grade", "verdict", "coverage", "best_possible", "categories", "rubric")
_OF_CARD = ("band", "capped_by", "lowered_by", "findings", "claims", "waivers")


def _snapshot(export: Export) -> Snapshot:
    run = RunInfo(**{name: getattr(export, name) for name in (*_OF_RUN, *_OF_SUMMARY)})
    card = None
    if export.scored:
        card = Scorecard(**{name: getattr(export, name) for name in (*_OF_SUMMARY, *_OF_CARD)})
    unscored = () if card else export.findings
    return Snapshot(
        run=run,
        scorecard=card,
        load_results=export.load_results,
        unscored_findings=unscored,
        breakages=export.breakages,
    )


def _readable_version(document: Any, source: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise SnapshotError(f"{source}: schema_version: missing, so not an export. Export the run as JSON.")
    if version > SCHEMA_VERSION:
        raise SnapshotError(
            f"{source}: schema_version: {version} is newer than {SCHEMA_VERSION}. Update Greenlight first."
        )


def _finite(value: Any) -> Any:
    """Evidence as strict JSON: NaN and infinity become null, half a surrogate pair a replacement sign."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {_finite(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _deeper_than(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return False
    return True


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
