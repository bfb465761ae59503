"""cache.hit_rate against a scripted chat service whose words, Redis and meter may disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import hit_rate
from checks.cache._mix import ASKS, DISTINCT, MAX_BLOCKS, MIN_REPEATS, Mix
from checks.contract import InstrumentFailure, Outcome, RedisCounters
from tests.checks.cache.strategies import mixes
from tests.checks.scripted import (
    TINY,
    ChatModel,
    ScriptedRedis,
    Undeclared,
    a_bad_answer,
    a_target,
    judge,
    measure,
)

BLOCK = DISTINCT * ASKS


def only_marker(chat: ChatModel, **changes):
    """Instruments of a target that declares neither Redis nor a meter."""
    return chat.instruments(redis=Undeclared("redis"), upstream=Undeclared("upstream"), **changes)


def test_a_cache_that_answers_repeats_passes_and_says_where_it_was_counted():
    finding = measure(hit_rate, a_target(), ChatModel().instruments())
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(7 / 8)
    assert "at the upstream meter" in finding.reason
    assert finding.interval[0] > 0.7
    assert "keyspace_(hits|misses)" in finding.reproduce


def test_a_cache_that_is_never_called_fails_in_these_words():
    chat = ChatModel(caches=False, uses_redis=False, marks="truth")
    finding = measure(hit_rate, a_target(), chat.instruments(working="stream"))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert finding.reason == (
        f"The service never touched its cache. It answered {BLOCK}\u00a0questions, {BLOCK - DISTINCT} "
        "of them repeats, and Redis saw no command from it."
    )
    assert finding.fix


def test_a_redis_that_only_limits_rates_does_not_make_a_cache():
    finding = measure(hit_rate, a_target(), ChatModel(caches=False).instruments())
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert "never touched" not in finding.reason


@pytest.mark.parametrize("marks", ["hit", "seen"])
def test_a_marker_that_lies_is_overruled_by_the_meter(marks):
    finding = measure(hit_rate, a_target(), ChatModel(caches=False, marks=marks).instruments())
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert "marker says" in finding.reason


def test_a_question_may_cost_several_calls():
    finding = measure(hit_rate, a_target(), ChatModel(calls_per_question=3.5).instruments())
    assert finding.value == pytest.approx(7 / 8)


def test_without_a_meter_the_marker_decides():
    finding = measure(hit_rate, a_target(redis=None, upstream=None), only_marker(ChatModel()))
    assert finding.outcome is Outcome.PASS
    assert "in the replies' marker" in finding.reason
    assert "redis-cli" not in finding.reproduce


def test_without_meter_and_marker_redis_decides():
    chat = ChatModel(marks=None)
    finding = measure(hit_rate, a_target(), chat.instruments(upstream=Undeclared("upstream")))
    assert finding.outcome is Outcome.PASS
    assert "in Redis" in finding.reason
    assert finding.value == pytest.approx(7 / 8)


def test_without_any_witness_nothing_is_assessed():
    finding = measure(hit_rate, a_target(), only_marker(ChatModel(marks=None)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "ask.cached"


def test_a_meter_that_fails_leaves_the_marker():
    chat = ChatModel()
    broken = chat.instruments(upstream=Undeclared("upstream"))
    assert "marker" in measure(hit_rate, a_target(), broken).reason


@pytest.mark.parametrize("after", [("second", 0, 0, 0), ("first", 21, 0, 30), ("first", 0, 0, 0)])
def test_a_redis_that_was_restarted_or_reset_is_not_assessed(after):
    run_id, hits, misses, commands = after
    evidence = hit_rate.Evidence(
        mix(90, 100),
        RedisCounters("first", 9, 10, 10, 20),
        RedisCounters(run_id, 1, hits, misses, commands),
        "",
        "",
    )
    finding = judge(hit_rate, evidence)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "restarted" in finding.reason


def test_no_working_route_follows_from_the_primary_route():
    finding = measure(hit_rate, a_target(), ChatModel().instruments(working=None))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_rate_limit_is_named_and_not_counted_as_a_miss():
    chat = ChatModel(broken=lambda prompt: a_bad_answer(429))
    finding = measure(hit_rate, a_target(), chat.instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "429" in finding.reason


def test_a_service_that_fails_is_not_called_uncached():
    chat = ChatModel(broken=lambda prompt: a_bad_answer(500))
    finding = measure(hit_rate, a_target(), chat.instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "status 500" in finding.reason


def mix(hits: int, answered: int, **changes) -> Mix:
    """A mix counted in the marker alone."""
    fields = {"asked": answered, "answered": answered, "repeats_answered": answered, "marked": answered}
    return Mix("ask", **fields | {"cached": hits} | changes)


@pytest.mark.parametrize(
    ("hits", "outcome", "share"),
    [(70, Outcome.PASS, 1), (69, Outcome.WARN, 0.95), (50, Outcome.WARN, 0), (49, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within_and_called_close(hits, outcome, share):
    finding = judge(hit_rate, hit_rate.Evidence(mix(hits, 100), None, None, "", ""))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)
    assert "Too close to be sure" in finding.reason


def test_a_team_may_ask_for_less_than_the_warning_limit():
    evidence = hit_rate.Evidence(mix(40, 100), None, None, "", "")
    target = a_target(objectives={"hit_ratio": 0.4})
    assert judge(hit_rate, evidence, target).outcome is Outcome.PASS


def test_asking_goes_on_until_the_ratio_is_known_well_and_no_longer():
    instruments = ChatModel().instruments()
    measure(hit_rate, a_target(), instruments)
    assert BLOCK < len(instruments.questions.asked) <= MAX_BLOCKS * BLOCK
    nothing = ChatModel(caches=False).instruments()
    measure(hit_rate, a_target(), nothing)
    assert len(nothing.questions.asked) == BLOCK


def test_a_slow_service_is_judged_on_one_block():
    instruments = ChatModel().instruments(profile=replace(TINY, deadline_factor=0))
    assert measure(hit_rate, a_target(), instruments).outcome is Outcome.PASS
    assert len(instruments.questions.asked) == BLOCK


COUNTERS = st.builds(
    RedisCounters,
    st.sampled_from(["a", "b"]),
    st.integers(0, 9),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 500),
)


@given(mixes(), st.none() | COUNTERS, st.none() | COUNTERS)
def test_any_evidence_gives_an_honest_finding(asked, before, after):
    finding = judge(hit_rate, hit_rate.Evidence(asked, before, after, "", ""))
    if finding.outcome.measured:
        assert asked.repeats_answered >= MIN_REPEATS
        assert 0 <= finding.value <= 1
    if finding.outcome is Outcome.PASS:
        assert finding.value >= 0.7


def test_counters_that_cannot_be_read_leave_a_reason_in_the_evidence():
    redis = ScriptedRedis(counters=InstrumentFailure("NOPERM: this user may not INFO"))
    finding = measure(hit_rate, a_target(), ChatModel(marks=None).instruments(redis=redis, upstream=None))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "NOPERM" in finding.reason
