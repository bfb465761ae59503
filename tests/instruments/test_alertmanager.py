"""What is read of a real Alertmanager, and what is said of servers that are none or lie."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from app.instruments.alertmanager import AlertmanagerReader
from app.instruments.time_intervals import cover_of
from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import Inhibition, Receiver
from tests.instruments.monitoring_servers import an_api, answering
from tests.instruments.prometheus_servers import alertmanager_server, needs_alertmanager

CONFIG = """
global:
  slack_api_url: https://hooks.slack.example/T000
route:
  receiver: team
  group_wait: 1s
  group_by: [alertname]
  routes:
    - receiver: pager
      matchers: ['severity="critical"', 'team=~"a|b"']
      continue: true
      active_time_intervals: [office]
      repeat_interval: 1h30m
    - receiver: "null"
      match: {old: "yes"}
      match_re: {name: "a.*"}
      mute_time_intervals: [whole]
      routes:
        - matchers: ['deep="1"']
time_intervals:
  - name: office
    time_intervals:
      - weekdays: ['monday:friday']
        times: [{start_time: '09:00', end_time: '17:00'}]
  - name: whole
    time_intervals:
      - weekdays: ['sunday:saturday']
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_match: {severity: warning}
    equal: [job]
receivers:
  - name: team
    webhook_configs:
      - url: http://user:hunter2@127.0.0.1:1/
    email_configs:
      - {to: a@shop.example, from: b@shop.example, smarthost: 'localhost:25'}
  - name: pager
    slack_configs:
      - channel: '#on-call'
  - name: "null"
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with alertmanager_server(tmp_path_factory.mktemp("alertmanager"), CONFIG, prefix="/alerts") as server:
        alert = {"labels": {"alertname": "A", "team": "a"}, "annotations": {"summary": "x"}}
        post(server, "alerts", [alert])
        server.until(lambda: 'requests_failed_total{integration="webhook"} 2' in metrics(server))
        until = {"startsAt": stamp(-60), "endsAt": stamp(3_600)}
        matcher = {"name": "team", "value": "b", "isRegex": False, "isEqual": False}
        post(server, "silences", {**until, "matchers": [matcher], "createdBy": "Ada", "comment": "x"})
        server.until(lambda: "suppressed" in str(server.get("/api/v2/alerts")))
        yield server


def post(server, what, document):
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v2/{what}", body, headers)  # noqa: S310
    urllib.request.urlopen(request).close()  # noqa: S310


def metrics(server):
    return urllib.request.urlopen(f"{server.url}/metrics").read().decode()  # noqa: S310


def stamp(from_now_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + from_now_s))


@needs_alertmanager
async def test_everything_is_read_of_a_real_alertmanager_behind_a_path(running):
    async with an_api(running.url, name="Alertmanager") as api:
        facts = await AlertmanagerReader(api).facts()

    assert facts.version
    assert facts.loaded is True
    assert facts.started_at == pytest.approx(time.time(), abs=120)
    assert facts.receivers == (
        Receiver("team", ("email", "webhook")),
        Receiver("pager", ("slack",)),
        Receiver("null", ()),
    )
    root = facts.routing
    assert (root.receiver, root.matchers, root.group_wait_s, root.repeat_interval_s) == (
        "team",
        (),
        1,
        14_400,
    )
    pager, null = root.routes
    assert (pager.receiver, pager.goes_on, pager.active_in) == ("pager", True, ("office",))
    assert pager.matchers == ('severity="critical"', 'team=~"a|b"')
    assert (pager.group_wait_s, pager.repeat_interval_s) == (1, 5_400)
    assert (null.receiver, null.matchers) == ("null", ('old="yes"', 'name=~"a.*"'))
    assert null.muted_in == ("whole",)
    assert null.routes[0].receiver == "null"  # inherited
    assert facts.time_intervals == {"office": "sometimes", "whole": "always"}
    assert facts.inhibitions == (Inhibition(('severity="critical"',), ('severity="warning"',), ("job",)),)
    [silence] = facts.silences
    assert silence.matchers == ('team!="b"',)
    assert silence.created_by == "Ada"
    assert silence.ends_at == pytest.approx(time.time() + 3_600, abs=60)
    assert facts.sent["webhook"] >= 1
    assert facts.failed_tries["webhook"] >= 2
    assert facts.tries["webhook"] >= facts.failed_tries["webhook"]
    assert facts.failed["webhook"] == facts.failed["slack"] == 0  # it has not given up yet
    assert "hunter2" not in repr(facts)


@needs_alertmanager
async def test_an_alert_tells_who_receives_it_and_that_it_is_silenced(running):
    async with an_api(running.url, name="Alertmanager") as api:
        [alert] = await AlertmanagerReader(api).alerts()
    assert alert.labels == {"alertname": "A", "team": "a"}
    assert (alert.state, alert.receivers) == ("suppressed", ("team",))
    assert alert.annotations == {"summary": "x"}
    assert alert.updated_at == pytest.approx(time.time(), abs=60)


def status(config, **answers):
    page = "# TYPE up gauge\nup 1\n"
    return {
        "/api/v2/status": {"config": {"original": config}, "versionInfo": {"version": "9"}},
        "/api/v2/silences": [],
        "/metrics": page,
    } | answers


async def facts_of(answers):
    async with answering(answers) as server, an_api(server.url, name="Alertmanager") as api:
        return await AlertmanagerReader(api).facts()


async def test_counters_that_are_kept_from_us_are_unknown_and_no_failure():
    for page in ((403, "no"), (404, "no"), (200, "<html>")):
        facts = await facts_of(status("route: {receiver: a}", **{"/metrics": page}))
        assert (facts.sent, facts.failed, facts.loaded) == ({}, {}, True)


async def test_a_failed_reload_is_told():
    page = "# TYPE alertmanager_config_last_reload_successful gauge\n"
    page += "alertmanager_config_last_reload_successful 0\n"
    assert (await facts_of(status("route: {receiver: a}", **{"/metrics": page}))).loaded is False


@pytest.mark.parametrize(
    "config",
    ["", "- a", "route: 7", "route: [", "{" * 5_000, "route: &a {receiver: b, routes: [*a]}", "a: 1"],
)
async def test_a_configuration_that_is_none_is_named(config):
    with pytest.raises(InstrumentFailure, match="tells .*Is alertmanager.url that of") as raised:
        await facts_of(status(config))
    assert raised.value.missing == "alertmanager.url"


async def test_routes_without_end_are_not_followed():
    deep = "{receiver: a, routes: [" * 45 + "]}" * 45
    with pytest.raises(InstrumentFailure, match="nested too deep"):
        await facts_of(status(f"route: {deep}"))
    wide = "x: &x [{},{},{},{},{},{},{},{},{},{}]\ny: &y [" + ",".join(["{routes: *x}"] * 10) + "]\n"
    wide += "z: &z [" + ",".join(["{routes: *y}"] * 10) + "]\nroute: {receiver: a, routes: ["
    wide += ",".join(["{routes: *z}"] * 10) + "]}"
    with pytest.raises(InstrumentFailure, match="more than 5,000 routes"):
        await facts_of(status(wide))


@pytest.mark.parametrize(
    "odd",
    [
        "route: {receiver: 7, matchers: 7, continue: maybe, group_wait: soon, routes: {a: 1}}",
        "{route: {receiver: a}, receivers: [1, {name: [1]}, {name: b, webhook_configs: []}]}",
        "{route: {receiver: a}, inhibit_rules: [{source_match: [1]}, {equal: 7}], time_intervals: [{}]}",
    ],
)
async def test_wrong_types_within_a_configuration_do_not_break_reading(odd):
    facts = await facts_of(status(odd))
    assert all(not receiver.kinds for receiver in facts.receivers)


@pytest.mark.parametrize(
    "body", ["", "null", "{", '{"a": 1}', '[{"labels": 7}]', "[1]", "<html>login</html>"]
)
async def test_replies_that_are_not_its_api_are_failures(body):
    answers = dict.fromkeys(["/api/v2/alerts", "/api/v2/status"], body)
    async with answering(answers) as server, an_api(server.url, name="Alertmanager") as api:
        with pytest.raises(InstrumentFailure, match=server.url):
            await AlertmanagerReader(api).alerts()
        with pytest.raises(InstrumentFailure, match=server.url):
            await AlertmanagerReader(api).facts()


NOON_2026 = 1_780_000_000


@pytest.mark.parametrize(
    ("specs", "cover"),
    [
        ([{}], "always"),
        ([], "never"),
        ([{"weekdays": ["monday:friday"]}], "sometimes"),
        ([{"weekdays": ["monday:saturday", "sunday"]}], "always"),
        ([{"weekdays": ["monday:friday"]}, {}], "always"),
        ([{"times": [{"start_time": "00:00", "end_time": "24:00"}]}], "always"),
        ([{"times": [{"start_time": "00:00", "end_time": "23:59"}]}], "sometimes"),
        ([{"months": ["january:june", "7:12"]}], "always"),
        ([{"months": ["may"]}], "sometimes"),
        ([{"days_of_month": ["1:31"]}], "always"),
        ([{"days_of_month": ["1:-1"]}], "always"),
        ([{"days_of_month": ["-3:-1"]}], "sometimes"),
        ([{"years": ["2019:2020"]}], "never"),
        ([{"years": ["2019:2020"]}, {"weekdays": ["monday"]}], "sometimes"),
        ([{"years": ["2020:2099"]}], "sometimes"),
        ([{"weekdays": 7, "times": "x", "years": [None]}], "sometimes"),
    ],
)
def test_whether_an_interval_covers_all_times(specs, cover):
    assert cover_of(specs, NOON_2026) == cover
