"""The endpoint checks with real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

import tomllib

import pytest

from app.sample import stack
from checks.contract import Outcome
from checks.contract.target.service import Stream
from tests.checks.sample import Sample


def test_two_healthy_samples_side_by_side_accuse_neither(sample: Sample, tmp_path_factory):
    second = Sample.start(tmp_path_factory.mktemp("second"))
    try:
        for each in (sample.with_defects(), second):
            finding = each.measure("endpoint_health.single_server")
            assert finding.outcome is Outcome.PASS, finding.reason
    finally:
        second.stop()


def test_a_stale_server_elsewhere_is_named_with_port_and_process(sample: Sample):
    state = sample.with_defects("stale_server_elsewhere").state
    [older] = [part for part in state.parts if part.name == "older chat"]
    finding = sample.measure("endpoint_health.single_server")
    assert finding.outcome is Outcome.FAIL
    its_processes = [older.pid, *(child.pid for child in older.process().children())]  # a supervisor's too
    port = state.ports["older chat"]
    assert any(f"port {port}: process {pid}" in finding.reason for pid in its_processes)


def test_the_route_that_works_is_a_change_ready_to_be_pasted(sample: Sample):
    finding = sample.with_defects("primary_route_500").measure("endpoint_health.primary_route")
    assert finding.reason == "/api/chat answers 500; /api/v1/chat/stream works."
    table = tomllib.loads(finding.fix.partition("\n\n")[2])["stream"]
    assert Stream.model_validate(table).path == "/api/v1/chat/stream"


def test_bad_input_is_judged_on_the_stream_where_the_ask_route_fails(sample: Sample):
    finding = sample.with_defects("primary_route_500").measure("endpoint_health.bad_input")
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.reason.startswith("/api/v1/chat/stream")


def test_the_schema_of_the_service_is_read(sample: Sample):
    found = sample.with_defects().gather("endpoint_health.bad_input")
    assert found.schema
    assert len(found.results) == found.planned
    assert {result.status for result in found.results} <= {400, 405, 413, 415, 422}


def test_a_poisoned_service_is_said_to_be_our_doing(sample: Sample):
    finding = sample.with_defects("bad_input_poisons").measure("endpoint_health.bad_input")
    sample.with_defects()  # restarts it, which mends it
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith("Our probe broke the service")
    assert "Restart the service" in finding.fix


@pytest.mark.parametrize(
    ("check_id", "defect"),
    [
        ("endpoint_health.authentication", "auth_signature_unchecked"),
        ("endpoint_health.rate_limit", "rate_limit_lifted_by_header"),
    ],
)
def test_no_credential_is_in_evidence_or_finding(sample: Sample, check_id: str, defect: str):
    state = sample.with_defects(defect).state
    shown = repr(sample.gather(check_id)) + repr(sample.measure(check_id))
    assert "$GREENLIGHT_SAMPLE_" in shown
    tokens = [one for one in stack.environment(state).values() if one.startswith("eyJ")]
    assert len(tokens) == 3
    for token in tokens:
        _, claims, signature = token.split(".")
        assert claims not in shown
        assert signature not in shown
