"""Which signal an alert covers: in the styles of many collections, right and wrong way round."""

# ruff: noqa: E501 - tables of expressions, one a line

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.instruments.promql import PromqlParser
from checks.monitoring._readings import MOST_READINGS, Recording, readings
from checks.monitoring._service import Service
from checks.monitoring._signals import Context, Signal, covered, rulebook
from tests.checks.scripted import a_rule

OWN = """
    up http_requests_total http_request_duration_seconds_bucket http_request_duration_seconds_sum
    http_request_duration_seconds_count chat_cache_hits_total chat_cache_misses_total
    cache_gets_total chat_cache_up process_start_time_seconds http_requests_in_flight
    grpc_server_handled_total http_server_request_duration_seconds_bucket
    http_server_request_duration_seconds_count http_server_requests_seconds_count
    http_server_requests_seconds_sum http_server_requests_seconds_max
    http_server_requests_seconds_bucket chat_model_calls_total scrape_duration_seconds
    jvm_gc_pause_seconds_sum chat_errors_total http_client_request_duration_seconds_bucket
"""
SERVICE = Service(
    targets=({"job": "chat", "instance": "127.0.0.1:8003"},),
    marks={"job": "chat"},
    names=("chat",),
    metrics=frozenset(OWN.split()),
    caches=("127.0.0.1:6379",),
)
OTHERS = {
    "istio_requests_total": ({"destination_service_name": "chat"}, {"destination_service_name": "orders"}),
    "istio_request_duration_milliseconds_bucket": ({"destination_service_name": "chat"},),
    "nginx_ingress_controller_requests": ({"ingress": "chat"}, {"ingress": "orders"}),
    "nginx_ingress_controller_request_duration_seconds_bucket": ({"ingress": "chat"},),
    "envoy_cluster_upstream_rq_xx": ({"envoy_cluster_name": "chat"},),
    "envoy_cluster_upstream_rq_time_bucket": ({"envoy_cluster_name": "outbound|80||chat.shop.svc"},),
    "probe_success": ({"job": "blackbox", "instance": "http://chat:8003/health"},),
    "redis_keyspace_hits_total": ({"job": "redis", "instance": "redis:9121"},),
    "redis_keyspace_misses_total": ({"job": "redis", "instance": "redis:9121"},),
    "node_disk_read_time_seconds_total": ({"job": "node"},),
    "pg_stat_database_blks_hit": ({"job": "pg"},),
    "kube_deployment_status_replicas_available": ({"deployment": "chat"},),
    "orders_http_requests_total": ({"job": "orders", "instance": "orders:80"},),
    "up": ({"job": "chat"}, {"job": "chat-redis-exporter", "instance": "chat:9121"}),
}
CONTEXT = Context(SERVICE, {"http_requests": "counter"}, named=OTHERS)
RECORDINGS = """
job:http_requests:rate5m = sum by (job) (rate(http_requests_total[5m]))
job:http_errors:rate5m = sum by (job) (rate(http_requests_total{status=~"5.."}[5m]))
job:http_errors:ratio5m = job:http_errors:rate5m / job:http_requests:rate5m
job:latency:p99 = histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))
chat:hit_ratio = sum(rate(chat_cache_hits_total[5m])) / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m])))
slo:sli_error:ratio_rate5m{sloth_id="chat-availability"} = sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))
slo:sli_error:ratio_rate5m{sloth_id="chat-latency"} = 1 - sum(rate(http_request_duration_seconds_bucket{le="0.5"}[5m])) / sum(rate(http_request_duration_seconds_count[5m]))
slo:sli_error:ratio_rate5m{sloth_id="orders-availability"} = sum(rate(orders_http_requests_total{status=~"5.."}[5m])) / sum(rate(orders_http_requests_total[5m]))
"""
ALERTS = r"""
down            | up{job="chat"} == 0
down            | up == 0
down            | up < 1
-               | up == 1
-               | up{job="redis"} == 0
down            | absent(up{job="chat"})
down            | count(up{job="chat"} == 1) < 1
down            | count(up{job="chat"} == 0) > 0
down            | sum by (job) (up) / count by (job) (up) < 0.5
down            | avg_over_time(up[5m]) < 0.9
down            | (1 - up) > 0
down            | min_over_time(up{job=~"chat|orders"}[5m]) == 0
down            | up{job!="node"} == 0
down            | sum(up{job="chat"} == bool 0) > 0
-               | redis_up == 0
-               | chat_cache_up == 0
down            | probe_success == 0
down            | probe_success{instance=~".*chat.*"} == 0
-               | probe_success{instance="http://orders/"} == 0
down            | absent(http_requests_total{job="chat"})
-               | absent(http_requests_total{job="chat",status="500"})
down            | kube_deployment_status_replicas_available{deployment="chat"} < 1
down            | count by (job) (up{job="chat"} offset 1h) unless count by (job) (up{job="chat"})
-               | changes(process_start_time_seconds[15m]) > 2
errors          | sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05
errors          | rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m]) > 0.05
errors          | sum(rate(http_requests_total{job="chat",status=~"5.."}[5m])) > 1
-               | sum(rate(http_requests_total{job="orders",status=~"5.."}[5m])) > 1
-               | sum(rate(http_requests_total{status=~"4.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05
errors          | 1 - sum(rate(http_requests_total{status!~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05
errors          | sum(rate(http_requests_total{status=~"2.."}[5m])) / sum(rate(http_requests_total[5m])) < 0.95
-               | sum(rate(http_requests_total{status=~"2.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.95
-               | sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) < 0.05
-               | sum(rate(http_requests_total[5m])) > 1000
-               | sum(rate(http_requests_total[5m])) == 0
errors          | sum(rate(http_server_requests_seconds_count{outcome="SERVER_ERROR"}[5m])) / sum(rate(http_server_requests_seconds_count[5m])) > 0.01
errors          | sum(rate(http_server_requests_seconds_count{status=~"5.."}[5m])) > 0
errors          | sum(rate(grpc_server_handled_total{grpc_code!="OK"}[5m])) / sum(rate(grpc_server_handled_total[5m])) > 0.1
errors          | sum(rate(http_server_request_duration_seconds_count{http_response_status_code=~"5.."}[5m])) > 0.1
errors          | sum(rate(istio_requests_total{response_code=~"5.*", destination_service_name="chat"}[5m])) / sum(rate(istio_requests_total{destination_service_name="chat"}[5m])) > 0.05
-               | sum(rate(istio_requests_total{response_code=~"5.*", destination_service_name="orders"}[5m])) > 1
errors          | sum by (destination_service_name) (rate(istio_requests_total{response_code=~"5.*"}[5m])) > 1
errors          | sum by (ingress) (rate(nginx_ingress_controller_requests{status=~"5.."}[5m])) > 1
errors          | rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[5m]) > 1
errors          | rate(chat_errors_total[5m]) > 1
-               | rate(chat_model_calls_total{outcome="error"}[5m]) > 1
errors          | job:http_errors:ratio5m > 0.05
errors          | job:http_errors:ratio5m{job="chat"} > 0.05
-               | job:http_errors:ratio5m{job="orders"} > 0.05
errors          | job:http_errors:rate5m / job:http_requests:rate5m > 0.05
errors          | slo:sli_error:ratio_rate5m{sloth_id="chat-availability"} > (14.4 * 0.001) and slo:sli_error:ratio_rate5m{sloth_id="chat-availability"} > 1
latency         | slo:sli_error:ratio_rate5m{sloth_id="chat-latency"} > 0.1
-               | slo:sli_error:ratio_rate5m{sloth_id="orders-availability"} > 0.1
errors latency  | slo:sli_error:ratio_rate5m > 0.1
latency         | histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m]))) > 1
latency         | histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{job="chat"}[5m]))) >= 1
-               | histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m]))) < 1
latency         | 1 < histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))
latency         | rate(http_request_duration_seconds_sum[5m]) / rate(http_request_duration_seconds_count[5m]) > 0.5
latency         | sum(rate(http_request_duration_seconds_sum[5m])) by (job) / sum(rate(http_request_duration_seconds_count[5m])) by (job) > 0.5
-               | rate(http_request_duration_seconds_count[5m]) > 100
latency         | sum(rate(http_request_duration_seconds_bucket{le="0.5"}[5m])) / sum(rate(http_request_duration_seconds_count[5m])) < 0.95
latency         | (1 - sum(rate(http_request_duration_seconds_bucket{le="0.5"}[5m])) / sum(rate(http_request_duration_seconds_count[5m]))) > 0.05
latency         | (sum(rate(http_request_duration_seconds_count[5m])) - sum(rate(http_request_duration_seconds_bucket{le="0.5"}[5m]))) / sum(rate(http_request_duration_seconds_count[5m])) > 0.05
latency         | http_server_requests_seconds_max > 2
latency         | job:latency:p99 > 1
-               | histogram_quantile(0.99, rate(http_client_request_duration_seconds_bucket[5m])) > 1
-               | rate(node_disk_read_time_seconds_total[5m]) > 0.1
-               | scrape_duration_seconds > 1
-               | rate(jvm_gc_pause_seconds_sum[1m]) > 0.5
latency         | histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{destination_service_name="chat"}[5m]))) > 500
latency         | histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket[5m]))) > 500
latency         | histogram_quantile(0.95, sum by (le, ingress) (rate(nginx_ingress_controller_request_duration_seconds_bucket{ingress="chat"}[5m]))) > 1
latency         | histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m]))) > 1 and sum(rate(http_requests_total[5m])) > 1
cache           | sum(rate(chat_cache_hits_total[5m])) / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m]))) < 0.5
-               | sum(rate(chat_cache_hits_total[5m])) / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m]))) > 0.5
cache           | sum(rate(chat_cache_misses_total[5m])) / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m]))) > 0.5
cache           | 1 - sum(rate(chat_cache_hits_total[5m])) / (sum(rate(chat_cache_hits_total[5m])) + sum(rate(chat_cache_misses_total[5m]))) > 0.5
cache           | sum(rate(cache_gets_total{result="hit"}[5m])) / sum(rate(cache_gets_total[5m])) < 0.7
cache           | chat:hit_ratio < 0.7
cache           | rate(redis_keyspace_hits_total[5m]) / (rate(redis_keyspace_hits_total[5m]) + rate(redis_keyspace_misses_total[5m])) < 0.5
-               | rate(pg_stat_database_blks_hit[5m]) / (rate(pg_stat_database_blks_hit[5m]) + rate(pg_stat_database_blks_read[5m])) < 0.9
-               | vector(1)
-               | ALERTS{alertstate="firing"} > 0
latency?        | histogram_quantile(0.99, sum by (le) (rate(http_request_latency_seconds_bucket{job="chat"}[5m]))) > 1
-               | histogram_quantile(0.99, sum by (le) (rate(http_request_latency_seconds_bucket{job="orders"}[5m]))) > 1
errors          | (sum(rate(http_requests_total{status=~"5.."}[5m])) or vector(0)) / sum(rate(http_requests_total[5m])) > 0.05
errors          | increase(http_requests_total{status="500"}[1m]) > 0
errors down     | (sum(rate(http_requests_total{status=~"5.."}[5m])) > 5) or (up == 0)
errors          | (sum by (job) (rate(http_requests_total{status=~"5.."}[5m])) > 5) * on (job) group_left(team) team_info
errors          | max_over_time((sum(rate(http_requests_total{status=~"5.."}[1m])))[10m:1m]) > 3
errors          | http_requests_total{code=~"^5..$"} > 3
errors?         | slo:sli_error:ratio_rate5m{sloth_id="chat-availabilty"} > 0.1
down            | up{job=~"chat.*"} == 0
down            | count by (job) (up) unless count by (job) (up == 1)
down            | sum(up{job="chat"} == 0) > 0
errors          | sum(rate(http_requests_total{job="chat", status="500|503"}[5m])) > 1
errors          | sum(rate({__name__=~"chat_.*errors_total"}[5m])) > 0.5
-               | sum(rate({__name__=~"orders_.*errors_total"}[5m])) > 0.5
-               | http_requests_total > 5 unless on () up == 1
-               | absent(kafka_brokers)
-               | increase(promhttp_metric_handler_requests_total{code="500"}[5m]) > 0
-               | up{job="chat-redis-exporter"} == 0
-               | up == bool 0
-               | http_requests_total > bool 1
errors          | (sum(rate(http_requests_total{status=~"5.."}[5m])) > bool 5) == 1
"""
WORDS = {
    Signal.LATENCY: "latency",
    Signal.ERRORS: "errors",
    Signal.CACHE: "cache",
    Signal.DOWN: "down",
}
PROMQL = PromqlParser()


def recorded():
    rules = []
    for line in RECORDINGS.strip().splitlines():
        name, expression = line.split(" = ", 1)
        found = re.match(r'(.*)\{(\w+)="(.*)"\}', name)
        labels = {found[2]: found[3]} if found else {}
        rules.append(a_rule(found[1] if found else name, expression, kind="record", labels=labels))
    return rulebook(rules, PROMQL).recordings


def signals(expression: str) -> str:
    node = PROMQL.parse(expression).node
    assert node is not None
    found = covered(node, recorded(), CONTEXT)
    said = sorted(f"{WORDS[each.signal]}{'?' if each.whose == 'nowhere' else ''}" for each in found)
    return " ".join(said) or "-"


@pytest.mark.parametrize(
    ("words", "expression"), [re.split(r" +\| ", line, maxsplit=1) for line in ALERTS.strip().splitlines()]
)
def test_an_alert_covers(words, expression):
    assert signals(expression) == " ".join(sorted(words.split()))


def test_recordings_in_a_ring_end():
    rules = [a_rule("a", "b + a", kind="record"), a_rule("b", "a * b", kind="record")]
    book = rulebook(rules, PROMQL)
    node = PROMQL.parse("a > 1").node
    assert len(readings(node, book.recordings)) <= MOST_READINGS


def test_many_recordings_of_one_name_are_bounded():
    rules = [a_rule(f"r{level}", f"r{level + 1} + r{level + 1}", kind="record") for level in range(9)] * 50
    book = rulebook(rules, PROMQL)
    assert len(readings(PROMQL.parse("r0 > 1").node, book.recordings)) <= MOST_READINGS


@pytest.mark.parametrize("pattern", ["(a+)+$", "((a|b)*)*c", "a" * 1_000, "(?i)x", "(.*a){20}"])
def test_no_pattern_of_a_matcher_stops_it(pattern):
    signals(f'sum(rate(http_requests_total{{status=~"{pattern}"}}[5m])) > 1')


@given(st.recursive(st.sampled_from(["up", "1", "http_requests_total", "rate(x_sum[5m])"]), lambda below: st.tuples(
    below, st.sampled_from(["+", "/", "and", "unless", ">", "== bool", "or"]), below
).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"), max_leaves=12))  # fmt: skip
def test_any_expression_is_read(expression):
    node = PROMQL.parse(expression).node
    if node is not None:
        covered(node, recorded(), CONTEXT)


def test_a_recording_is_used_by_its_own_labels():
    rules = [a_rule("r", "up", kind="record", labels={"of": "a"}), a_rule("r", "x", kind="record")]
    book = rulebook(rules, PROMQL)
    assert isinstance(book.recordings["r"][0], Recording)
    [reading] = readings(PROMQL.parse('r{of="a"} == 0').node, {"r": book.recordings["r"][:1]})
    assert (reading.selector.name, reading.fires, reading.via) == ("up", "low", ("r",))


def test_what_cannot_be_parsed_is_told():
    book = rulebook([a_rule("Odd", "sum(")], PROMQL)
    assert list(book.problems) == [0]
