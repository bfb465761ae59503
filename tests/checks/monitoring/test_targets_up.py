"""Prometheus scrapes the service: every instance is up, was just scraped, and stays so."""

from __future__ import annotations

import asyncio

import pytest

from app.instruments.prometheus import PrometheusReader
from checks.contract import InstrumentFailure, Outcome, Sample, Scrape, ServerDown, Target
from checks.contract.instruments.monitoring import ScrapeTarget, Series
from checks.contract.wording import NBSP
from checks.monitoring import _service, _targets, targets_up
from tests.checks import scripted
from tests.checks.scripted import ScriptedInstruments, ScriptedMetrics, ScriptedPrometheus
from tests.instruments.monitoring_servers import an_api
from tests.instruments.prometheus_servers import exporter, needs_prometheus, prometheus_server

NOW = 1_780_000_000.0
LABELS = {"job": "chat", "instance": "127.0.0.1:1"}
SERVER = {"url": "http://127.0.0.1:9090", "labels": {"job": "chat"}}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch, request):
    if "real" not in request.node.name:
        monkeypatch.setattr(_targets, "WATCH_S", 0)
        monkeypatch.setattr(_service, "YOUNG_S", 0)
        monkeypatch.setattr(_targets, "PAUSE_S", 0)


def a_scrape(**changes):
    fields = {
        "url": "http://127.0.0.1:1/metrics",
        "labels": LABELS,
        "health": "up",
        "last_error": "",
        "last_scrape": NOW - 5,
        "interval_s": 15.0,
    }
    return ScrapeTarget(**fields | changes)


def a_prometheus(*targets, up=1.0, scrapes=240.0, downs=0.0, restarts=0.0, kept=40.0, starts=(), **changes):
    """A Prometheus with these targets, whose last hour was as told."""
    figures = {
        "avg_over_time": up,
        "count_over": scrapes,
        "resets": downs,
        "changes": restarts,
        "scrape_s": kept,
    }

    def answers(expression):
        if expression == "time()":
            return [Series({}, NOW, NOW)]
        if expression.startswith("process_start_time_seconds"):
            return [Series(LABELS, each, NOW) for each in starts]
        value = next(value for name, value in figures.items() if expression.startswith(name))
        return [Series(each.labels, value, NOW) for each in targets] if value is not None else []

    return ScriptedPrometheus(targets=targets, answers=answers, **changes)


def found(prometheus, *, target=None, metrics=None):
    instruments = ScriptedInstruments(prometheus=prometheus, metrics=metrics)
    return told(scripted.measure(targets_up, target or scripted.a_target(prometheus=SERVER), instruments))


def told(finding):
    return finding.but(reason=finding.reason.replace(NBSP, " "))


def test_a_target_that_is_up_and_fresh_passes():
    finding = found(a_prometheus(a_scrape(), a_scrape(labels={**LABELS, "job": "node"}, health="down")))
    assert finding.outcome is Outcome.PASS
    assert finding.reason == "1 target up, the oldest scrape 5 s ago, scraped every 15 s."
    assert "/api/v1/targets?state=active" in finding.reproduce


def test_a_scrape_within_three_intervals_is_fresh_and_a_later_one_is_not():
    assert found(a_prometheus(a_scrape(last_scrape=NOW - 45))).outcome is Outcome.PASS
    finding = found(a_prometheus(a_scrape(last_scrape=NOW - 46)))
    assert finding.outcome is Outcome.FAIL
    assert "was last scraped 46 s ago, limit 45 s (3 intervals)" in finding.reason


def test_a_fast_scrape_may_be_ten_seconds_late():
    assert found(a_prometheus(a_scrape(last_scrape=NOW - 9, interval_s=1.0))).outcome is Outcome.PASS


def test_a_target_that_is_down_fails_with_the_error_that_prometheus_saw():
    finding = found(a_prometheus(a_scrape(health="down", last_error="connection\x1b refused"), up=0.0))
    assert finding.outcome is Outcome.FAIL
    assert "http://127.0.0.1:1/metrics is down: connection  refused." in finding.reason


def test_one_instance_of_two_that_is_down_warns():
    other = a_scrape(
        health="down", url="http://127.0.0.2:1/metrics", labels={**LABELS, "instance": "127.0.0.2:1"}
    )
    finding = found(a_prometheus(a_scrape(), other))
    assert finding.outcome is Outcome.WARN
    assert finding.value == 0.5
    assert "1 target of 2" in finding.reason


def test_without_a_target_it_fails_and_names_the_jobs_that_there_are():
    finding = found(a_prometheus(a_scrape(labels={"job": "node", "instance": "x"})))
    assert finding.outcome is Outcome.FAIL
    assert 'has no target with job="chat". It scrapes the jobs `node`.' in finding.reason
    assert "scrapes nothing at all" in found(a_prometheus()).reason


def test_without_labels_the_target_is_found_by_its_address():
    target = scripted.a_target(prometheus={"url": "http://127.0.0.1:9090"})
    assert found(a_prometheus(a_scrape()), target=target).outcome is Outcome.PASS


def test_without_labels_and_address_it_is_not_assessed_and_names_the_key():
    target = scripted.a_target(prometheus={"url": "http://127.0.0.1:9090"})
    with pytest.raises(InstrumentFailure) as raised:
        found(a_prometheus(a_scrape(url="http://chat:8003/metrics")), target=target)
    assert raised.value.missing == "prometheus.labels"


def page(*starts):
    samples = tuple(Sample("process_start_time_seconds", {}, each) for each in starts)
    return ScriptedMetrics([Scrape("http://x/metrics", 200, "", {}, len(samples), {}, samples=samples)])


@pytest.mark.parametrize(
    ("on_page", "known", "outcome"),
    [
        ((1_000.0,), (900.0, 1_000.0), Outcome.PASS),
        ((1_000.0,), (1_000.1,), Outcome.FAIL),
        ((1_000.0,), (900.0,), Outcome.FAIL),
        ((), (900.0,), Outcome.PASS),
        ((1_000.0,), (), Outcome.PASS),
    ],
)
def test_a_target_of_another_address_must_have_started_when_the_service_did(on_page, known, outcome):
    elsewhere = a_scrape(url="http://chat.internal:8003/metrics")
    finding = found(a_prometheus(elsewhere, starts=known), metrics=page(*on_page))
    assert finding.outcome is outcome
    if outcome is Outcome.FAIL:
        assert 'The targets with job="chat" are another service\'s' in finding.reason


def test_what_goes_down_again_and_again_warns():
    assert found(a_prometheus(a_scrape(), downs=12)).outcome is Outcome.PASS
    finding = found(a_prometheus(a_scrape(), downs=13))
    assert finding.outcome is Outcome.WARN
    assert (
        "it went down 13 times in 240 scrapes of the last hour without a restart, limit 5 %" in finding.reason
    )


def test_once_is_an_accident_however_few_scrapes_there_were():
    assert found(a_prometheus(a_scrape(), downs=1, scrapes=4)).outcome is Outcome.PASS
    assert found(a_prometheus(a_scrape(), downs=2, scrapes=12)).outcome is Outcome.WARN


def test_a_restart_is_not_held_against_the_monitoring():
    assert found(a_prometheus(a_scrape(), downs=20, restarts=18)).outcome is Outcome.PASS


def test_what_was_down_most_of_the_hour_fails():
    finding = found(a_prometheus(a_scrape(), up=0.49))
    assert finding.outcome is Outcome.FAIL
    assert "was up in 49 % of the last hour's scrapes, limit 50 %" in finding.reason


def test_an_empty_page_fails_and_an_unknown_number_of_samples_does_not():
    finding = found(a_prometheus(a_scrape(), kept=0.0))
    assert finding.outcome is Outcome.FAIL
    assert "is up, and no sample of its page is kept" in finding.reason
    assert found(a_prometheus(a_scrape(), kept=None)).outcome is Outcome.PASS


def test_an_interval_beyond_the_lookback_warns():
    slow = a_scrape(interval_s=600.0)
    assert "its series come and go" in found(a_prometheus(slow)).reason
    wide = {"flags": {"query.lookback-delta": "15m"}}
    assert found(a_prometheus(slow, settings=wide)).outcome is Outcome.PASS


def test_a_target_that_was_never_scraped_fails_and_says_so():
    never = a_scrape(health="unknown", last_scrape=0.0)
    assert "was never scraped" in found(a_prometheus(never, up=None, scrapes=None)).reason


def test_a_prometheus_that_does_not_answer_fails():
    finding = found(ScriptedPrometheus(targets=ServerDown("Prometheus is gone.")))
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "Prometheus is gone."


def test_a_prometheus_that_wants_something_of_the_target_file_is_not_assessed():
    refused = InstrumentFailure("no", missing="prometheus.headers")
    with pytest.raises(InstrumentFailure):
        found(ScriptedPrometheus(targets=refused))


def the_real_target(url, place):
    declared = {"url": url, "labels": {"job": "chat"}}
    return Target.model_validate({"url": f"http://{place}", "prometheus": declared})


def measured(server, page):
    async def gather():
        async with an_api(server.url) as api:
            instruments = ScriptedInstruments(prometheus=PrometheusReader(api))
            return await targets_up.gather(the_real_target(server.url, page.place), instruments)

    return told(scripted.judge(targets_up, asyncio.run(gather())))


PAGE = "process_start_time_seconds 1000\nrequests_total 1\n"


@needs_prometheus
def test_a_real_prometheus_tells_up_down_flapping_restarted_and_absent(tmp_path):
    with (
        exporter(PAGE) as page,
        prometheus_server(tmp_path, scrapes={"chat": [page.place], "other": ["127.0.0.1:1"]}) as server,
    ):
        assert measured(server, page).outcome is Outcome.PASS  # from its first moment: it waits

        for start in range(3):  # restarts, each with a gap
            page.status = 503
            server.until_found('up{job="chat"} == 0')
            page.status, page.page = 200, PAGE.replace("1000", str(2_000 + start))
            server.until_found('up{job="chat"} == 1')
        assert measured(server, page).outcome is Outcome.PASS

        for _ in range(3):  # gaps without one
            page.status = 503
            server.until_found('up{job="chat"} == 0')
            page.status = 200
            server.until_found('up{job="chat"} == 1')
        flapping = measured(server, page)
        assert flapping.outcome is Outcome.WARN, flapping.reason

        page.status = 503
        server.until_found('up{job="chat"} == 0')
        down = measured(server, page)
        assert down.outcome is Outcome.FAIL
        assert "server returned HTTP status 503" in down.reason

        page.status, page.page = 200, ""
        server.until_found('scrape_samples_post_metric_relabeling{job="chat"} == 0')
        assert "no sample of its page is kept" in measured(server, page).reason


@needs_prometheus
def test_a_real_prometheus_that_scrapes_others_alone_fails_from_its_first_moment(tmp_path):
    with exporter(PAGE) as page, prometheus_server(tmp_path, scrapes={"other": [page.place]}) as server:
        absent = measured(server, page)
    assert absent.outcome is Outcome.FAIL
    assert "It scrapes the jobs `other`." in absent.reason
