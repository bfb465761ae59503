"""PromQL as a tree: what an expression of a rule is made of. Parentheses are gone, the tree says it.

``app/instruments/promql.py`` makes these trees. ``written`` gives a node back as PromQL, ``packed`` as plain
lists for evidence. Durations are seconds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
SET_OPERATORS = frozenset(("and", "or", "unless"))
# How tightly binary operators bind; a unary minus binds like a product.
BINDS = {"or": 1, "and": 2, "unless": 2, **dict.fromkeys(COMPARISONS, 3)}
BINDS |= {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 6}
# What is left out at the end of packed lists, for it is nearly always so.
SELECTOR: tuple[Any, ...] = ([], None, 0.0, "")
AGGREGATION: tuple[Any, ...] = ([], False, None)
BINARY: tuple[Any, ...] = (False, [], "", [], False)
SUBQUERY: tuple[Any, ...] = (None, 0.0, "")
MATCHER = re.compile(r"([^=!~]*)(=~|!~|!=|=)(.*)", re.DOTALL)
UNITS_MS = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Number:
    """A number; it may be infinite or NaN."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label matcher; ``operator`` is ``=``, ``!=``, ``=~`` or ``!~``."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """Series by name and labels. With ``range_s`` it is a range vector.

    ``name`` is empty where only a matcher on ``__name__`` that is no equality says it, or nothing does.
    ``at`` is ``start()``, ``end()``, a time in seconds, or empty.
    """

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None
    offset_s: float = 0.0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A function and what it is given."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """``operator`` over ``of``. ``without`` says whether ``labels`` go or stay; none stay for a bare one.

    ``parameter`` is what topk, quantile, count_values and the like take first.
    """

    operator: str
    of: Node
    labels: tuple[str, ...] = ()
    without: bool = False
    parameter: Node | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """Two sides and an operator between.

    ``on`` says how series of both sides are matched: True by ``labels`` alone, False by all but ``labels``
    (so by all where there are none). ``many`` is the side that ``group_left`` or ``group_right`` lets have
    several series for one of the other, whose labels ``include`` it gets.
    """

    operator: str
    left: Node
    right: Node
    on: bool = False
    labels: tuple[str, ...] = ()
    many: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()
    returns_bool: bool = False


@dataclass(frozen=True, slots=True)
class Negative:
    """A unary minus."""

    of: Node


@dataclass(frozen=True, slots=True)
class Subquery:
    """``of`` evaluated over a range; ``step_s`` is None for the server's default."""

    of: Node
    range_s: float
    step_s: float | None = None
    offset_s: float = 0.0
    at: str = ""


Node = Number | Text | Selector | Call | Aggregation | Binary | Negative | Subquery


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below, in the order in which they are written."""
    match node:
        case Call():
            return node.arguments
        case Aggregation(parameter=parameter) if parameter is not None:
            return parameter, node.of
        case Binary():
            return node.left, node.right
        case Aggregation() | Negative() | Subquery():
            return (node.of,)
        case _:
            return ()


def walked(node: Node) -> Iterator[Node]:
    """``node`` and all below it, a node before what is below it."""
    yield node
    for child in children(node):
        yield from walked(child)


def selectors(node: Node) -> tuple[Selector, ...]:
    """All selectors, in the order in which they are written."""
    return tuple(each for each in walked(node) if isinstance(each, Selector))


def replaced(node: Node, old: Node, new: Node) -> Node:
    """``node`` with ``new`` in every place of ``old``."""
    if node == old:
        return new
    match node:
        case Call():
            return replace(node, arguments=tuple(replaced(each, old, new) for each in node.arguments))
        case Binary():
            return replace(node, left=replaced(node.left, old, new), right=replaced(node.right, old, new))
        case Aggregation() | Negative() | Subquery():
            return replace(node, of=replaced(node.of, old, new))
        case _:
            return node


def written(node: Node) -> str:  # noqa: PLR0911 - one for each kind of node
    """``node`` as PromQL, on one line, with the parentheses that it needs."""
    match node:
        case Number():
            return number_text(node.value)
        case Text():
            return json.dumps(node.value, ensure_ascii=False)
        case Selector():
            return _selector(node)
        case Call():
            return f"{node.function}({', '.join(map(written, node.arguments))})"
        case Aggregation():
            return _aggregation(node)
        case Binary():
            return _binary(node)
        case Negative():
            inner = written(node.of)
            return f"-({inner})" if isinstance(node.of, Binary | Number) else f"-{inner}"
        case Subquery():
            inner = written(node.of)
            inner = f"({inner})" if isinstance(node.of, Binary | Negative | Number) else inner
            step = duration_text(node.step_s) if node.step_s else ""
            return f"{inner}[{duration_text(node.range_s)}:{step}]{_moved(node)}"


def number_text(value: float) -> str:
    """A number as PromQL writes it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def duration_text(seconds: float) -> str:
    """A duration as PromQL writes it: ``1h30m``. Days and weeks only where it is whole ones."""
    left, text = round(abs(seconds) * 1_000), ""
    for unit, size_ms in UNITS_MS:
        if left >= size_ms and (unit not in ("w", "d") or not left % size_ms):
            text += f"{left // size_ms}{unit}"
            left %= size_ms
    return ("-" if seconds < 0 else "") + (text or "0s")


def _selector(node: Selector) -> str:
    pairs = ",".join(f"{m.label}{m.operator}{json.dumps(m.value, ensure_ascii=False)}" for m in node.matchers)
    text = f"{node.name}{{{pairs}}}" if pairs or not node.name else node.name
    window = f"[{duration_text(node.range_s)}]" if node.range_s is not None else ""
    return text + window + _moved(node)


def _moved(node: Selector | Subquery) -> str:
    at = f" @ {node.at}" if node.at else ""
    return at + (f" offset {duration_text(node.offset_s)}" if node.offset_s else "")


def _aggregation(node: Aggregation) -> str:
    grouping = f" {'without' if node.without else 'by'} ({', '.join(node.labels)}) "
    parameter = f"{written(node.parameter)}, " if node.parameter is not None else ""
    return f"{node.operator}{grouping if node.labels or node.without else ''}({parameter}{written(node.of)})"


def _binary(node: Binary) -> str:
    words = [node.operator]
    if node.returns_bool:
        words.append("bool")
    if node.on or node.labels:
        words.append(f"{'on' if node.on else 'ignoring'} ({', '.join(node.labels)})")
    if node.many:
        words.append(f"group_{node.many} ({', '.join(node.include)})")
    return f"{_side(node.left, node, 'left')} {' '.join(words)} {_side(node.right, node, 'right')}"


def _side(side: Node, of: Binary, where: Literal["left", "right"]) -> str:
    text, binds = written(side), BINDS[of.operator]
    own = BINDS[side.operator] if isinstance(side, Binary) else 5 if text.startswith("-") else 9
    loose = "left" if of.operator == "^" else "right"  # a power groups from the right, all else from the left
    return f"({text})" if own < binds or (own == binds and where == loose) else text


def packed(node: Node) -> list[Any]:  # noqa: PLR0911 - one for each kind of node
    """``node`` as lists of JSON values, much shorter than its fields with their names."""
    match node:
        case Number():
            return ["n", number_text(node.value)]
        case Text():
            return ["t", node.value]
        case Selector():
            matchers = list(map(_packed_matcher, node.matchers))
            return _short(["s", node.name, matchers, node.range_s, node.offset_s, node.at], SELECTOR)
        case Call():
            return ["c", node.function, *map(packed, node.arguments)]
        case Aggregation():
            parameter = None if node.parameter is None else packed(node.parameter)
            of = packed(node.of)
            return _short(["a", node.operator, of, list(node.labels), node.without, parameter], AGGREGATION)
        case Binary():
            matching = [node.on, list(node.labels), node.many, list(node.include), node.returns_bool]
            return _short(["b", node.operator, packed(node.left), packed(node.right), *matching], BINARY)
        case Negative():
            return ["-", packed(node.of)]
        case Subquery():
            return _short(["q", packed(node.of), node.range_s, node.step_s, node.offset_s, node.at], SUBQUERY)


def _short(lists: list[Any], usual: tuple[Any, ...]) -> list[Any]:
    """``lists`` without what is as usual at its end."""
    end = len(lists)
    while end > len(lists) - len(usual) and lists[end - 1] == usual[end - 1 - len(lists)]:
        end -= 1
    return lists[:end]


def _long(lists: Sequence[Any]) -> list[Any]:
    """``lists`` with what is as usual at its end."""
    kind = lists[0] if lists and isinstance(lists[0], str) else ""
    size, usual = {"s": (6, SELECTOR), "a": (6, AGGREGATION), "b": (9, BINARY), "q": (6, SUBQUERY)}.get(
        kind, (0, ())
    )
    left_out = size - len(lists)
    return [*lists, *usual[-left_out:]] if 0 < left_out <= len(usual) else list(lists)


def _packed_matcher(matcher: Matcher) -> Any:
    text = f"{matcher.label}{matcher.operator}{matcher.value}"
    return [matcher.label, matcher.operator, matcher.value] if re.search("[=!~]", matcher.label) else text


def _matcher(lists: str | Sequence[str]) -> Matcher:
    found = MATCHER.fullmatch(lists) if isinstance(lists, str) else None
    label, operator, value = found.groups() if found else lists
    return Matcher(label, operator, value)


def unpacked(lists: Sequence[Any]) -> Node:  # noqa: PLR0911 - one for each kind of node
    """The node that ``packed`` made these lists of. Raises ValueError for others."""
    match _long(lists):
        case ["n", str(number)]:
            return Number(float(number))
        case ["t", str(text)]:
            return Text(text)
        case ["s", str(name), matchers, range_s, offset_s, at]:
            return Selector(name, tuple(map(_matcher, matchers)), range_s, offset_s, at)
        case ["c", str(function), *arguments]:
            return Call(function, tuple(map(unpacked, arguments)))
        case ["a", str(operator), of, labels, without, parameter]:
            taken = None if parameter is None else unpacked(parameter)
            return Aggregation(operator, unpacked(of), tuple(labels), without, taken)
        case ["b", str(operator), left, right, on, labels, many, include, returns_bool]:
            sides = unpacked(left), unpacked(right)
            return Binary(operator, *sides, on, tuple(labels), many, tuple(include), returns_bool)
        case ["-", of]:
            return Negative(unpacked(of))
        case ["q", of, range_s, step_s, offset_s, at]:
            return Subquery(unpacked(of), range_s, step_s, offset_s, at)
        case _:
            raise ValueError("these lists are no packed expression")
