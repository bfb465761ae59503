"""Servers of monitoring that answer with garbage, or nearly well: a finding or a refusal, no crash."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from random import Random

import pytest

from app.instruments.alertmanager import AlertmanagerReader
from app.instruments.grafana import GrafanaReader
from app.instruments.prometheus import PrometheusReader
from app.instruments.promql import PromqlParser
from checks.contract import InstrumentFailure, Target
from checks.contract.target.monitoring import Grafana
from checks.contract.wording import NBSP
from checks.monitoring import _notifying, _service, _targets, dashboards, notification_path, targets_up
from tests.checks import scripted as checking
from tests.checks.scripted import ScriptedInstruments
from tests.instruments.monitoring_servers import an_api
from tests.instruments.servers import scripted

THEN = "2026-01-01T00:00:00Z"
ALERT = {
    "type": "alerting",
    "name": "Errors",
    "query": 'sum by (job) (rate(requests_total{job="chat"}[5m])) > 1',
    "labels": {"severity": "page"},
    "health": "ok",
    "lastEvaluation": THEN,
    "alerts": [],
}
FIRING = {"labels": {"alertname": "Watchdog"}, "state": "firing", "activeAt": THEN}
ROUTES = """
route: {receiver: team, routes: [{receiver: none, matchers: ['a="b"'], mute_time_intervals: [x]}]}
receivers: [{name: team, webhook_configs: [{url: x}]}, {name: none}]
inhibit_rules: [{source_matchers: ['a="b"'], target_match: {c: d}, equal: [e]}]
time_intervals: [{name: x, time_intervals: [{weekdays: ['monday:friday']}]}]
"""
PANEL = {"title": "P", "type": "stat", "datasource": {"uid": "p"}, "targets": [{"expr": "requests_total"}]}
SHARED = {"type": "row", "panels": [{"title": "S", "libraryPanel": {"uid": "l"}}]}
GOOD = {
    "/api/v1/query": {
        "data": {"resultType": "vector", "result": [{"metric": {"job": "chat"}, "value": [1.5, "2"]}]}
    },
    "/api/v1/targets": {
        "data": {
            "activeTargets": [
                {
                    "labels": {"job": "chat", "instance": "a"},
                    "scrapeUrl": "http://127.0.0.1:1/metrics",
                    "lastScrape": THEN,
                    "health": "up",
                    "scrapeInterval": "15s",
                }
            ]
        }
    },
    "/api/v1/rules": {
        "data": {
            "groups": [
                {
                    "name": "g",
                    "interval": 15,
                    "rules": [ALERT, {**ALERT, "name": "Watchdog", "query": "vector(1)", "alerts": [FIRING]}],
                }
            ]
        }
    },
    "/api/v1/metadata": {"data": {"requests_total": [{"type": "counter", "help": ""}]}},
    "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": [{"url": "http://a/api/v2/alerts"}]}},
    "/api/v1/status/config": {"data": {"yaml": "global: {external_labels: {a: b}}"}},
    "/api/v1/status/flags": {"data": {"rules.alert.resend-delay": "1m"}},
    "/api/v2/status": {"config": {"original": ROUTES}, "versionInfo": {"version": "1"}, "uptime": THEN},
    "/api/v2/silences": [
        {"matchers": [{"name": "a", "value": "b"}], "endsAt": THEN, "status": {"state": "active"}}
    ],
    "/api/v2/alerts": [
        {"labels": FIRING["labels"], "status": {"state": "active"}, "receivers": [{"name": "team"}]}
    ],
    "/metrics": '# TYPE alertmanager_notifications counter\nalertmanager_notifications_total{a="b"} 3\n',
    "/api/search": [{"uid": "u", "title": "chat"}],
    "/api/dashboards/uid/u": {"dashboard": {"title": "Chat", "panels": [PANEL, SHARED]}},
    "/api/datasources": [{"uid": "p", "name": "P", "type": "prometheus", "isDefault": True}],
    "/api/library-elements/l": {"result": {"model": PANEL}},
    "/api/ds/query": {
        "results": {"A": {"frames": [{"schema": {"fields": [{}]}, "data": {"values": [[1]]}}]}}
    },
}
TEXTS = ("", "up", "chat", "NaN", "\x00\x1b[31m", "<b>", "${HOME}", "A" * 300, "9" * 400, "{{ $x }}", "é")
NUMBERS = (0, -1, 1e308, 10**40, 1.5, True, None)
CHECKS = (targets_up, notification_path, dashboards)


def spoiled(random: Random, node: object, share: float) -> object:
    """``node`` with a share of its parts left out, doubled, or turned into something else."""
    if random.random() < share:
        return random.choice([random.choice(TEXTS), random.choice(NUMBERS), [random.choice(TEXTS)], {}, []])
    if isinstance(node, dict):
        kept = {key: each for key, each in node.items() if random.random() > share / 3}
        return {key: spoiled(random, each, share) for key, each in kept.items()}
    if isinstance(node, list):
        return [spoiled(random, each, share) for each in node] * (2 if random.random() < share else 1)
    return node


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_servers_say_a_check_ends_well(seed, monkeypatch):
    for module, name in ((_service, "YOUNG_S"), (_targets, "WATCH_S"), (_notifying, "WATCH_S")):
        monkeypatch.setattr(module, name, 0)
    for check, found in asyncio.run(asked(Random(seed))):
        ends_well(check, found)


async def asked(random: Random):
    share = random.choice([0.0, 0.003, 0.01, 0.05, 0.3])

    async def talk(visit):
        path = visit.path.partition("?")[0]
        if path not in GOOD:
            return await visit.reply('{"message": "no"}', 404)
        found = spoiled(random, GOOD[path], share)
        body = found if path == "/metrics" and isinstance(found, str) else json.dumps(found)
        cut = random.randrange(len(body) + 1) if random.random() < share else len(body)
        return await visit.reply(body[:cut], Content_Type="application/json")

    async with scripted(talk) as server:
        monitoring = {name: {"url": server.url} for name in ("prometheus", "alertmanager", "grafana")}
        monitoring["prometheus"]["labels"] = {"job": "chat"}
        target = Target.model_validate({"url": "http://127.0.0.1:1", **monitoring})
        async with (
            an_api(server.url) as one,
            an_api(server.url, name="Alertmanager") as two,
            an_api(server.url, name="Grafana") as three,
        ):
            instruments = ScriptedInstruments(
                prometheus=PrometheusReader(one),
                alertmanager=AlertmanagerReader(two),
                grafana=GrafanaReader(three, Grafana(url=server.url), {"job": "chat"}, ("Chat",)),
                promql=PromqlParser(),
            )
            return [(check, await gathered(check, target, instruments)) for check in CHECKS]


async def gathered(check, target, instruments):
    try:
        return await check.gather(target, instruments)
    except InstrumentFailure as failure:
        return failure


def ends_well(check, found):
    if isinstance(found, InstrumentFailure):
        said = found.reason
    else:
        finding = checking.judge(check, found)
        said = f"{finding.reason} {finding.fix} {finding.reproduce}"
        assert len(json.dumps(dataclasses.asdict(found))) < 100_000
    assert said.replace(NBSP, " ").isprintable()
    assert len(said) < 3_000
