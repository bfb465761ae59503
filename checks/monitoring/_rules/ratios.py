"""Differences and ratios of what is the same, or a part of the other side. Pure, private to this family."""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract.promql import (
    Aggregation,
    Binary,
    Node,
    Number,
    Selector,
    selectors,
)
from checks.monitoring._rules.bounds import (
    INF,
    ONE,
    SHARE,
    ZERO,
    Bounds,
    computed,
    exactly,
)
from checks.monitoring._rules.matching import Matching
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.sameness import (
    Idle,
    canonical,
    counted,
    is_limit,
    is_share,
    named_share,
    part_of,
)
from checks.monitoring._rules.values import quoted
from checks.monitoring._rules.vectors import (
    Flaw,
    Vector,
    Verdict,
)


@dataclass(frozen=True)
class Sides:
    """An operator, what its sides return, and how they are matched."""

    node: Binary
    left: Vector
    right: Vector
    matching: Matching

    @property
    def positive(self) -> bool:
        """Whether neither side is ever negative."""
        return self.left.bounds.at_least_0 and self.right.bounds.at_least_0

    def canonical(self, idle: Idle) -> tuple[Node, Node]:
        """Both sides in a form in which the same series look the same."""
        decided = self._decided()
        return canonical(self.node.left, idle, decided), canonical(self.node.right, idle, decided)

    def _decided(self) -> frozenset[str]:
        """Labels that matched elements have alike, each from the series that it is made of."""
        sides = (self.left, self.right)
        known = frozenset.intersection(*(_in_all(side) for side in sides))
        if self.matching.whole and not all(side.real for side in sides):
            asked = {*self.left.limits, *self.right.limits}  # labels of series that are not there yet
            known |= {
                label
                for label in asked
                if all(label in each.labels or each.may_have(label) for each in sides)
            }
        return frozenset(label for label in known if self.matching.takes(label))


def _in_all(side: Vector) -> frozenset[str]:
    return frozenset.intersection(*map(frozenset, side.sets)) if side.sets else frozenset()


def sameness(reader: Reader, sides: Sides) -> str:
    """``same`` where matched elements are made of the same series, ``part`` or ``whole`` of some of them."""
    one, two = sides.canonical(reader.selecting.idle)
    if one == two:
        return "same"
    if sides.positive:
        return "part" if part_of(one, two) else "whole" if part_of(two, one) else ""
    return ""


def value_of_two(reader: Reader, sides: Sides) -> tuple[Bounds, Flaw | None]:
    """The bounds of arithmetic, and why the values tell nothing where that is so."""
    node, left, right = sides.node, sides.left, sides.right
    operator = node.operator
    plain = computed(operator, left.bounds, right.bounds)
    fixed = left.fixed or right.fixed
    if operator not in ("/", "-"):
        return plain, fixed if plain.number is not None or plain.is_nan else None
    one, two = sides.canonical(reader.selecting.idle)
    if one == two:
        value, told = (ONE, "1") if operator == "/" else (ZERO, "0")
        verb = "divided by" if operator == "/" else "less"
        why = f"each series is {verb} itself, so the value is {told} or nothing, whatever happens"
        without_effect = _without_effect(reader, node.left) or _without_effect(reader, node.right)
        if without_effect:
            why = f"{without_effect} excludes nothing, so {why}"
        return value, Flaw(Verdict.CONSTANT, node, why, mended=_summed(node))
    if operator == "-":
        bounds = plain.within(0, INF) if sides.positive and part_of(two, one) else plain
    else:
        bounds, limited = _ratio(reader, sides, (one, two), plain)
        if limited is not None:
            return bounds, limited
    return bounds, fixed if bounds.number is not None or bounds.is_nan else None


def _without_effect(reader: Reader, node: Node) -> str:
    """A matcher that lets all series through, as it stands."""
    for selector in selectors(node):
        for each in selector.matchers:
            if reader.selecting.idle(selector, each) and each.operator.startswith("!"):
                return f"{each.label}{each.operator}{quoted(each.value)}"
    return ""


def _ratio(
    reader: Reader, sides: Sides, canonical_sides: tuple[Node, Node], plain: Bounds
) -> tuple[Bounds, Flaw | None]:
    node = sides.node
    one, two = canonical_sides
    mean = counted(one, two)
    if mean is not None:
        inner = reader.read(mean).bounds
        if inner.at_least_0 and inner.high <= 1:
            return SHARE, None
    if sides.positive and is_share(one, two):
        return plain.within(0, 1), None
    if is_limit(node.right) and _zero(reader, node.right) and not _zero(reader, node.left):
        why = "the limit is 0, which stands for none: divided by it, any use is infinite"
        mended = Binary("and", node, Binary(">", node.right, Number(0)))
        return exactly(INF), Flaw(Verdict.CONSTANT, node, why, mended=mended)
    if named_share(one, two):
        return plain.within(-INF, 2), None  # by their names only, so not quite to be believed
    return plain, None


def _zero(reader: Reader, node: Node) -> bool:
    """Whether ``node`` is a gauge that is 0 wherever it is told."""
    if not isinstance(node, Selector):
        return False
    found = reader.world.facts.metrics.get(node.name)
    return bool(found and found.zero and not found.past and reader.world.kind(node.name) == "gauge")


def _summed(node: Binary) -> Node:
    """A ratio of sums instead of one series by itself."""

    def without_group(side: Node) -> Node:
        return Aggregation(
            "sum", side.of if isinstance(side, Aggregation) and side.operator == "sum" else side
        )

    left, right = without_group(node.left), without_group(node.right)
    return Binary(node.operator, left, right)
