"""Which signal of the service an alert tells of. Pure but for ``read_context``, and private to this family.

An alert covers a signal where one of its readings tells it: of a metric of the service, from the side that is
bad. A high share of 5xx tells of errors, a high share of 200 does not; a low ``up`` tells that an instance is
down, a low ``redis_up`` or another job's ``up`` does not.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import Prometheus, Rule
from checks.contract.instruments.promql import PromQL
from checks.contract.promql import Node, Selector, written
from checks.monitoring._readings import Reading, Recording, Recordings, admits, readings
from checks.monitoring._service import NAMING, Service, Whose, values_now
from checks.monitoring._subjects import OF_ERRORS, Admits, Subject, base, narrowed, subject_of

MOST_LOOKED_UP = 150
MOST_SERIES = 2_000
MOST_NAMED = 30
LONGEST_SHOWN = 300
SHARE = re.compile(
    r"(^|[_:.])(ratio\w*|share|percent|percentage|pct|availability|sli|fraction|rate)($|[_:.])", re.IGNORECASE
)
MEANT_FAILING = re.compile(r"(?<![\d.])5(\d\d|xx|XX|\.\.)(?!\d)")  # also where it lets nothing through
STORES = ("redis_", "valkey_", "memcached_")  # exporters of caches


class Signal(StrEnum):
    """What an alert tells of."""

    LATENCY = "latency"
    ERRORS = "error rate"
    CACHE = "cache hit rate"
    DOWN = "instance down"


REQUIRED = tuple(Signal)
TELLING = frozenset((
    Subject.DURATION, Subject.REQUESTS, Subject.SUCCESSES, Subject.FAILURES, Subject.CACHE_HITS,
    Subject.CACHE_MISSES, Subject.CACHE_LOOKUPS, Subject.UP,
))  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What Prometheus knows about the metrics that alerts read.

    ``kinds`` are their TYPEs, ``announced`` the names whose TYPE the service itself tells. ``labelled`` are
    values of labels that the service's own series have, by metric and label; ``worn`` are such that only
    others' series have. ``named`` are the naming labels of series that are not the service's own, by metric.
    """

    service: Service
    kinds: Mapping[str, str] = field(default_factory=dict)
    announced: frozenset[str] = frozenset()
    labelled: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    named: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    worn: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Covered:
    """A signal that an alert tells of, and the selector by which it does (``via`` recordings).

    ``whose`` is ``own`` for the service's series, ``nowhere`` for a metric that Prometheus does not have.
    """

    signal: Signal
    selector: str
    metric: str
    whose: Whose
    via: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rulebook:
    """The parsed rules: alerts by their place among all rules, and recordings by name."""

    alerts: Mapping[int, Node]
    recordings: Recordings
    problems: Mapping[int, str]


def rulebook(rules: Sequence[Rule], promql: PromQL) -> Rulebook:
    """Parse all rules; ``problems`` says why one could not be."""
    alerts: dict[int, Node] = {}
    recordings: dict[str, list[Recording]] = {}
    problems: dict[int, str] = {}
    for number, rule in enumerate(rules):
        parsed = promql.parse(rule.expression)
        if parsed.node is None:
            problems[number] = parsed.problem
        elif rule.kind == "alert":
            alerts[number] = parsed.node
        else:
            recordings.setdefault(rule.name, []).append(Recording(rule, parsed.node))
    return Rulebook(alerts, recordings, problems)


def covered(node: Node, recordings: Recordings, context: Context) -> tuple[Covered, ...]:
    """The signals that the alert with this expression tells of, for this service."""
    found: dict[tuple[Signal, Whose], Covered] = {}
    for reading in _named(readings(node, recordings), context):
        whose = whose_is(reading.selector, context)
        if whose == "other":
            continue
        if reading.selector.name in recordings:  # else it had been followed: no recording has these labels
            whose = "nowhere"
        signal = _signal(reading, context)
        if signal is not None:
            shown = written(reading.selector)[:LONGEST_SHOWN]
            each = Covered(signal, shown, reading.selector.name, whose, reading.via)
            found.setdefault((signal, whose), each)
    return tuple(found.values())


def _named(found: Sequence[Reading], context: Context) -> Iterator[Reading]:
    """The readings; one of series by a pattern of their names stands for each of the service's that fit."""
    for reading in found:
        selector = reading.selector
        if selector.name:
            yield reading
            continue
        fits = _filter(selector, "__name__")
        names = [name for name in sorted(context.service.metrics) if fits(name)]
        for name in names[:MOST_NAMED]:
            yield dataclasses.replace(reading, selector=dataclasses.replace(selector, name=name))


def signals_of(node: Node, recordings: Recordings, context: Context) -> frozenset[Signal]:
    """The signals that the alert is about; also where it reads a metric that is nowhere."""
    return frozenset(each.signal for each in covered(node, recordings, context))


def subject_read(selector: Selector, kinds: Mapping[str, str]) -> Subject:
    """What the selected series tell: by name and type, and by what the matchers let through."""
    name = selector.name
    labels = {each.label for each in selector.matchers}
    if name.endswith("_bucket") and any(m.label == "le" and admits(m, "+Inf") for m in selector.matchers):
        name = f"{base(name)}_count"  # the last bucket counts all
    kind = kinds.get(selector.name) or kinds.get(base(selector.name), "")
    found = narrowed(subject_of(name, kind), {label: _filter(selector, label) for label in labels})
    meant = any(m.operator in ("=", "=~") and MEANT_FAILING.search(m.value) for m in selector.matchers)
    return Subject.FAILURES if found is Subject.REQUESTS and meant else found


def _filter(selector: Selector, label: str) -> Admits:
    own = [each for each in selector.matchers if each.label == label]
    return lambda value: all(admits(each, value) for each in own)


def _signal(reading: Reading, context: Context) -> Signal | None:
    if reading.fires == "there" or reading.how == "divisor":
        return None
    if reading.fires == "gone":
        marks = {label for each in context.service.targets for label in each}
        whole = all(each.label in marks for each in reading.selector.matchers)
        there = whole and reading.selector.name in context.service.metrics
        of_all = there or subject_read(reading.selector, context.kinds) is Subject.UP
        return Signal.DOWN if of_all else None
    subject = subject_read(reading.selector, context.kinds)
    is_low, name = reading.fires == "low", reading.selector.name
    is_share = reading.divided or bool(SHARE.search(name))
    counts = name.endswith(("_sum", "_bucket")) and reading.how == "plain"
    return {
        Subject.DURATION: None if counts or is_low != (reading.how == "within") else Signal.LATENCY,
        Subject.FAILURES: None if is_low else Signal.ERRORS,
        Subject.SUCCESSES: Signal.ERRORS if is_low and is_share else None,
        Subject.CACHE_HITS: Signal.CACHE if is_low else None,
        Subject.CACHE_MISSES: Signal.CACHE if is_share and not is_low else None,
        Subject.UP: Signal.DOWN if is_low else None,
    }.get(subject)


def whose_is(selector: Selector, context: Context) -> Whose:
    """Whether it can select series of the service, its own or such that name it, or none that there are."""
    name, service = selector.name, context.service
    fits = any(_fits(selector, labels) for labels in service.targets)
    if name in service.metrics and fits and _labelled(selector, context):
        return "own"
    elsewhere = context.named.get(name, ()) if name != "up" else ()  # an exporter's `up` is the exporter's
    if any(_tells_of(selector, labels, context) for labels in elsewhere):
        return "own"
    if not name or not fits or elsewhere or name in service.metrics or _names_another(selector, service):
        return "other"
    return "own" if _announced(name, context) else "nowhere"


def _announced(name: str, context: Context) -> bool:
    """Whether a metric is there as HELP and TYPE only: a labelled counter before it is first counted up.

    Not where other parts of it have series: a summary has no buckets, and buckets may be dropped.
    """
    family = base(name)
    parts = {family, *(f"{family}_{part}" for part in ("bucket", "count", "sum", "total"))}
    known = context.kinds.get(name) or context.kinds.get(family)
    if not {name, family} & context.announced or (name.endswith("_bucket") and known == "summary"):
        return False
    return not parts & context.service.metrics


def _fits(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(admits(each, labels[each.label]) for each in selector.matchers if each.label in labels)


def _labelled(selector: Selector, context: Context) -> bool:
    """Whether the service's own series may have what the matchers ask for.

    On a naming label one of their values must be let through. Another label they must have at all, if other
    services' series of the metric have it: then it is those that are meant.
    """
    for each in selector.matchers:
        values = context.labelled.get((selector.name, each.label))
        if values is None:
            continue
        if each.label in NAMING and not any(admits(each, value) for value in values or ("",)):
            return False
        if not values and (selector.name, each.label) in context.worn and not admits(each, ""):
            return False
    return True


def _tells_of(selector: Selector, labels: Mapping[str, str], context: Context) -> bool:
    service = context.service
    if not _fits(selector, labels):
        return False
    if selector.name.startswith(STORES) and service.caches:
        only = len({each.get("instance", "") for each in context.named.get(selector.name, ())}) == 1
        return only or any(place in value for place in service.caches for value in labels.values())
    return any(service.named_by(value) for value in labels.values())


def _names_another(selector: Selector, service: Service) -> bool:
    """Whether a metric that is nowhere is said to be of another service."""
    return any(
        each.operator == "=" and each.label in NAMING and each.value and not service.named_by(each.value)
        for each in selector.matchers
        if not any(each.label in labels for labels in service.targets)
    )


async def read_context(service: Service, book: Rulebook, prometheus: Prometheus) -> Context:
    """Look up what the alerts' metrics are, in some queries at most."""
    read = [reading for node in book.alerts.values() for reading in readings(node, book.recordings)]
    about = await prometheus.metadata()
    announced = await _announced_by(service, prometheus) or frozenset(about)
    names = {reading.selector.name for reading in read}
    kinds = {name: about[name].kind for name in {*names, *map(base, names)} if name in about}
    telling = {
        reading.selector
        for reading in read
        if reading.selector.name
        and (reading.fires == "gone" or subject_read(reading.selector, kinds) in TELLING)
    }
    context = Context(service, kinds, announced & {*names, *map(base, names)})
    strange = sorted({each.name for each in telling if not _own_at_once(each, service)})
    named = {name: await _naming(name, service, prometheus) for name in strange[:MOST_LOOKED_UP]}
    unmarked = sorted({
        (each.name, matcher.label)
        for each in telling
        for matcher in each.matchers
        if each.name in service.metrics
        and matcher.label not in OF_ERRORS  # which may come with the first error only
        and not any(matcher.label in labels for labels in service.targets)
    })  # fmt: skip
    labelled = {
        (name, label): await values_now(label, f"{name}{service.selector}", prometheus)
        for name, label in unmarked[:MOST_LOOKED_UP]
    }
    worn = [
        (name, label)
        for (name, label), values in labelled.items()
        if not values and (await prometheus.query(f'count({name}{{{label}!=""}})')).series
    ]
    return dataclasses.replace(context, named=named, labelled=labelled, worn=frozenset(worn))


async def _announced_by(service: Service, prometheus: Prometheus) -> frozenset[str]:
    """The metrics whose HELP and TYPE the service itself tells; empty where the server does not say whose."""
    try:
        return frozenset(await prometheus.metadata(service.selector))
    except InstrumentFailure:  # servers that only speak Prometheus' language know all metrics, and no target
        return frozenset()


def _own_at_once(selector: Selector, service: Service) -> bool:
    return selector.name in service.metrics and any(_fits(selector, labels) for labels in service.targets)


async def _naming(name: str, service: Service, prometheus: Prometheus) -> tuple[Mapping[str, str], ...]:
    """The naming labels of the series of a metric that are not the service's own."""
    by = ("job", *NAMING)
    answered = await prometheus.query(f"count by ({', '.join(by)}) ({name})")
    marks = {label: value for label, value in (service.marks or {}).items() if label in by}.items()
    found = (each.labels for each in answered.series[:MOST_SERIES])
    return tuple(dict(labels) for labels in found if not marks or not marks <= labels.items())
