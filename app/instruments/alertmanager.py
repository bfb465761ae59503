"""Reads an Alertmanager over its HTTP API, v2, and its own metrics: who is told, and how often it failed.

Its configuration comes as the text of alertmanager.yml, in which it has masked secrets. Of receivers only
names and kinds are kept: an old Alertmanager shows the URLs of webhooks as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from time import time
from typing import Annotated, Any

from pydantic import Field, RootModel

from app.instruments.failures import in_words
from app.instruments.metrics import UnreadablePageError, counters, metric_sum
from app.instruments.openapi.yaml_text import read_yaml
from app.instruments.server_api import Labels, Moment, OrEmpty, Read, ServerApi, texts_in
from app.instruments.time_intervals import cover_of
from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import (
    AlertmanagerFacts,
    Inhibition,
    Receiver,
    Routed,
    Routing,
    Silence,
)
from checks.contract.texts import seconds_in

ENDING = "_configs"  # of the keys of a receiver: webhook_configs, email_configs
MAX_ROUTES = 5_000
MAX_ROUTE_DEPTH = 30
SENT = "alertmanager_notifications_total"
FAILED = "alertmanager_notifications_failed_total"
TRIES = "alertmanager_notification_requests_total"
FAILED_TRIES = "alertmanager_notification_requests_failed_total"
LOADED = "alertmanager_config_last_reload_successful"
SIGNS = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}


class _Version(Read):
    version: str = ""


class _Config(Read):
    original: str


class _Status(Read):
    config: _Config
    version: _Version = Field(default_factory=_Version, alias="versionInfo")
    started_at: Moment = Field(default=0.0, alias="uptime")


class _State(Read):
    state: str


class _Name(Read):
    name: str


class _Alert(Read):
    labels: Labels
    annotations: Labels = Field(default_factory=dict)
    status: _State
    receivers: Annotated[tuple[_Name, ...], OrEmpty] = ()
    started_at: Moment = Field(default=0.0, alias="startsAt")
    updated_at: Moment = Field(default=0.0, alias="updatedAt")


class _Alerts(RootModel[tuple[_Alert, ...]]):
    pass


class _Matcher(Read):
    name: str
    value: str
    regex: bool = Field(default=False, alias="isRegex")
    equal: bool = Field(default=True, alias="isEqual")


class _Silence(Read):
    matchers: tuple[_Matcher, ...]
    ends_at: Moment = Field(alias="endsAt")
    created_by: str = Field(default="", alias="createdBy")
    status: _State


class _Silences(RootModel[tuple[_Silence, ...]]):
    pass


class AlertmanagerReader:
    """Implements ``checks.contract.instruments.monitoring.Alertmanager``."""

    def __init__(self, api: ServerApi) -> None:
        self._api = api

    async def facts(self) -> AlertmanagerFacts:
        """Its configuration, its silences and its counters now."""
        status = await self._api.get(_Status, "/api/v2/status")
        silences = await self._api.get(_Silences, "/api/v2/silences")
        config = self._config(status.config.original)
        counts, loaded = await self._counters()
        intervals = [*_tables(config.get("time_intervals")), *_tables(config.get("mute_time_intervals"))]
        now = time()
        return AlertmanagerFacts(
            version=status.version.version,
            receivers=tuple(_receiver(each) for each in _tables(config.get("receivers"))),
            routing=self._routing(config),
            sent=counts[SENT],
            failed=counts[FAILED],
            tries=counts[TRIES],
            failed_tries=counts[FAILED_TRIES],
            inhibitions=tuple(_inhibition(each) for each in _tables(config.get("inhibit_rules"))),
            silences=tuple(_silence(each) for each in silences.root if each.status.state == "active"),
            time_intervals={
                _text(each.get("name")): cover_of(_tables(each.get("time_intervals")), now)
                for each in intervals
            },
            loaded=loaded,
            started_at=status.started_at,
        )

    async def alerts(self) -> tuple[Routed, ...]:
        """The alerts that it has now."""
        found = await self._api.get(_Alerts, "/api/v2/alerts")
        return tuple(
            Routed(
                each.labels,
                each.annotations,
                each.status.state,
                tuple(receiver.name for receiver in each.receivers),
                each.started_at,
                each.updated_at,
            )
            for each in found.root
        )

    def _config(self, original: str) -> dict[str, Any]:
        try:
            config = read_yaml(original)
        except ValueError as error:
            raise self._odd(f"a configuration that is no YAML: {in_words(error)}") from error
        if not isinstance(config, dict) or not isinstance(config.get("route"), dict):
            raise self._odd("a configuration without a route")
        return config

    def _routing(self, config: Mapping[str, Any]) -> Routing:
        left = MAX_ROUTES

        def made(node: Mapping[str, Any], above: Routing, depth: int) -> Routing:
            nonlocal left
            left -= 1
            if left < 0 or depth > MAX_ROUTE_DEPTH:
                raise self._odd(f"more than {MAX_ROUTES:,} routes, or routes nested too deep")
            own = Routing(
                receiver=_text(node.get("receiver")) or above.receiver,
                matchers=_matchers(node, "matchers", "match", "match_re"),
                goes_on=node.get("continue") is True,
                muted_in=texts_in(node.get("mute_time_intervals")),
                active_in=texts_in(node.get("active_time_intervals")),
                group_wait_s=_seconds(node.get("group_wait"), above.group_wait_s),
                group_interval_s=_seconds(node.get("group_interval"), above.group_interval_s),
                repeat_interval_s=_seconds(node.get("repeat_interval"), above.repeat_interval_s),
            )
            below = tuple(made(each, own, depth + 1) for each in _tables(node.get("routes")))
            return replace(own, routes=below)

        return made(config["route"], Routing("", (), goes_on=False), 0)

    async def _counters(self) -> tuple[Mapping[str, Mapping[str, float]], bool]:
        """Its counters of notifications by kind, and whether its file is loaded; nothing where unknown.

        Its metrics may be kept from us where its API is not.
        """
        kinds: dict[str, dict[str, float]] = {name: {} for name in (SENT, FAILED, TRIES, FAILED_TRIES)}
        reply = await self._api.reply("/metrics", accept="text/plain;version=0.0.4")
        if reply.status != 200:
            return kinds, True
        try:
            series, loaded = counters(reply), metric_sum(reply, LOADED)
        except UnreadablePageError:
            return kinds, True
        for (name, labels), value in series.items():
            if name in kinds and math.isfinite(value):
                kind = dict(labels).get("integration", "")
                kinds[name][kind] = kinds[name].get(kind, 0.0) + value
        return kinds, loaded != 0

    def _odd(self, what: str) -> InstrumentFailure:
        return self._api.place.failed(
            f"tells {what}", "Is alertmanager.url that of an Alertmanager?", missing="url"
        )


def _tables(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: object, otherwise: float) -> float:
    return seconds_in(value) if isinstance(value, str) else otherwise


def _receiver(table: Mapping[str, Any]) -> Receiver:
    kinds = (key.removesuffix(ENDING) for key, value in table.items() if key.endswith(ENDING) and value)
    return Receiver(_text(table.get("name")), tuple(sorted(kinds)))


def _matchers(table: Mapping[str, Any], matchers: str, match: str, match_re: str) -> tuple[str, ...]:
    """The matchers of a route or an inhibition, those of before 0.22 (``match``) as they are written now."""
    old = [(match, "="), (match_re, "=~")]
    written = [
        f"{name}{sign}{json.dumps(_scalar(value), ensure_ascii=False)}"
        for key, sign in old
        for name, value in _table(table.get(key)).items()
    ]
    return (*texts_in(table.get(matchers)), *written)


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _inhibition(table: Mapping[str, Any]) -> Inhibition:
    return Inhibition(
        _matchers(table, "source_matchers", "source_match", "source_match_re"),
        _matchers(table, "target_matchers", "target_match", "target_match_re"),
        texts_in(table.get("equal")),
    )


def _silence(silence: _Silence) -> Silence:
    return Silence(
        tuple(
            f"{each.name}{SIGNS[each.equal, each.regex]}{json.dumps(each.value, ensure_ascii=False)}"
            for each in silence.matchers
        ),
        silence.ends_at,
        silence.created_by,
    )
