"""Which labels an alert's expression leaves for its texts, and which its texts name. Pure, private here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from checks.contract.promql import (
    COMPARISONS,
    Aggregation,
    Binary,
    Call,
    Negative,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
)
from checks.monitoring._readings import DEEPEST_CHAIN, MOST_SOURCES, Recordings

ACTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
NAMED = re.compile(
    r"""(?:\$labels|\.Labels)\.([A-Za-z_]\w*)|index\s+(?:\$labels|\.Labels)\s+["`]([^"`]+)["`]"""
)
ASKS = re.compile(r"^\s*(?:else\s+)?(?:if|with|range)\b")
DEFAULTED = re.compile(r"\bor\s")


@dataclass(frozen=True)
class Kept:
    """The labels that are left: ``named``, and where ``open`` all but ``lost`` that ``selectors`` have."""

    named: frozenset[str] = frozenset()
    open: bool = False
    lost: frozenset[str] = frozenset()
    selectors: tuple[Selector, ...] = ()

    def has(self, label: str) -> bool:
        """Whether ``label`` may be left; an open set may have it."""
        return label in self.named or (self.open and label not in self.lost)

    def or_those_of(self, other: Kept) -> Kept:
        """What either of two leaves."""
        both_open = self.open and other.open
        lost = self.lost & other.lost if both_open else (self.lost if self.open else other.lost)
        opened = self.open or other.open
        return Kept(
            self.named | other.named, opened, lost - self.named - other.named if opened else frozenset(),
            self.selectors + other.selectors,
        )  # fmt: skip

    def only(self, labels: Iterable[str]) -> Kept:
        """What is left of it with only these labels."""
        return Kept(frozenset(label for label in labels if self.has(label)), selectors=self.selectors)

    def without(self, labels: Iterable[str]) -> Kept:
        """What is left of it without these labels."""
        gone = frozenset(labels)
        return Kept(self.named - gone, self.open, self.lost | gone, self.selectors)

    def also(self, labels: Iterable[str]) -> Kept:
        """With these labels too."""
        more = frozenset(labels)
        return Kept(self.named | more, self.open, self.lost - more, self.selectors)


def kept(node: Node, recordings: Recordings, via: tuple[str, ...] = ()) -> Kept:
    """The labels of the series that ``node`` gives."""
    match node:
        case Selector():
            return _of_selector(node, recordings, via)
        case Aggregation():
            return _of_aggregation(node, recordings, via)
        case Binary():
            return _of_binary(node, recordings, via)
        case Call():
            return _of_call(node, recordings, via)
        case Negative() | Subquery():
            return kept(node.of, recordings, via)
        case Number() | Text():
            return Kept()


def _of_selector(node: Selector, recordings: Recordings, via: tuple[str, ...]) -> Kept:
    sources = recordings.get(node.name, ()) if node.name not in via and len(via) < DEEPEST_CHAIN else ()
    if not sources:
        return Kept(open=True, selectors=(node,))
    found = [
        kept(each.node, recordings, (*via, node.name)).also(each.rule.labels)
        for each in sources[:MOST_SOURCES]
    ]
    every = found[0]
    for each in found[1:]:
        every = every.or_those_of(each)
    return every


def _of_aggregation(node: Aggregation, recordings: Recordings, via: tuple[str, ...]) -> Kept:
    of = kept(node.of, recordings, via)
    if node.operator in ("topk", "bottomk", "limitk", "limit_ratio"):
        return of
    left = of.without(node.labels) if node.without else of.only(node.labels)
    if node.operator == "count_values" and isinstance(node.parameter, Text):
        left = left.also([node.parameter.value])
    return left.without(["__name__"])


def _of_binary(node: Binary, recordings: Recordings, via: tuple[str, ...]) -> Kept:
    left, right = kept(node.left, recordings, via), kept(node.right, recordings, via)
    if node.operator == "or":
        return left.or_those_of(right)
    if node.operator in ("and", "unless"):
        return left
    if not _has_series(node.left) or not _has_series(node.right):
        return left if _has_series(node.left) else right
    if node.many:
        many, one = (left, right) if node.many == "left" else (right, left)
        return many.also(label for label in node.include if one.has(label))
    if node.on:
        return left.only(node.labels)
    return left.without((*node.labels, *(("__name__",) if node.operator not in COMPARISONS else ())))


def _has_series(node: Node) -> bool:
    match node:
        case Number() | Text() | Call(function="scalar" | "time" | "pi"):
            return False
        case Binary():
            return _has_series(node.left) or _has_series(node.right)
        case Negative():
            return _has_series(node.of)
        case _:
            return True


def _of_call(node: Call, recordings: Recordings, via: tuple[str, ...]) -> Kept:
    match node.function:
        case "absent" | "absent_over_time":
            gone = node.arguments[0]
            matchers = gone.matchers if isinstance(gone, Selector) else ()
            return Kept(frozenset(each.label for each in matchers if each.operator == "="))
        case "vector" | "scalar" | "time" | "pi":
            return Kept()
        case "histogram_quantile" | "histogram_fraction":
            return kept(node.arguments[-1], recordings, via).without(["le"])
        case "label_replace" | "label_join":
            of = kept(node.arguments[0], recordings, via)
            made = node.arguments[1]
            return of.also([made.value]) if isinstance(made, Text) else of
        case _:
            series = [each for each in node.arguments if _has_series(each)]
            return kept(series[-1], recordings, via) if series else Kept()


def named_in(text: str) -> tuple[str, ...]:
    """The labels that an annotation shows. One that it first asks for, or has another for, may be missing."""
    shown: list[str] = []
    asked: set[str] = set()
    for action in ACTION.findall(text[:5_000]):
        labels = [one or other for one, other in NAMED.findall(action)]
        if ASKS.search(action) or DEFAULTED.search(action):
            asked.update(labels)
        else:
            shown += labels
    return tuple(dict.fromkeys(label for label in shown if label not in asked))
