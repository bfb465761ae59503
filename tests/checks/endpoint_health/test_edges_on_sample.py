"""Errors, bodies and headers of the real sample: what the defect matrix does not look at."""

from __future__ import annotations

from checks.contract import Outcome
from checks.endpoint_health import body_limits
from tests.checks.sample import Sample

DECLARED_BYTES = 64_000


def test_every_kind_of_error_is_met(sample: Sample):
    found = sample.with_defects().gather("endpoint_health.error_disclosure")
    assert found.asked == found.planned
    assert {error.status for error in found.errors} == {400, 401, 404, 405, 413, 415, 422}
    assert {error.name for error in found.errors} >= {
        "an unknown path with a quote",
        "no credential for /api/orders",
        "an unknown credential for /api/orders",
        "a body of a gigabyte, announced",
    }


def test_a_refusal_of_an_announced_length_costs_nothing_and_one_of_chunks_the_limit(sample: Sample):
    found = sample.with_defects().gather("endpoint_health.body_limits")
    announced, chunked = found.sent
    assert (found.limit_bytes, found.declared) == (DECLARED_BYTES, True)
    assert (announced.status, announced.sent_bytes, announced.whole) == (413, 0, False)
    assert (chunked.status, chunked.whole) == (413, False)
    assert chunked.sent_bytes <= DECLARED_BYTES + body_limits.BEYOND_BYTES
    assert found.half is not None
    assert found.half.status == 408
    assert found.half.ended_s < found.half.watched_s
    assert found.again_bytes == 0


def test_what_is_kept_is_told_in_bytes(sample: Sample):
    finding = sample.with_defects("body_refused_and_kept").measure("endpoint_health.body_limits")
    sample.with_defects()
    assert (finding.outcome, finding.unit) == (Outcome.FAIL, "bytes")
    assert finding.value > 20e6


def test_a_leak_of_one_route_is_told_with_the_line_that_shows_it(sample: Sample):
    finding = sample.with_defects("error_shows_query").measure("endpoint_health.error_disclosure")
    assert "an unknown credential for /api/orders (401) shows SQL at `detail`" in finding.reason
    assert "-H 'Authorization: Bearer greenlight-" in finding.reproduce


def test_the_look_alike_that_was_let_in_is_named(sample: Sample):
    finding = sample.with_defects("cors_trusts_the_end").measure("endpoint_health.transport")
    assert "https://evilshop.example call it with its users' credentials" in finding.reason
    assert "-H 'Origin: https://evilshop.example'" in finding.reproduce
