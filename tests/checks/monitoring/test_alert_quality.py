"""monitoring.alert_quality against a scripted Prometheus and scripted pages."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from app.instruments.promql import PromqlParser
from checks.contract import Failure, FailureKind, InstrumentFailure, Outcome, Reply
from checks.contract.instruments.monitoring import Alert, Series
from checks.monitoring import alert_quality
from tests.checks.monitoring.test_alert_rules import METRICS, a_prometheus, a_watched_target
from tests.checks.scripted import ScriptedHttp, ScriptedInstruments, a_rule, gather, measure

RUNBOOK = "http://127.0.0.1:1/runbooks/slow"
RATIO = (
    'sum by (job) (rate(http_requests_total{status=~"5.."}[5m]))'
    " / sum by (job) (rate(http_requests_total[5m])) > 0.05"
)
PAGE = Reply(RUNBOOK, 200, body=b"# Slow\n\n1. Look.")


def an_alert(expression: str = RATIO, **changes):
    fields = {
        "for_s": 300.0,
        "labels": {"severity": "critical"},
        "annotations": {"summary": "Much is slow", "runbook_url": RUNBOOK},
    }
    return a_rule("Slow", expression, **fields | changes)


def instruments(*rules, pages=None, http=None, **script) -> ScriptedInstruments:
    http = http or ScriptedHttp({("GET", url): reply for url, reply in (pages or {RUNBOOK: PAGE}).items()})
    return ScriptedInstruments(prometheus=a_prometheus(*rules, **script), promql=PromqlParser(), http=http)


def measured(*rules, **how):
    return measure(alert_quality, a_watched_target(), instruments(*rules, **how))


def with_texts(**annotations):
    return an_alert(annotations={"summary": "x", "runbook_url": RUNBOOK, **annotations})


def test_an_alert_that_says_all_passes():
    finding = measured(an_alert())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (an_alert(labels={}), "Slow has no severity"),
        (an_alert(labels={"severity": ""}), "Slow has no severity"),
        (an_alert(labels={"severity": "critcal"}), "looks like critical misspelt"),
        (an_alert(annotations={"runbook_url": RUNBOOK}), "Slow has no summary"),
        (an_alert(annotations={"summary": "x"}), "Slow has no runbook"),
        (an_alert(annotations={"summary": "x", "runbook_url": "see the wiki"}), "runbook that is no link"),
        (an_alert(for_s=0.0), "fires at the first value over a range of 5 m"),
        (an_alert(for_s=7_200.0), "wakes somebody only after 2 h 0 m, limit 1 h 0 m"),
        (with_texts(summary="{{ $labels.instance }} fails"), "names `$labels.instance` in its summary"),
        (with_texts(description="{{ $labels.severity }}"), "names `$labels.severity` in its description"),
        (
            an_alert(labels={"severity": "page", "team": "{{ $labels.team }}"}),
            "names `$labels.team` in its team",
        ),
    ],
)  # fmt: skip
def test_what_an_alert_lacks_is_named(alert, words):
    finding = measured(alert)
    assert finding.outcome is Outcome.WARN
    assert finding.value == 0.8
    assert words in finding.reason.replace("\u00a0", " ")
    assert finding.fix


@pytest.mark.parametrize(
    "alert",
    [
        an_alert(for_s=3_600.0),
        an_alert(for_s=7_200.0, labels={"severity": "warning"}),
        an_alert(labels={"severity": "ticket"}),
        an_alert(labels={"priority": "P1"}),
        an_alert(labels={"severity": "sev2"}),
        an_alert('up{job="chat"} == 0', for_s=0.0),
        an_alert(RATIO.replace("5m", "1h"), for_s=0.0),
        an_alert(f"{RATIO} and {RATIO.replace('5m', '1h')}", for_s=0.0),
        an_alert('increase(http_requests_total{status="500"}[5m]) > 0', for_s=0.0),
        with_texts(summary="{{ $labels.job }} fails: {{ $value | humanizePercentage }}"),
        with_texts(summary="{{ with $labels.instance }}{{ . }}{{ end }}"),
        an_alert(annotations={"description": "x", "runbook": f"Read {RUNBOOK}."[:-1]}),
        an_alert(annotations={"summary": "x", "runbook_url": f"{RUNBOOK}#first-steps"}),
    ],
)
def test_what_is_well_passes(alert):
    finding = measured(alert)
    assert finding.outcome is Outcome.PASS, finding.reason


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(RUNBOOK, 404), "a runbook that answers 404"),
        (Reply(RUNBOOK, 500, body=b"x"), "a runbook that answers 500"),
        (Reply(RUNBOOK, 200, body=b" \n"), "a runbook that is an empty page"),
        (Reply(RUNBOOK, 200, body=b"<html><title>Page not found - Wiki</title>"), "says that there is none"),
        (Reply(RUNBOOK, failure=Failure(FailureKind.REFUSED, "refused\x1b[2J")), "gives no reply (refused "),
        (Reply(RUNBOOK, 429), "was not verified (its host limits"),
    ],
)
def test_a_runbook_that_does_not_open_is_told(reply, words):
    finding = measured(an_alert(), pages={RUNBOOK: reply})
    assert finding.outcome is Outcome.WARN
    assert words in finding.reason
    assert "\x1b" not in finding.reason


@pytest.mark.parametrize(
    "reply",
    [
        Reply(RUNBOOK, 401),
        Reply(RUNBOOK, 403),
        Reply(RUNBOOK, 302, failure=Failure(FailureKind.REDIRECT, "leads to the login")),
    ],
)
def test_a_runbook_behind_a_login_is_there(reply):
    finding = measured(an_alert(), pages={RUNBOOK: reply})
    assert finding.outcome is Outcome.PASS
    assert "could not be read behind a login" in finding.reason


class Closed(ScriptedHttp):
    async def send(self, request, **options):
        raise InstrumentFailure(
            f"{request.url} is not declared in the target file, so nothing is sent there."
        )


def test_a_runbook_elsewhere_is_not_verified_and_the_key_is_named():
    finding = measured(an_alert(), http=Closed({}))
    assert finding.outcome is Outcome.WARN
    assert "was not verified (its host is not declared)" in finding.reason
    assert "[prometheus] runbooks" in finding.fix


def test_a_template_in_a_link_is_filled_in_with_the_services_labels():
    url = "http://127.0.0.1:1/runbooks/{{ $labels.job }}"
    finding = measured(with_texts(runbook_url=url), pages={"http://127.0.0.1:1/runbooks/chat": PAGE})
    assert finding.outcome is Outcome.PASS
    finding = measured(with_texts(runbook_url="http://127.0.0.1:1/{{ $value }}"))
    assert "was not verified (it holds a template)" in finding.reason


def test_an_active_alert_tells_its_link_filled_in():
    active = Alert("Slow", "firing", {}, {"runbook_url": RUNBOOK}, 1.0)
    alert = an_alert(annotations={"summary": "x", "runbook_url": "{{ $value }}"}, alerts=(active,))
    assert measured(alert).outcome is Outcome.PASS


def test_a_label_that_no_series_has_is_a_mistake():
    alert = an_alert(
        'http_requests_total{status="500"} > 5',
        annotations={"summary": "{{ $labels.instance }} {{ $labels.rout }}", "runbook_url": RUNBOOK},
    )

    def answers(expression):
        by_route = expression == 'count by (route) (http_requests_total{job="chat"})'
        return [Series({"route": "/ask"}, 1.0, 1.0)] if by_route else None

    finding = measured(alert, answers=answers)
    assert "names `$labels.rout` in its summary" in finding.reason
    alert = an_alert(alert.expression, annotations={"summary": "{{ $labels.route }}", "runbook_url": RUNBOOK})
    assert measured(alert, answers=answers).outcome is Outcome.PASS


def test_a_metric_without_series_may_have_any_label():
    metrics = tuple(name for name in METRICS if name != "http_requests_total")
    alert = an_alert(
        'http_requests_total{status="500"} > 5',
        annotations={"summary": "{{ $labels.route }}", "runbook_url": RUNBOOK},
    )
    assert measured(alert, metrics=metrics).outcome is Outcome.PASS


def test_half_of_it_still_warns_and_less_fails():
    bare = an_alert(annotations={"summary": "{{ $labels.pod }}"})
    assert measured(bare).value == 0.6
    assert measured(bare).outcome is Outcome.WARN
    finding = measured(an_alert(annotations={"summary": "{{ $labels.pod }}"}, labels={}, for_s=0.0))
    assert finding.value == 0.2
    assert finding.outcome is Outcome.FAIL


def test_alerts_of_other_services_and_the_watchdog_are_not_looked_at():
    others = [
        a_rule("Watchdog", "vector(1)"),
        a_rule("Orders", 'up{job="orders"} == 0'),
        a_rule("Disk", "node_filesystem_avail_bytes < 1e9"),
    ]
    assert measured(an_alert(), *others).outcome is Outcome.PASS
    finding = measured(*others)
    assert finding.outcome is Outcome.FAIL
    assert finding.follows_from == "monitoring.alert_rules"


def test_an_alert_on_any_series_of_the_service_is_looked_at():
    finding = measured(a_rule("Stuck", "chat_pending > 3"), metrics=(*METRICS, "chat_pending"))
    assert "Stuck has no severity" in finding.reason


def test_only_some_are_named_and_evidence_is_bounded():
    rules = [an_alert(labels={}, position=number) for number in range(500)]
    finding = measured(*rules)
    assert "(and 97 more)" in finding.reason
    found = gather(alert_quality, a_watched_target(), instruments(*rules))
    assert len(json.dumps(asdict(found))) < 200_000


def test_links_are_opened_once_each_and_not_more_than_thirty():
    rules = [
        an_alert(annotations={"summary": "x", "runbook_url": f"{RUNBOOK}-{number // 2}"}, position=number)
        for number in range(90)
    ]
    http = ScriptedHttp({})
    measured(*rules, http=http)
    assert len(http.sent) == 30


QUIET = ("up", "scrape_duration_seconds")


def test_without_series_alerts_that_name_the_service_are_looked_at():
    named = an_alert(RATIO.replace("{status", '{job="chat", status'))
    assert measured(named, metrics=QUIET, metadata={}).outcome is Outcome.PASS


def test_without_series_and_alerts_that_name_it_nothing_is_said():
    finding = measured(an_alert(), metrics=QUIET, metadata={})
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "monitoring.targets_up"
