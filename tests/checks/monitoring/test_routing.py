"""Alertmanager's routes and inhibitions as they are followed here, beside what a real Alertmanager does."""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request

import pytest

from app.instruments.alertmanager import AlertmanagerReader
from checks.contract.instruments.monitoring import AlertmanagerFacts, Inhibition, Routing
from checks.contract.promql import Matcher
from checks.monitoring._routing import inhibitor, matchers_in, matches, muted, routes_of
from tests.instruments.monitoring_servers import an_api
from tests.instruments.prometheus_servers import alertmanager_server, needs_alertmanager

CONFIG = """
route:
  receiver: root
  routes:
    - receiver: watchdog
      matchers: ['alertname="Watchdog"']
    - receiver: page
      matchers: ['severity=~"crit.*|page"', 'team!="b"']
      continue: true
      routes:
        - receiver: night
          matchers: [env = prod]
          continue: true
        - receiver: deep
          matchers: ['env=~"pro.+", severity="page"']
    - receiver: old
      match: {team: b}
      match_re: {severity: "warn.*"}
    - receiver: none
      matchers: ['severity=""']
    - receiver: negative
      matchers: ['severity!~"crit.*"']
    - receiver: quoted
      matchers: ['severity="critical", env="a\\"b"']
receivers:
  - {name: root}
  - {name: watchdog}
  - {name: page}
  - {name: night}
  - {name: deep}
  - {name: old}
  - {name: none}
  - {name: negative}
  - {name: quoted}
"""


@needs_alertmanager
def test_routes_are_taken_as_a_real_alertmanager_takes_them(tmp_path):
    values = {
        "alertname": ("Watchdog", "A"),
        "severity": ("critical", "page", "warning", "critically", ""),
        "team": ("b", "c", ""),
        "env": ("prod", "pro", 'a"b', ""),
    }
    alerts = [
        {name: value for name, value in zip(values, each, strict=True) if value}
        for each in itertools.product(*values.values())
    ]
    with alertmanager_server(tmp_path, CONFIG) as server:
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.url}/api/v2/alerts", body, headers)  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310
        server.until(lambda: len(server.get("/api/v2/alerts")) == len(alerts))

        async def read():
            async with an_api(server.url, name="Alertmanager") as api:
                reader = AlertmanagerReader(api)
                return await reader.facts(), await reader.alerts()

        facts, found = asyncio.run(read())
    assert len(found) == 120
    for alert in found:
        mine = {route.receiver for route in routes_of(alert.labels, facts.routing)}
        assert mine == set(alert.receivers), alert.labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="critical"', [("severity", "=", "critical")]),
        ("severity = critical", [("severity", "=", "critical")]),
        ('a=~"x|y", b!="z"', [("a", "=~", "x|y"), ("b", "!=", "z")]),
        ('{a="x,y",b!~"z"}', [("a", "=", "x,y"), ("b", "!~", "z")]),
        ('"a"="x\\"y"', [("a", "=", 'x"y')]),
        ('a=""', [("a", "=", "")]),
        ("a=", [("a", "=", "")]),
        ("nonsense", []),
        ("", []),
        ("=", []),
    ],
)
def test_matchers_are_read_as_alertmanager_writes_them(text, expected):
    assert matchers_in(text) == tuple(Matcher(*each) for each in expected)


def test_a_pattern_that_could_run_for_ever_elsewhere_is_decided_at_once():
    assert not matches(['a=~"(x+x+)+y"'], {"a": "x" * 40})
    assert matches(['a=~"(x+x+)+y"'], {"a": "x" * 40 + "y"})


def facts(**changes):
    fields = {"version": "", "receivers": (), "routing": Routing("a", (), False), "sent": {}, "failed": {}}
    return AlertmanagerFacts(**fields | changes)


@pytest.mark.parametrize(
    ("muted_in", "active_in", "expected"),
    [
        ((), (), False),
        (("whole",), (), True),
        (("office",), (), False),
        (("office", "whole"), (), True),
        ((), ("past",), True),
        ((), ("past", "office"), False),
        ((), ("unknown",), False),
    ],
)
def test_a_route_that_never_tells_anybody(muted_in, active_in, expected):
    covers = {"whole": "always", "office": "sometimes", "past": "never"}
    route = Routing("a", (), False, muted_in=muted_in, active_in=active_in)
    assert muted(route, facts(time_intervals=covers)) is expected


WATCHDOG = {"alertname": "Watchdog", "severity": "none"}


@pytest.mark.parametrize(
    ("rule", "labels", "expected"),
    [
        (Inhibition(('alertname="Watchdog"',), ('job="chat"',)), {"job": "chat"}, True),
        (Inhibition(('alertname="Watchdog"',), ('job="chat"',)), {"job": "other"}, False),
        (Inhibition(('alertname="Other"',), ('job="chat"',)), {"job": "chat"}, False),
        (Inhibition(('alertname="Watchdog"',), ('job="chat"',), ("severity",)), {"job": "chat"}, False),
        (Inhibition(('alertname="Watchdog"',), ('job="chat"',), ("cluster",)), {"job": "chat"}, True),
        (Inhibition(('severity="none"',), ('severity="none"',)), {"severity": "none"}, False),
        (Inhibition((), ('job="chat"',)), {"job": "chat"}, False),
    ],
)
def test_what_an_alert_that_never_ends_keeps_silent(rule, labels, expected):
    assert (inhibitor(labels, [WATCHDOG], [rule]) is not None) is expected
