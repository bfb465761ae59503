"""cache.latency against a scripted Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import latency
from checks.contract import InstrumentFailure, Outcome, SlowCommand
from tests.checks.cache.scripted_redis import RedisModel, a_state
from tests.checks.scripted import ScriptedQuestions, Undeclared, a_bad_answer, a_target, judge, measure

EVAL = SlowCommand(8, 41.5, "EVAL")


def found(model: RedisModel, target=None, **changes):
    return measure(latency, target or a_target(), model.instruments(**changes))


def test_quick_gets_pass():
    model = RedisModel()
    finding = found(model)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0.2
    assert (model.gets, model.asked) == (1000, 25)
    assert "--latency" in finding.reproduce


@pytest.mark.parametrize(
    ("get_ms", "outcome", "share"),
    [(1.0, Outcome.PASS, 1), (1.009, Outcome.WARN, 0.999), (10.0, Outcome.WARN, 0), (10.1, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(get_ms, outcome, share):
    finding = found(RedisModel(gets_ms=[get_ms]))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)


def test_a_team_may_state_its_own_limit():
    target = a_target(objectives={"cache_get_p99_ms": 20.0})
    assert found(RedisModel(gets_ms=[15.0]), target).outcome is Outcome.PASS


def test_the_slowest_of_a_hundred_count_and_an_average_does_not_hide_them():
    assert found(RedisModel(gets_ms=[0.2] * 97 + [40.0] * 3)).outcome is Outcome.FAIL


def test_rounds_that_disagree_are_nine_and_their_median_is_judged():
    busy = RedisModel(gets_ms=[0.2] * 900 + [30.0] * 100)
    busy.get_ms = in_turn(busy, 0.2, 30.0, 0.2, 0.3, 0.2, 30.0, 0.2, 0.2, 30.0)
    finding = found(busy)
    assert finding.outcome is Outcome.PASS
    assert busy.gets == 9 * 200


def in_turn(model: RedisModel, *rounds_ms: float):
    left = list(rounds_ms)

    async def get_ms(count: int) -> list[float]:
        model.gets += count
        return [left.pop(0)] * count

    return get_ms


def test_a_rejected_connection_fails():
    finding = found(RedisModel(after={"rejected": 5}))
    assert finding.outcome is Outcome.FAIL
    assert "2\u00a0connections" in finding.reason
    assert "maxclients" in finding.fix


def test_rejections_of_other_days_count_for_nothing():
    assert found(RedisModel(a_state(rejected=10**6))).outcome is Outcome.PASS


def test_a_slow_command_warns_and_is_named_without_its_arguments():
    finding = found(RedisModel(slow=(SlowCommand(7, 99.0, "KEYS"),), slow_with_questions=(EVAL,)))
    assert finding.outcome is Outcome.WARN
    assert finding.share == 0.5
    assert "1\u00a0command held everybody up meanwhile, the slowest 42\u00a0ms: EVAL" in finding.reason
    assert "KEYS" not in finding.reason
    assert finding.fix


def test_a_slow_command_earns_no_more_than_slow_gets_would():
    finding = found(RedisModel(gets_ms=[9.1], slow_with_questions=(EVAL,)))
    assert finding.share == pytest.approx(0.1)


def test_a_log_that_begins_below_ten_milliseconds_does_not_make_quick_commands_slow():
    quick = replace(EVAL, took_ms=9.99)
    assert found(RedisModel(log_from_ms=0.1, slow_with_questions=(quick,))).outcome is Outcome.PASS


@pytest.mark.parametrize("from_ms", [-0.001, 10.001, 1000.0])
def test_a_slow_log_that_would_not_show_a_slow_command_proves_nothing(from_ms):
    finding = found(RedisModel(log_from_ms=from_ms))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "slowlog-log-slower-than 10000" in finding.reason


def test_a_threshold_that_may_not_be_read_is_taken_for_the_usual_one():
    assert found(RedisModel(log_from_ms=None)).outcome is Outcome.PASS


def test_a_slow_log_that_may_not_be_read_names_the_right_and_does_not_hide_slow_gets():
    right = {"slow_log": InstrumentFailure("Grant it with `ACL SETUSER watcher +slowlog|get`.")}
    finding = found(RedisModel(failures=right))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "+slowlog|get" in finding.reason
    assert found(RedisModel(failures=right, gets_ms=[20.0])).outcome is Outcome.FAIL


@pytest.mark.parametrize("changes", [{"run_id": "second"}, {"rejected": 0}])
def test_a_restart_in_between_is_not_measured(changes):
    assert found(RedisModel(after=changes)).outcome is Outcome.NOT_ASSESSED


def test_without_questions_gets_and_counters_are_judged_all_the_same():
    nothing = a_target(ask=None, stream=None)
    assert found(RedisModel(), nothing, questions=Undeclared("questions")).outcome is Outcome.PASS


def test_a_route_that_does_not_answer_is_made_up_for_by_the_other():
    model = RedisModel()
    questions = ScriptedQuestions(lambda prompt, route: a_bad_answer() if route == "ask" else stream(prompt))

    def stream(prompt):
        return model.answer(prompt, "stream")

    assert found(model, questions=questions).outcome is Outcome.PASS
    assert model.asked == 25


def test_a_service_that_hangs_is_not_asked_on_and_on():
    questions = ScriptedQuestions(lambda prompt, route: a_bad_answer(None))
    assert found(RedisModel(), questions=questions).outcome is Outcome.PASS
    assert len(questions.asked) == 2 * 5  # each of five users once by each route


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=9).map(tuple),
    st.integers(0, 5),
    st.lists(st.builds(SlowCommand, st.integers(0, 99), st.floats(10, 1e6), st.text(max_size=9))).map(tuple),
    st.sampled_from(["", "may not be read"]),
)
def test_any_evidence_gives_an_honest_finding(rounds, rejected, slow, problem):
    before, after = a_state(rejected=3), a_state(rejected=3 + rejected)
    finding = judge(latency, latency.Evidence(rounds, before, after, 25, slow, problem, ""))
    if finding.outcome is Outcome.PASS:
        assert not rejected
        assert not slow
        assert not problem
