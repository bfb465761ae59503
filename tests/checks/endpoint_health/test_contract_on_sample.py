"""The contract checks on the real sample: what they cost, and what they leave alone."""

from __future__ import annotations

import httpx

from app.sample.processes import address
from checks.contract import Outcome
from checks.endpoint_health import _contract_calls
from tests.checks.sample import Sample


def stub(sample: Sample, path: str) -> object:
    return httpx.get(address(sample.state.ports["stub"]) + path, trust_env=False).json()


def test_the_contract_is_judged_on_every_operation_at_the_price_of_a_dozen_questions(sample: Sample):
    sample.with_defects()
    before, orders = stub(sample, "/meter"), stub(sample, "/accounting/state")
    evidence = sample.gather("endpoint_health.api_contract")
    paid = stub(sample, "/meter")["calls"] - before["calls"]
    assert 6 <= paid <= _contract_calls.PAID
    assert stub(sample, "/accounting/state") == orders
    assert {"POST /api/chat", "POST /api/v1/chat/stream", "GET /health", "GET /ready"} <= set(evidence.called)
    assert evidence.deviating == ()
    assert evidence.compared > 15
    assert evidence.unsound == evidence.undocumented == ""


def test_a_reply_that_deviates_for_long_questions_alone_is_named_with_a_line_that_repeats_it(sample: Sample):
    finding = sample.with_defects("contract_broken_when_long").measure("endpoint_health.api_contract")
    assert finding.outcome is Outcome.FAIL
    assert "POST /api/chat answers 200 to a long question: response violates schema" in finding.reason
    assert len(finding.reproduce) > _contract_calls.LONG_CHARS


def test_readiness_names_what_the_sample_needs(sample: Sample):
    finding = sample.with_defects().measure("endpoint_health.readiness")
    assert finding.outcome is Outcome.PASS, finding.reason
    assert "2\xa0dependencies: cache, model" in finding.reason


def test_ids_are_told_apart_by_connection(sample: Sample):
    finding = sample.with_defects("request_id_per_connection").measure("endpoint_health.request_id")
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith("Different requests get the same id")
