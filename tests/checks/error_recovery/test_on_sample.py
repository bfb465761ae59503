"""The recovery checks with real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

from checks.contract import Outcome
from tests.checks.sample import Sample


def test_levers_are_restored_and_the_service_answers_again(sample: Sample):
    sample.events.clear()
    found = sample.with_defects().gather("error_recovery.upstream_hang")
    assert sample.events == ["broken upstream hang", "restored upstream hang"]
    assert found.answered_again_s is not None
    assert {probe.status for probe in found.probes} == {504}


def test_without_a_time_out_callers_are_said_to_hang_on_the_stream_route_too(sample: Sample):
    finding = sample.with_defects("primary_route_500", "no_upstream_timeout").measure(
        "error_recovery.upstream_hang"
    )
    assert finding.outcome is Outcome.FAIL
    assert "hang: no reply within 10" in finding.reason


def test_each_step_is_cut_by_its_own_lever(sample: Sample):
    sample.events.clear()
    finding = sample.with_defects().measure("error_recovery.compensation")
    assert finding.outcome is Outcome.PASS, finding.reason
    assert [event for event in sample.events if event.startswith("broken")] == [
        "broken stock refuse",
        "broken drafts refuse",
        "broken invoices refuse",
        "broken invoices slow",
    ]


def test_the_residue_of_each_step_is_named(sample: Sample):
    finding = sample.with_defects("no_compensation").measure("error_recovery.compensation")
    assert finding.outcome is Outcome.FAIL
    assert "Step draft order: 1 left in accounting.reservations" in finding.reason
    assert "accounting.stock.MUG-WHITE" in finding.reason
