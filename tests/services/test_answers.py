"""A service of another style is assessed through its target file alone (expected.md says what and why)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.toolbox import Hooks, Toolbox
from checks import all_checks
from checks.contract import Finding, InstrumentFailure, Outcome
from tests.checks import scripted
from tests.checks.sample import BRIEF as SHORT
from tests.services.running import Service

BRIEF = replace(SHORT, outage_s=1)
MISSING = {
    "cache.reachable": "redis.url",
    "cache.memory_bound": "redis.url",
    "cache.ttl_coverage": "redis.url",
    "cache.latency": "redis.url",
    "cache.monthly_cost": "cost.budget_per_month_usd",
    "cache.outage_fallback": "levers.cache",
    "cache.outage_recovery": "levers.cache",
    "endpoint_health.authentication": "auth.protected",
    "endpoint_health.rate_limit": "objectives.rate_limit",
    "error_recovery.upstream_errors": "levers.upstream",
    "error_recovery.upstream_hang": "levers.upstream",
    "error_recovery.circuit_breaker": "levers.upstream",
    "error_recovery.compensation": "transaction",
    "error_recovery.compensation_failure": "transaction",
    "error_recovery.idempotency": "transaction",
    "monitoring.dashboards": "grafana.url",
    "monitoring.notification_path": "prometheus.url",
    "monitoring.targets_up": "prometheus.url",
    "error_recovery.chaos_experiments": "chaos",
    "error_recovery.crash_restart": "levers.service",
    "error_recovery.durability": "transaction",
    "error_recovery.graceful_shutdown": "levers.service",
    "monitoring.alert_drill": "prometheus.url",
    "monitoring.alert_quality": "prometheus.url",
    "monitoring.alert_rules": "prometheus.url",
    "monitoring.rules_alive": "prometheus.url",
    "load_scenarios.counts_agree": "health.requests",
    "load_scenarios.saturation": "objectives.peak_per_s",
}
WARNED = (  # as expected.md says
    "endpoint_health.body_limits",
    "endpoint_health.error_disclosure",
    "endpoint_health.transport",
)
FAILED = (  # the same
    "endpoint_health.api_contract",
    "endpoint_health.readiness",
    "endpoint_health.request_id",
    "monitoring.golden_signals",
)
EXPECTED = dict.fromkeys(WARNED, Outcome.WARN) | dict.fromkeys(FAILED, Outcome.FAIL)
ASSESSED = [
    pytest.param(check_id, marks=pytest.mark.matrix if check_id.startswith("load") else ())
    for check_id in sorted(set(all_checks()) - set(MISSING))
]


def toolbox_for(service: Service, folder: Path) -> Toolbox:
    return Toolbox(
        service.target,
        BRIEF,
        policy=Policy(),
        seed=Random().getrandbits(48),  # no question twice
        hooks=Hooks(lambda _: None, lambda _: None, lambda _: None, lambda *_: None),
        ledger=Ledger(folder / "levers"),
        samples_folder=None,
        environment=os.environ | service.environment,
    )


def measured(service: Service, check_id: str, folder: Path) -> Finding:
    check = all_checks()[check_id]
    toolbox = toolbox_for(service, folder)
    assert toolbox.refusal(check) is None

    async def gathered() -> object:
        async with asyncio.timeout(check.about.deadline_s), toolbox.open(check) as instruments:
            return await check.gather(service.target, instruments)

    return scripted.judge(check.module, asyncio.run(gathered()), service.target)


@pytest.mark.parametrize("check_id", ASSESSED)
def test_what_is_declared_is_measured_as_expected(answers: Service, check_id: str, tmp_path: Path) -> None:
    finding = measured(answers, check_id, tmp_path)
    assert finding.outcome is EXPECTED.get(check_id, Outcome.PASS), finding.reason


@pytest.mark.parametrize("check_id", sorted(MISSING))
def test_what_is_not_declared_is_refused_with_the_key_to_add(
    answers: Service, check_id: str, tmp_path: Path
) -> None:
    refusal = toolbox_for(answers, tmp_path).refusal(all_checks()[check_id])
    assert isinstance(refusal, InstrumentFailure)
    assert refusal.missing == MISSING[check_id]


def test_its_secret_is_in_no_evidence(answers: Service, tmp_path: Path) -> None:
    finding = measured(answers, "monitoring.metrics_exposed", tmp_path)
    assert "$ANSWERS_OPS_KEY" in finding.reproduce
    assert answers.environment["ANSWERS_OPS_KEY"] not in repr(finding)


def test_every_check_has_a_row_in_the_list_of_what_to_expect() -> None:
    text = (Path(__file__).parent / "expected.md").read_text(encoding="utf-8")
    for check_id in all_checks():
        family = check_id.partition(".")[0]
        assert f"`{check_id}`" in text or f"`{family}.*`" in text, check_id
