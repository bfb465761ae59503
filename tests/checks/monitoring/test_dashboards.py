"""Dashboards show the service: they are there, and their panels have data."""

from __future__ import annotations

import asyncio

import pytest

from app.instruments.prometheus import PrometheusReader
from app.instruments.promql import PromqlParser
from checks.contract import InstrumentFailure, Outcome, ServerDown
from checks.contract.instruments.monitoring import Dashboard, MetricInfo, Panel, ScrapeTarget, Shown
from checks.contract.wording import NBSP
from checks.monitoring import dashboards
from checks.monitoring._panels import is_own, read_known, why_empty
from tests.checks import scripted
from tests.checks.scripted import ScriptedGrafana, ScriptedInstruments, ScriptedPrometheus
from tests.instruments.monitoring_servers import an_api
from tests.instruments.prometheus_servers import exporter, needs_prometheus, prometheus_server

DECLARED = {
    "prometheus": {"url": "http://127.0.0.1:9090", "labels": {"job": "chat"}},
    "grafana": {"url": "http://127.0.0.1:3000", "dashboards": ["chat"]},
}
OWN = 'sum(rate(requests_total{job="chat"}[$__rate_interval]))'


def a_panel(title="Requests", *expressions, kind="timeseries", datasource="prom"):
    return Panel(title, kind, datasource, expressions)


def a_board(*panels, title="Chat"):
    return Dashboard("chat", title, panels)


def found(
    *boards,
    shows=lambda panel, text: True,
    prometheus=True,
    failure=None,
    series=("requests_total",),
    **declared,
):
    grafana = ScriptedGrafana(failure or boards, shows)
    script = ScriptedPrometheus(
        targets=[ScrapeTarget("http://127.0.0.1:1/metrics", {"job": "chat"}, "up", "", 0.0, 15.0)],
        label_values=lambda label, selectors: list(series),
        metadata={"errors_total": MetricInfo("counter", "")},
    )
    instruments = ScriptedInstruments(
        grafana=grafana, prometheus=script if prometheus else None, promql=PromqlParser()
    )
    return told(scripted.measure(dashboards, scripted.a_target(**DECLARED | declared), instruments))


def told(finding):
    return finding.but(reason=finding.reason.replace(NBSP, " "))


def many(count, *, empty=0, text=OWN):
    panels = [a_panel(f"P{number}", f"{text} + {number}") for number in range(count)]
    hidden = {panel.expressions[0] for panel in panels[:empty]}
    return found(a_board(*panels), shows=lambda panel, asked: asked not in hidden, prometheus=False)


def test_a_dashboard_whose_panels_have_data_passes():
    finding = found(a_board(a_panel("Requests", OWN), a_panel("Notes", kind="text")))
    assert finding.outcome is Outcome.PASS
    assert finding.reason == "1 of 1 query of `Chat` have data, limit 95 %."
    assert finding.value == 1


@pytest.mark.parametrize(
    ("empty", "outcome"), [(1, Outcome.PASS), (2, Outcome.WARN), (4, Outcome.WARN), (5, Outcome.FAIL)]
)
def test_the_share_of_queries_with_data_decides(empty, outcome):
    assert many(20, empty=empty).outcome is outcome


def test_what_is_blank_is_named():
    finding = found(
        a_board(a_panel("Requests", OWN), a_panel("Old", 'app_requests_total{job="chat"}')),
        shows=lambda panel, text: panel.title != "Old",
    )
    assert finding.outcome is Outcome.FAIL
    assert '`Old` shows nothing: app_requests_total{job="chat"}.' in finding.reason
    assert "`Old`" in finding.fix


def test_the_error_of_most_panels_is_told():
    finding = found(
        a_board(a_panel("A", OWN), a_panel("B", f"{OWN} * 2")),
        shows=lambda panel, text: Shown(False, "Grafana knows no data source 'x'"),
    )
    assert finding.outcome is Outcome.FAIL
    assert "`A` shows nothing: Grafana knows no data source 'x'." in finding.reason


def test_a_query_whose_series_may_still_come_is_idle_and_not_held_against_it():
    finding = found(
        a_board(a_panel("Requests", OWN), a_panel("Errors", 'rate(errors_total{job="chat"}[5m])')),
        shows=lambda panel, text: panel.title != "Errors",
    )
    assert finding.outcome is Outcome.PASS
    assert "1 of 1 query of `Chat` have data, limit 95 %; 1 idle" in finding.reason


def test_only_idle_queries_prove_nothing():
    finding = found(a_board(a_panel("Errors", 'rate(errors_total{job="chat"}[5m])')), shows=lambda *_: False)
    assert finding.outcome is Outcome.NOT_ASSESSED


def test_nothing_is_idle_of_a_service_that_is_not_scraped():
    finding = found(
        a_board(a_panel("Up", 'up{job="chat"}'), a_panel("Errors", 'rate(errors_total{job="chat"}[5m])')),
        shows=lambda panel, text: panel.title == "Up",
        series=(),
    )
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "monitoring.targets_up"


def test_without_a_prometheus_an_empty_query_is_blank():
    finding = found(
        a_board(a_panel("Errors", "rate(errors_total[5m])")), shows=lambda *_: False, prometheus=False
    )
    assert finding.outcome is Outcome.FAIL


def test_a_panel_that_lost_its_query_is_blank_and_one_of_words_is_not():
    finding = found(a_board(a_panel("Requests", OWN), a_panel("Lost")))
    assert finding.outcome is Outcome.FAIL
    assert "`Lost` has no query." in finding.reason
    quiet = [a_panel(kind, kind=kind) for kind in ("text", "dashlist", "news")]
    assert found(a_board(a_panel("Requests", OWN), *quiet)).outcome is Outcome.PASS
    assert (
        found(a_board(a_panel("Requests", OWN), a_panel("Of another", datasource=""))).outcome is Outcome.PASS
    )


def test_dashboards_of_another_service_fail():
    finding = found(a_board(a_panel("Node", 'rate(node_cpu{job="node"}[5m])'), title="Node"))
    assert finding.outcome is Outcome.FAIL
    assert finding.reason == "None of 1 query of `Node` reads series of this service."


def test_one_panel_of_the_service_among_others_is_enough():
    node = a_panel("Node", 'rate(node_cpu{job="node"}[5m])')
    assert found(a_board(node, a_panel("Requests", OWN))).outcome is Outcome.PASS


def test_no_dashboard_fails():
    finding = found(grafana={"url": "http://127.0.0.1:3000"})
    assert finding.outcome is Outcome.FAIL
    assert "Grafana http://127.0.0.1:3000 has no dashboard that shows this service." in finding.reason
    assert "/api/search?type=dash-db" in finding.reproduce


def test_a_declared_dashboard_that_is_gone_fails():
    finding = found(
        a_board(a_panel("Requests", OWN)), grafana={"url": "http://x", "dashboards": ["chat", "old"]}
    )
    assert finding.outcome is Outcome.FAIL
    assert "has no dashboard `old`, which `[grafana] dashboards` names" in finding.reason


def test_a_dashboard_of_words_alone_fails():
    assert "has no panel with a query" in found(a_board(a_panel("Notes", kind="text"))).reason


def test_a_grafana_that_does_not_answer_fails_and_one_that_wants_a_token_is_not_assessed():
    finding = found(failure=ServerDown("Grafana is gone."))
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, "Grafana is gone.")
    with pytest.raises(InstrumentFailure):
        found(failure=InstrumentFailure("no", missing="grafana.headers"))


def test_very_many_queries_are_left_out_and_kept_within_evidence():
    assert many(400).value == 1


PAGE = """
# TYPE requests_total counter
requests_total{status="200",route="/ask"} 7
# TYPE failed_total counter
# HELP failed_total Not one so far.
# TYPE waited_seconds histogram
waited_seconds_bucket{le="+Inf"} 2
waited_seconds_bucket{le="1"} 2
waited_seconds_count 2
waited_seconds_sum 0.5
# TYPE took_seconds summary
took_seconds_count 2
took_seconds_sum 0.5
"""
RULES = """
groups:
  - name: chat
    rules:
      - record: job:failures:rate5m
        expr: sum by (job) (rate(requests_total{job="chat",status=~"5.."}[5m]))
      - record: job:lost:rate5m
        expr: sum by (job) (rate(app_requests_total{job="chat"}[5m]))
"""
EMPTY = {
    'rate(requests_total{job="chat",status=~"5.."}[$__rate_interval])': "idle",
    'rate(requests_total{job="chat",status="503"}[5m])': "idle",
    'requests_total{job="chat"} > 100': "idle",
    'rate(failed_total{job="chat"}[5m])': "idle",
    "job:failures:rate5m": "idle",
    'rate(requests_total{job="chat",status="5xx"}[5m])': "blank",
    'rate(requests_total{job="chat",code=~"5.."}[5m])': "blank",
    'rate(requests_total{job="chat-api"}[5m])': "blank",
    'rate(app_requests_total{job="chat"}[5m])': "blank",
    'histogram_quantile(0.9, rate(took_seconds_bucket{job="chat"}[5m]))': "blank",
    'waited_seconds_bucket{job="chat",le="7"}': "blank",
    "job:lost:rate5m": "blank",
    "not ( promql": "blank",
    'rate(requests_total{job="chat"}[$__range]) unless requests_total': "idle",
}


@needs_prometheus
def test_a_real_prometheus_tells_idle_queries_from_blank_ones(tmp_path):
    with (
        exporter(PAGE) as page,
        prometheus_server(tmp_path, scrapes={"chat": [page.place]}, rules={"r.yml": RULES}) as server,
    ):
        server.until_found('requests_total{job="chat"}')
        server.until(lambda: server.get("/api/v1/metadata")["data"].get("failed_total"))

        async def ask():
            async with an_api(server.url) as api:
                target = scripted.a_target(
                    url=f"http://{page.place}", prometheus={"url": server.url, "labels": {"job": "chat"}}
                )
                known = await read_known(target, PrometheusReader(api), PromqlParser())
                whys = {text: await why_empty(text, known) for text in EMPTY}
                return whys, {text: is_own(text, known) for text in (*EMPTY, 'up{job="node"}', "job:x")}

        whys, own = asyncio.run(ask())
    assert whys == EMPTY
    assert own['rate(requests_total{job="chat",status=~"5.."}[$__rate_interval])'] is True
    assert own["job:failures:rate5m"] is True
    assert own['up{job="node"}'] is False
    assert own["not ( promql"] is None
