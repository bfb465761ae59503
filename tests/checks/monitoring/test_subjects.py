"""What metrics tell by their names: of services, proxies, meshes and exporters as they are found."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.monitoring._subjects import Subject, narrowed, outcome, subject_of, unit_s

NAMES = """
http_requests_total                                     counter       requests
http_requests                                           counter       requests
http_request_duration_seconds                           histogram     duration
http_request_duration_seconds_bucket                    -             duration
http_request_duration_seconds_count                     -             requests
http_request_duration_seconds_sum                       -             duration
http_server_requests_seconds_count                      -             requests
http_server_requests_seconds_max                        gauge         duration
http_server_requests_seconds_bucket                     -             duration
http_server_request_duration_seconds_bucket             -             duration
http_server_request_duration_seconds_count              -             requests
http_server_duration_milliseconds_bucket                -             duration
http_client_request_duration_seconds_bucket             -             other
http_server_active_requests                             gauge         in flight
istio_requests_total                                    counter       requests
istio_request_duration_milliseconds_bucket              -             duration
envoy_cluster_upstream_rq_time_bucket                   -             duration
envoy_cluster_upstream_rq_xx                            counter       requests
envoy_cluster_upstream_rq_5xx                           counter       failures
envoy_cluster_upstream_rq_total                         counter       requests
envoy_cluster_upstream_cx_connect_ms_bucket             -             other
nginx_ingress_controller_requests                       counter       requests
nginx_ingress_controller_request_duration_seconds_bucket    -             duration
nginx_ingress_controller_response_duration_seconds_bucket    -             duration
nginx_http_requests_total                               counter       requests
traefik_service_requests_total                          counter       requests
traefik_service_request_duration_seconds_bucket         -             duration
haproxy_backend_http_responses_total                    counter       requests
haproxy_backend_response_time_average_seconds           gauge         duration
haproxy_backend_response_errors_total                   counter       failures
flask_http_request_total                                counter       requests
flask_http_request_duration_seconds_bucket              -             duration
starlette_requests_total                                counter       requests
django_http_responses_total_by_status_total             counter       requests
django_http_requests_latency_seconds_by_view_method_bucket    -             duration
grpc_server_handled_total                               counter       requests
grpc_server_handling_seconds_bucket                     -             duration
grpc_client_handled_total                               counter       other
promhttp_metric_handler_requests_total                  counter       other
node_disk_read_time_seconds_total                       counter       other
node_disk_io_time_seconds_total                         counter       other
process_start_time_seconds                              gauge         other
process_cpu_seconds_total                               counter       resources
process_resident_memory_bytes                           gauge         resources
process_open_fds                                        gauge         resources
scrape_duration_seconds                                 gauge         other
pg_stat_database_blks_hit                               counter       other
redis_keyspace_hits_total                               counter       cache hits
redis_keyspace_misses_total                             counter       cache misses
redis_commands_duration_seconds_total                   counter       other
chat_cache_hits_total                                   counter       cache hits
chat_cache_misses_total                                 counter       cache misses
chat_cache_up                                           gauge         other
cache_gets_total                                        counter       cache lookups
cache_requests_total                                    counter       cache lookups
chat_model_calls_total                                  counter       other
chat_model_call_seconds_bucket                          -             other
chat_orders_total                                       counter       other
chat_errors_total                                       counter       failures
chat_latency_seconds_bucket                             -             duration
chat_latency_seconds_count                              -             requests
http_requests_in_flight                                 gauge         in flight
inprogress_requests                                     gauge         in flight
job:http_requests:rate5m                                -             requests
job:http_errors:ratio5m                                 -             failures
job:request_latency_seconds:99quantile                  -             duration
slo:sli_error:ratio_rate5m                              -             failures
jvm_gc_pause_seconds_sum                                summary       other
hikaricp_connections_acquire_seconds_max                gauge         other
redis_errors_total                                      counter       other
node_network_receive_errs_total                         counter       other
traces_span_metrics_calls_total                         counter       requests
traces_span_metrics_duration_milliseconds_bucket        -             duration
calls_total                                             counter       requests
logback_events_total                                    counter       other
http_requests_received_total                            counter       requests
http_request_errors_total                               counter       failures
coredns_cache_hits_total                                counter       other
python_gc_collections_total                             counter       other
vllm:e2e_request_latency_seconds_bucket                 -             duration
vllm:num_requests_running                               gauge         in flight
vllm:request_success_total                              counter       successes
vllm:gpu_cache_usage_perc                               gauge         other
litellm_request_total_latency_metric_bucket             -             duration
response_latency_ms_bucket                              -             duration
up                                                      -             up
"""


def rows(table: str) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in table.strip().splitlines()]


@pytest.mark.parametrize(("name", "kind", "subject"), rows(NAMES))
def test_a_metric_is_known_by_its_words(name, kind, subject):
    assert subject_of(name, "" if kind == "-" else kind) == subject


def equals(value):
    return lambda each: each == value


def matches(pattern, *, negated=False):
    return lambda each: bool(re.fullmatch(pattern, each)) is not negated


@pytest.mark.parametrize(
    ("label", "admits", "left"),
    [
        ("status", matches("5.."), Subject.FAILURES),
        ("status", matches("5..", negated=True), Subject.SUCCESSES),
        ("code", matches("4.."), Subject.REFUSALS),
        ("code", matches("[45].."), Subject.FAILURES),
        ("code", matches("2..", negated=True), Subject.FAILURES),
        ("status", equals("200"), Subject.SUCCESSES),
        ("status", equals("404"), Subject.REFUSALS),
        ("status", matches("5xx"), Subject.FAILURES),
        ("status", matches("5.*"), Subject.FAILURES),
        ("outcome", equals("SERVER_ERROR"), Subject.FAILURES),
        ("outcome", equals("success"), Subject.SUCCESSES),
        ("exception", matches("None", negated=True), Subject.FAILURES),
        ("error_type", matches("", negated=True), Subject.FAILURES),
        ("grpc_code", matches("OK", negated=True), Subject.FAILURES),
        ("grpc_code", matches("Unknown|Internal"), Subject.FAILURES),
        ("http_response_status_code", matches("5.."), Subject.FAILURES),
        ("envoy_response_code_class", equals("5"), Subject.FAILURES),
        ("status_code", equals("STATUS_CODE_ERROR"), Subject.FAILURES),
        ("status", matches(".*"), None),
        ("status", equals("301"), None),
        ("route", equals("200"), None),
    ],
)
def test_a_filter_on_a_label_of_outcomes_leaves_one(label, admits, left):
    assert outcome(label, admits) is left


@pytest.mark.parametrize(
    ("subject", "label", "value", "left"),
    [
        (Subject.CACHE_LOOKUPS, "result", "hit", Subject.CACHE_HITS),
        (Subject.CACHE_LOOKUPS, "result", "miss", Subject.CACHE_MISSES),
        (Subject.REQUESTS, "cache", "HIT", Subject.CACHE_HITS),
        (Subject.REQUESTS, "from_cache", "true", Subject.CACHE_HITS),
        (Subject.REQUESTS, "type", "hit", Subject.REQUESTS),
        (Subject.REQUESTS, "status", "503", Subject.FAILURES),
        (Subject.DURATION, "status", "503", Subject.DURATION),
    ],
)
def test_labels_narrow_what_is_told(subject, label, value, left):
    assert narrowed(subject, {label: equals(value)}) is left


@pytest.mark.parametrize(
    ("name", "unit"), [("a_seconds", 1.0), ("a_ms_bucket", 1e-3), ("a_duration", None), ("a_us", 1e-6)]
)
def test_units_are_words(name, unit):
    assert unit_s(name) == unit


@given(st.text(max_size=400), st.sampled_from(["", "counter", "gauge", "histogram", "summary", "x"]))
def test_any_name_is_something(name, kind):
    assert subject_of(name, kind) in Subject
