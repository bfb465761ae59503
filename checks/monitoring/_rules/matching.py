"""Which series of two sides an operator brings together, from their label sets. Pure, private."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from checks.contract.promql import SET_OPERATORS, Binary, Node
from checks.monitoring._rules.facts import Labels
from checks.monitoring._rules.patterns import example, pattern
from checks.monitoring._rules.values import form_of, together
from checks.monitoring._rules.vectors import ANY_LABEL, Vector

Key = tuple[tuple[str, str], ...]
ANY_VALUE = "\0any"  # stands for whatever value an open label may get


@dataclass(frozen=True)
class Matching:
    """How series are compared: by ``labels`` alone (``on``), or by all others."""

    on: bool
    labels: frozenset[str]

    @classmethod
    def of(cls, node: Binary) -> Matching:
        """That of an operator."""
        return cls(node.on, frozenset(node.labels))

    def takes(self, label: str) -> bool:
        """Whether ``label`` is compared."""
        return label != "__name__" and (label in self.labels) == self.on

    @property
    def whole(self) -> bool:
        """Whether all labels are compared."""
        return not self.on and not self.labels

    def key(self, labels: Labels) -> Key:
        """What is compared of a label set."""
        return tuple(sorted((name, value) for name, value in labels.items() if value and self.takes(name)))


def meet(  # noqa: PLR0911 - the cheap answers first
    left: Vector, right: Vector, matching: Matching
) -> bool:
    """Whether an element of ``left`` and one of ``right`` can be matched, now or later."""
    if not left.sets or not right.sets:
        return False
    if {matching.key(each) for each in left.sets} & {matching.key(each) for each in right.sets}:
        return True
    if left.cut or right.cut:
        return True
    if not _agree(left, right, matching):
        return False
    loose = _loose_labels(left, right, matching)
    ones = {_loosened(each, loose) for each in map(matching.key, left.sets)}
    others = {_loosened(each, loose) for each in map(matching.key, right.sets)}
    if ones & others:
        return True
    if any(_may_have_more(one, two, matching) for one, two in ((left, right), (right, left))):
        return any(_fits(one, two, left, right) for one in list(ones)[:50] for two in list(others)[:50])
    return False


def why_apart(left: Vector, right: Vector, matching: Matching) -> str:
    """In words, why no element of one side has its equal on the other."""
    one, two = _compared(left, matching), _compared(right, matching)
    if one != two:
        only_left, only_right = sorted(one - two), sorted(two - one)
        sides = [f"only the left side has {', '.join(only_left)}"] if only_left else []
        sides += [f"only the right side has {', '.join(only_right)}"] if only_right else []
        return f"no series of both sides have the same labels: {' and '.join(sides)}"
    for label in sorted(one):
        mine = {each.get(label, "") for each in left.sets}
        other = {each.get(label, "") for each in right.sets}
        if not mine & other:
            return f"{label} is {_listed(mine)} on the left side and {_listed(other)} on the right"
    return "no series of both sides have the same values of their labels"


def grouped(node: Binary, left: Vector, right: Vector) -> Node | None:
    """The same, matched on the labels that both sides have with common values."""
    common = sorted(
        label
        for label in left.labels & right.labels
        if {each.get(label) for each in left.sets} & {each.get(label) for each in right.sets}
    )
    if not common:
        return None
    if node.operator in SET_OPERATORS:
        return replace(node, on=True, labels=tuple(common))
    return replace(node, on=True, labels=tuple(common), many="left" if left.labels - set(common) else "")


def brought(left: Vector, right: Vector, matching: Matching) -> tuple[Labels, ...]:
    """The label sets of ``left`` that have their equal on the right; all of them where they may get one."""
    keys = {matching.key(each) for each in right.sets}
    found = tuple(each for each in left.sets if matching.key(each) in keys)
    return found or left.sets


def several(
    side: Vector, matching: Matching, vary: Callable[[Vector, Matching], str]
) -> tuple[tuple[Labels, Labels] | None, str]:
    """Two label sets that look alike in what is compared, and the label by which there may be such one day.

    ``vary`` gives the label by which several targets look alike, of which not all are seen now.
    """
    seen: dict[Key, Labels] = {}
    if side.real:
        for each in side.sets:
            key = matching.key(each)
            if key in seen and dict(seen[key]) != dict(each):
                return (seen[key], each), next(iter(sorted(set(each.items()) ^ set(seen[key].items()))))[0]
            seen[key] = each
    if side.single is not None and all(matching.takes(label) for label in side.single):
        return None, ""
    if by_target := vary(side, matching):
        return None, by_target
    left_out = sorted(label for label in side.open if not matching.takes(label))
    if not left_out or side.info:
        return None, ""
    keys = [matching.key(each) for each in side.sets]
    for label in left_out:
        values = {each.get(label) for each in side.sets}
        decided = len(set(keys)) >= 2 and len(values) >= 2 and len(keys) == len(set(keys)) and not side.counts
        if not decided:
            return None, label
    return None, ""


def _compared(side: Vector, matching: Matching) -> set[str]:
    return {label for each in side.sets for label, value in each.items() if value and matching.takes(label)}


def _agree(left: Vector, right: Vector, matching: Matching) -> bool:
    """Whether the matchers of both sides leave a value for each label that is compared."""
    for label in set(left.limits) & set(right.limits):
        if not matching.takes(label) or not (label in left.labels and label in right.labels):
            continue
        values = sorted({each[label] for each in (*left.sets, *right.sets) if each.get(label)})
        if together((*left.limits[label], *right.limits[label]), form_of(values)) is None:
            return False
    return True


def _loose_labels(left: Vector, right: Vector, matching: Matching) -> dict[str, str]:
    """Labels that may get the same value on both sides, for the values have a common form."""
    found = {}
    for label in left.labels & right.labels:
        if not matching.takes(label) or not (label in left.open or label in right.open):
            continue
        mine = form_of(sorted({each[label] for each in left.sets if each.get(label)}))
        other = form_of(sorted({each[label] for each in right.sets if each.get(label)}))
        if not mine or not other or _common(mine, other):
            found[label] = ANY_VALUE
    return found


def _common(one: str, two: str) -> bool:
    first, second = pattern(one), pattern(two)
    return first is None or second is None or example([first, second], []) is not None


def _loosened(key: Key, loose: dict[str, str]) -> Key:
    return tuple((name, loose.get(name, value)) for name, value in key)


def _may_have_more(one: Vector, two: Vector, matching: Matching) -> bool:
    labels: Iterable[str] = two.labels if ANY_LABEL in one.more else one.more
    return ANY_LABEL in one.more or any(matching.takes(label) for label in labels)


def _fits(one: Key, two: Key, left: Vector, right: Vector) -> bool:
    """Whether two keys can be the same once labels that may be there are."""
    mine, other = dict(one), dict(two)
    for label in {*mine, *other}:
        if label in mine and label in other:
            if mine[label] != other[label] and ANY_VALUE not in (mine[label], other[label]):
                return False
        elif not (right if label in mine else left).may_have(label):
            return False
    return True


def _listed(values: set[str]) -> str:
    shown = sorted(value or "nothing" for value in values)
    return ", ".join(shown[:3]) + (" ..." if len(shown) > 3 else "")
