"""From findings to a score. Pure: no clock, no disk, no network; every number is in the rubric.

Score = 100 x earned / applicable points. ``not assessed`` and ``error`` earn nothing and stay in the
denominator; ``not applicable`` leaves it. Coverage = measured / applicable. Best possible = the score if
every unmeasured point had passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from app.claims import claim_state, waiver_state
from app.records import CategoryScore, Scorecard, ScoredFinding, Verdict
from app.rubric import Rubric
from app.wording import VERDICT_TITLES
from checks.contract.findings import Outcome
from checks.contract.target.team import Claim, Waiver

ORDER = list(Verdict)


def score(
    findings: Sequence[ScoredFinding],
    rubric: Rubric,
    *,
    waivers: Sequence[Waiver] = (),
    claims: Sequence[Claim] = (),
    today: date,
) -> Scorecard:
    """Score ``findings`` (one for each check of the rubric) as of ``today``."""
    states = [waiver_state(waiver, today) for waiver in waivers]
    in_force = {state.check: state.until for state in states if state.in_force}
    outcomes = {finding.check: finding.outcome for finding in findings}
    kept = tuple(_settled(finding, outcomes, in_force) for finding in findings)
    applicable = [finding for finding in kept if finding.outcome is not Outcome.NOT_APPLICABLE]
    total = sum(finding.points for finding in applicable)
    earned = sum(finding.earned for finding in applicable)
    measured = sum(finding.points for finding in applicable if finding.outcome.measured)
    points = round(100 * earned / total, 1) if total else None
    coverage = measured / total if total else 0.0
    band, lowered_by = _band(points or 0.0, coverage, rubric)
    verdict, capped_by = _capped(band, applicable, rubric)
    return Scorecard(
        score=points,
        grade=rubric.grade(points or 0.0),
        verdict=verdict,
        band=band,
        coverage=coverage,
        best_possible=round(100 * (earned + total - measured) / total, 1) if total else None,
        capped_by=capped_by,
        lowered_by=lowered_by,
        categories=tuple(_category(name, kept) for name in rubric.categories),
        findings=kept,
        waivers=tuple(states),
        claims=tuple(claim_state(claim, kept, points) for claim in claims),
        rubric=rubric.ref,
    )


def _settled(
    finding: ScoredFinding, outcomes: Mapping[str, Outcome], in_force: Mapping[str, str]
) -> ScoredFinding:
    cause = outcomes.get(finding.follows_from or "")
    follows = finding.follows_from if cause in (Outcome.FAIL, Outcome.ERROR) else None
    return finding.model_copy(update={"follows_from": follows, "waived_until": in_force.get(finding.check)})


def _band(points: float, coverage: float, rubric: Rubric) -> tuple[Verdict, str]:
    by_score = [band for band in rubric.bands if points >= band.from_score]
    covered = [band for band in by_score if coverage >= band.min_coverage]
    best, given = by_score[-1], covered[-1] if covered else rubric.bands[0]
    if best is given:
        return given.verdict, ""
    needed = round(best.min_coverage * 100)
    return given.verdict, f"coverage {int(coverage * 100)} %, {VERDICT_TITLES[best.verdict]} needs {needed} %"


def _capped(
    band: Verdict, applicable: Sequence[ScoredFinding], rubric: Rubric
) -> tuple[Verdict, tuple[str, ...]]:
    open_p0 = [finding for finding in applicable if finding.severity == "P0" and finding.waived_until is None]
    failed = tuple(finding.check for finding in open_p0 if finding.outcome is Outcome.FAIL)
    unmeasured = tuple(finding.check for finding in open_p0 if not finding.outcome.measured)
    if failed:
        return min(band, rubric.caps.p0_failed, key=ORDER.index), failed
    if unmeasured and ORDER.index(band) > ORDER.index(rubric.caps.p0_not_assessed):
        return rubric.caps.p0_not_assessed, unmeasured
    return band, ()


def _category(name: str, findings: Sequence[ScoredFinding]) -> CategoryScore:
    inside = [
        item for item in findings if item.category == name and item.outcome is not Outcome.NOT_APPLICABLE
    ]
    applicable, earned = sum(item.points for item in inside), sum(item.earned for item in inside)
    out_of_ten = round(10 * earned / applicable, 1) if applicable else None
    return CategoryScore(name=name, earned=earned, applicable=applicable, out_of_ten=out_of_ten)
