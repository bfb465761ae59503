"""monitoring.alert_rules against a scripted Prometheus."""

from __future__ import annotations

import pytest

from app.instruments.promql import PromqlParser
from checks.contract import InstrumentFailure, Outcome
from checks.contract.instruments.monitoring import Answered, MetricInfo, ScrapeTarget, Series
from checks.monitoring import alert_rules
from tests.checks.scripted import ScriptedInstruments, ScriptedPrometheus, a_rule, a_target, gather, measure

METRICS = (
    "up",
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "http_request_duration_seconds_count",
    "chat_cache_hits_total",
    "chat_cache_misses_total",
)
LATENCY = a_rule(
    "Slow", "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m]))) > 1"
)
ERRORS = a_rule(
    "Errors",
    'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05',
    position=1,
)
CACHE = a_rule(
    "Cold",
    "sum(rate(chat_cache_hits_total[5m]))"
    " / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m]))) < 0.5",
    position=2,
)
DOWN = a_rule("Down", 'up{job="chat"} == 0', position=3)
ALL = (LATENCY, ERRORS, CACHE, DOWN)


def scraped(job="chat", address="127.0.0.1:1", **labels) -> ScrapeTarget:
    labels = {"job": job, "instance": address, **labels}
    return ScrapeTarget(f"http://{address}/metrics", labels, "up", "", 1.0, 15.0)


def a_prometheus(*rules, metrics=METRICS, **script) -> ScriptedPrometheus:
    given = {
        "targets": [scraped(), scraped("redis", "127.0.0.1:9121")],
        "rules": rules,
        "metadata": {"http_requests": MetricInfo("counter", "Requests.")},
        "label_values": lambda label, selectors: metrics if label == "__name__" else (),
    }
    return ScriptedPrometheus(**given | script)


def a_watched_target(**changes):
    return a_target(**{"prometheus": {"url": "http://127.0.0.1:9090", "labels": {"job": "chat"}}} | changes)


def measured(*rules, target=None, **script):
    instruments = ScriptedInstruments(prometheus=a_prometheus(*rules, **script), promql=PromqlParser())
    return measure(alert_rules, target or a_watched_target(), instruments)


def test_all_four_signals_pass_with_the_alerts_that_tell_them():
    finding = measured(*ALL)
    assert finding.outcome is Outcome.PASS
    assert (
        "latency (Slow), error rate (Errors), cache hit rate (Cold), instance down (Down)" in finding.reason
    )
    assert finding.value == 4
    assert finding.reproduce.startswith("curl -sS -X GET 'http://127.0.0.1:9090/api/v1/rules")


@pytest.mark.parametrize(
    ("left_out", "outcome", "words"),
    [
        (LATENCY, Outcome.FAIL, "Latency: none of 3"),
        (ERRORS, Outcome.FAIL, "Error rate: none of 3"),
        (CACHE, Outcome.WARN, "Cache hit rate: none of 3"),
        (DOWN, Outcome.WARN, "Instance down: none of 3"),
    ],
)
def test_a_signal_without_an_alert_is_named_with_an_expression_to_copy(left_out, outcome, words):
    finding = measured(*(rule for rule in ALL if rule is not left_out))
    assert finding.outcome is outcome
    assert words in finding.reason
    assert 'job="chat"' in finding.fix
    assert PromqlParser().parse(finding.fix.split("`")[1]).node is not None


def test_an_expression_to_copy_is_made_of_the_services_own_metrics():
    metrics = ("up", "shop_requests_total", "shop_request_seconds_bucket", "shop_cache_hits_total")
    finding = measured(DOWN, metrics=metrics)
    for name in metrics[1:]:
        assert name in finding.fix


def test_half_the_points_are_left_without_one_and_a_quarter_without_two():
    assert measured(LATENCY, ERRORS, DOWN).share == 0.5
    assert measured(LATENCY, ERRORS).share == 0.25


def test_no_rules_at_all_fail():
    finding = measured()
    assert finding.outcome is Outcome.FAIL
    assert "no rules at all" in finding.reason


@pytest.mark.parametrize(
    "expression",
    [
        'up{job="redis"} == 0',
        "redis_up == 0",
        'sum(rate(http_requests_total{status=~"4.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.1',
        'sum(rate(http_requests_total{job="orders", status=~"5.."}[5m])) > 1',
        "rate(node_disk_read_time_seconds_total[5m]) > 0.1",
        "rate(pg_stat_database_blks_hit[5m]) / rate(pg_stat_database_blks_read[5m]) < 0.9",
        "vector(1)",
    ],
)
def test_what_tells_of_something_else_covers_nothing(expression):
    assert measured(*ALL, a_rule("Other", expression)).outcome is Outcome.PASS
    finding = measured(a_rule("Other", expression))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0


def test_recordings_are_followed():
    recorded = a_rule("job:slow:p95", LATENCY.expression.rpartition(" > ")[0], kind="record")
    finding = measured(recorded, a_rule("Slow", "job:slow:p95 > 1"), ERRORS, CACHE, DOWN)
    assert finding.outcome is Outcome.PASS


def test_an_alert_that_cannot_be_evaluated_covers_nothing():
    broken = a_rule(
        "Errors", ERRORS.expression, health="err", last_error="found duplicate series \x1b[31m for the match"
    )
    finding = measured(LATENCY, broken, CACHE, DOWN)
    assert finding.outcome is Outcome.FAIL
    assert "Errors cannot be evaluated (found duplicate series" in finding.reason
    assert "\x1b" not in finding.reason
    assert finding.follows_from == "monitoring.rules_alive"


def test_an_alert_over_a_recording_that_cannot_be_evaluated_covers_nothing():
    expression = LATENCY.expression.rpartition(" > ")[0]
    recorded = a_rule("job:slow:p95", expression, kind="record", health="err", last_error="many-to-many")
    finding = measured(recorded, a_rule("Slow", "job:slow:p95 > 1"), ERRORS, CACHE, DOWN)
    assert finding.outcome is Outcome.FAIL
    assert "(nor can its recording job:slow:p95: many-to-many)" in finding.reason


def test_an_alert_that_was_not_evaluated_yet_counts():
    assert measured(*ALL[1:], a_rule("Slow", LATENCY.expression, health="unknown")).outcome is Outcome.PASS


def test_an_alert_on_a_metric_that_is_nowhere_covers_nothing():
    missing = a_rule("Slow", "histogram_quantile(0.95, rate(http_request_latency_bucket[5m])) > 1")
    finding = measured(missing, ERRORS, CACHE, DOWN)
    assert finding.outcome is Outcome.FAIL
    assert "Slow reads http_request_latency_bucket, which Prometheus does not have" in finding.reason
    assert finding.follows_from == "monitoring.rules_alive"


def test_a_counter_that_is_announced_and_has_no_series_yet_counts():
    metrics = tuple(name for name in METRICS if name != "http_requests_total")
    assert measured(*ALL, metrics=metrics).outcome is Outcome.PASS


def test_series_of_a_proxy_that_name_the_service_count():
    proxied = a_rule(
        "Errors", 'sum by (ingress) (rate(nginx_ingress_controller_requests{status=~"5.."}[5m])) > 1'
    )

    def answers(expression):
        if "(nginx_ingress_controller_requests)" in expression:
            return Answered(tuple(Series({"ingress": name}, 1.0, 1.0) for name in named))
        return None

    named = ["orders", "chat"]
    assert measured(LATENCY, proxied, CACHE, DOWN, answers=answers).outcome is Outcome.PASS
    named = ["orders"]
    assert measured(LATENCY, proxied, CACHE, DOWN, answers=answers).outcome is Outcome.FAIL


def test_its_own_series_with_another_services_label_do_not_count():
    other = a_rule("Errors", 'sum(rate(http_requests_total{service="orders", status=~"5.."}[5m])) > 1')

    def answers(expression):
        by_service = expression == 'count by (service) (http_requests_total{job="chat"})'
        return [Series({"service": name}, 1.0, 1.0) for name in has] if by_service else None

    has = ("chat",)
    assert measured(LATENCY, other, CACHE, DOWN, answers=answers).outcome is Outcome.FAIL
    has = ("chat", "orders")
    assert measured(LATENCY, other, CACHE, DOWN, answers=answers).outcome is Outcome.PASS


def test_the_hit_rate_of_its_redis_counts():
    hits, misses = "rate(redis_keyspace_hits_total[5m])", "rate(redis_keyspace_misses_total[5m])"
    redis = a_rule("Cold", f"{hits} / ({hits} + {misses}) < 0.5")

    def answers(expression):
        if "redis_keyspace" in expression:
            return [Series({"job": "redis", "instance": f"{name}:9121"}, 1.0, 1.0) for name in exporters]
        return None

    exporters = ["redis"]
    assert measured(LATENCY, ERRORS, redis, DOWN, answers=answers).outcome is Outcome.PASS
    assert (
        measured(LATENCY, ERRORS, redis, DOWN, answers=answers, target=a_watched_target(redis=None)).outcome
        is Outcome.WARN
    )
    exporters = ["cache-1", "sessions-1"]
    assert measured(LATENCY, ERRORS, redis, DOWN, answers=answers).outcome is Outcome.WARN


def test_without_labels_the_service_is_found_by_its_address():
    target = a_watched_target(prometheus={"url": "http://127.0.0.1:9090"})
    assert measured(*ALL, target=target).outcome is Outcome.PASS


def test_a_service_that_cannot_be_told_from_others_is_not_assessed():
    target = a_watched_target(prometheus={"url": "http://127.0.0.1:9090"}, url="http://127.0.0.1:7")
    instruments = ScriptedInstruments(prometheus=a_prometheus(*ALL), promql=PromqlParser())
    with pytest.raises(InstrumentFailure) as failure:
        gather(alert_rules, target, instruments)
    assert failure.value.missing == "prometheus.labels"


def test_a_service_without_series_is_not_assessed():
    finding = measured(*ALL, metrics=("up", "scrape_duration_seconds", "ALERTS", "job:errors:ratio"))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "monitoring.targets_up"


def test_rules_that_cannot_be_read_are_told():
    finding = measured(*ALL, a_rule("Odd", "limit(((("))
    assert finding.outcome is Outcome.PASS
    assert "1\u00a0rule could not be parsed here" in finding.reason


def test_thousands_of_rules_give_bounded_evidence():
    rules = [a_rule(f"Slow{number}", LATENCY.expression) for number in range(3_000)]
    found = gather(
        alert_rules,
        a_watched_target(),
        ScriptedInstruments(prometheus=a_prometheus(*rules), promql=PromqlParser()),
    )
    assert len(found.telling) == 200
    assert found.alerts == 3_000


def test_a_summary_has_no_buckets_and_buckets_may_be_dropped():
    rest = tuple(name for name in METRICS if not name.endswith("_bucket"))
    for kind in ("summary", "histogram"):
        about = {"http_request_duration_seconds": MetricInfo(kind, "Time.")}
        finding = measured(*ALL, metrics=rest, metadata=about)
        assert (
            "Slow reads http_request_duration_seconds_bucket, which Prometheus does not have"
            in finding.reason
        )


def test_a_histogram_that_has_observed_nothing_yet_counts():
    rest = tuple(name for name in METRICS if "duration" not in name)
    about = {"http_request_duration_seconds": MetricInfo("histogram", "Time.")}
    assert measured(*ALL, metrics=rest, metadata=about).outcome is Outcome.PASS


def test_a_counter_that_another_service_announces_does_not_count():
    metrics = tuple(name for name in METRICS if name != "http_requests_total")
    about = {"orders_errors": MetricInfo("counter", "Errors."), "other": MetricInfo("gauge", "")}

    class OfTargets(ScriptedPrometheus):
        async def metadata(self, targets=""):
            return about if not targets else {"other": about["other"]}

    prometheus = a_prometheus(LATENCY, a_rule("Errors", "rate(orders_errors_total[5m]) > 1"), CACHE, DOWN)
    prometheus.__class__ = OfTargets
    prometheus.values = lambda label, selectors: metrics if label == "__name__" else ()
    instruments = ScriptedInstruments(prometheus=prometheus, promql=PromqlParser())
    finding = measure(alert_rules, a_watched_target(), instruments)
    assert finding.outcome is Outcome.FAIL
    assert "Errors reads orders_errors_total, which Prometheus does not have" in finding.reason


@pytest.mark.parametrize(
    ("label", "others_have_it", "outcome"),
    [("code", True, Outcome.FAIL), ("code", False, Outcome.PASS), ("error_type", True, Outcome.PASS)],
)
def test_a_label_that_only_other_services_have_means_those(label, others_have_it, outcome):
    matcher = 'code=~"5.."' if label == "code" else 'error_type!=""'
    errors = a_rule("Errors", f"sum(rate(http_requests_total{{{matcher}}}[5m])) > 1")
    others = a_rule("Others", 'rate(http_requests_total{job="orders", code="500"}[5m]) > 1')

    def answers(expression):
        if expression.startswith("count by (job, "):
            return [Series({"job": job, "instance": f"{job}:80"}, 1.0, 1.0) for job in ("chat", "orders")]
        anybody = expression == f'count(http_requests_total{{{label}!=""}})'
        return [Series({}, 1.0, 1.0)] if anybody and others_have_it else None

    assert measured(LATENCY, errors, others, CACHE, DOWN, answers=answers).outcome is outcome
