"""cache.stampede against a scripted chat service and its meter."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import _mix, stampede
from checks.cache.stampede import AT_ONCE, Rush
from checks.contract import Burst, InstrumentFailure, Outcome
from tests.checks.scripted import (
    ChatModel,
    ScriptedBursts,
    ScriptedInstruments,
    ScriptedUpstream,
    a_bad_answer,
    a_target,
    gather,
    judge,
    measure,
)

TARGET = a_target()
ASK_ONLY = a_target(stream=None)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    for name in ("QUIET_S", "SETTLE_S"):
        monkeypatch.setattr(stampede, name, 0.001)


def a_burst(**changes) -> Burst:
    fields = {
        "asked": AT_ONCE,
        "sent_ms": 2.0,
        "good_ms": tuple(300.0 + n for n in range(AT_ONCE)),
        "cached": 0,
        "limited": 0,
        "problem": "",
    }
    return Burst(**fields | changes)


def service(
    *, calls=1.0, on_stream=None, keeps=True, each=1.0, working="ask", **burst
) -> ScriptedInstruments:
    """A service whose fifty askers cost ``calls`` answers, over the stream ``on_stream`` where given."""
    chat = ChatModel(caches=keeps, calls_per_question=each)

    def at_once(prompt, count, route):
        assert count == AT_ONCE
        chat.seen.add(prompt)
        chat.calls += each * (on_stream if route == "stream" and on_stream is not None else calls)
        return a_burst(**burst)

    return chat.instruments(bursts=ScriptedBursts(at_once), working=working)


def test_one_call_for_all_passes():
    finding = measure(stampede, TARGET, service())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert "seq 50" in finding.reproduce
    assert "http://127.0.0.1:3/meter" in finding.reproduce


@pytest.mark.parametrize(
    ("calls", "outcome", "share"),
    [(1, Outcome.PASS, 1), (2, Outcome.WARN, 0.5), (3, Outcome.WARN, 0), (4, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(calls, outcome, share):
    finding = measure(stampede, ASK_ONLY, service(calls=calls))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)
    assert f"{calls}\u00a0upstream call" in finding.reason


def test_a_stream_that_is_not_coalesced_fails_beside_a_route_that_is():
    finding = measure(stampede, TARGET, service(on_stream=24))
    assert finding.outcome is Outcome.FAIL
    assert "over `[stream]`" in finding.reason


def test_an_answer_that_costs_several_calls_counts_as_one():
    finding = measure(stampede, TARGET, service(each=3.5))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1


def test_only_the_route_that_answers_is_asked():
    found = gather(stampede, TARGET, service(working="stream"))
    assert {rush.route for rush in found.rushes} == {"stream"}


def test_an_answer_that_is_not_kept_leaves_a_few_calls_open_and_many_proven():
    few = measure(stampede, ASK_ONLY, service(keeps=False))
    assert few.outcome is Outcome.NOT_ASSESSED
    assert few.follows_from == "cache.hit_rate"
    many = measure(stampede, ASK_ONLY, service(keeps=False, calls=30))
    assert many.outcome is Outcome.FAIL
    assert many.follows_from == "cache.hit_rate"


@pytest.mark.parametrize(("lost", "outcome"), [(1, Outcome.PASS), (2, Outcome.NOT_ASSESSED)])
def test_one_answer_of_four_may_be_lost_on_its_way_to_the_cache(lost, outcome):
    rushed = [
        Rush(route, a_burst(), 1.0, float(number < lost))
        for number, route in enumerate(("ask", "ask", "stream", "stream"))
    ]
    found = stampede.Evidence(tuple(rushed), {"ask": 1.0, "stream": 1.0}, 0.0, "", "", "")
    assert judge(stampede, found).outcome is outcome


def test_answers_that_come_before_the_others_were_asked_prove_nothing():
    finding = measure(stampede, TARGET, service(sent_ms=50.0, good_ms=tuple(float(n) for n in range(5, 55))))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "only 5 of 50" in finding.reason


def test_ten_that_overlap_are_enough():
    finding = measure(stampede, TARGET, service(sent_ms=50.0, good_ms=tuple(float(n) for n in range(10, 60))))
    assert finding.outcome is Outcome.PASS
    assert "at least 10" in finding.reason


def test_a_rate_limit_is_named_and_is_no_fault():
    finding = measure(stampede, TARGET, service(good_ms=(300.0,) * 9, limited=41))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "41 were refused by a rate limit" in finding.reason
    assert finding.follows_from is None


def test_failures_follow_from_the_primary_route():
    finding = measure(stampede, TARGET, service(good_ms=(), problem="status 503"))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "status 503" in finding.reason
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_service_that_does_not_answer_is_not_assessed():
    finding = measure(stampede, TARGET, service(working=None))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_meter_that_others_move_is_named():
    readings = iter([5.0, 5.0])
    instruments = service()
    instruments.upstream = ScriptedUpstream(lambda: next(readings, 7.0))
    finding = measure(stampede, TARGET, instruments)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "while nothing was asked" in finding.reason


def test_a_meter_that_cannot_be_read_does_not_move_or_lags_is_not_assessed():
    for read in (InstrumentFailure("The meter answers 404."), lambda: 7.0):
        instruments = service()
        instruments.upstream = ScriptedUpstream(read)
        finding = measure(stampede, TARGET, instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.missing == "upstream.calls"
    assert measure(stampede, TARGET, service(calls=0)).outcome is Outcome.NOT_ASSESSED


def test_the_meter_is_read_until_it_stands_still():
    readings = iter([1.0, 2.0, 4.0, 5.0, 5.0, 9.0])
    meter = _mix.Meter(ScriptedInstruments(upstream=ScriptedUpstream(lambda: next(readings))))
    assert asyncio.run(meter.settled(0.001, 1.0)) == 4


def test_a_single_answer_that_fails_breaks_nothing():
    chat = ChatModel(broken=lambda prompt: a_bad_answer(500))
    bursts = ScriptedBursts(lambda prompt, count, route: a_burst(good_ms=(), problem="status 500"))
    finding = measure(stampede, TARGET, chat.instruments(bursts=bursts))
    assert finding.outcome is Outcome.NOT_ASSESSED


bursts = st.builds(
    Burst,
    st.just(AT_ONCE),
    st.floats(0, 1e4),
    st.lists(st.floats(0, 1e5), max_size=AT_ONCE).map(lambda times: tuple(sorted(times))),
    st.integers(0, AT_ONCE),
    st.integers(0, AT_ONCE),
    st.text(max_size=10),
)
rushes = st.builds(Rush, st.sampled_from(["ask", "stream"]), bursts, st.floats(0, 100), st.floats(0, 9))


@given(
    st.lists(rushes, max_size=4),
    st.floats(0, 9),
    st.floats(0, 9),
    st.sampled_from([0.0, 0.0, 2.0]),
    st.sampled_from(["", "", "went back"]),
)
def test_any_evidence_gives_an_honest_finding(rushed, ask, stream, idle, problem):
    single = {"ask": ask, "stream": stream}
    found = stampede.Evidence(tuple(rushed), single, idle, problem, "", "")
    finding = judge(stampede, found)
    if finding.outcome in (Outcome.PASS, Outcome.WARN):
        assert not problem
        assert not idle
        assert all(rush.calls and rush.together >= stampede.TOGETHER for rush in rushed)
