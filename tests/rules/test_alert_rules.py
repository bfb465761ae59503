"""monitoring.alert_rules and alert_quality among the rules of many services: each service gets its own."""

from __future__ import annotations

import asyncio

import pytest

from app.instruments.prometheus import PrometheusReader
from app.instruments.promql import PromqlParser
from checks.contract import Outcome
from checks.monitoring import alert_quality, alert_rules
from tests.checks import scripted
from tests.instruments.monitoring_servers import an_api
from tests.instruments.prometheus_servers import needs_prometheus
from tests.rules.exporters import STATES
from tests.rules.world import World

pytestmark = needs_prometheus
# What the rules of the corpus cover for each service, whatever state it is in.
COVERED = {
    "chat": {"latency", "error rate", "cache hit rate", "instance down"},
    "orders-api": {"latency", "error rate", "instance down"},
    "billing": {"latency", "error rate", "instance down"},
}
OF_OTHERS = {
    "chat": ("Orders", "Billing", "Catalog", "Node", "Redis", "Postgres", "Kafka"),
    "orders-api": ("Chat", "Billing", "Catalog", "Node", "Redis", "Postgres", "Kafka"),
    "billing": ("Chat", "Orders", "Catalog", "Node", "Redis", "Postgres", "Kafka"),
}
SHARED = {"OrdersErrorsWhileDown"}  # it asks for any job that is down


async def gathered(module, world: World, job: str):
    prometheus = {"url": world.prometheus.url, "labels": {"job": job}}
    target = scripted.a_target(prometheus=prometheus, redis=None)
    instruments = scripted.ScriptedInstruments(
        prometheus=PrometheusReader(an_api(world.prometheus.url)),
        promql=PromqlParser(),
        http=scripted.ScriptedHttp({}),
    )
    return await module.gather(target, instruments)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("job", COVERED)
def test_each_service_has_its_own_alerts_in_each_state(worlds: dict[str, World], job: str, state: str):
    found = asyncio.run(gathered(alert_rules, worlds[state], job))
    own = {
        (alert.name, each.signal.value)
        for alert in found.telling
        for each in alert.covers
        if each.whose == "own"
    }
    assert {signal for _, signal in own} == COVERED[job]
    strangers = {name for name, _ in own if name.startswith(OF_OTHERS[job])} - SHARED
    assert {name for name in strangers if not name.startswith("OrdersBelowObjective")} == set()
    finding = scripted.judge(alert_rules, found)
    assert finding.outcome is (Outcome.PASS if job == "chat" else Outcome.WARN)


@pytest.mark.parametrize("job", COVERED)
def test_what_is_looked_at_in_detail_is_of_the_service(worlds: dict[str, World], job: str):
    found = asyncio.run(gathered(alert_quality, worlds["busy"], job))
    assert found.alerts
    names = {alert.name for alert in found.alerts}
    assert not {name for name in names if name.startswith(("Node", "Redis", "Postgres", "Kafka"))}
