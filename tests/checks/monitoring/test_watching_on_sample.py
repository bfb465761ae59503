"""Targets, the way of notifications and dashboards on the real sample: what each defect is told as."""

from __future__ import annotations

import pytest

from checks.contract import Outcome
from checks.contract.wording import NBSP
from tests.checks.sample import Sample
from tests.instruments.prometheus_servers import needs_alertmanager

pytestmark = needs_alertmanager
TARGETS, PATH, DASHBOARDS = (
    f"monitoring.{name}" for name in ("targets_up", "notification_path", "dashboards")
)


def told(sample: Sample, check: str) -> tuple[Outcome, str]:
    finding = sample.measure(check)
    return finding.outcome, finding.reason.replace(NBSP, " ")


def test_the_healthy_sample_is_watched(sample: Sample):
    sample.with_defects()
    outcome, reason = told(sample, TARGETS)
    assert (outcome, reason.partition(",")[0]) == (Outcome.PASS, "1 target up")
    outcome, reason = told(sample, PATH)
    assert outcome is Outcome.PASS, reason
    assert "6 alerts of this service can reach `on-call` (webhook); Watchdog fires and has arrived" in reason
    outcome, reason = told(sample, DASHBOARDS)
    assert outcome is Outcome.PASS, reason
    assert "queries of `Chat service` have data" in reason


@pytest.mark.parametrize(
    ("defect", "check", "outcome", "said"),
    [
        ("target_is_another", TARGETS, Outcome.FAIL, 'with job="chat" are another service\'s'),
        ("target_flaps", TARGETS, Outcome.WARN, "comes and goes"),
        ("route_swallows_alerts", PATH, Outcome.FAIL, "goes to the receiver `staging`, which has nothing"),
        ("alerts_inhibited_for_ever", PATH, Outcome.FAIL, "Watchdog fires always and inhibits it"),
        ("notifications_fail", PATH, Outcome.FAIL, "requests to webhook receivers failed"),
        ("no_watchdog", PATH, Outcome.WARN, "No alert fires always"),
        ("dashboard_old_panel", DASHBOARDS, Outcome.WARN, "`Memory` shows nothing: sum by (instance) (app_"),
        ("dashboard_source_gone", DASHBOARDS, Outcome.FAIL, "knows no data source 'prometheus-of-2024'"),
    ],
)
def test_what_watches_it_badly_is_told(sample: Sample, defect, check, outcome, said):
    found = told(sample.with_defects(defect), check)
    assert (found[0], said in found[1]) == (outcome, True), found[1]
