"""Which series a selector can find, now or later. Pure, private to this family."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from checks.contract.promql import Matcher, Node, Selector, duration_text, written
from checks.monitoring._rules.absent import may_be_missing
from checks.monitoring._rules.bounds import ANY, AT_LEAST_0, ONE, ZERO_OR_ONE, Bounds
from checks.monitoring._rules.facts import MADE, OF_ALERTS, SUFFIXES, Labels, World, of_targets
from checks.monitoring._rules.narrowing import Found, all_accept, bare, mended_by, narrowed, with_value
from checks.monitoring._rules.values import accepts, meeting, only_value, together
from checks.monitoring._rules.vectors import ANY_LABEL, Flaw, Presence, Vector, Verdict, never, pending

CLOSED = frozenset(("le", "quantile", "__name__"))  # what a metric declares once and for all
STATES = ("firing", "pending")
PUBLIC = frozenset((
    "node", "kube", "container", "traefik", "nginx", "haproxy", "envoy", "istio", "redis", "pg", "mysql",
    "mongodb", "kafka", "rabbitmq", "elasticsearch", "memcached", "probe", "prometheus", "alertmanager",
    "grafana", "etcd", "coredns", "kubelet", "apiserver", "cadvisor", "go", "process", "promhttp", "jvm",
    "http", "grpc", "caddy", "consul", "vault", "nats", "minio", "loki", "thanos", "cortex", "otelcol",
    "argocd", "certmanager",
))  # fmt: skip
# They tell what is scraped, so that a target has one value of each.
IDENTITY = frozenset((
    "server", "host", "hostname", "nodename", "cluster", "cluster_id", "environment", "env", "region", "zone",
    "datacenter", "dc", "version", "revision", "release", "exported_instance",
))  # fmt: skip


class Selecting:
    """Selectors of metrics, not of recordings."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._collectors = frozenset(
            each.get("collector", "") for each in world.series("node_scrape_collector_success")
        )

    def found(self, node: Selector) -> Vector:  # noqa: PLR0911 - one for each reason
        """What ``node`` can find. Its name, or the names that its pattern finds, are no recordings."""
        if node.name in OF_ALERTS:
            return self._alerts(node)
        if not node.name:
            return self._by_pattern(node)
        name, world = node.name, self.world
        series = world.series(name)
        if not series:
            return self._without_series(node)
        if name not in MADE and self._gone(name, series):
            return never(self._flaw(node, f"{name} is no longer told by any target", self._near(name)))
        cut = world.facts.metrics[name].cut
        closed = CLOSED if cut else CLOSED | frozenset(world.target_labels)
        found = narrowed(series, node.matchers, closed, world.target_labels if name in MADE else {})
        if not found.sets and self._comes_later(node, series):
            return self._before_first_sample(node)
        if not found.sets:
            return never(self._unmatched(node, found, series))
        real = found.real and not world.past(name)
        return replace(self._vector(node, found, real=real), cut=cut)

    def _comes_later(self, node: Selector, series: Sequence[Labels]) -> bool:
        """Whether ``node`` asks for a target that is down now, or that only describes the metric so far."""
        world = self.world
        asked = of_targets(node.matchers, world.target_labels)
        mine = [each for each in world.facts.targets if all_accept(asked, each.labels)]
        if not asked or not mine or any(all_accept(asked, each) for each in series):
            return False
        jobs = {each.get("job") for each in series}
        if all(not each.up and each.labels.get("job") in jobs for each in mine):
            return True
        announced = world.facts.announced.get(written(Selector("", asked)), ())
        return bool({node.name, *(node.name.removesuffix(each) for each in SUFFIXES)} & set(announced))

    def _gone(self, name: str, series: Sequence[Labels]) -> bool:
        """Whether a target that is up has stopped to tell ``name``: it is not even described any more."""
        world = self.world
        undescribed = world.facts.described and not world.described(name)[0]
        return world.past(name) and undescribed and world.all_up(series)

    def idle(self, node: Selector, matcher: Matcher) -> bool:
        """Whether ``matcher`` excludes no series of its metric, now or later."""
        if matcher.label == "__name__":
            return False
        values = sorted({each.get(matcher.label, "") for each in self.world.series(node.name)})
        other = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[matcher.operator]
        excluding = replace(matcher, operator=other)
        if not values:
            return together([excluding]) is None
        if any(not accepts(matcher, value) for value in values):
            return False
        if matcher.operator in ("=", "=~") and together([excluding]) is not None:
            return False  # what is asked for may be all that there is, today
        if values == [""] or matcher.label in CLOSED:
            return True
        return not meeting([excluding], [value for value in values if value], closed=False).possible

    def _vector(self, node: Selector, found: Found, *, real: bool) -> Vector:
        limits: dict[str, tuple[Matcher, ...]] = {}
        for each in node.matchers:
            limits[each.label] = (*limits.get(each.label, ()), each)
        labels = {label for each in found.sets for label in each}
        targets = self.world.target_labels
        pinned = {label for label, matchers in limits.items() if only_value(matchers) is not None}
        return Vector(
            bounds=self._bounds(node.name),
            sets=found.sets,
            open=frozenset(labels - pinned - CLOSED - IDENTITY - set(targets)),
            real=real,
            limits=limits,
            info=bool(node.name) and self.world.is_info(node.name),
            counts=self._counts(node.name),
        )

    def _counts(self, name: str) -> bool:
        return self.world.kind(name) in ("counter", "histogram", "summary") or name.endswith(
            ("_total", "_count")
        )

    def _without_series(self, node: Selector) -> Vector:  # noqa: PLR0911 - one for each reason
        name, world = node.name, self.world
        if name in MADE:
            return pending(Flaw(Verdict.NOT_YET, node, "nothing has been scraped yet"))
        base, kind = world.described(name)
        total = f"{name}_total"
        if kind == "counter" and base == name and self._ends_in_total(name, total):
            return never(self._flaw(node, f"the counter's series are named {total}", total))
        if base:
            left_out = self._left_out(node, base, kind)
            return never(left_out) if left_out else self._before_first_sample(node)
        base, kind = world.wrong_kind(name)
        if base:
            return never(self._flaw(node, f"{base} is a {kind} and has no {name}", self._near(name)))
        if unread := self._unread(node):
            return pending(Flaw(Verdict.NOT_YET, bare(node), unread))
        there = [*world.facts.metrics, *world.facts.kinds]
        why = may_be_missing(name, there, self._collectors, world.facts.first_words) or self._unborn(name)
        if why:
            return pending(Flaw(Verdict.NOT_YET, bare(node), f"nobody has {name}: {why}"))
        return never(self._flaw(node, f"nobody has a metric {name}", self._near(name)))

    def _left_out(self, node: Selector, base: str, kind: str) -> Flaw | None:
        """Why one kind of series of a histogram or a summary is not there while its others are."""
        others = [f"{base}{suffix}" for suffix in ("_count", "_sum") if f"{base}{suffix}" != node.name]
        there = [each for each in others if self.world.series(each) and not self.world.past(each)]
        if kind not in ("histogram", "summary") or not there or len(self.world.facts.kinds.get(base, ())) > 1:
            return None
        if kind == "summary":
            return self._flaw(node, f"{base} is a summary without quantiles", "")
        return self._flaw(node, f"{there[0]} is there and {node.name} is not: a relabelling may drop it", "")

    def _unborn(self, name: str) -> str:
        """Why a Go program may not even describe a counter before its first increment.

        Public exporters are left out: their names are known, and one that is not there is of another version.
        """
        first = _first_word(name)
        events = set() if first in PUBLIC else _own_words(name, self._near(name))
        mine = {each.get("job", "") for other in self.world.facts.metrics for each in self.world.series(other)
                if other.startswith(f"{first}_")}  # fmt: skip
        in_go = {each.get("job", "") for each in self.world.series("go_goroutines")}
        if not name.endswith("_total") or not events or not mine & in_go:
            return ""
        told = ", ".join(sorted(events))
        return f"a program in Go tells a labelled counter (of {told}) only after its first increment"

    def _ends_in_total(self, name: str, total: str) -> bool:
        """Whether a counter that is described as ``name`` has its series under ``total``."""
        world = self.world
        open_metrics = _first_word(name) in world.facts.open_metrics
        return bool(world.series(total)) or world.described(total)[0] == total or open_metrics

    def _before_first_sample(self, node: Selector) -> Vector:
        """A metric that is described and has no series yet: its labels cannot be known."""
        limits: dict[str, tuple[Matcher, ...]] = {}
        for each in node.matchers:
            limits[each.label] = (*limits.get(each.label, ()), each)
        for label, matchers in limits.items():
            values = sorted(self.world.target_labels.get(label, ()))
            found = meeting(matchers, values, closed=True) if values else None
            if found and not found.possible:
                return never(
                    self._flaw(node, found.why, found.near, mended=with_value(node, label, found.near))
                )
            if together(matchers) is None:
                return never(self._flaw(node, f"its matchers of {label} can match no value at all", ""))
        chosen = {label: only_value(matchers) for label, matchers in limits.items()}
        return Vector(
            bounds=self._bounds(node.name),
            sets=({label: value for label, value in chosen.items() if value},),
            more=frozenset((ANY_LABEL,)),
            real=False,
            limits=limits,
            info=self.world.is_info(node.name),
            counts=self._counts(node.name),
        )

    def _unread(self, node: Selector) -> str:
        """Whether the only targets that could have ``node`` were never read."""
        world = self.world
        asked = [each for each in node.matchers if each.label in world.target_labels]
        first = _first_word(node.name)
        mine = [
            each
            for each in world.facts.targets
            if (all_accept(asked, each.labels) if asked else first in _named_in(each.labels.get("job", "")))
        ]
        if not mine or any(each.up or each.labels.get("job", "") in world.read_jobs for each in mine):
            return ""
        labels = mine[0].labels
        return f"{labels.get('job', '')} {labels.get('instance', '')} has not been read so far"

    def _by_pattern(self, node: Selector) -> Vector:
        names = self.world.facts.patterns.get(written(replace(node, range_s=None, offset_s=0.0, at="")), ())
        if names and not any(each.label == "__name__" for each in node.matchers):
            return Vector(more=frozenset((ANY_LABEL,)), real=False)
        sets: list[Labels] = []
        rest = tuple(each for each in node.matchers if each.label != "__name__")
        later = False
        for name in names:
            found = self.found(replace(node, name=name, matchers=rest))
            if found.presence is Presence.ALWAYS:
                sets += [{**each, "__name__": name} for each in found.sets] if found.real else []
                later = later or not found.real
        if not sets and not later:
            return never(self._flaw(node, "no metric has a name like that with these labels", ""))
        bounds = [self._bounds(name) for name in names]
        joined = bounds[0] if bounds else ANY
        for each in bounds[1:]:
            joined = joined.joined(each)
        vector = self._vector(node, Found(tuple(sets) or ({},)), real=bool(sets))
        return replace(vector, bounds=joined, more=frozenset() if sets else frozenset((ANY_LABEL,)))

    def _alerts(self, node: Selector) -> Vector:
        for label in dict.fromkeys(each.label for each in node.matchers):
            values = self._of_alerts(node.name, label)
            asked = [each for each in node.matchers if each.label == label]
            found = meeting(asked, values, closed=True) if values else None
            if found and not found.possible:
                near = found.near or (STATES[0] if label == "alertstate" else "")
                return never(self._flaw(node, found.why, near, mended=with_value(node, label, near)))
        return Vector(
            Presence.SOMETIMES,
            ONE if node.name == "ALERTS" else AT_LEAST_0,
            more=frozenset((ANY_LABEL,)),
            real=False,
        )

    def _of_alerts(self, name: str, label: str) -> Sequence[str]:
        """All values that a label of ALERTS can have; none where they cannot be known."""
        alerts = self.world.alerts
        if label == "alertname":
            return sorted({each.name for each in alerts})
        if label == "alertstate" and name == "ALERTS":
            return STATES
        values = {each.labels.get(label, "") for each in alerts}
        if (
            label in self.world.labels
            or label in self.world.target_labels
            or any("{{" in each for each in values)
        ):
            return ()
        return sorted(values - {""}) or [""]

    def _bounds(self, name: str) -> Bounds:
        if name == "up":
            return ZERO_OR_ONE
        if name and self.world.is_info(name):
            return ONE
        kind = self.world.kind(name)
        counts = name.endswith(("_bucket", "_count", "_total", "_created"))
        if kind == "counter" or (kind in ("histogram", "summary") and counts) or name.startswith("scrape_"):
            return AT_LEAST_0
        if kind == "stateset":
            return ZERO_OR_ONE
        return ANY

    def _unmatched(self, node: Selector, found: Found, series: Sequence[Labels]) -> Flaw:
        mended: Node | None = None
        near = found.near
        if found.wrong is not None and near:
            mended = mended_by(node, found, series)
        if found.wrong is not None and found.wrong.label == "job" and not near:
            near = self._near(node.name)
        return Flaw(Verdict.DEAD, bare(node), found.why, near, mended)

    def _flaw(self, node: Selector, why: str, near: str, *, mended: Selector | None = None) -> Flaw:
        """``near`` is the name of another metric, unless what is to be ``mended`` is given."""
        if mended is None and near and node.name and node.name != near:
            mended = replace(node, name=near)
        return Flaw(Verdict.DEAD, bare(node), why, near, mended)

    def _near(self, name: str) -> str:
        return next(iter(self.world.facts.similar.get(name, ())), "")


def _first_word(name: str) -> str:
    return re.split("[_:]", name)[0]


def _own_words(name: str, near: str) -> set[str]:
    """The words of a name that are no slips for words of ``near``: it is then about something else."""
    there = re.split("[_:]", near)
    return {word for word in re.split("[_:]", name) if word and not get_close_matches(word, there, 1, 0.7)}


def _named_in(job: str) -> set[str]:
    """What a job may scrape, by its name: ``mysqld-exporter`` is of mysql."""
    words = re.split("[^a-z0-9]+", job.lower())
    return {*words, *(word.removesuffix("d") for word in words)}


def too_old(node: Selector, reaches: Mapping[str, bool]) -> Flaw | None:
    """Why an offset finds nothing: there are no samples that old, or none of the future."""
    if node.offset_s < 0:
        return Flaw(Verdict.CONSTANT, node, "a negative offset asks for samples of the future")
    if node.offset_s and reaches.get(f"{node.offset_s:g}") is False:
        return Flaw(Verdict.NOT_YET, node, f"the history is shorter than {duration_text(node.offset_s)}")
    return None
