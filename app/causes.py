"""Why points are missing, grouped by cause, and what fixing each cause would give. Pure.

A finding may follow from another (four load scenarios fail because the primary route does). Such findings
are one cause: fixing it is expected to win all their points, which is also how the score after it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.records import Scorecard, ScoredFinding, Verdict
from app.wording import VERDICT_TITLES, listed, percent, score_text
from checks.contract.findings import Outcome
from checks.contract.wording import NBSP, plural

EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause: the finding at its root, and those that follow from it, most points first."""

    root: ScoredFinding
    follows: tuple[ScoredFinding, ...] = ()

    @property
    def findings(self) -> tuple[ScoredFinding, ...]:
        """The root, then what follows from it."""
        return (self.root, *self.follows)

    @property
    def points(self) -> float:
        """Points that it costs, as a positive number."""
        return sum(lost(finding) for finding in self.findings)

    @property
    def blockers(self) -> tuple[ScoredFinding, ...]:
        """Those of its findings that are open P0s."""
        return tuple(finding for finding in self.findings if finding.blocks)

    @property
    def also(self) -> str:
        """What else it brings down: ``Also fails 4 load scenarios: baseline, light, medium, heavy``."""
        if not self.follows:
            return ""
        verb = "fails" if all(item.outcome is Outcome.FAIL for item in self.follows) else "holds back"
        loads = [item.check.partition(".")[2] for item in self.follows if item.family == "load_scenarios"]
        others = [item.check for item in self.follows if item.family != "load_scenarios"]
        if not loads:
            return f"Also {verb} {', '.join(others)}"
        scenarios = plural(len(loads), "load scenario")
        if not others:
            return f"Also {verb} {scenarios}: {', '.join(loads)}"
        return f"Also {verb} {', '.join(others)} and {scenarios}"


@dataclass(frozen=True, slots=True)
class Goal:
    """What comes next: a verdict, or the next grade once the best verdict is reached."""

    title: str
    score: float
    needs: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """One step: fix ``cause``. The other fields hold once this step and all before it are done."""

    cause: Cause
    score_after: float
    verdict_after: Verdict
    open_p0_after: int

    @property
    def closes(self) -> int:
        """How many open P0s it closes."""
        return len(self.cause.blockers)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to fix, in order, and after how many steps the goal is reached (None: not by these alone)."""

    goal: Goal | None
    fixes: tuple[Fix, ...]
    steps_to_goal: int | None

    @property
    def summary(self) -> str:
        """The plan in one sentence, or nothing when there is nothing to say."""
        if self.goal is None or not self.fixes:
            return ""
        if self.steps_to_goal is None:
            score = score_text(self.fixes[-1].score_after)
            return f"These alone give {score}; {self.goal.title} needs {self.goal.needs}."
        steps = self.fixes[: self.steps_to_goal]
        last, closed = steps[-1], sum(step.closes for step in steps)
        reached = self.goal.title if self.goal.verdict is None else VERDICT_TITLES[last.verdict_after]
        close = f" {'closes' if len(steps) == 1 else 'close'} {plural(closed, 'P0')}" if closed else ""
        return f"{plural(len(steps), 'fix', 'fixes')}{close}: {reached} at {score_text(last.score_after)}."


def lost(finding: ScoredFinding) -> float:
    """Points that a finding does not earn; what is not applicable loses none."""
    return 0.0 if finding.outcome is Outcome.NOT_APPLICABLE else max(0.0, finding.points - finding.earned)


def causes(card: Scorecard) -> list[Cause]:
    """The causes that hold open P0s, most points first."""
    return [cause for cause in costs(card) if cause.blockers]


def costs(card: Scorecard) -> list[Cause]:
    """Every cause that costs points, blocking or not, most points first."""
    losing = {finding.check: finding for finding in card.findings if lost(finding) > EPSILON}
    groups: dict[str, list[ScoredFinding]] = {}
    for finding in losing.values():
        groups.setdefault(_root(finding, losing), []).append(finding)
    found = [_cause(losing[root], members) for root, members in groups.items()]
    return sorted(found, key=lambda cause: (-cause.points, cause.root.check))


def next_fixes(card: Scorecard) -> Plan:
    """The fixes in order: causes with open P0s first, since those cap the verdict, then the greatest.

    Only what was measured and found wanting can be fixed; what was not measured is not in the plan.
    """
    fixable = [cause for cause in costs(card) if any(item.outcome.measured for item in cause.findings)]
    fixable.sort(key=lambda cause: not cause.blockers)  # stable: within each half the greatest stays first
    goal = next_goal(card)
    fixes: list[Fix] = []
    fixed: set[str] = set()
    steps: int | None = None
    for cause in fixable:
        fixed |= {finding.check for finding in cause.findings}
        fixes.append(_after(card, cause, fixed))
        if steps is None and goal is not None and _reaches(fixes[-1], goal, card):
            steps = len(fixes)
    return Plan(goal, tuple(fixes), steps)


def next_goal(card: Scorecard) -> Goal | None:
    """The verdict above the present one, or the next grade under the best verdict; None at the top."""
    order = [band.verdict for band in card.rubric.bands]
    if card.verdict not in order:
        return None
    rank = order.index(card.verdict)
    if rank == len(order) - 1:
        return _next_grade(card)
    band = card.rubric.bands[max(rank + 1, order.index(card.band) if card.band in order else 0)]
    needs = [f"{band.from_score:g}{NBSP}points"]
    if card.coverage < band.min_coverage:
        needs.append(f"coverage {percent(band.min_coverage)}")
    if any(finding.blocks for finding in card.findings):
        needs.append("no open P0")
    elif card.capped_by:
        needs.append("every P0 measured")
    return Goal(VERDICT_TITLES[band.verdict], band.from_score, listed(needs), band.verdict)


def _next_grade(card: Scorecard) -> Goal | None:
    above = {letter: start for letter, start in card.rubric.grades.items() if start > (card.score or 0.0)}
    if not above:
        return None
    letter = min(above, key=lambda name: above[name])
    return Goal(f"Grade {letter}", above[letter], f"{above[letter]:g}{NBSP}points")


def _root(finding: ScoredFinding, losing: Mapping[str, ScoredFinding]) -> str:
    seen = [finding.check]
    parent = finding.follows_from
    while parent is not None and parent in losing:
        if parent in seen:  # two findings that blame each other: the first by name stands for both
            return min(seen[seen.index(parent) :])
        seen.append(parent)
        parent = losing[parent].follows_from
    return seen[-1]


def _cause(root: ScoredFinding, members: Sequence[ScoredFinding]) -> Cause:
    return Cause(root, tuple(finding for finding in members if finding.check != root.check))


def _after(card: Scorecard, cause: Cause, fixed: set[str]) -> Fix:
    applicable = [item for item in card.findings if item.outcome is not Outcome.NOT_APPLICABLE]
    total = sum(item.points for item in applicable)
    earned = sum(item.points if item.check in fixed else item.earned for item in applicable)
    measured = sum(item.points for item in applicable if item.check in fixed or item.outcome.measured)
    left = [item for item in applicable if item.check not in fixed and item.waived_until is None]
    score = round(100 * earned / total, 1)
    open_p0 = sum(item.blocks for item in left)
    unmeasured_p0 = any(item.severity == "P0" and not item.outcome.measured for item in left)
    return Fix(cause, score, _verdict(card, score, measured / total, open_p0, unmeasured_p0), open_p0)


def _verdict(card: Scorecard, score: float, coverage: float, open_p0: int, unmeasured_p0: bool) -> Verdict:
    """The verdict on the run's own scale. An open P0 allows the worst, an unmeasured one all but the best."""
    bands = card.rubric.bands
    if not bands:
        return card.verdict
    covered = [band for band in bands if score >= band.from_score and coverage >= band.min_coverage]
    rank = bands.index(covered[-1]) if covered and not open_p0 else 0
    return bands[min(rank, len(bands) - 2) if unmeasured_p0 and len(bands) > 1 else rank].verdict


def _reaches(fix: Fix, goal: Goal, card: Scorecard) -> bool:
    if goal.verdict is None:
        return fix.score_after >= goal.score
    order = [band.verdict for band in card.rubric.bands]
    return order.index(fix.verdict_after) >= order.index(goal.verdict)
