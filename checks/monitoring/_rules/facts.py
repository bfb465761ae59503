"""What a Prometheus has of the series that its rules ask for: labels and kinds, never values of now.

Private to this family. Series are kept as rows of a table, for evidence must stay small.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from checks.contract.promql import Matcher, Node, unpacked

SUFFIXES = ("_bucket", "_count", "_sum", "_total", "_created", "_info", "_gcount", "_gsum")
# What a metric of a kind has series of, besides the bare name where that is said.
SERIES_OF = {
    "counter": frozenset(("", "_total", "_created")),
    "gauge": frozenset(("",)),
    "histogram": frozenset(("_bucket", "_count", "_sum", "_created")),
    "gaugehistogram": frozenset(("_bucket", "_gcount", "_gsum")),
    "summary": frozenset(("", "_count", "_sum", "_created")),
    "info": frozenset(("", "_info")),
    "stateset": frozenset(("",)),
    "unknown": frozenset(("", "_total")),
    "untyped": frozenset(("", "_total")),
}
# Made by Prometheus itself for each target; nobody describes them.
MADE = frozenset((
    "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
    "scrape_series_added", "scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes",
))  # fmt: skip
OF_ALERTS = frozenset(("ALERTS", "ALERTS_FOR_STATE"))

Labels = Mapping[str, str]


@dataclass(frozen=True)
class RuleFact:
    """A loaded rule. ``tree`` is its packed expression, None where it is not understood.

    ``problem`` is why it is not, or Prometheus' own words where it could not evaluate the rule.
    """

    kind: Literal["alert", "record"]
    name: str
    tree: list[Any] | None
    labels: dict[str, str]
    health: str
    problem: str = ""


@dataclass(frozen=True)
class GroupFact:
    """A group and its rules in order. The key of a rule is file, group and position, for names repeat."""

    file: str
    name: str
    interval_s: float
    rules: tuple[RuleFact, ...]


@dataclass(frozen=True)
class MetricFact:
    """The series of one name: each row has, by label, the number of its value in the evidence, or -1.

    ``past``: none has a sample now, these had one within a day. ``zero``: all are 0 now, which says
    something of a configured limit only; ``one``: all are 1, as an info metric's are. ``cut``: there are
    more series than are kept.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    past: bool = False
    zero: bool = False
    one: bool = False
    cut: bool = False


@dataclass(frozen=True)
class TargetFact:
    """What is scraped, by its labels."""

    labels: dict[str, str]
    interval_s: float
    up: bool


@dataclass(frozen=True)
class Facts:
    """All that Prometheus said. ``kinds`` are TYPEs by described name, of names that matter here.

    ``similar`` has names that look like one that nobody has. ``first_words`` are those of all names.
    ``reaches`` says for each offset (s) whether there are samples that old. ``patterns`` are the names that
    a selector without one finds. ``unloaded`` are declared rule files of which no rule is loaded.
    ``open_metrics`` are first words of names whose counters are described without their `_total`.
    ``announced`` are described names by the selector of the targets that describe them, where their series
    are not there and those of other targets are.
    """

    groups: tuple[GroupFact, ...]
    left_out: int
    values: tuple[str, ...]
    metrics: dict[str, MetricFact]
    kinds: dict[str, tuple[str, ...]]
    similar: dict[str, tuple[str, ...]]
    first_words: tuple[str, ...]
    patterns: dict[str, tuple[str, ...]]
    targets: tuple[TargetFact, ...]
    external_labels: dict[str, str]
    reaches: dict[str, bool]
    lookback_s: float
    unloaded: tuple[str, ...] = ()
    reload_failed: bool = False
    described: bool = True
    open_metrics: tuple[str, ...] = ()
    announced: dict[str, tuple[str, ...]] = field(default_factory=dict)


def of_targets(matchers: Sequence[Matcher], labels: Collection[str]) -> tuple[Matcher, ...]:
    """The matchers that say of which scrape targets series are, in one order."""
    return tuple(sorted((each for each in matchers if each.label in labels), key=lambda each: each.label))


@dataclass
class World:
    """Facts made ready for judging."""

    facts: Facts
    rules: tuple[RuleFact, ...] = field(init=False)
    trees: dict[int, Node] = field(init=False)

    def __post_init__(self) -> None:
        self.rules = tuple(rule for group in self.facts.groups for rule in group.rules)
        self.trees = {
            number: unpacked(rule.tree) for number, rule in enumerate(self.rules) if rule.tree is not None
        }
        self._series: dict[str, tuple[Labels, ...]] = {}

    def series(self, name: str) -> tuple[Labels, ...]:
        """The label sets of a name, without it; a target that is down now has those of another of its job."""
        if name not in self._series:
            found = self.facts.metrics.get(name, MetricFact((), ()))
            values = self.facts.values
            told = tuple(
                {label: values[at] for label, at in zip(found.labels, row, strict=True) if at >= 0}
                for row in found.rows
            )
            down = () if found.past or name in MADE else self._of_down(told)
            self._series[name] = (*told, *down)
        return self._series[name]

    def _of_down(self, told: Sequence[Labels]) -> tuple[Labels, ...]:
        """What targets that are down would tell: what one that is up in the same job does."""
        there = {(each.get("job"), each.get("instance")) for each in told}
        made: list[Labels] = []
        for target in self.facts.targets:
            job, instance = target.labels.get("job"), target.labels.get("instance")
            other = next((found for each, found in sorted(there, key=str) if each == job), None)
            if not target.up and other is not None and (job, instance) not in there:
                like = [each for each in told if (each.get("job"), each.get("instance")) == (job, other)]
                made += [{**each, **target.labels} for each in like]
        return tuple(made)

    def past(self, name: str) -> bool:
        """Whether a name has no series now, but had some."""
        found = self.facts.metrics.get(name)
        return found is not None and found.past

    @cached_property
    def recordings(self) -> Mapping[str, tuple[int, ...]]:
        """The numbers of the rules that record a name."""
        found: dict[str, tuple[int, ...]] = {}
        for number, rule in enumerate(self.rules):
            if rule.kind == "record":
                found[rule.name] = (*found.get(rule.name, ()), number)
        return found

    @cached_property
    def alerts(self) -> tuple[RuleFact, ...]:
        """The alerts."""
        return tuple(rule for rule in self.rules if rule.kind == "alert")

    @cached_property
    def labels(self) -> frozenset[str]:
        """All labels of all series that are known."""
        return frozenset(label for metric in self.facts.metrics.values() for label in metric.labels)

    @cached_property
    def read_jobs(self) -> frozenset[str]:
        """Jobs of which there are, or were, series of their own."""
        return frozenset(
            each.get("job", "")
            for name in self.facts.metrics
            if name not in MADE
            for each in self.series(name)
        )

    @cached_property
    def target_labels(self) -> Mapping[str, frozenset[str]]:
        """The labels of scrape targets and all their values."""
        found: dict[str, set[str]] = {}
        for target in self.facts.targets:
            for label, value in target.labels.items():
                found.setdefault(label, set()).add(value)
        return {label: frozenset(values) for label, values in found.items()}

    def kind(self, name: str) -> str:
        """The TYPE under which ``name`` is described, "" where it is not."""
        return self.described(name)[1]

    def described(self, name: str) -> tuple[str, str]:
        """The described metric that ``name`` is a series of, and its TYPE; empty where there is none."""
        kinds = self.facts.kinds
        for suffix in ("", *SUFFIXES):
            base = name.removesuffix(suffix)
            if suffix and base == name:
                continue
            fitting = [kind for kind in kinds.get(base, ()) if suffix in SERIES_OF.get(kind, ())]
            if fitting:
                return base, fitting[0]
        return "", ""

    def wrong_kind(self, name: str) -> tuple[str, str]:
        """The described metric of which ``name`` can be no series, and its TYPE: a summary's ``_bucket``."""
        kinds = self.facts.kinds
        for base in (name, *(name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))):
            if base in kinds:
                return base, " or ".join(kinds[base])
        return "", ""

    def is_info(self, name: str) -> bool:
        """Whether its value is always 1, and its labels tell."""
        found = self.facts.metrics.get(name)
        return self.kind(name) == "info" or (name.endswith("_info") and found is not None and found.one)

    def interval_s(self, series: Sequence[Labels]) -> float:
        """The shortest scrape interval of the targets of ``series``; 0 where it is not known."""
        of = {(each.get("job"), each.get("instance")) for each in series}
        found = [
            each.interval_s
            for each in self.facts.targets
            if (each.labels.get("job"), each.labels.get("instance")) in of and each.interval_s > 0
        ]
        return min(found, default=0.0)

    def all_up(self, series: Sequence[Labels]) -> bool:
        """Whether a target of ``series`` is scraped now, so that what it does not show is not there."""
        of = {(each.get("job"), each.get("instance")) for each in series}
        found = [
            each.up
            for each in self.facts.targets
            if (each.labels.get("job"), each.labels.get("instance")) in of
        ]
        return bool(found) and all(found)
