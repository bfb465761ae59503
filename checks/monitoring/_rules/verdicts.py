"""The verdict on each loaded rule. Pure on the facts, private to this family."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import partial

from checks.contract.promql import (
    COMPARISONS,
    Binary,
    Call,
    Node,
    Selector,
    replaced,
    selectors,
    walked,
    written,
)
from checks.monitoring._rules.facts import Facts, GroupFact, RuleFact, World
from checks.monitoring._rules.narrowing import bare, mended_by, narrowed
from checks.monitoring._rules.reading import Reading
from checks.monitoring._rules.sameness import without_conditions
from checks.monitoring._rules.selecting import Selecting
from checks.monitoring._rules.values import only_value
from checks.monitoring._rules.vectors import Flaw, Presence, Vector, Verdict, never, pending

WATCHDOG = re.compile(r"watch_?dog|dead_?man|heart_?beat|always_?(firing|fires)|e2e|snitch", re.IGNORECASE)
DEEPEST_CHAIN = 20
MOST_REPAIRS = 4
MOST_FOLLOWED = 50  # times that a recording is followed, for each rule that there is
ORDER = (Verdict.DEAD, Verdict.ERROR, Verdict.LATENT)  # of what is told of several


@dataclass(frozen=True)
class Judged:
    """A rule and what is to be said of it. ``part`` is what is at fault, ``mended`` the whole expression.

    ``near`` is the nearest metric, label or value that exists.
    """

    group: GroupFact
    position: int
    rule: RuleFact
    expression: str
    verdict: Verdict
    part: str = ""
    why: str = ""
    near: str = ""
    mended: str = ""


def verdicts(facts: Facts) -> list[Judged]:
    """One for each rule, in order."""
    judge = _Judge(World(facts))
    numbers = iter(range(len(judge.world.rules)))
    return [
        judge.verdict(next(numbers), group, position)
        for group in facts.groups
        for position in range(len(group.rules))
    ]


class _Judge:
    def __init__(self, world: World) -> None:
        self.world = world
        self.selecting = Selecting(world)
        self._read: dict[int, tuple[Vector, list[Flaw]]] = {}
        self._reading: list[int] = []
        self._circles: set[int] = set()
        self._followed = 0
        self._meant: set[int] = set()

    def verdict(self, number: int, group: GroupFact, position: int) -> Judged:
        """That on the rule at ``position`` of ``group``, the ``number``-th of all."""
        rule, node = self.world.rules[number], self.world.trees.get(number)
        told = partial(Judged, group, position, rule)
        if node is None:
            if rule.health == "err":
                return told("", Verdict.ERROR, "", rule.problem)
            return told("", Verdict.NOT_YET, "", f"the expression is not understood: {rule.problem}")
        found, errors = self._read_rule(number)
        flaw = self._flaw(rule, node, found, errors)
        if flaw is None:
            meant = Verdict.MEANT_SO if _meant_so(rule, node) or number in self._meant else Verdict.ALIVE
            return told(written(node), meant)
        mended = self._repaired(number, node, flaw)
        return told(written(node), flaw.verdict, written(flaw.at), flaw.why, flaw.near, mended)

    def _repaired(self, number: int, node: Node, flaw: Flaw) -> str:
        """The expression with all that is at fault put right; "" where that takes more than is known."""
        rule = replace(self.world.rules[number], health="ok")
        for _ in range(MOST_REPAIRS):
            if flaw.mended is None:
                return ""
            node = _mended_whole(node, flaw.at, flaw.mended)
            found, errors, _meant = self._read_tree(number, node)
            left = self._flaw(rule, node, found, errors)
            if left is None or not left.verdict.bad:
                return written(node)
            flaw = left
        return ""

    def _flaw(  # noqa: PLR0911 - in the order in which they count
        self, rule: RuleFact, node: Node, found: Vector, errors: list[Flaw]
    ) -> Flaw | None:
        if rule.health == "err":
            known = min(errors, key=lambda each: ORDER.index(each.verdict), default=None)
            return replace(known, verdict=Verdict.ERROR) if known else Flaw(Verdict.ERROR, node, rule.problem)
        if found.presence is Presence.NEVER:
            return found.flaw or Flaw(Verdict.CONSTANT, node, "it never returns anything")
        if errors:
            first = min(errors, key=lambda each: ORDER.index(each.verdict))
            latent = rule.health == "ok" and first.verdict is Verdict.ERROR  # of what is down, it was not now
            return replace(first, verdict=Verdict.LATENT) if latent else first
        if found.presence is Presence.PENDING:
            return found.flaw
        if (
            rule.kind == "alert"
            and found.presence is Presence.ALWAYS
            and (found.flaw or not _meant_so(rule, node))
        ):
            return found.flaw or Flaw(
                Verdict.CONSTANT, node, "there is no condition: it fires whenever there is data", mended=None
            )
        if rule.kind == "record" and found.fixed is not None:
            return found.fixed
        if rule.health == "unknown":
            return Flaw(Verdict.NOT_YET, node, "Prometheus has not evaluated it yet")
        return None

    def _read_rule(self, number: int) -> tuple[Vector, list[Flaw]]:
        if number not in self._read:
            found, errors, meant = self._read_tree(number, self.world.trees[number])
            self._meant |= {number} if meant else set()
            if self._circles & set(self._reading):
                return found, errors  # half of a circle: not what it is by itself
            self._circles.discard(number)
            self._read[number] = found, errors
        return self._read[number]

    def _read_tree(self, number: int, node: Node) -> tuple[Vector, list[Flaw], bool]:
        """What ``node`` returns in the place of the rule, and whether a part is left out on purpose."""
        reading = Reading(self.world, self.selecting, self._recorded)
        self._reading.append(number)
        found = reading.read(node)
        self._reading.pop()
        if found.presence in (Presence.ALWAYS, Presence.SOMETIMES):
            self._same_labels(self.world.rules[number], node, found, reading.errors)
        return found, reading.errors, reading.meant

    def _same_labels(self, rule: RuleFact, node: Node, found: Vector, errors: list[Flaw]) -> None:
        """Labels of the rule take the place of those that tell its series apart."""
        plain = {name: value for name, value in rule.labels.items() if "{{" not in value}
        if rule.kind == "alert":
            plain["__name__"] = "ALERTS"
        taken = sorted(set(plain) & (found.labels | found.open))
        if not taken:
            return
        sets = {tuple(sorted({**each, **plain}.items())) for each in found.sets}
        label = taken[0]
        if label == "__name__" and len(sets) < len(found.sets):
            verdict = Verdict.LATENT if found.presence is Presence.SOMETIMES else Verdict.ERROR
            at = next((each for each in selectors(node) if not each.name), node)
            errors.append(Flaw(verdict, at, "series of several metrics lose their names in an alert"))
            return
        why = f"the rule's own label {label} takes the place of the one that tells its series apart"
        if len(sets) < len(found.sets) and found.real:
            now = found.presence is Presence.ALWAYS
            errors.append(Flaw(Verdict.ERROR if now else Verdict.LATENT, node, why, label))
        elif any(name in found.open for name in taken):
            errors.append(Flaw(Verdict.LATENT, node, f"{why}, once there are several", label))

    def _recorded(self, node: Selector) -> Vector | None:
        """What recordings of this name return; None where nothing records it."""
        numbers = [each for each in self.world.recordings.get(node.name, ()) if each in self.world.trees]
        if not numbers:
            return None
        self._followed += 1
        if len(self._reading) > DEEPEST_CHAIN or self._followed > MOST_FOLLOWED * len(self.world.rules):
            why = f"{node.name} comes from recordings that are too many to follow"
            return pending(Flaw(Verdict.NOT_YET, bare(node), why))
        told = bool(self.world.described(node.name)[0])  # a metric of that name is scraped, too
        circle = [each for each in numbers if each in self._reading]
        if circle:
            self._circles |= set(circle)
            return (
                self.selecting.found(node)
                if told
                else never(
                    _of_chain(node, f"{node.name} waits for itself: recordings that come from each other")
                )
            )
        parts = [self._one_recording(number, node) for number in numbers]
        parts += [self.selecting.found(node)] if told else []
        good = [each for each in parts if each.presence in (Presence.ALWAYS, Presence.SOMETIMES)]
        if not good:
            waiting = [each for each in parts if each.presence is Presence.PENDING]
            return waiting[0] if waiting else max(parts, key=lambda each: _nearness(node, each.flaw))
        first, *rest = good
        for each in rest:
            first = replace(
                first,
                presence=Presence.ALWAYS
                if each.presence is first.presence is Presence.ALWAYS
                else Presence.SOMETIMES,
                bounds=first.bounds.joined(each.bounds),
                sets=(*first.sets, *each.sets),
                open=first.open | each.open,
                more=first.more | each.more,
                real=first.real and each.real,
                cut=first.cut or each.cut,
                fixed=first.fixed if first.fixed and each.fixed else None,
            )
        return first

    def _one_recording(self, number: int, node: Selector) -> Vector:
        """What one recording returns for a selector: it lives and dies with the recording's expression."""
        rule = self.world.rules[number]
        found, errors = self._read_rule(number)
        if rule.health == "err" or any(each.verdict is Verdict.ERROR for each in errors):
            return never(_of_chain(node, f"the recording {rule.name} cannot be evaluated"))
        if found.presence is Presence.NEVER:
            verdict = found.flaw.verdict if found.flaw else Verdict.DEAD
            why = found.flaw.why if found.flaw else "it never returns anything"
            return never(_of_chain(node, f"the recording {rule.name} is never there: {why}", verdict))
        if found.presence is Presence.PENDING or rule.health == "unknown":
            why = found.flaw.why if found.flaw else "it has not been evaluated yet"
            return pending(_of_chain(node, f"the recording {rule.name}: {why}", Verdict.NOT_YET))
        fixed = None
        if found.fixed is not None:
            why = f"the recording {rule.name} tells nothing: {found.fixed.why}"
            fixed = _of_chain(node, why, Verdict.CONSTANT)
        return replace(_chosen(rule, found, node), fixed=fixed)


def _chosen(rule: RuleFact, found: Vector, node: Selector) -> Vector:
    """The series of a recording, with the rule's own labels, that a selector finds."""
    sets = tuple({**each, **rule.labels} for each in found.sets)
    matchers = [each for each in node.matchers if each.label != "__name__"]
    labels = {label for each in sets for label in each}
    known = [each for each in matchers if each.label in labels or not found.may_have(each.label)]
    open_ = found.open - set(rule.labels)
    chosen = narrowed(sets, known, frozenset(labels - open_), {})
    if not chosen.sets:
        mended = mended_by(node, chosen, sets) if chosen.near else None
        return never(Flaw(Verdict.DEAD, bare(node), chosen.why, chosen.near, mended))
    pinned = {each.label for each in matchers if only_value([each]) is not None}
    return replace(
        found,
        sets=chosen.sets,
        open=open_ - pinned,
        real=found.real and chosen.real,
        limits={label: tuple(each for each in matchers if each.label == label) for label in labels},
        scalar=False,
        holds=(),
        flaw=None,
    )


def _of_chain(node: Selector, why: str, verdict: Verdict = Verdict.DEAD) -> Flaw:
    return Flaw(verdict, bare(node), why)


def _nearness(node: Selector, flaw: Flaw | None) -> float:
    """How well what a flaw suggests fits what was asked for."""
    if flaw is None or not flaw.near:
        return 0.0
    asked = [each.value for each in node.matchers] or [node.name]
    return max(SequenceMatcher(None, each, flaw.near).ratio() for each in asked)


def _mended_whole(node: Node, at: Node, mended: Node) -> Node:
    """``node`` with ``mended`` in the place of ``at``; selectors keep their ranges."""
    if not isinstance(at, Selector) or not isinstance(mended, Selector):
        return replaced(node, at, mended)
    for each in dict.fromkeys(selectors(node)):
        if replace(each, range_s=None) == replace(at, range_s=None):
            node = replaced(node, each, replace(mended, range_s=each.range_s))
    return node


def _meant_so(rule: RuleFact, node: Node) -> bool:
    """Whether what never changes, or only tells of nothing, is what the rule is for."""
    if not selectors(node):
        return (
            rule.kind == "record"
            or not any(_compares(each) for each in walked(node))
            or bool(WATCHDOG.search(rule.name))
        )
    if rule.kind != "alert":
        return False
    bare = without_conditions(node)
    if isinstance(bare, Binary) and bare.operator == "unless" and not selectors(bare.left):
        return True
    return isinstance(bare, Call) and bare.function.startswith("absent")


def _compares(node: Node) -> bool:
    return isinstance(node, Binary) and node.operator in COMPARISONS
