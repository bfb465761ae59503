"""Reads an expression for what it can return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from checks.contract.promql import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregation,
    Binary,
    Call,
    Negative,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
    duration_text,
    replaced,
    walked,
)
from checks.monitoring._rules_bounds import (
    AT_LEAST_0,
    COUNTS,
    INF,
    NOW,
    ONE,
    SHARE,
    ZERO,
    ZERO_OR_ONE,
    Bounds,
    compared,
    computed,
    exactly,
    filtered,
    negated,
)
from checks.monitoring._rules_facts import MADE, Labels, World
from checks.monitoring._rules_functions import (
    CLOCK,
    KEEP_NAME,
    OF_TWO,
    quantile_of_buckets,
    relabelled,
    scalar_of,
    timestamp_of,
    value_of,
)
from checks.monitoring._rules_matching import Matching, brought, meet, several, why_apart
from checks.monitoring._rules_sameness import (
    canonical,
    counted,
    is_share,
    named_share,
    part_of,
    without_conditions,
)
from checks.monitoring._rules_selecting import Selecting, too_old
from checks.monitoring._rules_values import accepts
from checks.monitoring._rules_vectors import (
    ANY_LABEL,
    Flaw,
    Presence,
    Vector,
    Verdict,
    never,
    pending,
    projected,
)

Recorded = Callable[[Selector], Vector | None]
FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
OF_ELEMENTS = frozenset(("topk", "bottomk", "limitk", "limit_ratio"))


@dataclass
class Reading:
    """Reads one expression. ``errors`` are what cannot be evaluated, now or one day.

    ``recorded`` gives what a recording returns for a selector, None where its name is no recording.
    ``meant``: a part is not there, as its author surely knows.
    """

    world: World
    selecting: Selecting
    recorded: Recorded
    errors: list[Flaw] = field(default_factory=list)
    meant: bool = False

    def read(self, node: Node) -> Vector:
        """What ``node`` can return."""
        match node:
            case Number():
                return Vector(bounds=exactly(node.value), scalar=True, sure=True)
            case Text():
                return Vector(scalar=True, sure=True)
            case Selector():
                return self._selector(node)
            case Call():
                return self._call(node)
            case Aggregation():
                return self._aggregation(node)
            case Binary():
                return self._binary(node)
            case Negative():
                of = self.read(node.of)
                return replace(of, bounds=negated(of.bounds), holds=(), sets=self._nameless(node, of))
            case Subquery():
                return self._subquery(node)

    def _selector(self, node: Selector) -> Vector:
        found = self.recorded(node) or self.selecting.found(node)
        if found.presence is Presence.NEVER:
            return found
        old = too_old(node, self.world.facts.reaches)
        if old is not None:
            return never(old) if old.verdict.bad else pending(old)
        return found

    def _subquery(self, node: Subquery) -> Vector:
        of = self.read(node.of)
        return replace(
            of, holds=(), flaw=of.flaw if of.presence in (Presence.NEVER, Presence.PENDING) else None
        )

    def _call(self, node: Call) -> Vector:
        name = node.function
        if name in ("absent", "absent_over_time"):
            return self._absent(node)
        if name == "time":
            return Vector(bounds=NOW, scalar=True, sure=True)
        if name == "pi":
            return Vector(bounds=exactly(math.pi), scalar=True, sure=True)
        if name in CLOCK and not node.arguments:
            return Vector(bounds=CLOCK[name], sure=True)
        read = [self.read(each) for each in node.arguments]
        stopped = next((each for each in read if each.presence in (Presence.NEVER, Presence.PENDING)), None)
        if stopped is not None:
            return replace(stopped, scalar=name == "scalar", holds=(), fixed=None)
        if name == "vector":
            return replace(read[0], scalar=False, holds=())
        of = next((each for each in read if not each.scalar), read[0] if read else Vector())
        if name == "scalar":
            bounds, fixed = scalar_of(node, of)
            return Vector(bounds=bounds, scalar=True, sure=True, fixed=fixed)
        if too_short := self._too_short(node, of):
            return never(too_short)
        return self._of_vector(node, of, [each.bounds for each in read])

    def _of_vector(self, node: Call, of: Vector, arguments: list[Bounds]) -> Vector:
        name = node.function
        result = replace(of, holds=(), fixed=None, flaw=of.flaw)
        if name not in KEEP_NAME:
            result = replace(result, sets=self._nameless(node, of))
        if name in ("histogram_quantile", "histogram_quantiles"):
            return self._quantile(node, result, arguments)
        if name == "timestamp":
            bounds, fixed = timestamp_of(node, of, self.world.facts.lookback_s)
            return replace(result, bounds=bounds, fixed=fixed, info=False)
        if name in ("label_replace", "label_join"):
            sets, sure = relabelled(node, of.sets)
            target = node.arguments[1].value if isinstance(node.arguments[1], Text) else ""
            self._check_relabelled(node, of, sets, target)
            sources = {each.value for each in node.arguments[2:] if isinstance(each, Text)}
            more = of.more if sure else of.more | {target}
            open_ = of.open | {target} if sources & of.open else of.open
            return replace(of, sets=sets, open=open_, more=more)
        bounds, fixed = value_of(node, of, arguments)
        return replace(result, bounds=bounds, fixed=fixed)

    def _check_relabelled(self, node: Call, of: Vector, sets: Sequence[Labels], target: str) -> None:
        """A label that tells series apart, overwritten: they are then the same."""
        why = f"{node.function}() overwrites {target}, by which series are told apart"
        if len(projected(sets, None)) < len(of.sets) and of.real:
            self._err(Flaw(Verdict.ERROR, node, why))
        elif target in of.open and all(
            target not in each or each[target] != had.get(target)
            for each, had in zip(sets, of.sets, strict=True)
        ):
            self._err(Flaw(Verdict.LATENT, node, f"{why}, once there are several"))

    def _quantile(self, node: Call, of: Vector, arguments: list[Bounds]) -> Vector:
        if "le" not in of.labels and not of.may_have("le"):
            why = "histogram_quantile() needs the buckets' label le, and no series that it is given has it"
            return never(Flaw(Verdict.CONSTANT, node, why, mended=_with_le(node)))
        les = sorted({each["le"] for each in of.sets if "le" in each})
        bounds, fixed = quantile_of_buckets(node, arguments[0], of, les)
        drop = frozenset(("le",))
        return replace(
            of,
            bounds=bounds,
            fixed=fixed,
            sets=projected(of.sets, None, drop),
            open=of.open - drop,
            more=of.more - drop,
        )

    def _too_short(self, node: Call, of: Vector) -> Flaw | None:
        """Why a range never holds the two samples that ``node`` needs."""
        if node.function not in OF_TWO:
            return None
        inner = next((each for each in node.arguments if isinstance(each, Selector | Subquery)), None)
        if isinstance(inner, Subquery):
            if inner.step_s and inner.step_s > inner.range_s:
                why = f"a range of {duration_text(inner.range_s)} in steps of {duration_text(inner.step_s)} holds one value"
                return Flaw(Verdict.CONSTANT, inner, why)
            return None
        interval_s = self.world.interval_s(of.sets) if of.real else 0.0
        if isinstance(inner, Selector) and inner.range_s and 0 < inner.range_s < interval_s:
            why = (
                f"a range of {duration_text(inner.range_s)} holds one sample at most, for the target is scraped "
                f"every {duration_text(interval_s)}"
            )
            longer = replace(inner, range_s=max(4 * interval_s, 1.0))
            return Flaw(Verdict.CONSTANT, node, why, mended=replaced(node, inner, longer))
        return None

    def _absent(self, node: Call) -> Vector:
        of = self.read(node.arguments[0])
        labels = _of_equality(node.arguments[0])
        if of.presence is Presence.NEVER:
            return Vector(Presence.ALWAYS, ONE, sets=(labels,), flaw=of.flaw)
        if of.presence is Presence.PENDING:
            return replace(pending(of.flaw), bounds=ONE)
        if of.presence is Presence.ALWAYS and of.sure:
            return never(Flaw(Verdict.CONSTANT, node, "what it is given is always there"))
        return Vector(Presence.SOMETIMES, ONE, sets=(labels,))

    def _nameless(self, node: Node, of: Vector) -> tuple[dict[str, str], ...]:
        """The label sets without names; two that then are one cannot be evaluated."""
        if not any("__name__" in each for each in of.sets):
            return of.sets  # type: ignore[return-value]
        sets = projected(of.sets, None, frozenset(("__name__",)))
        if len(sets) < len(of.sets):
            why = "series of several metrics lose their names here and are then the same"
            self._err(Flaw(Verdict.ERROR, node, why))
        return sets  # type: ignore[return-value]

    def _err(self, flaw: Flaw) -> None:
        if flaw not in self.errors:
            self.errors.append(flaw)

    def _aggregation(self, node: Aggregation) -> Vector:
        of = self.read(node.of)
        parameter = self.read(node.parameter) if node.parameter is not None else None
        for each in (of, parameter):
            if each is not None and each.presence in (Presence.NEVER, Presence.PENDING):
                return replace(each, holds=())
        bounds, fixed = self._aggregated(node, of, parameter)
        labels = frozenset(node.labels)
        if node.operator in OF_ELEMENTS:
            most = parameter.bounds.number if parameter else None
            if most is not None and most < 1 and node.operator != "limit_ratio":
                return never(Flaw(Verdict.CONSTANT, node, f"{node.operator}({most:g}, ...) is none of them"))
            one = parameter is not None and parameter.bounds.number == 1
            return replace(of, bounds=bounds, single=labels if one and not node.without else of.single)
        keep, drop = (None, labels | {"__name__"}) if node.without else (labels, frozenset[str]())
        more = of.more - labels if node.without else labels if ANY_LABEL in of.more else of.more & labels
        result = replace(
            of,
            bounds=bounds,
            fixed=fixed,
            sets=projected(of.sets, keep, drop),
            open=frozenset(
                label for label in of.open if (keep is None or label in keep) and label not in drop
            ),
            more=more
            - (frozenset(*[of.labels]) if not node.without and ANY_LABEL not in of.more else frozenset()),
            holds=(),
            single=None,
            info=of.info and not node.without and not {"job", "instance"} - labels == {"job", "instance"},
        )
        if node.operator == "count_values" and isinstance(node.parameter, Text):
            return replace(result, more=result.more | {node.parameter.value})
        return result

    def _aggregated(
        self, node: Aggregation, of: Vector, parameter: Vector | None
    ) -> tuple[Bounds, Flaw | None]:
        inner = of.bounds
        match node.operator:
            case "count" | "count_values":
                return (COUNTS if node.operator == "count" else COUNTS), None
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

    def _binary(self, node: Binary) -> Vector:
        left, right = self.read(node.left), self.read(node.right)
        if node.operator in SET_OPERATORS:
            return self._set(node, left, right)
        for presence in (Presence.NEVER, Presence.PENDING):
            for side in (left, right):
                if side.presence is presence:
                    return replace(side, holds=(), fixed=None, scalar=left.scalar and right.scalar)
        if left.scalar or right.scalar:
            return self._with_scalar(node, left, right)
        return self._of_two(node, left, right)

    def _with_scalar(self, node: Binary, left: Vector, right: Vector) -> Vector:
        of = right if left.scalar else left
        if node.operator in COMPARISONS:
            return self._compared(node, left, right, of)
        bounds = computed(node.operator, left.bounds, right.bounds)
        fixed = left.fixed or right.fixed
        return replace(
            of,
            scalar=left.scalar and right.scalar,
            bounds=bounds,
            holds=(),
            fixed=fixed if bounds.number is not None or bounds.is_nan else None,
            sets=self._nameless(node, of),
        )

    def _compared(
        self, node: Binary, left: Vector, right: Vector, of: Vector, known: bool | None = None
    ) -> Vector:
        """After a comparison; ``of`` is the side whose elements stay, ``known`` what it always says."""
        says = known if known is not None else compared(node.operator, left.bounds, right.bounds)
        fixed = left.fixed or right.fixed
        why = _told(node, left, right, says)
        dead = of.flaw if of.flaw is not None and of.flaw.verdict is Verdict.DEAD else None
        flaw = dead or fixed or Flaw(Verdict.CONSTANT, node, why, mended=_unit_mended(node, left, right))
        if node.returns_bool:
            bounds = ZERO_OR_ONE if says is None else exactly(float(says))
            is_scalar = left.scalar and right.scalar
            bool_flaw = Flaw(
                Verdict.CONSTANT, node, "bool returns 0 or 1 for every series, so there is always a result",
                mended=replace(node, returns_bool=False),
            )  # fmt: skip
            return replace(
                of,
                scalar=is_scalar,
                bounds=bounds,
                holds=(),
                flaw=bool_flaw,
                fixed=None if says is None else flaw,
            )
        if says is False:
            return never(flaw)
        base = without_conditions(node)
        on_left = of is left
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

    def _of_two(self, node: Binary, left: Vector, right: Vector) -> Vector:
        matching = Matching.of(node)
        if not meet(left, right, matching):
            why = why_apart(left, right, matching)
            return never(Flaw(Verdict.CONSTANT, node, why, mended=_grouped(node, left, right)))
        self._check_sides(node, left, right, matching)
        many, one = (right, left) if node.many == "right" else (left, right)
        sets = brought(many, one, matching)
        if not node.many and not matching.whole:
            keep = matching.labels if matching.on else None
            if node.operator not in COMPARISONS or node.returns_bool or matching.on:
                sets = projected(sets, keep, frozenset() if matching.on else matching.labels)
        sets = self._included(node, sets, one, matching)
        labels = {label for each in sets for label in each}
        open_ = frozenset(
            label
            for label in labels
            if label in many.open or (label in one.open and (label in node.include or matching.takes(label)))
        )
        result = Vector(
            presence=Presence.ALWAYS if left.presence is right.presence is Presence.ALWAYS else Presence.SOMETIMES,
            sets=sets,
            open=open_,
            more=(many.more & frozenset((*matching.labels, ANY_LABEL)) if matching.on and not node.many else many.more)
            | (frozenset(node.include) if not one.real else frozenset()),
            real=left.real and right.real,
            sure=left.sure and right.sure,
            cut=left.cut or right.cut,
            limits=many.limits,
            info=many.info,
            counts=many.counts or one.counts,
            single=many.single,
        )  # fmt: skip
        bounds, fixed = self._value(node, left, right, matching)
        if node.operator in COMPARISONS:
            same = self._same(node, left, right, matching)
            return self._compared(
                node,
                left,
                right,
                replace(result, bounds=left.bounds, fixed=left.fixed),
                _of_same(node.operator, same),
            )
        return replace(result, bounds=bounds, fixed=fixed, sets=self._nameless(node, result))

    def _included(
        self, node: Binary, sets: tuple[dict[str, str], ...] | tuple, one: Vector, matching: Matching
    ) -> tuple:
        if not node.include:
            return sets
        by_key = {matching.key(each): each for each in one.sets}
        return tuple(
            {**each, **{label: by_key[key][label] for label in node.include if label in by_key[key]}}
            if (key := matching.key(each)) in by_key
            else each
            for each in sets
        )

    def _check_sides(self, node: Binary, left: Vector, right: Vector, matching: Matching) -> None:
        """Several series where the operator allows one: an error, now or once a second value appears."""
        sides = {"left": (("right", right),), "right": (("left", left),)}.get(
            node.many, (("right", right), ("left", left))
        )
        for name, side in sides:
            pair, label = several(side, matching, self._targets_vary)
            if not label:
                continue
            by = (
                f"by {', '.join(sorted(matching.labels)) or 'nothing'}" if matching.on else f"without {label}"
            )
            mended = _allowed(node, name)
            if pair is not None:
                values = " and ".join(sorted({each.get(label, "") or "none" for each in pair}))
                why = f"the {name} side has several series where one is needed, matched {by}: {label} is {values}"
                self._err(Flaw(Verdict.ERROR, node, why, label, mended))
            else:
                why = (
                    f"matched {by}, the {name} side must have one series, and has several as soon as there is a second "
                    f"value of {label}"
                )
                self._err(Flaw(Verdict.LATENT, node, why, label, mended))
            return

    def _targets_vary(self, side: Vector, matching: Matching) -> str:
        """The label by which several scrape targets look alike in what is compared, though one is seen now."""
        labels = self.world.target_labels
        left_out = [name for name in sorted(side.labels) if name in labels and not matching.takes(name)]
        compared = [name for name in labels if matching.takes(name) and name in side.labels]
        limits = [each for several_ in side.limits.values() for each in several_]
        for name in left_out:
            seen: dict[tuple[str, ...], set[str]] = {}
            for target in self.world.facts.targets:
                mine = {key: value for key, value in target.labels.items() if key in labels}
                of = any(all(each.get(key) == mine.get(key) for key in ("job",)) for each in side.sets)
                if of and all(
                    accepts(each, mine.get(each.label, "")) for each in limits if each.label in labels
                ):
                    seen.setdefault(tuple(mine.get(key, "") for key in compared), set()).add(
                        mine.get(name, "")
                    )
            if any(len(values) > 1 for values in seen.values()):
                return name
        return ""

    def _decided(self, left: Vector, right: Vector, matching: Matching) -> frozenset[str]:
        """Labels that matched elements have alike, each from the series that it is made of."""
        in_all = [
            frozenset.intersection(*map(frozenset, side.sets)) if side.sets else frozenset()
            for side in (left, right)
        ]
        known = in_all[0] & in_all[1]
        if not left.real or not right.real:  # labels of series that are not there yet
            known |= {
                label
                for label in {*left.limits, *right.limits}
                if matching.whole and _kept(label, left, right)
            }
        return frozenset(label for label in known if matching.takes(label))

    def _same(self, node: Binary, left: Vector, right: Vector, matching: Matching) -> str:
        """``same`` where matched elements are made of the same series, ``part`` or ``whole`` of some of them."""
        decided = self._decided(left, right, matching)
        one, two = (canonical(each, self.selecting.idle, decided) for each in (node.left, node.right))
        if one == two:
            return "same"
        if left.bounds.at_least_0 and right.bounds.at_least_0:
            return "part" if part_of(one, two) else "whole" if part_of(two, one) else ""
        return ""

    def _value(
        self, node: Binary, left: Vector, right: Vector, matching: Matching
    ) -> tuple[Bounds, Flaw | None]:
        operator = node.operator
        plain = computed(operator, left.bounds, right.bounds)
        if operator not in ("/", "-"):
            fixed = left.fixed or right.fixed
            return plain, fixed if plain.number is not None or plain.is_nan else None
        decided = self._decided(left, right, matching)
        one, two = (canonical(each, self.selecting.idle, decided) for each in (node.left, node.right))
        if one == two:
            value, told = (ONE, "1") if operator == "/" else (ZERO, "0")
            verb = "divided by" if operator == "/" else "less"
            why = f"each series is {verb} itself, so the value is {told} or nothing, whatever happens"
            return value, Flaw(Verdict.CONSTANT, node, why, mended=_summed(node))
        fixed = left.fixed or right.fixed
        if operator == "-":
            bounds = plain.within(0, INF) if _both_positive(left, right) and part_of(two, one) else plain
            return bounds, fixed if bounds.number is not None or bounds.is_nan else None
        return self._ratio(node, left, right, (one, two), plain)

    def _ratio(
        self, node: Binary, left: Vector, right: Vector, sides: tuple[Node, Node], plain: Bounds
    ) -> tuple[Bounds, Flaw | None]:
        one, two = sides
        fixed = left.fixed or right.fixed
        mean = counted(one, two)
        if mean is not None:
            inner = self.read(mean).bounds
            if inner.at_least_0 and inner.high <= 1:
                return SHARE, None
        if _both_positive(left, right) and is_share(one, two):
            return plain.within(0, 1), None
        if self._zero(node.right) and not self._zero(node.left):
            why = "the limit is 0, which stands for none: divided by it, any use is infinite"
            mended = Binary("and", node, Binary(">", node.right, Number(0)))
            return exactly(INF), Flaw(Verdict.CONSTANT, node, why, mended=mended)
        if named_share(one, two):
            return plain.within(-INF, 2), None
        return plain, fixed if plain.number is not None or plain.is_nan else None

    def _zero(self, node: Node) -> bool:
        """Whether ``node`` is a metric that is a limit by its name, and 0, which is then how it is set."""
        if not isinstance(node, Selector):
            return False
        found = self.world.facts.metrics.get(node.name)
        return bool(found and found.zero and not found.past and self.world.kind(node.name) == "gauge")

    def _set(self, node: Binary, left: Vector, right: Vector) -> Vector:
        matching = Matching.of(node)
        if node.operator == "or":
            return _either(node, left, right)
        if left.presence in (Presence.NEVER, Presence.PENDING):
            return left
        if node.operator == "unless":
            return self._unless(node, left, right, matching)
        if right.presence in (Presence.NEVER, Presence.PENDING):
            return right
        if not meet(left, right, matching):
            why = why_apart(left, right, matching)
            return never(Flaw(Verdict.CONSTANT, node, why, mended=_grouped(node, left, right)))
        for one, other, part in ((left, right, node.right), (right, left, node.left)):
            if _is_down(one) and self._falls_silent(one, other, part, matching):
                why = "a target that is down tells nothing, so nothing of it is there while up is 0"
                return never(Flaw(Verdict.CONSTANT, node, why))
        holds = dict(left.holds)
        if self._whole(left, right, matching):
            for part, bounds in right.holds:
                had = holds.get(part)
                both = bounds if had is None else had.within(bounds.low, bounds.high)
                if both.is_nan and had is not None and not had.is_nan:
                    return never(Flaw(Verdict.CONSTANT, node, "the conditions exclude each other"))
                holds[part] = both
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

    def _falls_silent(self, down: Vector, other: Vector, part: Node, matching: Matching) -> bool:
        """Whether ``part`` is only of series that the targets of ``down`` themselves tell, at this moment."""
        read = [each for each in walked(part) if isinstance(each, Selector)]
        told = all(
            each.name and each.name in self.world.facts.metrics and each.name not in MADE
            and each.name not in self.world.recordings and each.range_s is None and not each.offset_s and not each.at
            for each in read
        )  # fmt: skip
        jobs = [{each.get("job") for each in side.sets} for side in (down, other)]
        return bool(read) and told and matching.takes("instance") and not other.more and jobs[1] <= jobs[0]

    def _unless(self, node: Binary, left: Vector, right: Vector, matching: Matching) -> Vector:
        if right.presence is Presence.NEVER:
            if right.flaw is not None and right.flaw.verdict is Verdict.DEAD:
                if right.flaw.near:
                    self._err(right.flaw)  # it was to silence something, and never does
                self.meant = self.meant or not right.flaw.near
            return left
        if self._always_excluded(node, left, right, matching):
            return never(
                Flaw(Verdict.CONSTANT, node, "whatever the left side has, the right side takes away")
            )
        return replace(left, presence=Presence.SOMETIMES, sure=False, flaw=None)

    def _always_excluded(self, node: Binary, left: Vector, right: Vector, matching: Matching) -> bool:
        selectors = any(isinstance(each, Selector) for each in walked(node.right))
        if right.presence is Presence.ALWAYS and not selectors:
            return matching.on and not matching.labels
        if not self._whole(left, right, matching):
            return False
        one, two = (
            canonical(without_conditions(each), self.selecting.idle, frozenset())
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

    @staticmethod
    def _whole(left: Vector, right: Vector, matching: Matching) -> bool:
        """Whether a matched pair has all its labels in common, so that it is of the same series."""
        return all(matching.takes(label) for label in left.labels | right.labels) and not (
            left.more and matching.on
        )


def _is_down(of: Vector) -> bool:
    return any(
        isinstance(part, Selector) and part.name == "up" and bounds.number == 0 for part, bounds in of.holds
    )


def _either(node: Binary, left: Vector, right: Vector) -> Vector:
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


def _both_positive(left: Vector, right: Vector) -> bool:
    return left.bounds.at_least_0 and right.bounds.at_least_0


def _kept(label: str, left: Vector, right: Vector) -> bool:
    """Whether a label that is not known yet is on both sides if it is on any: nothing took it away."""
    return all(label in side.labels or side.may_have(label) for side in (left, right))


def _of_same(operator: str, same: str) -> bool | None:
    if same == "same":
        return operator in ("==", ">=", "<=")
    if same == "part" and operator in (">", "<="):
        return operator == "<="
    if same == "whole" and operator in ("<", ">="):
        return operator == ">="
    return None


def _of_equality(node: Node) -> dict[str, str]:
    """The labels that absent() has: those of equality matchers of a selector."""
    if not isinstance(node, Selector):
        return {}
    return {
        each.label: each.value for each in node.matchers if each.operator == "=" and each.label != "__name__"
    }


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


def _span(bounds: Bounds) -> str:
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


def _unit_mended(node: Binary, left: Vector, right: Vector) -> Node | None:
    """A share compared with a percentage, put right."""
    limit = node.right if isinstance(node.right, Number) else None
    if limit is None or left.bounds.high > 2 or not 2 < limit.value <= 100:
        return None
    return replace(node, right=Number(limit.value / 100))


def _with_le(node: Call) -> Node | None:
    of = node.arguments[-1]
    if isinstance(of, Aggregation) and not of.without:
        return replace(node, arguments=(*node.arguments[:-1], replace(of, labels=("le", *of.labels))))
    if isinstance(of, Aggregation) and "le" in of.labels:
        rest = tuple(label for label in of.labels if label != "le")
        return replace(node, arguments=(*node.arguments[:-1], replace(of, labels=rest)))
    return None


def _summed(node: Binary) -> Node:
    """A ratio of sums instead of one series by itself."""

    def without_group(side: Node) -> Node:
        return Aggregation(
            "sum", side.of if isinstance(side, Aggregation) and side.operator == "sum" else side
        )

    return replace(node, left=without_group(node.left), right=without_group(node.right))


def _grouped(node: Binary, left: Vector, right: Vector) -> Node | None:
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


def _allowed(node: Binary, side: str) -> Node | None:
    """The same with the side that has several allowed to, where the other has one for each."""
    if side == "left" and not node.many:
        return replace(node, many="left")
    matched = node.labels if node.on else ()
    if side == "right" and node.on:
        return replace(node, right=Aggregation("sum", node.right, matched))
    return None
