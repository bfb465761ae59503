"""An alert of this service reaches somebody, from Prometheus through Alertmanager to a receiver."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.instruments.alertmanager import AlertmanagerReader
from app.instruments.prometheus import PrometheusReader
from app.instruments.promql import PromqlParser
from checks.contract import InstrumentFailure, Outcome, ServerDown, Target
from checks.contract.instruments.monitoring import (
    Alert,
    AlertmanagerFacts,
    Inhibition,
    Receiver,
    Routed,
    Routing,
    ScrapeTarget,
    Series,
    Silence,
)
from checks.contract.wording import NBSP
from checks.monitoring import _notifying, notification_path
from tests.checks import scripted
from tests.checks.scripted import ScriptedAlertmanager, ScriptedInstruments, ScriptedPrometheus, a_rule
from tests.instruments.monitoring_servers import an_api
from tests.instruments.prometheus_servers import (
    alertmanager_server,
    exporter,
    needs_alertmanager,
    prometheus_server,
)
from tests.instruments.servers import free_port

PLACE = "http://127.0.0.1:9093"
DECLARED = {
    "prometheus": {"url": "http://127.0.0.1:9090", "labels": {"job": "chat"}},
    "alertmanager": {"url": PLACE},
}
CHAT = {"job": "chat", "instance": "127.0.0.1:1"}
ALIVE = Alert("Watchdog", "firing", {"alertname": "Watchdog"}, {}, 1_000.0)
WATCHDOG = a_rule("Watchdog", "vector(1)", alerts=(ALIVE,), position=9)
ERRORS = a_rule(
    "Errors",
    'sum by (job) (rate(requests_total{job="chat",status=~"5.."}[5m])) > 1',
    labels={"severity": "critical"},
)
DOWN = a_rule("Down", 'up{job="chat"} == 0', labels={"severity": "{{ $value }}"})
ARRIVED = Routed({"alertname": "Watchdog", "dc": "north"}, {}, "active", ("team",), 0.0)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch, request):
    if "real" not in request.node.name:
        monkeypatch.setattr(_notifying, "WATCH_S", 0)


def facts(*routes, **changes):
    fields = {
        "version": "0.25",
        "receivers": (Receiver("team", ("webhook",)), Receiver("null", ()), Receiver("mail", ("email",))),
        "routing": Routing("team", (), False, routes),
        "sent": {"webhook": 5.0, "email": 0.0},
        "failed": {"webhook": 0.0, "email": 0.0},
        "tries": {"webhook": 5.0, "email": 0.0},
        "failed_tries": {"webhook": 0.0, "email": 0.0},
    }
    return AlertmanagerFacts(**fields | changes)


def found(
    alertmanager=None,
    *,
    rules=(ERRORS, DOWN, WATCHDOG),
    arrived=(ARRIVED,),
    hour=(),
    settings=None,
    to=(PLACE,),
    **declared,
):
    def answers(expression):
        for name, values in hour:
            if name in expression:
                return [Series({"integration": kind}, value, 0.0) for kind, value in values.items()]
        return []

    prometheus = ScriptedPrometheus(
        targets=[ScrapeTarget("http://127.0.0.1:1/metrics", CHAT, "up", "", 0.0, 15.0)],
        rules=rules,
        answers=answers,
        label_values=lambda label, selectors: ["requests_total", "up"],
        alertmanagers=to,
        settings=settings or {},
    )
    script = alertmanager if isinstance(alertmanager, ScriptedAlertmanager) else None
    script = script or ScriptedAlertmanager(alertmanager or facts(), [arrived])
    instruments = ScriptedInstruments(prometheus=prometheus, alertmanager=script, promql=PromqlParser())
    return told(scripted.measure(notification_path, scripted.a_target(**DECLARED | declared), instruments))


def told(finding):
    return finding.but(reason=finding.reason.replace(NBSP, " "))


def test_alerts_that_reach_a_receiver_that_works_pass():
    finding = found()
    assert finding.outcome is Outcome.PASS
    assert finding.reason == (
        "2 alerts of this service can reach `team` (webhook); Watchdog fires and has arrived; 0 of 5 "
        "requests to receivers failed."
    )
    assert finding.value == 1
    assert "/api/v2/alerts" in finding.reproduce


def test_a_prometheus_that_sends_to_nobody_fails():
    finding = found(to=())
    assert finding.outcome is Outcome.FAIL
    assert "Prometheus http://127.0.0.1:9090 sends its alerts to no Alertmanager." in finding.reason


def test_an_alertmanager_that_does_not_answer_fails():
    gone = ScriptedAlertmanager(ServerDown("Alertmanager cannot be read: refused."))
    assert found(gone).reason == "Alertmanager cannot be read: refused."
    assert found(gone).outcome is Outcome.FAIL


def test_an_alertmanager_that_wants_a_credential_is_not_assessed():
    with pytest.raises(InstrumentFailure):
        found(ScriptedAlertmanager(InstrumentFailure("no", missing="alertmanager.headers")))


def test_a_watchdog_that_fires_and_is_not_there_fails_and_names_both_addresses():
    finding = found(arrived=(), to=("http://am.internal:9093",))
    assert finding.outcome is Outcome.FAIL
    assert "which sends to http://am.internal:9093, and has not arrived" in finding.reason
    assert PLACE in finding.reason


def test_another_address_of_the_same_alertmanager_is_as_good():
    assert found(to=("http://am.internal:9093/x",)).outcome is Outcome.PASS


def test_a_watchdog_that_may_still_be_on_its_way_warns():
    finding = found(facts(started_at=time.time() - 3), arrived=())
    assert finding.outcome is Outcome.WARN
    assert "had only 3 s to arrive" in finding.reason


def test_without_a_watchdog_it_warns():
    finding = found(rules=(ERRORS, DOWN), to=("http://am.internal:9093",))
    assert finding.outcome is Outcome.WARN
    assert "No alert fires always" in finding.reason
    assert "Prometheus sends to http://am.internal:9093" in finding.reason
    assert finding.value == 1


def test_a_watchdog_that_does_not_fire_is_none():
    assert "No alert fires always" in found(rules=(ERRORS, a_rule("Watchdog", "vector(1)"))).reason


def test_a_watchdog_without_anybody_to_notice_warns():
    lost = Routed({"alertname": "Watchdog"}, {}, "active", ("null",), 0.0)
    finding = found(arrived=(lost,))
    assert finding.outcome is Outcome.WARN
    assert "Watchdog goes to `null`, which has nothing to notify with" in finding.reason


def test_a_receiver_with_nothing_behind_it_fails():
    finding = found(facts(receivers=(Receiver("team", ()),)))
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == (
        "Errors and 1 more of 2 alerts of this service reach nobody: it goes to the receiver `team`, which "
        "has nothing to notify with."
    )
    assert finding.value == 0


def test_a_route_that_swallows_some_alerts_before_the_good_one_fails():
    finding = found(facts(Routing("null", ('job="chat"', 'severity="critical"'), False)))
    assert finding.outcome is Outcome.FAIL
    assert (
        "Errors of 2 alerts of this service reaches nobody: it goes to the receiver `null`" in finding.reason
    )
    assert finding.value == 0.5


def test_a_route_that_goes_on_to_a_good_receiver_is_no_dead_end():
    assert (
        found(facts(Routing("null", ('job="chat"',), True), Routing("mail", ('job="chat"',), False))).outcome
        is Outcome.PASS
    )


def test_a_label_that_the_expression_sums_away_leads_elsewhere():
    routed = facts(
        Routing("mail", ('job="chat"',), False),
        routing=Routing("null", (), False, (Routing("team", ('job="chat"',), False),)),
    )
    assert found(routed).outcome is Outcome.PASS
    summed = a_rule("Errors", 'sum(rate(requests_total{job="chat",status=~"5.."}[5m])) > 1')
    finding = found(routed, rules=(summed, DOWN, WATCHDOG))
    assert finding.outcome is Outcome.FAIL
    assert "Errors of 2 alerts of this service reaches nobody" in finding.reason


def test_the_labels_of_an_alert_that_fires_are_its_own():
    firing = Alert("Errors", "firing", {"alertname": "Errors", "job": "chat", "severity": "x"}, {}, 1.0)
    rule = a_rule("Errors", ERRORS.expression, alerts=(firing,))
    assert (
        found(facts(Routing("null", ('severity="x"',), False)), rules=(rule, WATCHDOG)).outcome
        is Outcome.FAIL
    )


def test_the_servers_own_labels_count():
    routed = facts(Routing("null", ('dc="north"',), False))
    assert found(routed).outcome is Outcome.PASS
    assert found(routed, settings={"external_labels": {"dc": "north"}}).outcome is Outcome.FAIL


def test_alerts_of_others_may_go_nowhere():
    other = a_rule("Disk", 'node_disk{job="node"} > 1', labels={"severity": "info"})
    assert (
        found(facts(Routing("null", ('severity="info"',), False)), rules=(ERRORS, other, WATCHDOG)).outcome
        is Outcome.PASS
    )


def test_a_route_muted_for_ever_fails():
    route = Routing("mail", ('job="chat"',), False, muted_in=("always",))
    finding = found(facts(route, time_intervals={"always": "always"}))
    assert finding.outcome is Outcome.FAIL
    assert "its route to `mail` is muted at all times" in finding.reason


def test_an_inhibition_by_what_never_ends_fails():
    finding = found(facts(inhibitions=(Inhibition(('alertname="Watchdog"',), ('job="chat"',)),)))
    assert finding.outcome is Outcome.FAIL
    assert "Watchdog fires always and inhibits it" in finding.reason


def test_an_inhibition_by_a_worse_alert_is_as_it_should_be():
    rule = Inhibition(('severity="critical"',), ('severity="warning"',), ("job",))
    assert found(facts(inhibitions=(rule,))).outcome is Outcome.PASS


@pytest.mark.parametrize(("days", "outcome"), [(29.9, Outcome.WARN), (31, Outcome.FAIL)])
def test_a_silence_warns_and_one_of_more_than_a_month_fails(days, outcome):
    silence = Silence(('job="chat"',), time.time() + days * 86_400, "Ada")
    finding = found(facts(silences=(silence,)))
    assert finding.outcome is outcome
    assert "is silenced for another" in finding.reason


def test_what_prometheus_drops_before_it_sends_fails():
    drop = {"source_labels": ["severity"], "regex": "crit.*", "action": "drop"}
    finding = found(settings={"alerting": {"alert_relabel_configs": [drop, 7, {"action": "replace"}]}})
    assert finding.outcome is Outcome.FAIL
    assert "Errors of 2 alerts of this service reaches nobody: Prometheus drops it" in finding.reason
    keep = {"source_labels": ["job"], "regex": "chat", "action": "keep"}
    assert found(settings={"alerting": {"alert_relabel_configs": [keep]}}).outcome is Outcome.PASS


def test_a_receiver_that_was_never_reached_fails():
    finding = found(facts(tries={"webhook": 3.0}, failed_tries={"webhook": 3.0}))
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "3 of 3 requests to webhook receivers failed since its start."


def test_old_failures_of_a_receiver_that_was_reached_as_well_warn():
    assert found(facts(tries={"webhook": 100.0}, failed_tries={"webhook": 5.0})).outcome is Outcome.PASS
    finding = found(facts(tries={"webhook": 100.0}, failed_tries={"webhook": 90.0}))
    assert finding.outcome is Outcome.WARN
    assert "90 of 100 requests to webhook receivers failed since its start, limit 5 %" in finding.reason


@pytest.mark.parametrize(
    ("failed", "outcome"), [(0.4, Outcome.PASS), (1, Outcome.WARN), (4, Outcome.WARN), (5, Outcome.FAIL)]
)
def test_the_last_hour_counts_where_it_is_known(failed, outcome):
    hour = (("requests_failed_total", {"webhook": failed}), ("requests_total", {"webhook": 10.0}))
    old = facts(tries={"webhook": 100.0}, failed_tries={"webhook": 90.0})
    assert found(old, hour=hour).outcome is outcome


def test_what_listens_in_a_drill_only_is_not_counted_beside_others():
    both = Routing("mail", ('job="chat"',), True), Routing("team", (), False)
    counts = {"tries": {"webhook": 3.0, "email": 4.0}, "failed_tries": {"webhook": 3.0, "email": 0.0}}
    assert found(facts(*both, **counts)).outcome is Outcome.FAIL
    assert found(facts(*both, **counts), notifications={"listen": "127.0.0.1:9096"}).outcome is Outcome.PASS
    alone = facts(tries={"webhook": 3.0}, failed_tries={"webhook": 3.0})
    assert found(alone, notifications={"listen": "127.0.0.1:9096"}).outcome is Outcome.FAIL


def test_an_alertmanager_that_counts_no_requests_is_judged_by_its_notifications():
    old = facts(tries={}, failed_tries={}, sent={"webhook": 2.0}, failed={"webhook": 2.0})
    assert found(old).outcome is Outcome.FAIL
    assert found(facts(tries={}, failed_tries={}, sent={}, failed={})).outcome is Outcome.PASS


def test_a_configuration_that_could_not_be_loaded_warns():
    assert "could not load its file" in found(facts(loaded=False)).reason


def test_without_alerts_of_the_service_the_rest_is_judged():
    finding = found(rules=(WATCHDOG,))
    assert finding.outcome is Outcome.PASS
    assert finding.value is None
    assert "0 alerts of this service" in finding.reason


RULES = """
groups:
  - name: chat
    rules:
      - alert: Errors
        expr: sum by (job) (rate(requests_total{job="chat",status=~"5.."}[5m])) > 1
        labels: {severity: critical}
      - alert: Watchdog
        expr: vector(1)
        labels: {severity: none}
"""


@contextmanager
def pager(status=200):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def measured(prometheus, alertmanager_url):
    target = Target.model_validate(
        {
            "url": "http://127.0.0.1:1",
            "prometheus": {"url": prometheus.url, "labels": {"job": "chat"}},
            "alertmanager": {"url": alertmanager_url},
        }
    )

    async def gather():
        async with an_api(prometheus.url) as one, an_api(alertmanager_url, name="Alertmanager") as two:
            instruments = ScriptedInstruments(
                prometheus=PrometheusReader(one), alertmanager=AlertmanagerReader(two), promql=PromqlParser()
            )
            return await notification_path.gather(target, instruments)

    return told(scripted.judge(notification_path, asyncio.run(gather())))


def routed(url):
    route = {"receiver": "team", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "5s"}
    return {"route": route, "receivers": [{"name": "team", "webhook_configs": [{"url": url}]}]}


@needs_alertmanager
def test_real_servers_with_a_pager_that_answers_one_that_does_not_and_the_wrong_alertmanager(tmp_path):
    with (
        exporter('requests_total{status="200"} 1\n') as page,
        pager() as url,
        alertmanager_server(tmp_path / "good", routed(url)) as good,
        alertmanager_server(tmp_path / "dead", routed(f"http://127.0.0.1:{free_port()}/")) as dead,
        alertmanager_server(tmp_path / "other", routed(url)) as other,
        prometheus_server(
            tmp_path / "prometheus",
            scrapes={"chat": [page.place]},
            rules={"chat.yml": RULES},
            alertmanagers=[f"127.0.0.1:{good.port}", f"127.0.0.1:{dead.port}"],
        ) as prometheus,
    ):
        prometheus.until(lambda: prometheus.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"])
        prometheus.until_found('requests_total{job="chat"}')
        passed = measured(prometheus, good.url)
        assert passed.outcome is Outcome.PASS, passed.reason
        assert "1 alert of this service can reach `team` (webhook)" in passed.reason
        failed = measured(prometheus, dead.url)
        assert failed.outcome is Outcome.FAIL
        assert "requests to webhook receivers failed since its start" in failed.reason
        wrong = measured(prometheus, other.url)
        assert wrong.outcome is Outcome.FAIL
        assert f"has not arrived at Alertmanager {other.url}" in wrong.reason
