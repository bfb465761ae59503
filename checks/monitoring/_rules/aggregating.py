"""What aggregations return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

from dataclasses import replace

from checks.contract.promql import (
    Aggregation,
    Number,
    Text,
)
from checks.monitoring._rules.bounds import (
    AT_LEAST_0,
    COUNTS,
    INF,
    ONE,
    ZERO,
    Bounds,
    exactly,
)
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.vectors import (
    ANY_LABEL,
    Flaw,
    Presence,
    Vector,
    Verdict,
    never,
    projected,
)

OF_ELEMENTS = frozenset(("topk", "bottomk", "limitk", "limit_ratio"))


def read_aggregation(reader: Reader, node: Aggregation) -> Vector:
    """What an aggregation returns of what it is given."""
    of = reader.read(node.of)
    parameter = reader.read(node.parameter) if node.parameter is not None else None
    for each in (of, parameter):
        if each is not None and each.presence in (Presence.NEVER, Presence.PENDING):
            return replace(each, holds=())
    bounds, fixed = _aggregated(node, of, parameter)
    labels = frozenset(node.labels)
    if node.operator in OF_ELEMENTS:
        most = parameter.bounds.number if parameter else None
        if most is not None and most < 1 and node.operator != "limit_ratio":
            return never(Flaw(Verdict.CONSTANT, node, f"{node.operator}({most:g}, ...) is none of them"))
        one = parameter is not None and parameter.bounds.number == 1
        return replace(of, bounds=bounds, single=labels if one and not node.without else of.single)
    result = replace(of, bounds=bounds, fixed=fixed, holds=(), single=None)
    if node.without:
        sets = projected(of.sets, None, labels | {"__name__"})
        result = replace(result, sets=sets, open=of.open - labels, more=of.more - labels, info=False)
    else:
        result = replace(
            result,
            sets=projected(of.sets, labels),
            open=of.open & labels,
            more=labels if ANY_LABEL in of.more else of.more & labels - of.labels,
            info=of.info and bool({"job", "instance"} & labels),
        )
    if node.operator == "count_values" and isinstance(node.parameter, Text):
        return replace(result, more=result.more | {node.parameter.value})
    return result


def _aggregated(  # noqa: PLR0911 - one for each kind of aggregation
    node: Aggregation, of: Vector, parameter: Vector | None
) -> tuple[Bounds, Flaw | None]:
    """The bounds of its values, and why they tell nothing where that is so."""
    inner = of.bounds
    match node.operator:
        case "count" | "count_values":
            return COUNTS, None
        case "group":
            return ONE, None
        case "stddev" | "stdvar":
            return AT_LEAST_0, None
        case "sum":
            plain = inner.plain
            if plain.is_nan:
                return inner, of.fixed
            if plain.low == plain.high == 0:
                return ZERO, of.fixed
            low = plain.low if plain.low >= 0 else -INF
            return Bounds(low, INF if plain.high > 0 else plain.high, inner.whole), None
        case "quantile":
            share = parameter.bounds.number if parameter else None
            if share is not None and not 0 <= share <= 1:
                value = INF if share > 1 else -INF
                why = f"the quantile {share:g} is not between 0 and 1, so the value is infinite"
                right = share / 100
                mended = replace(node, parameter=Number(right)) if 1 < share <= 100 else None
                return exactly(value), Flaw(Verdict.CONSTANT, node, why, mended=mended)
            return replace(inner, whole=False), None
        case "avg":
            return replace(inner, whole=False), of.fixed
        case _:
            return inner, of.fixed
