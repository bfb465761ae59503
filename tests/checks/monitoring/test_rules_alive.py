"""rules_alive against a scripted Prometheus: verdicts, outcomes, and what cannot be measured.

The truth about several hundred rules in a real Prometheus stands in tests/rules.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.instruments.promql import PromqlParser
from checks.contract import Finding, InstrumentFailure, Outcome
from checks.contract.instruments.monitoring import MetricInfo, Rule, ScrapeTarget, Series
from checks.contract.wording import NBSP
from checks.monitoring import rules_alive
from checks.monitoring._rules.vectors import Verdict
from checks.monitoring._rules.verdicts import Judged, verdicts
from tests.checks import scripted
from tests.checks.scripted import ScriptedInstruments, ScriptedPrometheus, a_rule, a_target, gather, judge

JOB = {"job": "chat", "instance": "chat:8003"}
TARGET = a_target(prometheus={"url": "http://127.0.0.1:9090", "labels": {"job": "chat"}})


def of_chat(*sets: Mapping[str, str]) -> list[dict[str, str]]:
    return [{**JOB, **each} for each in sets or ({},)]


SERIES: dict[str, list[dict[str, str]]] = {
    "up": of_chat(),
    "http_requests_total": of_chat({"path": "/api/chat", "status": "200"}),
    "http_request_duration_seconds_bucket": of_chat(*({"le": le} for le in ("0.1", "1.0", "2.5", "+Inf"))),
    "http_request_duration_seconds_count": of_chat(),
    "cache_hits_total": of_chat(),
    "cache_misses_total": of_chat(),
    "queue_length": of_chat({"queue": "mail"}),
    "chat_build_info": of_chat({"version": "1.4.0"}),
    "max_connections": of_chat(),
    "node_load1": [{"job": "node", "instance": "host:9100"}],
}
KINDS = {
    "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram",
    "cache_hits_total": "counter",
    "cache_misses_total": "counter",
    "upstream_errors_total": "counter",  # described, and no series yet
    "queue_length": "gauge",
    "chat_build_info": "gauge",
    "max_connections": "gauge",
    "node_load1": "gauge",
}


class Asked(ScriptedPrometheus):
    """A Prometheus that has these series, and ``past`` ones; values are 1 where nothing else is said."""

    def __init__(
        self,
        rules: Sequence[Rule] | InstrumentFailure,
        *,
        series: Mapping[str, Sequence[Mapping[str, str]]] = SERIES,
        past: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
        kinds: Mapping[str, str] = KINDS,
        values: Mapping[str, float] | None = None,
        reaches: Sequence[float] = (),
        **given: Any,
    ) -> None:
        self.now, self.before = series, past or {}
        self.valued, self.reached = values or {}, reaches
        targets = [
            ScrapeTarget(f"http://{one['instance']}/metrics", one, "up", "", 1_700_000_000, 15)
            for one in (JOB, {"job": "node", "instance": "host:9100"})
        ]
        given = {"targets": targets, "settings": {"rule_files": ["/etc/prometheus/chat.yml"]}} | given
        super().__init__(
            rules=rules,
            metadata={name: MetricInfo(kind, "") for name, kind in kinds.items()},
            answers=self.answered,
            label_values=lambda label, selectors: sorted({*series, *self.before}),
            **given,
        )

    def answered(self, expression: str) -> list[Series]:
        found = re.search(r'__name__=~"([^"]*)"', expression)
        names = found[1].split("|") if found else []
        if expression.startswith("count by (__name__)"):
            sizes = {name: len(self.now[name]) for name in names if name in self.now}
            return [Series({"__name__": name}, size, 0) for name, size in sizes.items()]
        if expression.startswith("label_replace(count(up offset"):
            return [Series({"offset": f"{each:g}"}, 1, 0) for each in self.reached]
        if expression.startswith("prometheus_config"):
            return [Series({}, 0, 0)] if self.valued.get(expression.split(maxsplit=1)[0]) == 0 else []
        has = self.before if "last_over_time" in expression else self.now
        return [
            Series({"__name__": name, **labels}, self.valued.get(name, 1.0), 0)
            for name in names
            for labels in has.get(name, ())
        ]


def asked(*expressions: str | Rule, **given: Any) -> ScriptedInstruments:
    rules = [
        each if isinstance(each, Rule) else a_rule(f"Alert{number}", each, position=number)
        for number, each in enumerate(expressions)
    ]
    return ScriptedInstruments(prometheus=Asked(rules, **given), promql=PromqlParser())


def judged(*expressions: str | Rule, **given: Any) -> list[Judged]:
    return verdicts(gather(rules_alive, TARGET, asked(*expressions, **given)).facts)


def verdict(expression: str | Rule, **given: Any) -> Judged:
    return judged(expression, **given)[0]


def measured(*expressions: str | Rule, **given: Any) -> Finding:
    return judge(rules_alive, gather(rules_alive, TARGET, asked(*expressions, **given)), TARGET)


def a_recording(name: str, expression: str, **changes: Any) -> Rule:
    return a_rule(name, expression, kind="record", **changes)


ERRORS = 'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05'
LATENCY = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m]))) > 1"
HITS, MISSES = (f"sum(rate(cache_{what}_total[5m]))" for what in ("hits", "misses"))
CACHE = f"{HITS} / ({HITS} + {MISSES}) < 0.5"
DOWN = 'up{job="chat"} == 0'
BY_ITSELF = 'rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m]) > 0.05'
ALL_FOUR = (ERRORS, LATENCY, CACHE, DOWN)


# What is said of a run.


def test_rules_that_all_live_pass() -> None:
    finding = measured(*ALL_FOUR)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert finding.reason == f"All 4{NBSP}loaded rules can do what they are there for."


def test_one_dead_rule_warns_where_others_tell_of_the_same() -> None:
    finding = measured(*ALL_FOUR, BY_ITSELF)
    assert finding.outcome is Outcome.WARN
    assert 0 < finding.share < 0.5
    assert "Alert4 (chat.yml, chat, rule 5) is constant" in finding.reason
    assert "each series is divided by itself" in finding.reason
    assert "sum(rate(http_requests_total" in finding.fix


@pytest.mark.parametrize(
    ("dead", "signal"),
    [
        ((BY_ITSELF, LATENCY, CACHE, DOWN), "error rate"),
        ((ERRORS, LATENCY.replace("> 1", "> 100"), CACHE, DOWN), "latency"),
        (
            (
                ERRORS,
                LATENCY,
                f"{HITS} / {HITS} < 0.5",
                DOWN,
            ),
            "cache",
        ),
        ((ERRORS, LATENCY, CACHE, 'up{job="chat"} < 0'), "instance down"),
    ],
)
def test_a_dead_rule_behind_a_signal_that_nothing_else_tells_of_fails(
    dead: tuple[str, ...], signal: str
) -> None:
    finding = measured(*dead)
    assert finding.outcome is Outcome.FAIL
    assert f"Nothing else tells of {signal}" in finding.reason


def test_a_quarter_of_dead_rules_still_warns_and_more_fails() -> None:
    dead = "nobody_has_this > 1"
    assert measured(*ALL_FOUR[:3], dead).outcome is Outcome.WARN
    assert measured(*ALL_FOUR[:3], dead, dead).outcome is Outcome.FAIL


def test_the_part_at_fault_can_be_asked_of_prometheus() -> None:
    finding = measured(*ALL_FOUR, 'http_requests_total{status="5xx"} > 1')
    assert finding.reproduce.startswith("curl")
    assert "query?query=http_requests_total%7Bstatus%3D%225xx%22%7D" in finding.reproduce


def test_no_rules_are_nothing_to_judge() -> None:
    finding = measured()
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "monitoring.alert_rules"


def test_a_prometheus_that_cannot_be_asked_is_not_assessed() -> None:
    refusal = InstrumentFailure("Prometheus http://127.0.0.1:9090 cannot be read: refused.")
    instruments = ScriptedInstruments(prometheus=Asked(refusal), promql=PromqlParser())
    with pytest.raises(InstrumentFailure, match="refused"):
        gather(rules_alive, TARGET, instruments)


def test_a_prometheus_that_keeps_its_settings_to_itself_is_judged_all_the_same() -> None:
    assert measured(*ALL_FOUR, settings=InstrumentFailure("404")).outcome is Outcome.PASS


def test_a_service_whose_series_cannot_be_told_is_judged_without_signals() -> None:
    target = a_target(prometheus={"url": "http://127.0.0.1:9090"})
    evidence = gather(rules_alive, target, asked(*ALL_FOUR, BY_ITSELF))
    assert evidence.unknown
    assert judge(rules_alive, evidence, target).outcome is Outcome.WARN


def test_a_configuration_that_could_not_be_loaded_again_warns() -> None:
    names = {**SERIES, "prometheus_config_last_reload_successful": [{"job": "prometheus"}]}
    finding = measured(*ALL_FOUR, series=names, values={"prometheus_config_last_reload_successful": 0})
    assert finding.outcome is Outcome.WARN
    assert "could not load its configuration" in finding.reason
    assert "promtool check rules" in finding.fix


def test_a_declared_file_of_which_no_rule_is_loaded_is_named() -> None:
    finding = measured(*ALL_FOUR, settings={"rule_files": ["/etc/prometheus/*.yml", "/etc/more/orders.yml"]})
    assert finding.outcome is Outcome.PASS
    assert "No rule is loaded of /etc/more/orders.yml" in finding.reason


def test_what_a_server_says_cannot_leave_its_place() -> None:
    hostile = a_rule("A\x1b[2J\nB", "nobody > 1", file="/x/\x1b]0;y\x07.yml", group="g\r\n")
    reason = measured(*ALL_FOUR, hostile).reason
    assert reason.replace(NBSP, " ").isprintable()


# What is said of a rule.


@pytest.mark.parametrize(
    "expression", [*ALL_FOUR, "rate(upstream_errors_total[5m]) > 1", "queue_length > 100"]
)
def test_what_can_fire_lives(expression: str) -> None:
    assert verdict(expression).verdict is Verdict.ALIVE


@pytest.mark.parametrize(
    ("expression", "part", "near"),
    [
        ("rate(http_request_total[5m]) > 1", "http_request_total", "http_requests_total"),
        ('rate(http_requests_total{status="5xx"}[5m]) > 1', 'http_requests_total{status="5xx"}', "5.."),
        ('rate(http_requests_total{code=~"5.."}[5m]) > 1', 'http_requests_total{code=~"5.."}', "status"),
        ('up{job="chatt"} == 0', 'up{job="chatt"}', "chat"),
        ("cache_hits > 1", "cache_hits", "cache_hits_total"),
        (
            'http_request_duration_seconds_bucket{le="1"} > 1',
            'http_request_duration_seconds_bucket{le="1"}',
            "1.0",
        ),
        ("http_request_duration_seconds > 1", "http_request_duration_seconds", ""),
        ('absent(up{job="chatt"})', 'up{job="chatt"}', "chat"),
        ('http_requests_total{status!~".*"} > 1', 'http_requests_total{status!~".*"}', ""),
    ],
)
def test_a_selector_of_nothing_is_dead_and_says_what_is_near(expression: str, part: str, near: str) -> None:
    found = verdict(expression)
    assert (found.verdict, found.part) == (Verdict.DEAD, part)
    assert near in found.near


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        (BY_ITSELF, BY_ITSELF.removesuffix(" > 0.05")),
        ("up > 1", "up > 1"),
        ("count(up == 1) == 0", "count(up == 1) == 0"),
        ("rate(cache_hits_total[5m]) < 0", "rate(cache_hits_total[5m]) < 0"),
        (LATENCY.replace("> 1", "> 2.5"), LATENCY.replace("> 1", "> 2.5")),
        ("up == bool 0", "up == bool 0"),
        ("queue_length", "queue_length"),
        ("changes(chat_build_info[1h]) > 0", "changes(chat_build_info[1h])"),
        ("time() - timestamp(sum(up)) > 60", "timestamp(sum(up))"),
        ("queue_length / node_load1 > 1", "queue_length / node_load1"),
        ("queue_length > 5 and queue_length < 2", "queue_length > 5 and queue_length < 2"),
        ("up or vector(0) > 1", "up or vector(0) > 1"),
    ],
)
def test_what_says_the_same_whatever_happens_is_constant(expression: str, part: str) -> None:
    found = verdict(expression)
    assert (found.verdict, found.part) == (Verdict.CONSTANT, part)


def test_at_the_last_bucket_a_quantile_may_be_but_not_above() -> None:
    assert verdict(LATENCY.replace("> 1", ">= 2.5")).verdict is Verdict.ALIVE
    assert verdict(LATENCY.replace("> 1", "> 2.5")).verdict is Verdict.CONSTANT


def test_several_on_the_one_side_are_an_error_and_will_be_one() -> None:
    ratio = "http_requests_total / on (path) max by (path) (http_requests_total) > 1"
    assert verdict(ratio).verdict is Verdict.LATENT
    two = of_chat({"path": "/api/chat", "status": "200"}, {"path": "/api/chat", "status": "500"})
    seen = {**SERIES, "http_requests_total": two}
    failed = replace(a_rule("Ratio", ratio), health="err", last_error="found duplicate series")
    found = verdict(failed, series=seen)
    assert (found.verdict, found.near) == (Verdict.ERROR, "status")
    assert verdict(ratio, series=seen).verdict is Verdict.LATENT  # Prometheus could still evaluate it


def test_what_prometheus_could_not_evaluate_is_an_error_in_its_own_words() -> None:
    rule = replace(a_rule("Odd", "queue_length > 1"), health="err", last_error="query timed out")
    found = verdict(rule)
    assert (found.verdict, found.why) == (Verdict.ERROR, "query timed out")


def test_a_rule_that_was_not_evaluated_is_not_judged_yet_unless_it_is_dead_anyway() -> None:
    assert verdict(replace(a_rule("New", DOWN), health="unknown")).verdict is Verdict.NOT_YET
    assert verdict(replace(a_rule("New", "up > 1"), health="unknown")).verdict is Verdict.CONSTANT


def test_a_history_that_is_too_short_is_its_own_word() -> None:
    week = "queue_length > 2 * queue_length offset 1w"
    assert verdict(week).verdict is Verdict.NOT_YET
    assert verdict(week, reaches=[604_800]).verdict is Verdict.ALIVE


@pytest.mark.parametrize("expression", ["vector(1)", "absent(up)", "absent(sum(rate(cache_hits_total[5m])))"])
def test_what_never_changes_may_be_meant_so(expression: str) -> None:
    assert verdict(expression).verdict is Verdict.MEANT_SO


def test_an_alert_lives_and_dies_with_its_recording() -> None:
    dead = a_recording("chat:p95", LATENCY.removesuffix(" > 1").replace("http_request_", "http_requests_"))
    by_itself = a_recording("chat:errors:ratio", BY_ITSELF.removesuffix(" > 0.05"))
    empty = a_recording("chat:5xx:rate", 'sum(rate(http_requests_total{status=~"5.."}[5m]))')
    found = judged(dead, "chat:p95 > 1", by_itself, "chat:errors:ratio > 0.1", empty, "chat:5xx:rate > 1")
    assert [each.verdict for each in found] == [
        Verdict.DEAD,
        Verdict.DEAD,
        Verdict.CONSTANT,
        Verdict.CONSTANT,
        Verdict.ALIVE,
        Verdict.ALIVE,
    ]
    assert found[1].part == "chat:p95"
    assert "http_requests_duration_seconds_bucket" in found[1].why


def test_recordings_of_each_other_never_begin() -> None:
    one, two = a_recording("a:sum", "b:sum + 1"), a_recording("b:sum", "a:sum + 1")
    with_start = a_recording("c:sum", "c:sum offset 1m or queue_length")
    assert [each.verdict for each in judged(one, two, with_start, reaches=[60])] == [
        Verdict.DEAD,
        Verdict.DEAD,
        Verdict.ALIVE,
    ]


def test_rules_of_one_name_are_told_apart_by_where_they_stand() -> None:
    rules = [replace(a_rule("Same", each), position=number) for number, each in enumerate([DOWN, "up > 1"])]
    assert [(each.position, each.verdict) for each in judged(*rules)] == [
        (0, Verdict.ALIVE),
        (1, Verdict.CONSTANT),
    ]


def test_an_expression_that_is_not_understood_is_not_judged() -> None:
    found = verdict("newest_function(up)")
    assert found.verdict is Verdict.NOT_YET
    assert "not understood" in found.why


def test_verdicts_do_not_depend_on_values() -> None:
    names = (*ALL_FOUR, BY_ITSELF, "queue_length > 100", "up > 1", "changes(chat_build_info[1h]) > 0")
    quiet = [
        each.verdict for each in judged(*names, values=dict.fromkeys(SERIES, 0.0) | {"chat_build_info": 1})
    ]
    failing = [
        each.verdict for each in judged(*names, values=dict.fromkeys(SERIES, 9e9) | {"chat_build_info": 1})
    ]
    assert quiet == failing


def test_series_of_the_past_are_not_there_if_their_target_is() -> None:
    past = {"old_name": of_chat()}
    assert verdict("old_name > 1", past=past).verdict is Verdict.DEAD
    assert verdict("old_name > 1", past=past, kinds={**KINDS, "old_name": "gauge"}).verdict is Verdict.ALIVE


# How it is asked.


def test_five_hundred_rules_are_asked_for_in_few_requests() -> None:
    rules = [f"sum(rate(http_requests_total[{minutes}m])) > {minutes}" for minutes in range(1, 501)]
    instruments = asked(*rules)
    evidence = gather(rules_alive, TARGET, instruments)
    assert len(instruments.prometheus.asked) <= 6
    assert judge(rules_alive, evidence, TARGET).outcome is Outcome.PASS


def test_evidence_stays_small_whatever_is_there() -> None:
    many = {
        f"metric_{number}": [
            {**JOB, "path": f"/{number}/{each}/{'x' * 150}", "instance": f"i{each}"} for each in range(400)
        ]
        for number in range(40)
    }
    rules = [f"metric_{number} > 1" for number in range(40)]
    evidence = gather(rules_alive, TARGET, asked(*rules, series={**SERIES, **many}))
    found = scripted.judge(rules_alive, evidence, TARGET)
    assert found.outcome is Outcome.PASS
    assert len(str(evidence)) < 1_500_000


def test_rules_that_are_too_many_are_counted() -> None:
    rules = [f"sum(rate(http_requests_total[{minutes}m])) > {minutes}" for minutes in range(1, 1_201)]
    finding = measured(*rules)
    assert "more rules are too many to be read here" in finding.reason


def test_recordings_that_all_read_each_other_are_followed_for_a_while_only() -> None:
    names = [f"r{number}:sum" for number in range(30)]
    rules = [a_recording(name, " + ".join(each for each in names if each != name)) for name in names]
    started = time.process_time()
    found = judged(*rules)
    assert time.process_time() - started < 5
    assert not any(each.verdict is Verdict.ALIVE for each in found)


def test_a_very_deep_expression_is_not_judged_and_spoils_nothing() -> None:
    deep = "up" + " - up" * 250
    finding = measured(*ALL_FOUR, deep)
    assert finding.outcome is Outcome.PASS
    assert "nested too deeply" in finding.reason


def test_a_signal_whose_rules_cannot_be_judged_yet_is_not_passed() -> None:
    later = "queue_length offset 1w"
    finding = measured(ERRORS, f"{LATENCY} and on () {later}", CACHE, DOWN)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "latency" in finding.reason


def test_buckets_that_a_relabelling_drops_are_missed() -> None:
    without = {name: each for name, each in SERIES.items() if not name.endswith("_bucket")}
    found = verdict(LATENCY, series=without)
    assert found.verdict is Verdict.DEAD
    assert "relabelling" in found.why
