"""What changed between two runs: better, worse, within noise. Pure.

A run that measures the same service again never gives the very same numbers. A value that moved counts as
noise while its outcome stayed and either the two 95 % intervals overlap or, without intervals, it moved by
less than ``NOISE_RATIO``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import UserError
from app.records import Scorecard, ScoredFinding, Snapshot
from app.wording import OUTCOME_WORDS, value_text
from checks.contract.findings import Outcome

# Repeated quick runs of an unchanged service move medians by up to a few percent on a shared machine.
NOISE_RATIO = 0.05
EPSILON = 1e-9


class NotScoredError(UserError):
    """A run that never got a score cannot be compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """One check in two runs. ``points`` is what it earns more (or less), under the later run's points.

    ``before`` is None for a check that is new, ``after`` for one that is gone.
    """

    before: ScoredFinding | None
    after: ScoredFinding | None

    @property
    def finding(self) -> ScoredFinding:
        """The later finding, or the earlier where there is no later one."""
        found = self.after or self.before
        if found is None:
            raise ValueError("a change needs a finding before or after")
        return found

    @property
    def check(self) -> str:
        """Its id."""
        return self.finding.check

    @property
    def title(self) -> str:
        """Its title as it stands now."""
        return self.finding.title

    @property
    def points(self) -> float:
        """Points won or lost. Shares are compared, so that a rubric that moved points changes nothing."""
        if self.before is None or self.after is None:
            return 0.0
        return self.after.earned - self.after.points * _share(self.before)

    @property
    def text(self) -> str:
        """``0 % to 83.6 %``; without two values the outcomes, ``Not assessed to pass``."""
        if self.before is None or self.after is None:
            return OUTCOME_WORDS[self.finding.outcome]
        values = value_text(self.before), value_text(self.after)
        if self.before.value is not None and self.after.value is not None and values[0] != values[1]:
            return f"{values[0]} to {values[1]}"
        return f"{OUTCOME_WORDS[self.before.outcome]} to {OUTCOME_WORDS[self.after.outcome].lower()}"


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """One category out of ten in both runs; None where it had nothing applicable or was not there."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """The difference, where there are two values."""
        return None if self.before is None or self.after is None else round(self.after - self.before, 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared; the lists stand largest first.

    ``other`` holds changes that are neither better nor worse: a failure that can no longer be measured, a
    check that became or ceased to be applicable. ``added`` and ``removed`` are checks of one run only.
    ``rubric_changed`` says that the two scores do not mean the same.
    """

    better: tuple[Change, ...]
    worse: tuple[Change, ...]
    noise: tuple[Change, ...]
    other: tuple[Change, ...]
    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    unchanged: int
    categories: tuple[CategoryChange, ...]
    score_change: float
    rubric_changed: bool


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Compare two scored runs. Raises NotScoredError where one has no score."""
    old, new = _card(before), _card(after)
    earlier = {finding.check: finding for finding in old.findings}
    later = {finding.check: finding for finding in new.findings}
    sorts: dict[str, list[Change]] = {
        name: [] for name in ("better", "worse", "noise", "other", "added", "removed", "unchanged")
    }
    for check in dict.fromkeys((*later, *earlier)):
        change = Change(earlier.get(check), later.get(check))
        sorts[_kind(change)].append(change)
    unchanged = len(sorts.pop("unchanged"))
    return Comparison(
        **{name: _largest_first(changes) for name, changes in sorts.items()},
        unchanged=unchanged,
        categories=_categories(old, new),
        score_change=round((new.score or 0.0) - (old.score or 0.0), 1),
        rubric_changed=old.rubric.sha256 != new.rubric.sha256,
    )


def _card(snapshot: Snapshot) -> Scorecard:
    card = snapshot.scorecard
    if card is None or card.score is None:
        raise NotScoredError(
            f"run #{snapshot.run.number} has no score, so it cannot be compared. Pick a finished one."
        )
    return card


def _kind(change: Change) -> str:
    before, after = change.before, change.after
    if before is None or after is None:
        return "removed" if after is None else "added"
    if before.outcome is after.outcome:
        return _kind_by_value(before, after, change.points)
    return _kind_by_outcome(before, after, change.points)


def _kind_by_outcome(before: ScoredFinding, after: ScoredFinding, points: float) -> str:
    if Outcome.NOT_APPLICABLE in (before.outcome, after.outcome):
        return "other"
    if abs(points) > EPSILON:
        return "better" if points > 0 else "worse"
    if after.outcome is Outcome.FAIL:
        return "worse"  # it was not known to fail before
    return "better" if before.outcome is Outcome.FAIL and after.outcome.measured else "other"


def _kind_by_value(before: ScoredFinding, after: ScoredFinding, points: float) -> str:
    moved = before.value != after.value
    if moved and _within_noise(before, after):
        return "noise"
    if abs(points) > EPSILON:
        return "better" if points > 0 else "worse"
    if not moved or before.value is None or after.value is None:
        return "unchanged"
    if before.limit is None or after.limit is None:
        return "unchanged"  # without a limit no direction is the good one
    if after.outcome is Outcome.PASS and not (before.interval and after.interval):
        return "noise"  # within its limit, and nothing tells how much it varies by itself
    rose = after.value > before.value
    return "better" if rose is (after.limit.better == "higher") else "worse"


def _within_noise(before: ScoredFinding, after: ScoredFinding) -> bool:
    if before.value is None or after.value is None or before.unit != after.unit:
        return False
    if before.interval and after.interval:
        return before.interval[0] <= after.interval[1] and after.interval[0] <= before.interval[1]
    return abs(after.value - before.value) <= NOISE_RATIO * max(abs(before.value), abs(after.value))


def _share(finding: ScoredFinding) -> float:
    return finding.earned / finding.points if finding.points else 0.0


def _largest_first(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: (-abs(change.points), change.check)))


def _categories(old: Scorecard, new: Scorecard) -> tuple[CategoryChange, ...]:
    before = {category.name: category.out_of_ten for category in old.categories}
    after = {category.name: category.out_of_ten for category in new.categories}
    names = dict.fromkeys((*after, *before))
    return tuple(CategoryChange(name, before.get(name), after.get(name)) for name in names)
