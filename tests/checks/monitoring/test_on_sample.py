"""Checks of metrics and alerts with the real instruments on the real sample: what the matrix does not see."""

from __future__ import annotations

import json
from dataclasses import asdict

from checks.contract import Outcome
from tests.checks.sample import Sample
from tests.instruments.prometheus_servers import needs_alertmanager


def test_the_page_is_read_before_and_after_questions(sample: Sample):
    found = sample.with_defects().gather("monitoring.metrics_exposed")
    assert found.asked == 5
    assert found.before.status == found.after.status == 200
    assert found.after.series >= found.before.series > 0
    assert found.leaks == ()


def test_a_key_in_a_label_is_named_and_not_kept(sample: Sample):
    found = sample.with_defects("metrics_secret_label").gather("monitoring.metrics_exposed")
    assert [(leak.label, leak.kind) for leak in found.leaks if leak.secret] == [("api_key", "an API key")]
    assert "sk-" not in json.dumps(asdict(found))


def test_a_credential_that_was_refused_is_named_and_not_kept(sample: Sample):
    found = sample.with_defects("metrics_credential_label").gather("monitoring.metrics_exposed")
    kinds = {(leak.label, leak.kind) for leak in found.leaks if leak.secret}
    assert ("caller", "the credential of each request") in kinds
    assert "key-" not in json.dumps(asdict(found))


def test_the_golden_signals_rise_by_what_was_asked(sample: Sample):
    found = sample.with_defects().gather("monitoring.golden_signals")
    rose = {each.name: each.rose for each in found.motions}
    assert sum(rose["http_requests_total"].values()) >= found.asked.questions == 10
    assert rose["http_requests_total"]["refusals"] == 2
    assert found.asked.refused == {"a path that does not exist": 404, "a body that is cut off": 400}
    assert rose["chat_cache_hits_total"] == {"cache hits": 4.0}
    calm, busy = found.gauges["http_requests_in_flight"]
    assert busy > calm
    [timing] = found.timings
    assert timing.observed >= 10
    assert 0 < timing.sum_s < 2 * found.asked.took_s


@needs_alertmanager
def test_every_signal_has_its_alert_and_every_runbook_opens(sample: Sample):
    sample.with_defects()
    found = sample.gather("monitoring.alert_rules")
    own = {(alert.name, each.signal.value) for alert in found.telling for each in alert.covers}
    assert own == {
        ("ChatHighLatency", "latency"),
        ("ChatHighErrorRate", "error rate"),
        ("ChatLowCacheHitRate", "cache hit rate"),
        ("ChatDown", "instance down"),
    }
    links = sample.gather("monitoring.alert_quality").links
    assert len(links) == 6
    assert {link.status for link in links.values()} == {200}


@needs_alertmanager
def test_an_alert_whose_buckets_were_dropped_covers_nothing(sample: Sample):
    finding = sample.with_defects("histogram_buckets_dropped").measure("monitoring.alert_rules")
    assert finding.outcome is Outcome.FAIL
    assert "ChatHighLatency reads http_request_duration_seconds_bucket" in finding.reason
