"""How an alert reads its metrics: which series, and whether it fires when they are high, low or gone.

Pure, and private to this family. Recordings are followed to the series that they are made of. Of sums,
products and quotients all values are taken to be positive, as counts, times and shares are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from checks.contract.instruments.monitoring import Rule
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
    Text,
)
from checks.monitoring._rules.patterns import pattern

DEEPEST_CHAIN = 5  # recordings of recordings
MOST_SOURCES = 8  # recordings of one name that are looked into
MOST_READINGS = 60  # of one alert
LONGEST_VALUE = 200

Fires = Literal["high", "low", "gone", "there"]
How = Literal["plain", "quantile", "mean", "within", "count", "divisor"]


@dataclass(frozen=True)
class Recording:
    """A recording rule and its expression."""

    rule: Rule
    node: Node


@dataclass(frozen=True)
class Reading:
    """One selector of an alert, recordings followed (``via``), and when the alert fires.

    ``how`` says what is made of it: a ``quantile`` or ``mean`` of a histogram, the share ``within`` a bucket,
    a ``count`` of series; ``divisor`` of something else. ``divided``: it is divided by something.
    """

    selector: Selector
    fires: Fires
    how: How = "plain"
    divided: bool = False
    via: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where in an expression something stands: with which sign, and what is made of it."""

    rising: bool = True
    how: How = "plain"
    divided: bool = False
    via: tuple[str, ...] = ()

    def flipped(self) -> _Place:
        return dataclasses.replace(self, rising=not self.rising)


Recordings = Mapping[str, Sequence[Recording]]


def admits(matcher: Matcher, value: str) -> bool:
    """Whether a series whose label has ``value`` ("": it has no such label) is let through."""
    if matcher.operator in ("=", "!="):
        return (matcher.value == value) is (matcher.operator == "=")
    found = _matches(matcher.value, value)
    return found is None or found is (matcher.operator == "=~")


@lru_cache(maxsize=100_000)
def _matches(text: str, value: str) -> bool | None:
    """Whether a pattern matches; None where that cannot be told. Rules repeat both, and so do we."""
    found = pattern(text)
    return None if found is None else found.matches(value[:LONGEST_VALUE])


def readings(node: Node, recordings: Recordings) -> tuple[Reading, ...]:
    """How the alert with this expression reads its series, in the order of the expression."""
    found = []
    for each in _conditions(node, recordings, ()):
        if each not in found:
            found.append(each)
        if len(found) == MOST_READINGS:
            break
    return tuple(found)


def _conditions(node: Node, recordings: Recordings, via: tuple[str, ...]) -> Iterator[Reading]:
    """What decides whether the alert fires: its comparisons, what must be absent, what must be there."""
    match node:
        case Binary(operator="unless"):
            yield from _unless(node, recordings, via)
        case Binary(operator=operator) if operator in COMPARISONS and not node.returns_bool:
            yield from _compared(node, recordings, via)
        case Binary(operator=operator) if operator not in COMPARISONS:
            yield from _conditions(node.left, recordings, via)
            yield from _conditions(node.right, recordings, via)
        case Call(function="absent" | "absent_over_time"):
            place = _Place(via=via)
            yield from (
                Reading(selector, "gone", "plain", False, at.via)
                for argument in node.arguments
                for selector, at in _parts(argument, place, recordings)
            )
        case Selector():
            yield from _followed(node, recordings, via)
        case Call() | Aggregation() | Negative() | Subquery():
            below = node.arguments if isinstance(node, Call) else (node.of,)
            for each in below:
                yield from _conditions(each, recordings, via)
        case _:
            return


def _unless(node: Binary, recordings: Recordings, via: tuple[str, ...]) -> Iterator[Reading]:
    """What is left of the left side; where that is all series, it fires when the right side does not hold.

    ``x offset 1h unless x``: it fires where a series that was there is gone.
    """
    left = list(_conditions(node.left, recordings, via))
    yield from left
    if any(each.fires != "there" for each in left):
        return
    turned: dict[Fires, Fires] = {"high": "low", "low": "high"}
    for each in _conditions(node.right, recordings, via):
        if each.fires in turned:
            yield dataclasses.replace(each, fires=turned[each.fires])
    now = {selector.name for selector, _ in _parts(node.right, _Place(), recordings) if not selector.offset_s}
    for selector, at in _parts(node.left, _Place(via=via), recordings):
        if selector.offset_s > 0 and selector.name in now:
            yield Reading(selector, "gone", "plain", False, at.via)


def _followed(node: Selector, recordings: Recordings, via: tuple[str, ...]) -> Iterator[Reading]:
    """A selector that is itself the condition: a recorded one holds its own, else it must only be there."""
    sources = _sources(node, recordings, via)
    for recording in sources:
        yield from _conditions(_narrowed(recording, node), recordings, (*via, node.name))
    if not sources:
        yield Reading(node, "there", "plain", False, via)


def _compared(node: Binary, recordings: Recordings, via: tuple[str, ...]) -> Iterator[Reading]:
    for side, other, is_left in ((node.left, node.right, True), (node.right, node.left, False)):
        when_rising = _fires(node.operator, other, is_left=is_left)
        for selector, at in _parts(side, _Place(via=via), recordings):
            fires = when_rising if at.rising else {"high": "low", "low": "high"}[when_rising]
            how: How = at.how
            yield Reading(selector, "high" if fires == "high" else "low", how, at.divided, at.via)


def _fires(operator: str, other: Node, *, is_left: bool) -> Literal["high", "low"]:
    """Whether a comparison holds when the side that is looked at is high, or low."""
    if operator in ("==", "!="):
        value = _constant(other)
        is_low = value is not None and value <= 0
        if operator == "!=":
            is_low = value is not None and value > 0
        return "low" if is_low else "high"
    return "high" if (operator in (">", ">=")) is is_left else "low"


def _constant(node: Node) -> float | None:
    """The number that an expression of numbers is; None for others."""
    match node:
        case Number():
            return node.value
        case Negative():
            value = _constant(node.of)
            return None if value is None else -value
        case Binary(operator="+" | "-" | "*" | "/"):
            left, right = _constant(node.left), _constant(node.right)
            if left is None or right is None or (node.operator == "/" and not right):
                return None
            return {"+": left + right, "-": left - right, "*": left * right}.get(
                node.operator, left / right if right else None
            )
        case _:
            return None


def _parts(node: Node, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    """The selectors of a value, each with its place: whether the value rises with it."""
    match node:
        case Selector():
            yield from _selected(node, place, recordings)
        case Call():
            yield from _called(node, place, recordings)
        case Aggregation(operator="count" | "group" | "count_values"):
            counted = dataclasses.replace(place, how="count")
            if isinstance(node.of, Binary) and node.of.operator in COMPARISONS:
                yield from _chosen(node.of, counted, recordings)
            else:
                yield from _parts(node.of, counted, recordings)
        case Aggregation() | Subquery():
            yield from _parts(node.of, place, recordings)
        case Negative():
            yield from _parts(node.of, place.flipped(), recordings)
        case Binary():
            yield from _combined(node, place, recordings)
        case _:
            return


def _selected(node: Selector, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    sources = _sources(node, recordings, place.via)
    for recording in sources:
        below = dataclasses.replace(place, via=(*place.via, node.name))
        yield from _parts(_narrowed(recording, node), below, recordings)
    if not sources:
        in_bucket = node.name.endswith("_bucket") and place.how == "plain"
        yield node, dataclasses.replace(place, how="within") if in_bucket else place


def _called(node: Call, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    how: How = place.how
    match node.function:
        case "histogram_quantile":
            how = "quantile"
        case "histogram_avg":
            how = "mean"
        case "histogram_fraction":
            how = "within"
        case "histogram_count" | "count_over_time" | "present_over_time":
            how = "count"
        case "absent" | "absent_over_time":
            place = place.flipped()
            how = "count"
        case "time" | "timestamp" | "changes" | "resets":
            return  # of when values are, not of what they are
        case _:
            pass
    for argument in node.arguments:
        yield from _parts(argument, dataclasses.replace(place, how=how), recordings)


def _combined(node: Binary, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    operator = node.operator
    if operator in COMPARISONS:
        if node.returns_bool or operator == "==":  # whose value is known, so that only being there counts
            yield from _chosen(node, place, recordings)
        else:
            yield from _parts(node.left, place, recordings)
            yield from _parts(node.right, dataclasses.replace(place, how="divisor"), recordings)
        return
    if operator in ("and", "unless", "%", "^", "atan2"):
        yield from _parts(node.left, place, recordings)
    elif operator == "/":
        yield from _divided(node, place, recordings)
    else:
        yield from _parts(node.left, place, recordings)
        yield from _parts(node.right, place.flipped() if operator == "-" else place, recordings)


def _divided(node: Binary, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    above = list(_parts(node.left, dataclasses.replace(place, divided=True), recordings))
    below = list(_parts(node.right, place.flipped(), recordings))
    counts = {selector.name for selector, _ in below}
    for selector, at in above:
        is_mean = selector.name.endswith("_sum") and f"{selector.name.removesuffix('_sum')}_count" in counts
        yield selector, dataclasses.replace(at, how="mean") if is_mean else at
    over_a_number = not above
    for selector, at in below:
        yield selector, at if over_a_number else dataclasses.replace(at, how="divisor")


def _chosen(node: Binary, place: _Place, recordings: Recordings) -> Iterator[tuple[Selector, _Place]]:
    """What of a comparison is counted, or is 1: more, the more of its series fulfil it."""
    for side, other, is_left in ((node.left, node.right, True), (node.right, node.left, False)):
        rises = _fires(node.operator, other, is_left=is_left) == "high"
        yield from _parts(side, place if rises else place.flipped(), recordings)


def _sources(node: Selector, recordings: Recordings, via: tuple[str, ...]) -> list[Recording]:
    """The recordings that may have made the selected series."""
    if node.name in via or len(via) >= DEEPEST_CHAIN:
        return []
    fitting = [
        each
        for each in recordings.get(node.name, ())
        if all(admits(m, each.rule.labels[m.label]) for m in node.matchers if m.label in each.rule.labels)
    ]
    return fitting[:MOST_SOURCES]


def _narrowed(recording: Recording, node: Selector) -> Node:
    """The recording's expression, as far as the selector's matchers let it through."""
    own = recording.rule.labels
    matchers = tuple(each for each in node.matchers if each.label not in own)
    return _with(recording.node, matchers) if matchers else recording.node


def _with(node: Node, matchers: tuple[Matcher, ...]) -> Node:
    match node:
        case Selector():
            more = tuple(each for each in matchers if each not in node.matchers)
            return dataclasses.replace(node, matchers=(*node.matchers, *more))
        case Call():
            return dataclasses.replace(
                node, arguments=tuple(_with(each, matchers) for each in node.arguments)
            )
        case Binary():
            left, right = _with(node.left, matchers), _with(node.right, matchers)
            return dataclasses.replace(node, left=left, right=right)
        case Aggregation() | Negative() | Subquery():
            return dataclasses.replace(node, of=_with(node.of, matchers))
        case Number() | Text():
            return node
