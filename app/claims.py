"""What the team says of its service: claims beside measured values, and waivers while they last. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from app.records import ClaimState, ScoredFinding, WaiverState
from checks.contract.target.team import Claim, Waiver


def waiver_state(waiver: Waiver, today: date) -> WaiverState:
    """Whether a waiver is in force on ``today``. A malformed date counts as ended."""
    try:
        ended, note = date.fromisoformat(waiver.until) < today, "ended"
    except ValueError:
        ended, note = True, f"{waiver.until!r} is not a date (YYYY-MM-DD), so it counts as ended"
    return WaiverState(**waiver.model_dump(), in_force=not ended, note=note if ended else "")


def claim_state(claim: Claim, findings: Sequence[ScoredFinding], score: float | None) -> ClaimState:
    """A claim beside what was measured; the claim of ``score`` is about the whole."""
    found = next((item for item in findings if item.check == claim.check and item.outcome.measured), None)
    if claim.check == "score":
        measured, unit = score, "points"
    else:
        measured, unit = (found.value, found.unit or "") if found else (None, "")
    return ClaimState(
        text=claim.text,
        check=claim.check,
        claimed=claim.value,
        measured=measured,
        unit=unit,
        better=claim.better,
        verdict=_verdict(claim, measured),
    )


def _verdict(claim: Claim, measured: float | None) -> Literal["verified", "refuted", "not measured"]:
    if measured is None:
        return "not measured"
    holds = measured >= claim.value if claim.better == "higher" else measured <= claim.value
    return "verified" if holds else "refuted"
