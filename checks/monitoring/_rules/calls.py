"""What functions return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from checks.contract.promql import (
    Aggregation,
    Call,
    Node,
    Selector,
    Subquery,
    Text,
    duration_text,
    replaced,
)
from checks.monitoring._rules.bounds import (
    NOW,
    ONE,
    Bounds,
    exactly,
)
from checks.monitoring._rules.facts import Labels
from checks.monitoring._rules.functions import (
    CLOCK,
    KEEP_NAME,
    OF_TWO,
    quantile_of_buckets,
    relabelled,
    scalar_of,
    timestamp_of,
    value_of,
)
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.vectors import (
    Flaw,
    Presence,
    Vector,
    Verdict,
    never,
    pending,
    projected,
)


def read_call(reader: Reader, node: Call) -> Vector:  # noqa: PLR0911 - functions are of many kinds
    """What a function returns of what it is given."""
    name = node.function
    if name in ("absent", "absent_over_time"):
        return _absent(reader, node)
    if name == "time":
        return Vector(bounds=NOW, scalar=True, sure=True)
    if name == "pi":
        return Vector(bounds=exactly(math.pi), scalar=True, sure=True)
    if name in CLOCK and not node.arguments:
        return Vector(bounds=CLOCK[name], sure=True)
    read = [reader.read(each) for each in node.arguments]
    stopped = next((each for each in read if each.presence in (Presence.NEVER, Presence.PENDING)), None)
    if stopped is not None:
        return replace(stopped, scalar=name == "scalar", holds=(), fixed=None)
    if name == "vector":
        return replace(read[0], scalar=False, holds=())
    of = next((each for each in read if not each.scalar), read[0] if read else Vector())
    if name == "scalar":
        bounds, fixed = scalar_of(node, of)
        return Vector(bounds=bounds, scalar=True, sure=True, fixed=fixed)
    if too_short := _too_short(reader, node, of):
        return never(too_short)
    return _of_vector(reader, node, of, [each.bounds for each in read])


def _of_vector(reader: Reader, node: Call, of: Vector, arguments: list[Bounds]) -> Vector:
    name = node.function
    result = replace(of, holds=(), fixed=None, flaw=of.flaw)
    if name not in KEEP_NAME:
        result = replace(result, sets=reader.nameless(node, of))
    if name in ("histogram_quantile", "histogram_quantiles"):
        return _quantile(node, result, arguments)
    if name == "timestamp":
        bounds, fixed = timestamp_of(node, reader.world.facts.lookback_s)
        return replace(result, bounds=bounds, fixed=fixed, info=False)
    if name in ("label_replace", "label_join"):
        sets, sure = relabelled(node, of.sets)
        target = node.arguments[1].value if isinstance(node.arguments[1], Text) else ""
        _check_relabelled(reader, node, of, sets, target)
        sources = {each.value for each in node.arguments[2:] if isinstance(each, Text)}
        more = of.more if sure else of.more | {target}
        open_ = of.open | {target} if sources & of.open else of.open
        return replace(of, sets=sets, open=open_, more=more)
    bounds, fixed = value_of(node, of, arguments)
    return replace(result, bounds=bounds, fixed=fixed)


def _check_relabelled(reader: Reader, node: Call, of: Vector, sets: Sequence[Labels], target: str) -> None:
    """A label that tells series apart, overwritten: they are then the same."""
    why = f"{node.function}() overwrites {target}, by which series are told apart"
    if len(projected(sets, None)) < len(of.sets) and of.real:
        now = of.presence is Presence.ALWAYS
        reader.err(Flaw(Verdict.ERROR if now else Verdict.LATENT, node, why))
    elif target in of.open and all(
        target not in each or each[target] != had.get(target) for each, had in zip(sets, of.sets, strict=True)
    ):
        reader.err(Flaw(Verdict.LATENT, node, f"{why}, once there are several"))


def _quantile(node: Call, of: Vector, arguments: list[Bounds]) -> Vector:
    if "le" not in of.labels and not of.may_have("le"):
        why = "histogram_quantile() needs the buckets' label le, and no series that it is given has it"
        return never(Flaw(Verdict.CONSTANT, node, why, mended=_with_le(node)))
    les = sorted({each["le"] for each in of.sets if "le" in each})
    bounds, fixed = quantile_of_buckets(node, arguments[0], les)
    drop = frozenset(("le",))
    return replace(
        of,
        bounds=bounds,
        fixed=fixed,
        sets=projected(of.sets, None, drop),
        open=of.open - drop,
        more=of.more - drop,
    )


def _too_short(reader: Reader, node: Call, of: Vector) -> Flaw | None:
    """Why a range never holds the two samples that ``node`` needs."""
    if node.function not in OF_TWO:
        return None
    inner = next((each for each in node.arguments if isinstance(each, Selector | Subquery)), None)
    if isinstance(inner, Subquery):
        if inner.step_s and inner.step_s > inner.range_s:
            step = duration_text(inner.step_s)
            why = f"a range of {duration_text(inner.range_s)} in steps of {step} holds one value"
            return Flaw(Verdict.CONSTANT, inner, why)
        return None
    interval_s = reader.world.interval_s(of.sets) if of.real else 0.0
    if isinstance(inner, Selector) and inner.range_s and 0 < inner.range_s < interval_s:
        why = (
            f"a range of {duration_text(inner.range_s)} holds one sample at most, for the target is scraped "
            f"every {duration_text(interval_s)}"
        )
        longer = replace(inner, range_s=max(4 * interval_s, 1.0))
        return Flaw(Verdict.CONSTANT, node, why, mended=replaced(node, inner, longer))
    return None


def _absent(reader: Reader, node: Call) -> Vector:
    of = reader.read(node.arguments[0])
    labels = _of_equality(node.arguments[0])
    if of.presence is Presence.NEVER:
        return Vector(Presence.ALWAYS, ONE, sets=(labels,), flaw=of.flaw)
    if of.presence is Presence.PENDING:
        return replace(pending(of.flaw), bounds=ONE)
    if of.presence is Presence.ALWAYS and of.sure:
        return never(Flaw(Verdict.CONSTANT, node, "what it is given is always there"))
    return Vector(Presence.SOMETIMES, ONE, sets=(labels,))


def _of_equality(node: Node) -> dict[str, str]:
    """The labels that absent() has: those of equality matchers of a selector."""
    if not isinstance(node, Selector):
        return {}
    return {
        each.label: each.value for each in node.matchers if each.operator == "=" and each.label != "__name__"
    }


def _with_le(node: Call) -> Node | None:
    of = node.arguments[-1]
    if isinstance(of, Aggregation) and not of.without:
        return replace(node, arguments=(*node.arguments[:-1], replace(of, labels=("le", *of.labels))))
    if isinstance(of, Aggregation) and "le" in of.labels:
        rest = tuple(label for label in of.labels if label != "le")
        return replace(node, arguments=(*node.arguments[:-1], replace(of, labels=rest)))
    return None
