"""cache.memory_bound against a scripted Redis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import memory_bound
from checks.contract import InstrumentFailure, Outcome, RedisState
from tests.checks.cache.scripted_redis import RedisModel, a_state
from tests.checks.scripted import Undeclared, a_target, judge, measure

MOST = 64_000_000


def found(model: RedisModel, **changes):
    return measure(memory_bound, a_target(), model.instruments(**changes))


def test_a_limit_with_room_and_a_policy_that_frees_pass():
    model = RedisModel()
    finding = found(model)
    assert finding.outcome is Outcome.PASS
    assert finding.value == pytest.approx(10 / 64)
    assert "allkeys-lru" in finding.reason
    assert "maxmemory" in finding.reproduce
    assert model.asked == 20


@pytest.mark.parametrize(
    ("used", "outcome", "share"),
    [
        (0.8 * MOST, Outcome.PASS, 1),
        (0.85 * MOST, Outcome.WARN, 0.5),
        (0.9 * MOST, Outcome.WARN, 0),
        (0.9 * MOST + 64, Outcome.FAIL, 0),
    ],
)
def test_the_limits_themselves_are_within(used, outcome, share):
    finding = found(RedisModel(a_state(used_bytes=int(used))))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)
    assert finding.fix or outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_bytes": 0}, "without a limit"),
        ({"max_bytes": 9_000_000_000}, "The limit is none"),
        ({"policy": "noeviction"}, "new answers are refused"),
    ],
)
def test_a_limit_that_is_none_and_a_policy_that_frees_nothing_fail(changes, words):
    finding = found(RedisModel(a_state(**changes)))
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert "CONFIG SET" in finding.fix


def test_a_host_that_does_not_say_its_memory_is_not_guessed_at():
    assert found(RedisModel(a_state(host_bytes=0, max_bytes=10**15))).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("evicted", "stored", "outcome"),
    [(1, 100, Outcome.WARN), (1, 99, Outcome.FAIL), (1, 0, Outcome.FAIL), (0, 10, Outcome.PASS)],
)
def test_evictions_are_judged_by_what_was_stored_meanwhile(evicted, stored, outcome):
    finding = found(RedisModel(after={"evicted": 7 + evicted, "sets": 100 + stored}))
    assert finding.outcome is outcome
    assert f"{stored} stored meanwhile" in finding.reason


def test_evictions_of_other_days_count_for_nothing():
    assert found(RedisModel(a_state(evicted=10**9))).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("expiring", "outcome", "share"),
    [(95, Outcome.PASS, 1), (94, Outcome.WARN, 14 / 15), (80, Outcome.WARN, 0), (79, Outcome.FAIL, 0)],
)
def test_under_a_volatile_policy_keys_must_expire(expiring, outcome, share):
    keys = {str(n): 900 if n < expiring else None for n in range(100)}
    finding = found(RedisModel(a_state(policy="volatile-lru"), old_keys=keys, stores=lambda route: 0))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)
    if outcome is not Outcome.PASS:
        assert "volatile-lru" in finding.reason
        assert finding.follows_from == "cache.ttl_coverage"


def test_keys_that_cannot_be_listed_leave_a_volatile_policy_open_unless_the_memory_is_full():
    right = InstrumentFailure("This Redis user lacks a right: ... `ACL SETUSER watcher +scan`.")
    model = RedisModel(a_state(policy="volatile-ttl"), failures={"keys": right})
    finding = found(model)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "+scan" in finding.reason
    full = RedisModel(a_state(policy="volatile-ttl", used_bytes=MOST), failures={"keys": right})
    assert found(full).outcome is Outcome.FAIL


def test_a_volatile_policy_without_any_key_is_left_open():
    finding = found(RedisModel(a_state(policy="volatile-lru"), stores=lambda route: 0))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "cache.hit_rate"


def test_a_policy_that_nobody_knows_is_not_called_good():
    assert found(RedisModel(a_state(policy="cache_mode"))).outcome is Outcome.NOT_ASSESSED


@pytest.mark.parametrize("changes", [{"run_id": "second"}, {"evicted": 0}, {"sets": 0}])
def test_a_restart_in_between_is_not_measured(changes):
    finding = found(RedisModel(after=changes))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "restarted" in finding.reason


def test_a_replica_is_the_wrong_address():
    finding = found(RedisModel(a_state(replica=True, max_bytes=0)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "redis.url"


def test_without_questions_what_is_set_up_is_judged_all_the_same():
    target = a_target(ask=None, stream=None)
    for state, outcome in ((a_state(), Outcome.PASS), (a_state(max_bytes=0), Outcome.FAIL)):
        instruments = RedisModel(state).instruments(questions=Undeclared("questions"))
        assert measure(memory_bound, target, instruments).outcome is outcome


def test_a_redis_that_cannot_be_read_says_why():
    model = RedisModel(failures={"state": InstrumentFailure("lacks a right: +info")})
    with pytest.raises(InstrumentFailure, match=r"\+info"):
        found(model)


STATES = st.builds(
    RedisState,
    run_id=st.sampled_from(["a", "b"]),
    replica=st.booleans(),
    used_bytes=st.integers(-(10**6), 10**12),
    max_bytes=st.integers(0, 10**12),
    host_bytes=st.integers(0, 10**12),
    policy=st.sampled_from(["allkeys-lru", "volatile-lru", "noeviction", "", "?"]),
    evicted=st.integers(0, 10**6),
    sets=st.integers(0, 10**6),
    rejected=st.integers(0, 10**6),
)


@given(STATES, STATES, st.integers(0, 50), st.integers(0, 50))
def test_any_evidence_gives_an_honest_finding(before, after, expiring, others):
    evidence = memory_bound.Evidence(before, after, 20, expiring + others, expiring, "", "")
    finding = judge(memory_bound, evidence)
    if finding.outcome is Outcome.PASS:
        assert after.max_bytes > 0
        assert after.used_bytes <= 0.8 * after.max_bytes
        assert after.policy in ("allkeys-lru", "volatile-lru")
