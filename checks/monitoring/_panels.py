"""Whether a query of a panel is about the service, and why it shows nothing. Private to this family.

An empty panel is not always a blank one: the share of errors of a service that had none yet, or a filter that
nothing passes now. A query that can never find its series is blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from checks.contract import InstrumentFailure, Target
from checks.contract.instruments.monitoring import MetricInfo, Prometheus
from checks.contract.instruments.promql import PromQL
from checks.contract.promql import Matcher, Node, Selector, selectors, written
from checks.monitoring._readings import DEEPEST_CHAIN, MOST_SOURCES, Recordings
from checks.monitoring._rules.values import meeting
from checks.monitoring._service import Service, read_service
from checks.monitoring._signals import Context, rulebook, whose_is
from checks.monitoring._subjects import base

Why = Literal["idle", "blank"]
# What Grafana's server fills in, with any value of its kind.
OF_GRAFANA = {
    "rate_interval": "5m",
    "interval": "1m",
    "range": "1h",
    "interval_ms": "60000",
    "range_s": "3600",
    "range_ms": "3600000",
    "auto": "1m",
}
REFERENCE = re.compile(r"\$\{?__(\w+)\}?")
CLOSED = frozenset(("le", "quantile", "job", "instance"))  # a value that is not there now does not just come
MOST_VALUES = 500


@dataclass
class Known:
    """What Prometheus knows that panels ask of it. ``service`` is None where its series cannot be told."""

    prometheus: Prometheus
    promql: PromQL
    recordings: Recordings
    metadata: Mapping[str, MetricInfo]
    service: Service | None
    looked_up: dict[str, bool] = field(default_factory=dict)


async def read_known(target: Target, prometheus: Prometheus, promql: PromQL) -> Known:
    """Rules, metadata and the service's series. Raises InstrumentFailure where there is no Prometheus."""
    metadata = await prometheus.metadata()
    book = rulebook(await prometheus.rules(), promql)
    try:
        service = await read_service(target, prometheus)
    except InstrumentFailure:
        service = None
    return Known(prometheus, promql, book.recordings, metadata, service)


def is_own(expression: str, known: Known) -> bool | None:
    """Whether a query reads series of the service; None where that cannot be told, or they are nowhere."""
    node = _parsed(expression, known)
    if node is None or known.service is None:
        return None
    kinds = {name: info.kind for name, info in known.metadata.items()}
    context = Context(known.service, kinds, frozenset(kinds))
    whose = {whose_is(each, context) for each in _followed(node, known.recordings)}
    return True if "own" in whose else None if "nowhere" in whose else False


async def why_empty(expression: str, known: Known) -> Why:
    """Why a query gives nothing: all that it asks for may come, or some of it never can."""
    node = _parsed(expression, known)
    if node is None:
        return "blank"
    for each in _followed(node, known.recordings):
        if not await _may_come(each, known):
            return "blank"
    return "idle"


def _parsed(expression: str, known: Known) -> Node | None:
    text = REFERENCE.sub(lambda match: OF_GRAFANA.get(match[1], match[0]), expression)
    return known.promql.parse(text).node


def _followed(node: Node, recordings: Recordings, via: tuple[str, ...] = ()) -> Iterator[Selector]:
    """The selectors that a query reads in the end, recordings followed."""
    for each in selectors(node):
        sources = recordings.get(each.name, ())
        if not sources or each.name in via or len(via) >= DEEPEST_CHAIN:
            yield each
            continue
        for source in sources[:MOST_SOURCES]:
            yield from _followed(source.node, recordings, (*via, each.name))


async def _may_come(selector: Selector, known: Known) -> bool:
    bare = replace(selector, range_s=None, offset_s=0.0, at="")
    text = written(bare)
    if text not in known.looked_up:
        there = bool((await known.prometheus.query(f"count({text})")).series)
        known.looked_up[text] = there or await _later(bare, known)
    return known.looked_up[text]


async def _later(selector: Selector, known: Known) -> bool:
    """Whether series that have none of now may come: the metric is there, and values of that form."""
    if not selector.name:
        return False
    labels = sorted({each.label for each in selector.matchers} - {"__name__"})
    found = await known.prometheus.query(f"count by ({', '.join(labels)}) ({selector.name})")
    if not found.series:
        return await _announced(selector.name, known)
    return all(
        _met(
            [each for each in selector.matchers if each.label == label],
            sorted({each.labels.get(label, "") for each in found.series[:MOST_VALUES]}),
            label,
        )
        for label in labels
    )


async def _announced(name: str, known: Known) -> bool:
    """Whether a metric without series has HELP and TYPE; one whose other parts have series lost its own."""
    if name not in known.metadata and base(name) not in known.metadata:
        return False
    stem = re.escape(base(name)).replace("\\", "\\\\")
    return not (await known.prometheus.query(f'count({{__name__=~"{stem}(_count|_sum|_bucket)"}})')).series


def _met(matchers: list[Matcher], values: list[str], label: str) -> bool:
    there = [value for value in values if value]
    if not there:  # no series has the label
        return meeting(matchers, [""], closed=True).possible
    return meeting(matchers, there, closed=label in CLOSED).possible
