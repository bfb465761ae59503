"""Reads a Prometheus over its HTTP API, v1: queries, targets, rules, metadata, configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from app.instruments.failures import in_words, one_line
from app.instruments.openapi.yaml_text import read_yaml
from app.instruments.server_api import (
    Finite,
    Labels,
    Moment,
    Number,
    OrEmpty,
    Read,
    ServerApi,
    path_part,
)
from checks.contract import Reply
from checks.contract.instruments.monitoring import (
    Alert,
    Answered,
    MetricInfo,
    Points,
    Rule,
    ScrapeTarget,
    Series,
)
from checks.contract.texts import seconds_in

OF_THE_EXPRESSION = frozenset({"bad_data", "execution"})  # not that the server was too busy
MAX_ERROR_CHARS = 1_000
MAX_SAID_CHARS = 300
MOST_INFOS = 10  # of one metric, where what is scraped does not agree


class _Error(Read):
    kind: str = Field(default="", alias="errorType")
    error: str = ""


class _Sample(Read):
    metric: Labels = Field(default_factory=dict)
    value: tuple[Finite, Number] | None = None  # None where it is a native histogram
    values: Annotated[tuple[tuple[Finite, Number], ...], OrEmpty] = ()


class _Vector(Read):
    kind: Literal["vector", "matrix"] = Field(alias="resultType")
    result: Annotated[tuple[_Sample, ...], OrEmpty]


class _Scalar(Read):
    kind: Literal["scalar"] = Field(alias="resultType")
    result: tuple[Finite, Number]


class _String(Read):
    kind: Literal["string"] = Field(alias="resultType")


class _Query(Read):
    data: Annotated[_Vector | _Scalar | _String, Field(discriminator="kind")]
    warnings: Annotated[tuple[str, ...], OrEmpty] = ()


class _Target(Read):
    url: str = Field(alias="scrapeUrl")
    labels: Labels = Field(default_factory=dict)
    health: str
    last_error: str = Field(default="", alias="lastError")
    last_scrape: Moment = Field(default=0.0, alias="lastScrape")
    interval: str = Field(default="", alias="scrapeInterval")


class _TargetList(Read):
    active: Annotated[tuple[_Target, ...], OrEmpty] = Field(alias="activeTargets")


class _Targets(Read):
    data: _TargetList


class _Alert(Read):
    labels: Labels = Field(default_factory=dict)
    annotations: Labels = Field(default_factory=dict)
    state: str
    active_at: Moment = Field(default=0.0, alias="activeAt")


class _Rule(Read):
    kind: Literal["alerting", "recording"] = Field(alias="type")
    name: str
    expression: str = Field(alias="query")
    labels: Labels = Field(default_factory=dict)
    annotations: Labels = Field(default_factory=dict)
    health: str = "unknown"
    last_error: str = Field(default="", alias="lastError")
    evaluated_at: Moment = Field(default=0.0, alias="lastEvaluation")
    for_s: Finite = Field(default=0.0, alias="duration")
    keep_firing_for_s: Finite = Field(default=0.0, alias="keepFiringFor")
    alerts: Annotated[tuple[_Alert, ...], OrEmpty] = ()


class _Group(Read):
    name: str
    file: str = ""
    interval_s: Finite = Field(default=0.0, alias="interval")
    rules: Annotated[tuple[_Rule, ...], OrEmpty] = ()


class _GroupList(Read):
    groups: Annotated[tuple[_Group, ...], OrEmpty]


class _Rules(Read):
    data: _GroupList


class _Info(Read):
    kind: str = Field(default="unknown", alias="type")
    help: str = ""


class _Metadata(Read):
    data: dict[str, Annotated[tuple[_Info, ...], OrEmpty]]


class _InfoOfTarget(_Info):
    metric: str


class _Announced(Read):
    data: Annotated[tuple[_InfoOfTarget, ...], OrEmpty]


class _Values(Read):
    data: Annotated[tuple[str, ...], OrEmpty]


class _Url(Read):
    url: str


class _AlertmanagerList(Read):
    active: Annotated[tuple[_Url, ...], OrEmpty] = Field(alias="activeAlertmanagers")


class _Alertmanagers(Read):
    data: _AlertmanagerList


class _Yaml(Read):
    yaml: str


class _Settings(Read):
    data: _Yaml


class _Flags(Read):
    data: Labels


class PrometheusReader:
    """Implements ``checks.contract.instruments.monitoring.Prometheus``."""

    def __init__(self, api: ServerApi) -> None:
        self._api = api

    async def query(self, expression: str, *, at: float | None = None) -> Answered:
        """An instant query, now or ``at``; of a range vector the last sample of each series.

        Raises InstrumentFailure where the server, not the expression, is at fault.
        """
        query = {"query": expression} if at is None else {"query": expression, "time": f"{at:.3f}"}
        reply = await self._api.reply("/api/v1/query", query)
        if error := self._fault(reply):
            return Answered(error=error)
        found = self._api.parsed(_Query, reply, "/api/v1/query")
        return Answered(tuple(_series_of(found)), warnings=found.warnings)

    async def query_range(
        self, expression: str, *, start: float, end: float, step_s: float
    ) -> tuple[Points, ...]:
        """A range query. An expression that cannot be evaluated raises InstrumentFailure."""
        query = {
            "query": expression,
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": f"{max(step_s, 0.001):.3f}",
        }
        reply = await self._api.reply("/api/v1/query_range", query)
        if error := self._fault(reply):
            raise self._api.place.failed(f"cannot evaluate {expression[:200]!r}: {error}")
        found = self._api.parsed(_Query, reply, "/api/v1/query_range").data
        if not isinstance(found, _Vector):
            raise self._api.place.failed(f"answers a range query with a {found.kind}")
        return tuple(Points(sample.metric, sample.values) for sample in found.result)

    async def targets(self) -> tuple[ScrapeTarget, ...]:
        """The active targets."""
        found = await self._api.get(_Targets, "/api/v1/targets", {"state": "active"})
        return tuple(
            ScrapeTarget(
                each.url,
                each.labels,
                each.health,
                each.last_error,
                each.last_scrape,
                seconds_in(each.interval),
            )
            for each in found.data.active
        )

    async def rules(self) -> tuple[Rule, ...]:
        """All rules of all groups, in order."""
        found = await self._api.get(_Rules, "/api/v1/rules")
        return tuple(
            _rule_of(group, position, rule)
            for group in found.data.groups
            for position, rule in enumerate(group.rules)
        )

    async def metadata(self, targets: str = "") -> Mapping[str, MetricInfo]:
        """HELP and TYPE by metric name, as scraped (a histogram under its base name).

        Of all targets, or of those whose labels the selector ``targets`` fits.
        """
        if targets:
            told = await self._api.get(_Announced, "/api/v1/targets/metadata", {"match_target": targets})
            of: dict[str, list[_Info]] = {}
            for each in told.data:
                of.setdefault(each.metric, []).append(each)
            return {name: _info_of(infos) for name, infos in of.items()}
        found = await self._api.get(_Metadata, "/api/v1/metadata", {"limit_per_metric": f"{MOST_INFOS}"})
        return {name: _info_of(infos) for name, infos in found.data.items() if infos}

    async def label_values(self, label: str, selectors: Sequence[str] = ()) -> tuple[str, ...]:
        """The values of a label among the series that match; ``__name__`` gives the names of metrics."""
        query = {"match[]": list(selectors)} if selectors else None
        found = await self._api.get(_Values, f"/api/v1/label/{path_part(label)}/values", query)
        return found.data

    async def alertmanagers(self) -> tuple[str, ...]:
        """The URLs of the Alertmanagers to which it sends, without the path of their API."""
        found = await self._api.get(_Alertmanagers, "/api/v1/alertmanagers")
        return tuple(re.sub(r"/api/v[12]/alerts$", "", each.url) for each in found.data.active)

    async def settings(self) -> Mapping[str, Any]:
        """Its loaded configuration, the keys of ``global`` on top, and its ``flags``."""
        found = await self._api.get(_Settings, "/api/v1/status/config")
        try:
            document = read_yaml(found.data.yaml)
        except ValueError as error:
            raise self._api.place.failed(
                f"tells a configuration that is no YAML: {in_words(error)}"
            ) from error
        if not isinstance(document, dict):
            raise self._api.place.failed("tells a configuration that is no table")
        whole = document.get("global")
        rest = {key: value for key, value in document.items() if key != "global"}
        return {**(whole if isinstance(whole, dict) else {}), **rest, "flags": await self._flags()}

    async def _flags(self) -> Mapping[str, str]:
        reply = await self._api.reply("/api/v1/status/flags")
        if reply.status != 200:  # servers that only speak Prometheus' API have none
            return {}
        return self._api.parsed(_Flags, reply, "/api/v1/status/flags").data

    def _fault(self, reply: Reply) -> str:
        """What is wrong with the expression, "" where nothing is. Raises where the server is at fault."""
        if reply.status == 200:
            return ""
        try:
            found = _Error.model_validate_json(reply.body)
        except ValidationError:
            raise self._api.refused(reply, "/api/v1/query") from None
        if not found.kind:
            raise self._api.refused(reply, "/api/v1/query")
        if found.kind not in OF_THE_EXPRESSION:
            raise self._api.place.failed(f"could not answer a query: {one_line(found.error, MAX_SAID_CHARS)}")
        return found.error[:MAX_ERROR_CHARS] or found.kind


def _series_of(query: _Query) -> list[Series]:
    found = query.data
    if isinstance(found, _Scalar):
        at, value = found.result
        return [Series({}, value, at)]
    if isinstance(found, _String):
        return []
    ends = (
        (sample.metric, sample.value or (sample.values or ((0.0, float("nan")),))[-1])
        for sample in found.result
    )
    return [Series(labels, value, at) for labels, (at, value) in ends]


def _info_of(infos: Sequence[_Info]) -> MetricInfo:
    kinds = sorted({each.kind for each in infos})
    return MetricInfo(kinds[0], infos[0].help, tuple(kinds[1:]))


def _rule_of(group: _Group, position: int, rule: _Rule) -> Rule:
    alerting = rule.kind == "alerting"
    return Rule(
        kind="alert" if alerting else "record",
        name=rule.name,
        file=group.file,
        group=group.name,
        position=position,
        expression=rule.expression,
        interval_s=group.interval_s,
        for_s=rule.for_s,
        keep_firing_for_s=rule.keep_firing_for_s,
        labels=rule.labels,
        annotations=rule.annotations,
        health=rule.health,
        last_error=rule.last_error,
        evaluated_at=rule.evaluated_at,
        alerts=tuple(
            Alert(rule.name, each.state, each.labels, each.annotations, each.active_at)
            for each in rule.alerts
        ),
    )
