"""Whether two expressions are of the same series, or one of a part of the other's. Pure, private."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from checks.contract.promql import (
    COMPARISONS,
    Aggregation,
    Binary,
    Call,
    Matcher,
    Negative,
    Node,
    Number,
    Selector,
    Subquery,
)

Idle = Callable[[Selector, Matcher], bool]
GROWING = frozenset(("rate", "increase", "irate", "sum_over_time", "count_over_time", "max_over_time"))
WHOLES = frozenset(
    (
        "total",
        "size",
        "limit",
        "max",
        "maximum",
        "capacity",
        "quota",
        "maxclients",
        "memtotal",
        "swaptotal",
        "inodes",
    )
)
LIMITS = frozenset(("limit", "max", "maximum", "capacity", "quota", "maxclients", "maxmemory"))
PARTS = frozenset(
    (
        "free",
        "avail",
        "available",
        "used",
        "open",
        "usage",
        "active",
        "busy",
        "allocated",
        "entries",
        "memavailable",
        "memfree",
        "swapfree",
        "connected",
        "clients",
    )
)


def canonical(node: Node, idle: Idle, decided: frozenset[str]) -> Node:
    """``node`` in a form in which the same series look the same.

    Matchers that exclude nothing (``idle``) go, and those on labels that are ``decided`` by what is matched:
    they choose elements, and no element's value. The infinite bucket is the count.
    """
    match node:
        case Selector():
            return _canonical_selector(node, idle, decided)
        case Call():
            return replace(node, arguments=tuple(canonical(each, idle, decided) for each in node.arguments))
        case Binary():
            left, right = canonical(node.left, idle, decided), canonical(node.right, idle, decided)
            if node.operator in ("+", "*") and not node.many and repr(right) < repr(left):
                left, right = right, left
            return replace(node, left=left, right=right)
        case Aggregation():
            of = canonical(node.of, idle, decided)
            return replace(node, of=of, labels=tuple(sorted(node.labels)))
        case Negative() | Subquery():
            return replace(node, of=canonical(node.of, idle, decided))
        case _:
            return node


def _canonical_selector(node: Selector, idle: Idle, decided: frozenset[str]) -> Selector:
    kept = {each for each in node.matchers if each.label not in decided and not idle(node, each)}
    name = node.name
    if name.endswith("_bucket"):
        pinned = [each for each in kept if each.label == "le" and each.operator == "="]
        if pinned:
            name = name.removesuffix("_bucket") + "_count"
            kept -= {each for each in pinned if each.value == "+Inf"}
    order = sorted(kept, key=lambda each: (each.label, each.operator, each.value))
    return replace(node, name=name, matchers=tuple(order))


def part_of(part: Node, whole: Node) -> bool:  # noqa: PLR0911 - one for each kind of node
    """Whether canonical ``part`` is of some of the series of ``whole``, so that its sums are no larger."""
    if part == whole:
        return True
    if isinstance(part, Binary) and part.operator in COMPARISONS and not part.returns_bool:
        return part_of(part.left, whole)
    match part, whole:
        case Selector(), Selector():
            same = replace(part, matchers=()) == replace(whole, matchers=())
            return same and set(whole.matchers) <= set(part.matchers)
        case Call(), Call():
            return (
                part.function == whole.function
                and part.function in GROWING
                and len(part.arguments) == len(whole.arguments) == 1
                and part_of(part.arguments[0], whole.arguments[0])
            )
        case Aggregation(), Aggregation():
            alike = (part.operator, part.labels, part.without) == (
                whole.operator,
                whole.labels,
                whole.without,
            )
            return alike and part.operator in ("sum", "count") and part_of(part.of, whole.of)
        case Subquery(), Subquery():
            return replace(part, of=whole.of) == whole and part_of(part.of, whole.of)
        case _:
            return False


def counted(part: Node, whole: Node) -> Node | None:
    """For ``sum(x) / count(x)`` of the same grouping: x, whose mean it is."""
    match part, whole:
        case Aggregation(operator="sum"), Aggregation(operator="count"):
            alike = (part.labels, part.without) == (whole.labels, whole.without)
            return part.of if alike and part_of(part.of, whole.of) else None
        case _:
            return None


def terms(node: Node) -> tuple[list[Node], list[Node]]:
    """What is added and what is taken away in a sum without matching of its own."""
    match node:
        case Binary(operator="+" | "-", on=False, labels=(), many=""):
            plus, minus = terms(node.left)
            more, less = terms(node.right)
            return (plus + more, minus + less) if node.operator == "+" else (plus + less, minus + more)
        case _:
            return [node], []


def is_share(part: Node, whole: Node) -> bool:
    """Whether ``part / whole``, both never negative, is between 0 and 1: each term of one is in the other."""
    wholes, taken = terms(whole)
    if taken:
        return False
    plus, minus = terms(part)
    left = list(wholes)
    for each in plus:
        found = next((one for one in left if part_of(each, one)), None)
        if found is None:
            return False
        left.remove(found)
    gone = [one for one in wholes if one not in left]
    return all(any(part_of(each, one) for one in gone) for each in minus) and len(minus) <= len(plus)


def named_share(part: Node, whole: Node) -> bool:
    """Whether two gauges are by their names a part and its whole: free and size, open and max."""
    if not isinstance(part, Selector) or not isinstance(whole, Selector):
        return False
    one, two = _words(part.name), _words(whole.name)
    common = len(set(one) & set(two))
    return bool(common and set(two) & WHOLES and set(one) & PARTS and not set(one) & (WHOLES - {"total"}))


def is_limit(node: Node) -> bool:
    """Whether ``node`` is by its name a limit that is set, and not something that is counted."""
    return isinstance(node, Selector) and bool(LIMITS & set(_words(node.name)))


def _words(name: str) -> list[str]:
    return re.split(r"[_:]", name.lower())


def without_conditions(node: Node) -> Node:
    """What a chain of comparisons with numbers filters."""
    while isinstance(node, Binary) and node.operator in COMPARISONS and not node.returns_bool:
        if isinstance(node.right, Number) or not isinstance(node.left, Number):
            node = node.left
        else:
            node = node.right
    return node
