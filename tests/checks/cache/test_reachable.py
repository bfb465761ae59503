"""cache.reachable against scripted PINGs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import reachable
from checks.contract import InstrumentFailure, Outcome
from tests.checks.scripted import ScriptedInstruments, ScriptedRedis, a_target, gather, judge, measure


def with_pings(*pings_ms: float) -> ScriptedInstruments:
    return ScriptedInstruments(redis=ScriptedRedis(pings_ms=pings_ms))


def test_quick_pings_pass():
    finding = measure(reachable, a_target(), with_pings(*[0.4] * 20))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0.4
    assert "0.4" in finding.reason
    assert finding.fix == ""


def test_a_twentieth_of_slow_pings_is_not_the_95th_percentile():
    assert measure(reachable, a_target(), with_pings(*[0.4] * 19, 80.0)).outcome is Outcome.PASS
    assert measure(reachable, a_target(), with_pings(*[0.4] * 18, 80.0, 80.0)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("ping_ms", "outcome", "share"),
    [(5.0, Outcome.PASS, 1), (5.001, Outcome.WARN, 0.99), (50.0, Outcome.WARN, 0), (50.1, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(ping_ms, outcome, share):
    finding = measure(reachable, a_target(), with_pings(*[ping_ms] * 20))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share, abs=0.01)


def test_a_team_may_state_its_own_limit():
    target = a_target(objectives={"cache_ping_p95_ms": 100.0})
    assert measure(reachable, target, with_pings(*[60.0] * 20)).outcome is Outcome.PASS


@pytest.mark.parametrize("why", ["Redis cannot be reached: refused.", "Redis refused the credentials."])
def test_a_redis_that_cannot_be_used_fails_with_the_reason_and_a_remedy(why):
    redis = ScriptedRedis(pings_ms=InstrumentFailure(why))
    finding = measure(reachable, a_target(), ScriptedInstruments(redis=redis))
    assert finding.outcome is Outcome.FAIL
    assert why in finding.reason
    assert finding.fix
    assert finding.reproduce == 'redis-cli -u "redis://127.0.0.1:2/0" ping'


def in_rounds(*rounds_ms: list[float], failure: str = "") -> reachable.Evidence:
    return reachable.Evidence(tuple(tuple(pings_ms) for pings_ms in rounds_ms), failure, "")


def test_a_moment_in_which_the_host_was_busy_is_not_the_caches():
    quick, stalled = [0.4] * 20, [0.4] * 10 + [90.0] * 10
    assert judge(reachable, in_rounds(quick, stalled, quick, stalled, quick)).outcome is Outcome.PASS
    assert judge(reachable, in_rounds(quick, stalled, stalled, stalled, quick)).outcome is Outcome.FAIL


def test_rounds_that_agree_are_five_and_others_are_nine():
    assert len(gather(reachable, a_target(), with_pings(*[0.4] * 20)).rounds_ms) == 5
    erratic = ScriptedInstruments(redis=Erratic())
    assert len(gather(reachable, a_target(), erratic).rounds_ms) == 9


class Erratic(ScriptedRedis):
    """Each round is ten times slower than the last."""

    async def ping_ms(self, count: int) -> list[float]:
        self.pings_ms = [10 * (self.pings_ms or [0.01])[0]]
        return list(self.pings_ms)


def test_a_redis_that_goes_away_midway_fails():
    finding = judge(reachable, in_rounds([0.4] * 20, failure="Redis cannot be reached: reset."))
    assert finding.outcome is Outcome.FAIL
    assert "reset" in finding.reason


def test_what_the_target_file_lacks_is_not_the_services_failure():
    redis = ScriptedRedis(pings_ms=InstrumentFailure("REDIS_URL is not set.", missing="REDIS_URL"))
    with pytest.raises(InstrumentFailure, match="REDIS_URL"):
        gather(reachable, a_target(), ScriptedInstruments(redis=redis))
    with pytest.raises(InstrumentFailure):
        gather(reachable, a_target(redis=None), ScriptedInstruments())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@cache:6379/1", "redis://user:$REDIS_PASSWORD@cache:6379/1"),
        ("redis://:hunter2@cache:6379", "redis://:$REDIS_PASSWORD@cache:6379"),
        ("redis://:p@ss:w@cache:6379", "redis://:$REDIS_PASSWORD@cache:6379"),
        ("redis://:${CACHE_PASSWORD}@cache:6379", "redis://:${CACHE_PASSWORD}@cache:6379"),
        ("${CACHE_URL}", "${CACHE_URL}"),
    ],
)
def test_a_password_never_gets_into_the_reproduce_line(url, shown):
    finding = measure(reachable, a_target(redis={"url": url}), with_pings(0.5))
    assert finding.reproduce == f'redis-cli -u "{shown}" ping'


@given(st.lists(st.lists(st.floats(0, 1e5), max_size=20), max_size=9), st.text(max_size=20))
def test_any_evidence_is_judged(rounds_ms, failure):
    assert judge(reachable, in_rounds(*rounds_ms, failure=failure)).outcome.measured
