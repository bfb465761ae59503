"""What arithmetic and comparisons return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from checks.contract.promql import (
    COMPARISONS,
    Aggregation,
    Binary,
    Node,
    Number,
)
from checks.monitoring._rules.bounds import (
    ZERO_OR_ONE,
    Bounds,
    compared,
    computed,
    exactly,
    filtered,
)
from checks.monitoring._rules.facts import Labels
from checks.monitoring._rules.matching import Matching, brought, grouped, meet, several, why_apart
from checks.monitoring._rules.ratios import Sides, sameness, value_of_two
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.sameness import (
    without_conditions,
)
from checks.monitoring._rules.values import accepts
from checks.monitoring._rules.vectors import (
    ANY_LABEL,
    Flaw,
    Presence,
    Vector,
    Verdict,
    never,
    projected,
)

FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}


def read_binary(reader: Reader, node: Binary, left: Vector, right: Vector) -> Vector:
    """Arithmetic or a comparison of what both sides return."""
    for presence in (Presence.NEVER, Presence.PENDING):
        for side in (left, right):
            if side.presence is presence:
                return replace(side, holds=(), fixed=None, scalar=left.scalar and right.scalar)
    if left.scalar or right.scalar:
        return _with_scalar(reader, node, left, right)
    return _of_two(reader, node, left, right)


def _with_scalar(reader: Reader, node: Binary, left: Vector, right: Vector) -> Vector:
    of = right if left.scalar else left
    if node.operator in COMPARISONS:
        return _compared(node, left, right, of=of)
    bounds = computed(node.operator, left.bounds, right.bounds)
    fixed = left.fixed or right.fixed
    return replace(
        of,
        scalar=left.scalar and right.scalar,
        bounds=bounds,
        holds=(),
        fixed=fixed if bounds.number is not None or bounds.is_nan else None,
        sets=reader.nameless(node, of),
    )


def _compared(node: Binary, left: Vector, right: Vector, *, of: Vector, known: bool | None = None) -> Vector:
    """After a comparison; ``of`` is what stays of the sides, ``known`` what it always says."""
    says = known if known is not None else compared(node.operator, left.bounds, right.bounds)
    dead = of.flaw if of.flaw is not None and of.flaw.verdict is Verdict.DEAD else None
    told = Flaw(Verdict.CONSTANT, node, _told(node, left, right, says), mended=_unit_mended(node, left))
    flaw = dead or left.fixed or right.fixed or told
    if node.returns_bool:
        return _zero_or_one(node, of, says, flaw, scalar=left.scalar and right.scalar)
    if says is False:
        return never(flaw)
    base = without_conditions(node)
    on_left = right.scalar or not left.scalar
    operator = node.operator if on_left else FLIPPED[node.operator]
    bounds = filtered(operator, of.bounds, (right if on_left else left).bounds)
    if bounds.is_nan and not of.bounds.is_nan:
        return never(Flaw(Verdict.CONSTANT, node, "the conditions exclude each other"))
    holds = {**dict(of.holds), base: bounds}
    presence = of.presence if says else Presence.SOMETIMES
    return replace(
        of,
        sure=of.sure and bool(says),
        presence=presence,
        bounds=bounds,
        holds=tuple(holds.items()),
        flaw=flaw if says else None,
        fixed=of.fixed,
    )


def _zero_or_one(node: Binary, of: Vector, says: bool | None, flaw: Flaw, *, scalar: bool) -> Vector:
    """A comparison with bool: it filters nothing."""
    why = "bool returns 0 or 1 for every series, so there is always a result"
    return replace(
        of,
        scalar=scalar,
        bounds=ZERO_OR_ONE if says is None else exactly(float(says)),
        holds=(),
        flaw=Flaw(Verdict.CONSTANT, node, why, mended=None if scalar else replace(node, returns_bool=False)),
        fixed=None if says is None else flaw,
    )


def _of_two(reader: Reader, node: Binary, left: Vector, right: Vector) -> Vector:
    matching = Matching.of(node)
    if not meet(left, right, matching):
        why = why_apart(left, right, matching)
        return never(Flaw(Verdict.CONSTANT, node, why, mended=grouped(node, left, right)))
    _check_sides(reader, node, left, right, matching)
    result = _matched(node, left, right, matching)
    sides = Sides(node, left, right, matching)
    if node.operator in COMPARISONS:
        same = sameness(reader, sides)
        of = replace(result, bounds=left.bounds, fixed=left.fixed)
        return _compared(node, left, right, of=of, known=_of_same(node.operator, same))
    bounds, fixed = value_of_two(reader, sides)
    return replace(result, bounds=bounds, fixed=fixed, sets=reader.nameless(node, result))


def _matched(node: Binary, left: Vector, right: Vector, matching: Matching) -> Vector:
    """The label sets of a result, without its values."""
    many, one = (right, left) if node.many == "right" else (left, right)
    sets = brought(many, one, matching)
    if not node.many and not matching.whole:
        keep, drop = (matching.labels, frozenset[str]()) if matching.on else (None, matching.labels)
        sets = projected(sets, keep, drop)
    sets = _included(node, sets, one, matching)
    labels = {label for each in sets for label in each}
    open_ = frozenset(
        label
        for label in labels
        if label in many.open or (label in one.open and (label in node.include or matching.takes(label)))
    )
    both_always = left.presence is right.presence is Presence.ALWAYS
    more = many.more
    if matching.on and not node.many:
        more = matching.labels if ANY_LABEL in more else more & matching.labels
    return Vector(
        presence=Presence.ALWAYS if both_always else Presence.SOMETIMES,
        sets=sets,
        open=open_,
        more=more | (frozenset(node.include) if not one.real else frozenset()),
        real=left.real and right.real,
        sure=left.sure and right.sure,
        cut=left.cut or right.cut,
        limits=many.limits,
        info=many.info,
        counts=many.counts or one.counts,
        single=many.single,
    )


def _included(node: Binary, sets: tuple[Labels, ...], one: Vector, matching: Matching) -> tuple[Labels, ...]:
    """``sets`` with the labels that they get from the one side."""
    if not node.include:
        return sets
    by_key = {matching.key(each): each for each in one.sets}
    return tuple(
        {**each, **{label: by_key[key][label] for label in node.include if label in by_key[key]}}
        if (key := matching.key(each)) in by_key
        else each
        for each in sets
    )


def _check_sides(reader: Reader, node: Binary, left: Vector, right: Vector, matching: Matching) -> None:
    """Several series where the operator allows one: an error, now or once a second value appears."""
    sides = {"left": (("right", right),), "right": (("left", left),)}.get(
        node.many, (("right", right), ("left", left))
    )
    for name, side in sides:
        pair, label = several(side, matching, partial(_targets_vary, reader))
        if not label:
            continue
        by = f"by {', '.join(sorted(matching.labels)) or 'nothing'}" if matching.on else f"without {label}"
        mended = _allowed(node, name, left, right)
        if pair is not None:
            other = left if side is right else right
            values = " and ".join(sorted({each.get(label, "") or "none" for each in pair}))
            why = f"the {name} side has several series where one is needed, matched {by}: {label} is {values}"
            now = all(each.presence is Presence.ALWAYS and each.real for each in (left, right))
            if side is left:  # on this side only those matter that are matched
                now = now and matching.key(pair[0]) in {matching.key(each) for each in other.sets}
            reader.err(Flaw(Verdict.ERROR if now else Verdict.LATENT, node, why, label, mended))
        else:
            why = (
                f"matched {by}, the {name} side must have one series, and has several as soon as there is "
                f"a second value of {label}"
            )
            reader.err(Flaw(Verdict.LATENT, node, why, label, mended))
        return


def _targets_vary(reader: Reader, side: Vector, matching: Matching) -> str:
    """The label by which several scrape targets look alike in what is compared, though one is seen now."""
    labels = reader.world.target_labels
    left_out = [name for name in sorted(side.labels) if name in labels and not matching.takes(name)]
    compared = [name for name in labels if matching.takes(name) and name in side.labels]
    limits = [each for several_ in side.limits.values() for each in several_]
    for name in left_out:
        seen: dict[tuple[str, ...], set[str]] = {}
        for target in reader.world.facts.targets:
            mine = {key: value for key, value in target.labels.items() if key in labels}
            of = any(all(each.get(key) == mine.get(key) for key in ("job",)) for each in side.sets)
            if of and all(accepts(each, mine.get(each.label, "")) for each in limits if each.label in labels):
                seen.setdefault(tuple(mine.get(key, "") for key in compared), set()).add(mine.get(name, ""))
        if any(len(values) > 1 for values in seen.values()):
            return name
    return ""


def _of_same(operator: str, same: str) -> bool | None:
    if same == "same":
        return operator in ("==", ">=", "<=")
    if same == "part" and operator in (">", "<="):
        return operator == "<="
    if same == "whole" and operator in ("<", ">="):
        return operator == ">="
    return None


def _told(node: Binary, left: Vector, right: Vector, says: bool | None) -> str:
    """In words, why a comparison always says the same."""
    if says is None:
        return ""
    of, limit = (right, left) if left.scalar and not right.scalar else (left, right)
    how = "always" if says else "never"
    return f"the value is {_span(of.bounds)}, so it is {how} {_words(node, of is left)} {_span(limit.bounds)}"


def _words(node: Binary, forward: bool) -> str:
    operator = node.operator if forward else FLIPPED[node.operator]
    return {
        ">": "above",
        "<": "below",
        ">=": "at least",
        "<=": "at most",
        "==": "equal to",
        "!=": "other than",
    }[operator]


def _span(bounds: Bounds) -> str:  # noqa: PLR0911 - a phrase for each kind of bounds
    if bounds.is_nan:
        return "no number"
    if bounds.nows:
        return "a time about now" if bounds.nows == 1 else "a multiple of the time"
    if bounds.number is not None:
        return f"{bounds.number:g}"
    if math.isinf(bounds.low) and math.isinf(bounds.high):
        return "any number"
    if math.isinf(bounds.high):
        return f"at least {bounds.low:g}"
    if math.isinf(bounds.low):
        return f"at most {bounds.high:g}"
    return f"between {bounds.low:g} and {bounds.high:g}"


def _unit_mended(node: Binary, left: Vector) -> Node | None:
    """A share compared with a percentage, put right."""
    limit = node.right if isinstance(node.right, Number) else None
    if limit is None or left.bounds.high > 2 or not 2 < limit.value <= 100:
        return None
    return replace(node, right=Number(limit.value / 100))


def _allowed(node: Binary, side: str, left: Vector, right: Vector) -> Node:
    """The same as the operator allows it: matched in full where the labels are the same, or grouped."""
    if left.labels == right.labels and not node.many:
        return replace(node, on=False, labels=())
    if side == "left":
        return replace(node, many="left")
    matched = node.labels if node.on else tuple(sorted(right.labels - set(node.labels)))
    many = node.many or ("left" if left.labels - set(matched) else "")
    return replace(node, right=Aggregation("sum", node.right, matched), many=many)
