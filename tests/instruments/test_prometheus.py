"""What is read of a real Prometheus, and what is said of servers that are none or lie."""

from __future__ import annotations

import json
import math
import time

import pytest

from app.instruments.prometheus import PrometheusReader
from checks.contract import InstrumentFailure
from checks.contract.texts import seconds_in
from tests.instruments.monitoring_servers import an_api, answering
from tests.instruments.prometheus_servers import (
    alertmanager_server,
    exporter,
    needs_alertmanager,
    prometheus_server,
)

PAGE = """
# HELP requests_total Requests that were answered.
# TYPE requests_total counter
requests_total{status="200"} 7
# HELP waited_seconds How long.
# TYPE waited_seconds histogram
waited_seconds_bucket{le="+Inf"} 2
waited_seconds_count 2
waited_seconds_sum 0.5
"""
RULES = """
groups:
  - name: chat
    interval: 1s
    rules:
      - record: chat:requests
        expr: sum(requests_total)
        labels: {team: shop}
      - alert: Always
        expr: vector(1)
        labels: {severity: none}
        annotations: {summary: "it beats"}
      - alert: Broken
        expr: up * on(job) up
        for: 1m30s
"""
GLOBAL = {"scrape_interval": "1s", "evaluation_interval": "1s", "external_labels": {"dc": "north"}}
RECEIVER = {"route": {"receiver": "team"}, "receivers": [{"name": "team"}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        exporter(PAGE) as page,
        alertmanager_server(folder / "alertmanager", RECEIVER) as alertmanager,
        prometheus_server(
            folder / "prometheus",
            scrapes={"chat": [page.place, "127.0.0.1:1"]},
            rules={"chat.yml": RULES},
            alertmanagers=[f"127.0.0.1:{alertmanager.port}"],
            config={
                "global": {
                    "scrape_interval": "1s",
                    "evaluation_interval": "1s",
                    "external_labels": {"dc": "north"},
                }
            },
            prefix="/prom",
        ) as server,
    ):
        server.until_found("chat:requests == 7")
        server.until(lambda: any(rule["health"] == "err" for rule in _rules(server)))
        server.until(lambda: server.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"])
        server.until(lambda: server.get("/api/v1/metadata")["data"])
        server.alertmanager = alertmanager.url
        yield server


def _rules(server):
    return [rule for group in server.get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]


@needs_alertmanager
async def test_everything_is_read_of_a_real_prometheus_behind_a_path(running):
    async with an_api(running.url) as api:
        prometheus = PrometheusReader(api)

        answered = await prometheus.query('requests_total{job="chat"}')
        [series] = answered.series
        assert series.labels["status"] == "200"
        assert series.value == 7
        assert series.at == pytest.approx(time.time(), abs=10)

        up, down = sorted(await prometheus.targets(), key=lambda each: each.health, reverse=True)
        assert (up.health, up.last_error, up.interval_s) == ("up", "", 1)
        assert up.last_scrape == pytest.approx(time.time(), abs=10)
        assert down.health == "down"
        assert "refused" in down.last_error

        record, always, broken = await prometheus.rules()
        assert (record.kind, record.name, record.group, record.position) == (
            "record",
            "chat:requests",
            "chat",
            0,
        )
        assert (record.expression, record.labels, record.interval_s) == (
            "sum(requests_total)",
            {"team": "shop"},
            1,
        )
        assert record.file.endswith("chat.yml")
        assert record.health == "ok"
        assert record.evaluated_at == pytest.approx(time.time(), abs=10)
        assert (always.kind, always.annotations) == ("alert", {"summary": "it beats"})
        assert [(alert.name, alert.state) for alert in always.alerts] == [("Always", "firing")]
        assert always.alerts[0].labels == {"alertname": "Always", "severity": "none"}
        assert (broken.health, broken.for_s, broken.position) == ("err", 90, 2)
        assert "many-to-many" in broken.last_error

        metadata = await prometheus.metadata()
        assert (metadata["requests_total"].kind, metadata["requests_total"].help) == (
            "counter",
            "Requests that were answered.",
        )
        assert metadata["waited_seconds"].kind == "histogram"
        assert (await prometheus.metadata('{job="chat"}'))["waited_seconds"].kind == "histogram"
        assert await prometheus.metadata('{job="orders"}') == {}

        assert "requests_total" in await prometheus.label_values("__name__", ['{job="chat"}'])
        assert await prometheus.label_values("job") == ("chat",)
        assert await prometheus.alertmanagers() == (running.alertmanager,)

        settings = await prometheus.settings()
        assert settings["scrape_interval"] == "1s"
        assert settings["external_labels"] == {"dc": "north"}
        assert settings["scrape_configs"][0]["job_name"] == "chat"
        assert settings["flags"]["rules.alert.resend-delay"] == "5s"


@needs_alertmanager
async def test_scalars_ranges_and_numbers_that_are_none(running):
    async with an_api(running.url) as api:
        prometheus = PrometheusReader(api)
        [one] = (await prometheus.query("1")).series
        assert (one.labels, one.value) == ({}, 1)
        assert math.isnan((await prometheus.query("0/0")).series[0].value)
        assert (await prometheus.query("-1/0")).series[0].value == -math.inf
        assert (await prometheus.query('"text"')).series == ()
        assert (await prometheus.query("up", at=time.time() - 3_600)).series == ()
        last = (await prometheus.query("requests_total[1m]")).series
        assert [series.value for series in last] == [7]
        now = time.time()
        [points] = await prometheus.query_range("chat:requests", start=now - 2, end=now, step_s=1)
        assert points.labels["team"] == "shop"
        assert points.values[-1][1] == 7


@needs_alertmanager
async def test_an_expression_that_cannot_be_evaluated_is_an_answer_of_its_own(running):
    async with an_api(running.url) as api:
        prometheus = PrometheusReader(api)
        assert "parse error" in (await prometheus.query("up{")).error
        assert "many-to-many" in (await prometheus.query("up * on(job) up")).error
        with pytest.raises(InstrumentFailure, match="cannot evaluate 'up{'.*parse error"):
            await prometheus.query_range("up{", start=0, end=1, step_s=1)
        assert (await prometheus.query("${HOME} or up")).error  # no reference in an expression is resolved


def vector(*results):
    return {"status": "success", "data": {"resultType": "vector", "result": list(results)}}


async def test_a_server_that_is_too_busy_is_no_fault_of_the_expression():
    busy = {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}
    async with answering({"/api/v1/query": (503, busy)}) as server, an_api(server.url) as api:
        with pytest.raises(InstrumentFailure, match="could not answer a query: query timed out"):
            await PrometheusReader(api).query("up")


async def test_warnings_of_partial_data_are_kept():
    partial = {**vector({"metric": {}, "value": [1.5, "2"]}), "warnings": ["a store did not answer"]}
    async with answering({"/api/v1/query": partial}) as server, an_api(server.url) as api:
        answered = await PrometheusReader(api).query("up")
    assert answered.warnings == ("a store did not answer",)
    assert answered.series[0].value == 2


async def test_a_native_histogram_is_a_series_without_a_number():
    one = vector({"metric": {"job": "chat"}, "histogram": [1.5, {"count": "2", "sum": "3"}]})
    async with answering({"/api/v1/query": one}) as server, an_api(server.url) as api:
        [series] = (await PrometheusReader(api).query("x")).series
    assert series.labels == {"job": "chat"}
    assert math.isnan(series.value)


@pytest.mark.parametrize(
    "result",
    [
        [{"metric": {"a": 1}, "value": [1, "2"]}],
        [{"metric": [], "value": [1, "2"]}],
        [{"metric": {}, "value": ["now", "2"]}],
        [{"metric": {}, "value": ["NaN", "2"]}],
        [{"metric": {}, "value": [1, "two"]}],
        [{"metric": {}, "value": [1, True]}],
        [{"metric": {}, "value": [10**400, "1"]}],
        [{"metric": {}, "value": [1]}],
        [1],
        {"a": 1},
        "up",
        7,
    ],
)
async def test_wrong_types_are_named_with_the_place(result):
    wrong = {"data": {"resultType": "vector", "result": result}}
    async with answering({"/api/v1/query": wrong}) as server, an_api(server.url) as api:
        with pytest.raises(
            InstrumentFailure, match=r"answers /api/v1/query with what its API does not say"
        ) as raised:
            await PrometheusReader(api).query("up")
    assert raised.value.missing == "prometheus.url"
    assert server.url in raised.value.reason


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{}", "{", '{"data": 7}', "\x00", "[" * 100_000, '{"a":' * 50_000]
)
async def test_a_reply_that_is_not_its_api_is_a_failure_and_no_crash(body):
    answers = dict.fromkeys(
        [
            f"/api/v1/{path}"
            for path in ("query", "targets", "rules", "metadata", "status/config", "alertmanagers")
        ],
        body,
    )
    answers["/api/v1/label/job/values"] = body
    async with answering(answers) as server, an_api(server.url) as api:
        prometheus = PrometheusReader(api)
        for ask in (
            prometheus.targets,
            prometheus.rules,
            prometheus.metadata,
            prometheus.settings,
            prometheus.alertmanagers,
            lambda: prometheus.query("up"),
            lambda: prometheus.label_values("job"),
        ):
            with pytest.raises(InstrumentFailure, match=server.url):
                await ask()


async def test_a_configuration_that_is_no_yaml_is_named():
    for text in ("a: [", "- 1", "&a [*a, *a]: 1", "{" * 5_000):
        answers = {"/api/v1/status/config": {"data": {"yaml": text}}}
        async with answering(answers) as server, an_api(server.url) as api:
            with pytest.raises(InstrumentFailure, match="tells a configuration that is no"):
                await PrometheusReader(api).settings()


async def test_a_server_without_flags_still_tells_its_settings():
    answers = {"/api/v1/status/config": {"data": {"yaml": "global: {scrape_interval: 15s}"}}}
    async with answering(answers) as server, an_api(server.url) as api:
        assert await PrometheusReader(api).settings() == {"scrape_interval": "15s", "flags": {}}


async def test_lists_that_go_writes_as_null_are_empty():
    answers = {
        "/api/v1/targets": {"data": {"activeTargets": None}},
        "/api/v1/rules": {"data": {"groups": [{"name": "g", "rules": None}]}},
        "/api/v1/alertmanagers": {"data": {"activeAlertmanagers": None}},
    }
    async with answering(answers) as server, an_api(server.url) as api:
        prometheus = PrometheusReader(api)
        assert (
            await prometheus.targets() == await prometheus.rules() == await prometheus.alertmanagers() == ()
        )


async def test_a_rule_never_evaluated_and_names_that_repeat_keep_their_place():
    rule = {
        "type": "alerting",
        "name": "A",
        "query": "up",
        "lastEvaluation": "0001-01-01T00:00:00Z",
        "health": "unknown",
    }
    groups = [{"name": "g", "file": "f", "interval": 15, "rules": [rule, rule]}]
    async with (
        answering({"/api/v1/rules": {"data": {"groups": groups}}}) as server,
        an_api(server.url) as api,
    ):
        first, second = await PrometheusReader(api).rules()
    assert (first.evaluated_at, first.health, first.position, second.position) == (0, "unknown", 0, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m", 60),
        ("1m0s", 60),
        ("1h30m", 5_400),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("2d", 172_800),
        ("", 0),
        ("soon", 0),
        ("1x", 0),
        ("-1s", 0),
    ],
)
def test_durations_are_read_as_prometheus_writes_them(text, seconds):
    assert seconds_in(text) == seconds


async def test_values_hold_what_json_holds_and_nothing_is_evaluated():
    body = json.dumps(vector({"metric": {"path": "/\x1b[31m${HOME}"}, "value": [1, "1"]}))
    async with answering({"/api/v1/query": body}) as server, an_api(server.url) as api:
        [series] = (await PrometheusReader(api).query("up")).series
    assert series.labels["path"] == "/\x1b[31m${HOME}"
