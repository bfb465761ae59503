"""What functions do to bounds and labels. Pure, private to this family."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from checks.contract.promql import Call, Node, Number, Selector, Text
from checks.monitoring._rules.bounds import (
    ANY,
    AT_LEAST_0,
    COUNTS,
    INF,
    NOW,
    ONE,
    ZERO,
    Bounds,
    exactly,
)
from checks.monitoring._rules.facts import Labels
from checks.monitoring._rules.patterns import pattern
from checks.monitoring._rules.vectors import Flaw, Presence, Vector, Verdict

# They need two samples, so a range that holds one gives nothing.
OF_TWO = frozenset((
    "rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear", "holt_winters",
    "double_exponential_smoothing",
))  # fmt: skip
GROWTH = frozenset(("rate", "increase", "irate"))
KEEP_NAME = frozenset(
    ("last_over_time", "first_over_time", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc")
)
SAME_OVER_TIME = frozenset((
    "avg_over_time", "min_over_time", "max_over_time", "last_over_time", "first_over_time",
))  # fmt: skip
SAME = frozenset(("sort", "sort_desc", "sort_by_label", "sort_by_label_desc"))
CLOCK = {
    "hour": Bounds(0, 23, whole=True),
    "minute": Bounds(0, 59, whole=True),
    "month": Bounds(1, 12, whole=True),
    "day_of_week": Bounds(0, 6, whole=True),
    "day_of_month": Bounds(1, 31, whole=True),
    "day_of_year": Bounds(1, 366, whole=True),
    "days_in_month": Bounds(28, 31, whole=True),
    "year": Bounds(1970, INF, whole=True),
}
FIXED = {
    "count_over_time": COUNTS,
    "present_over_time": ONE,
    "stddev_over_time": AT_LEAST_0,
    "stdvar_over_time": AT_LEAST_0,
    "mad_over_time": AT_LEAST_0,
    "exp": AT_LEAST_0,
    "sqrt": AT_LEAST_0,
    "sgn": Bounds(-1, 1, whole=True),
    "sin": Bounds(-1, 1),
    "cos": Bounds(-1, 1),
    "tanh": Bounds(-1, 1),
    "cosh": Bounds(1, INF),
    "acosh": AT_LEAST_0,
    "asin": Bounds(-math.pi / 2, math.pi / 2),
    "atan": Bounds(-math.pi / 2, math.pi / 2),
    "acos": Bounds(0, math.pi),
    "changes": Bounds(0, INF, whole=True),
    "resets": Bounds(0, INF, whole=True),
    "histogram_count": AT_LEAST_0,
    "histogram_fraction": Bounds(0, 1),
}
MOST_REPEATS = 3


def value_of(  # noqa: PLR0911 - functions are of many kinds
    node: Call, of: Vector, arguments: Sequence[Bounds]
) -> tuple[Bounds, Flaw | None]:
    """The bounds of a call's values, and why they tell nothing where that is so.

    ``of`` is its vector, ``arguments`` the bounds of all it is given.
    """
    name, inner = node.function, of.bounds
    if of.info and name in (*GROWTH, "delta", "idelta", "deriv", "changes", "resets", "irate"):
        why = f"an info metric is always 1, so {name}() of it is 0: new labels make a new series"
        return ZERO, Flaw(Verdict.CONSTANT, node, why)
    if name in GROWTH:
        return AT_LEAST_0, None
    if name in FIXED:
        return FIXED[name], None
    if name in SAME_OVER_TIME or name in SAME:
        return replace(
            inner, whole=inner.whole and name != "avg_over_time"
        ), of.fixed if name in SAME else None
    if name == "sum_over_time":
        return (replace(inner, high=INF) if inner.at_least_0 and not inner.nows else ANY), None
    if name == "quantile_over_time":
        return _quantile(node, arguments[0], replace(inner, whole=False))
    if name in CLOCK:
        return CLOCK[name], None
    if name in _SHAPES:
        return _SHAPES[name](inner, arguments), of.fixed
    return ANY, None


def _quantile(node: Call, of: Bounds, inside: Bounds) -> tuple[Bounds, Flaw | None]:
    share = of.number
    if share is not None and not 0 <= share <= 1:
        value = INF if share > 1 else -INF
        why = f"the quantile {share:g} is not between 0 and 1, so the value is {'+' if share > 1 else '-'}Inf"
        mended: Node | None = None
        if 1 < share <= 100 and isinstance(node.arguments[0], Number):
            mended = replace(node, arguments=(Number(share / 100), *node.arguments[1:]))
        return exactly(value), Flaw(Verdict.CONSTANT, node, why, mended=mended)
    return inside, None


def quantile_of_buckets(node: Call, share: Bounds, les: Sequence[str]) -> tuple[Bounds, Flaw | None]:
    """The bounds of histogram_quantile: it never leaves the finite buckets ``les``."""
    ends = sorted(float(le) for le in les if _is_number(le))
    finite = [end for end in ends if math.isfinite(end)]
    low = min(0.0, finite[0]) if finite else -INF
    inside = Bounds(low, finite[-1] if finite else INF)
    return _quantile(node, share, inside)


def relabelled(node: Call, sets: Sequence[Labels]) -> tuple[tuple[Labels, ...], bool]:
    """The label sets after label_replace or label_join, and whether that is sure."""
    texts = [each.value if isinstance(each, Text) else "" for each in node.arguments[1:]]
    if node.function == "label_join":
        target, separator, *sources = texts
        joined = (separator.join(each.get(source, "") for source in sources) for each in sets)
        return tuple(_with(each, target, value) for each, value in zip(sets, joined, strict=True)), True
    target, replacement, source, expression = texts
    found, compiled = pattern(expression), _compiled(expression)
    if found is None or compiled is None:
        return tuple(sets), False
    made = []
    for each in sets:
        value = each.get(source, "")[:200]
        match = compiled.fullmatch(value) if found.matches(value) else None
        made.append(_with(each, target, _expanded(replacement, match)) if match else each)
    return tuple(made), True


def _with(labels: Labels, name: str, value: str) -> Labels:
    rest = {label: old for label, old in labels.items() if label != name}
    return {**rest, name: value} if value else rest


def _compiled(expression: str) -> re.Pattern[str] | None:
    """``expression`` for its groups, where searching it cannot take long."""
    if len(re.findall(r"(?<!\\)[*+{]", expression)) > MOST_REPEATS or re.search(r"[*+}]\)[*+{]", expression):
        return None
    try:
        return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", expression))
    except re.error:
        return None


def _expanded(replacement: str, match: re.Match[str]) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", group, replacement)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _clamped(of: Bounds, low: Bounds | None, high: Bounds | None) -> Bounds:
    plain = of.plain
    if low is not None:
        plain = Bounds(max(plain.low, low.low), max(plain.high, low.high))
    if high is not None:
        plain = Bounds(min(plain.low, high.low), min(plain.high, high.high))
    return plain


def _absolute(of: Bounds) -> Bounds:
    plain = of.plain
    high = max(abs(plain.low), abs(plain.high))
    low = 0.0 if plain.low <= 0 <= plain.high else min(abs(plain.low), abs(plain.high))
    return Bounds(low, high, of.whole)


def _floor(value: float, *, up: bool = False) -> float:
    if not math.isfinite(value):
        return value
    return float(math.ceil(value) if up else math.floor(value))


def _round_to(of: Bounds, arguments: Sequence[Bounds]) -> Bounds:
    step = arguments[1].number if len(arguments) > 1 else 1.0
    if not step or step < 0 or of.nows:
        return Bounds(of.low - 1, of.high + 1, nows=of.nows)
    ends = [
        value if not math.isfinite(value) else math.floor(value / step + 0.5) * step
        for value in (of.low, of.high)
    ]
    return Bounds(ends[0], ends[1], whole=step == 1)


_SHAPES: dict[str, Callable[[Bounds, Sequence[Bounds]], Bounds]] = {
    "abs": lambda of, _: _absolute(of),
    "ceil": lambda of, _: Bounds(_floor(of.low, up=True), _floor(of.high, up=True), whole=True, nows=of.nows),
    "floor": lambda of, _: Bounds(_floor(of.low), _floor(of.high), whole=True, nows=of.nows),
    "round": _round_to,
    "clamp": lambda of, arguments: _clamped(of, arguments[1], arguments[2]),
    "clamp_min": lambda of, arguments: _clamped(of, arguments[1], None),
    "clamp_max": lambda of, arguments: _clamped(of, None, arguments[1]),
}


def timestamp_of(node: Call, lookback_s: float) -> tuple[Bounds, Flaw | None]:
    """``timestamp()`` is the time of a sample for a selector alone; of any other expression it is now."""
    inner = node.arguments[0]
    if isinstance(inner, Selector):
        if inner.at:
            return AT_LEAST_0, None
        return Bounds(-lookback_s - inner.offset_s, -inner.offset_s, nows=1), None
    why = "timestamp() of an expression is the time of now; only that of a selector is its samples'"
    return NOW, Flaw(Verdict.CONSTANT, node, why)


def scalar_of(node: Call, of: Vector) -> tuple[Bounds, Flaw | None]:
    """``scalar()`` is a number for one series only."""
    if of.real and len(of.sets) > 1 and of.presence is Presence.ALWAYS and of.single != frozenset():
        why = f"scalar() of several series ({len(of.sets)} here) is no number"
        return Bounds(1, -1), Flaw(Verdict.CONSTANT, node, why)
    return of.bounds, of.fixed
