"""What and, or and unless return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

from dataclasses import replace

from checks.contract.promql import (
    Binary,
    Node,
    Selector,
    walked,
)
from checks.monitoring._rules.bounds import Bounds
from checks.monitoring._rules.facts import MADE
from checks.monitoring._rules.matching import Matching, brought, grouped, meet, why_apart
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.sameness import (
    canonical,
    part_of,
    without_conditions,
)
from checks.monitoring._rules.vectors import (
    Flaw,
    Presence,
    Vector,
    Verdict,
    never,
)


def read_set(  # noqa: PLR0911 - what cannot be leaves at once
    reader: Reader, node: Binary, left: Vector, right: Vector
) -> Vector:
    """``and``, ``or`` and ``unless`` of what both sides return."""
    matching = Matching.of(node)
    if node.operator == "or":
        return _either(left, right)
    if left.presence in (Presence.NEVER, Presence.PENDING):
        return left
    if node.operator == "unless":
        return _unless(reader, node, left, right, matching)
    if right.presence in (Presence.NEVER, Presence.PENDING):
        return right
    if not meet(left, right, matching):
        why = why_apart(left, right, matching)
        return never(Flaw(Verdict.CONSTANT, node, why, mended=grouped(node, left, right)))
    for one, other, part in ((left, right, node.right), (right, left, node.left)):
        if matching.takes("instance") and _is_down(one) and _falls_silent(reader, one, other, part):
            why = "a target that is down tells nothing, so nothing of it is there while up is 0"
            return never(Flaw(Verdict.CONSTANT, node, why))
    holds = _both_hold(left, right) if _whole(left, right, matching) else dict(left.holds)
    if holds is None:
        return never(Flaw(Verdict.CONSTANT, node, "the conditions exclude each other"))
    both_always = left.presence is right.presence is Presence.ALWAYS
    always = left.flaw or right.flaw
    if both_always and always is not None and isinstance(always.at, Binary) and always.at.returns_bool:
        always = replace(always, at=node, mended=None)
    return replace(
        left,
        presence=Presence.ALWAYS if both_always else Presence.SOMETIMES,
        sets=brought(left, right, matching),
        holds=tuple(holds.items()),
        real=left.real and right.real,
        sure=left.sure and right.sure and both_always,
        flaw=always if both_always else None,
    )


def _both_hold(left: Vector, right: Vector) -> dict[Node, Bounds] | None:
    """What is known of values where both sides hold; None where they never do at once."""
    holds = dict(left.holds)
    for part, bounds in right.holds:
        had = holds.get(part)
        both = bounds if had is None else had.within(bounds.low, bounds.high)
        if both.is_nan and had is not None and not had.is_nan:
            return None
        holds[part] = both
    return holds


def _falls_silent(reader: Reader, down: Vector, other: Vector, part: Node) -> bool:
    """Whether ``part`` is only of series that the targets of ``down`` themselves tell, at this moment."""
    read = [each for each in walked(part) if isinstance(each, Selector)]
    told = all(
        each.name in reader.world.facts.metrics
        and each.name not in MADE
        and each.name not in reader.world.recordings
        and (each.range_s, each.offset_s, each.at) == (None, 0, "")
        for each in read
    )
    jobs = [{each.get("job") for each in side.sets} for side in (down, other)]
    return bool(read) and told and not other.more and jobs[1] <= jobs[0]


def _unless(reader: Reader, node: Binary, left: Vector, right: Vector, matching: Matching) -> Vector:
    if right.presence is Presence.NEVER:
        if right.flaw is not None and right.flaw.verdict is Verdict.DEAD:
            if right.flaw.near:
                reader.err(right.flaw)  # it was to silence something, and never does
            reader.meant = reader.meant or not right.flaw.near
        return left
    sure = right.presence is Presence.ALWAYS and right.sure and matching.on and not matching.labels
    if sure or _always_excluded(reader, node, left, right):
        return never(Flaw(Verdict.CONSTANT, node, "whatever the left side has, the right side takes away"))
    return replace(left, presence=Presence.SOMETIMES, sure=False, flaw=None)


def _always_excluded(reader: Reader, node: Binary, left: Vector, right: Vector) -> bool:
    """Whether each series of the left side is itself on the right, whenever it is on the left."""
    one, two = (
        canonical(without_conditions(each), reader.selecting.idle, frozenset())
        for each in (node.left, node.right)
    )
    mine, other = dict(left.holds), dict(right.holds)
    implied = all(
        part in mine and mine[part].low >= bounds.low and mine[part].high <= bounds.high
        for part, bounds in other.items()
    )
    return (
        implied
        and part_of(one, two)
        and isinstance(one, type(two))
        and (bool(other) or right.presence is Presence.ALWAYS)
    )


def _whole(left: Vector, right: Vector, matching: Matching) -> bool:
    """Whether a matched pair has all its labels in common, so that it is of the same series."""
    return all(matching.takes(label) for label in left.labels | right.labels) and not (
        left.more and matching.on
    )


def _is_down(of: Vector) -> bool:
    return any(
        isinstance(part, Selector) and part.name == "up" and bounds.number == 0 for part, bounds in of.holds
    )


def _either(left: Vector, right: Vector) -> Vector:
    for one, other in ((left, right), (right, left)):
        if one.presence is Presence.NEVER:
            if other.presence is not Presence.ALWAYS:
                return other
            return replace(other, flaw=None) if other.flaw is None else other
    for one, other in ((left, right), (right, left)):
        if one.presence is Presence.PENDING:
            return other
    always = [each for each in (left, right) if each.presence is Presence.ALWAYS]
    return replace(
        left,
        presence=Presence.ALWAYS if always else Presence.SOMETIMES,
        sure=left.sure or right.sure,
        bounds=left.bounds.joined(right.bounds),
        sets=(*left.sets, *(each for each in right.sets if each not in left.sets)),
        open=left.open | right.open,
        more=left.more | right.more,
        real=left.real and right.real,
        cut=left.cut or right.cut,
        holds=(),
        single=None,
        info=False,
        flaw=None,
        fixed=left.fixed if left.fixed and right.fixed else None,
    )
