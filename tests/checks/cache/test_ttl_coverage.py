"""cache.ttl_coverage against a scripted Redis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import ttl_coverage
from checks.cache.ttl_coverage import Evidence, Keys
from checks.contract import InstrumentFailure, Outcome
from tests.checks.cache.scripted_redis import RedisModel, a_state
from tests.checks.scripted import Undeclared, a_target, judge, measure

OLD = {f"old {n}": 900 for n in range(2000)}


def found(model: RedisModel, target=None, **changes):
    return measure(ttl_coverage, target or a_target(), model.instruments(**changes))


def test_keys_with_an_end_pass():
    model = RedisModel()
    finding = found(model)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert model.asked == 40
    assert "--scan" in finding.reproduce
    assert "keys" not in finding.reproduce.replace("--", "")


def test_keys_without_an_end_fail_with_a_remedy():
    finding = found(RedisModel(ttl_s=lambda route: None))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert "SET key value EX" in finding.fix


def test_a_path_that_writes_no_end_is_not_hidden_by_many_old_keys():
    finding = found(RedisModel(old_keys=OLD, ttl_s=lambda route: None if route == "stream" else 900))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 0
    assert "20\u00a0keys that streamed answers left" in finding.reason
    assert "of all 2,040" in finding.reason


def test_old_keys_without_an_end_are_not_hidden_by_new_ones():
    finding = found(RedisModel(old_keys=dict.fromkeys(OLD)))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == pytest.approx(40 / 2040)


@pytest.mark.parametrize(
    ("expiring", "outcome", "share"),
    [(95, Outcome.PASS, 1), (94, Outcome.WARN, 14 / 15), (80, Outcome.WARN, 0), (79, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(expiring, outcome, share):
    finding = judge(ttl_coverage, evidence(Keys("", 100, expiring)))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)


def test_one_key_of_another_kind_does_not_decide():
    left = Keys("ask", 21, 20)
    assert judge(ttl_coverage, evidence(Keys("", 41, 40), left)).outcome is Outcome.PASS
    assert judge(ttl_coverage, evidence(Keys("", 500, 499), Keys("ask", 4, 0))).outcome is Outcome.PASS


def test_a_sample_that_is_not_all_keys_has_an_interval_and_new_keys_are_not_told_apart():
    model = RedisModel(old_keys=OLD, complete=False, ttl_s=lambda route: None if route == "stream" else 900)
    finding = found(model)
    assert finding.outcome is Outcome.PASS
    assert finding.interval[0] < finding.value
    assert "sampled" in finding.reason


def test_a_cache_that_was_not_touched_leaves_nothing_to_look_at():
    finding = found(RedisModel(old_keys=OLD, stores=lambda route: 0))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "cache.hit_rate"
    assert "saw no command" in finding.reason


@pytest.mark.parametrize(
    "model",
    [
        RedisModel(old_keys=OLD, stores=lambda route: 0, sees_all=False),
        RedisModel(old_keys=OLD, stores=lambda route: 0, failures={"counters": InstrumentFailure("no")}),
        RedisModel(old_keys=OLD, stores=lambda route: 0, after={"run_id": "second"}),
    ],
    ids=["part of a cluster", "counters unread", "restarted"],
)
def test_a_silence_that_proves_nothing_does_not_spoil_the_rest(model):
    assert found(model).outcome is Outcome.PASS


def test_no_key_at_all_names_the_prefix_to_check():
    target = a_target(redis={"url": "redis://127.0.0.1:2/0", "key_prefix": "shop:"})
    model = RedisModel(stores=lambda route: 0, sees_all=False)
    finding = found(model, target)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "`shop:`" in finding.reason
    assert finding.missing == "redis.key_prefix"


def test_only_declared_routes_are_asked():
    model = RedisModel()
    assert found(model, a_target(stream=None)).outcome is Outcome.PASS
    assert model.asked == 20


def test_without_questions_the_keys_that_are_there_are_judged():
    target = a_target(ask=None, stream=None)
    model = RedisModel(a_state(), old_keys=OLD)
    assert found(model, target, questions=Undeclared("questions")).outcome is Outcome.PASS


def test_keys_that_may_not_be_listed_say_which_right_is_missing():
    model = RedisModel(failures={"keys": InstrumentFailure("lacks a right: +scan")})
    with pytest.raises(InstrumentFailure, match=r"\+scan"):
        found(model)


def evidence(every: Keys, *left: Keys, **changes) -> Evidence:
    fields = {"complete": True, "answered": 40, "untouched": False, "prefix": "", "reproduce": ""}
    return Evidence(every=every, left=left, **fields | changes)


KEYS = st.tuples(st.integers(0, 100), st.integers(0, 100))


@given(KEYS, st.lists(KEYS, max_size=2), st.booleans(), st.integers(0, 40), st.booleans())
def test_any_evidence_gives_an_honest_finding(every, left, complete, answered, untouched):
    def keys(pair, by):
        return Keys(by, sum(pair), pair[0])

    found_keys = evidence(
        keys(every, ""),
        *(keys(pair, "stream") for pair in left),
        complete=complete,
        answered=answered,
        untouched=untouched,
    )
    finding = judge(ttl_coverage, found_keys)
    if finding.outcome is Outcome.PASS:
        assert every[0] >= 0.95 * sum(every) > 0
        assert all(pair[0] >= 0.95 * sum(pair) for pair in left if sum(pair) >= 5)
