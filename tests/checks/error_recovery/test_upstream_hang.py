"""error_recovery.upstream_hang against a scripted chat service and lever."""

from __future__ import annotations

import dataclasses

import pytest

from checks.contract import Failure, FailureKind, InstrumentFailure, Outcome
from checks.error_recovery import upstream_hang
from checks.error_recovery._callers import Told
from checks.error_recovery.upstream_hang import Evidence
from tests.checks.scripted import (
    ScriptedFaults,
    ScriptedInstruments,
    ScriptedQuestions,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
)

TARGET = a_target(objectives={"answer_within_s": 5}, stream=None)
BOTH = a_target(objectives={"answer_within_s": 5})
TIMEOUT = Failure(FailureKind.TIMEOUT, "no reply within 10 s")


def service(silent, *, after=None, working="ask", ways=("hang",)):
    """``silent(prompt)`` answers while the upstream is cut, ``after(prompt)`` once it is back."""
    faults = ScriptedFaults({"upstream": ways})

    def answer(prompt, route):
        if working is None:
            return a_bad_answer(503, route=route)
        if faults.cut:
            return dataclasses.replace(silent(prompt), route=route)
        return after(prompt) if after and faults.events else an_answer(f"About {prompt}", route=route)

    questions = ScriptedQuestions(answer, working=working)
    return ScriptedInstruments(questions=questions, faults=faults)


def measured(silent, *, target=TARGET, **options):
    return judge(upstream_hang, gather(upstream_hang, target, service(silent, **options)), target)


def in_time(status: int = 504, elapsed_s: float = 2.5):
    return lambda prompt: a_bad_answer(status, elapsed_ms=elapsed_s * 1000)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_clean_error_in_time_passes(status):
    finding = measured(in_time(status))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 2.5
    assert f"status {status}" in finding.reason
    assert "curl" in finding.reproduce


@pytest.mark.parametrize(
    ("elapsed_s", "outcome"),
    [(5.0, Outcome.PASS), (5.01, Outcome.WARN), (10.0, Outcome.WARN), (10.01, Outcome.FAIL)],
)
def test_on_the_limit_of_what_callers_wait(elapsed_s, outcome):
    assert measured(in_time(elapsed_s=elapsed_s)).outcome is outcome


def test_without_an_objective_callers_wait_thirty_seconds():
    assert measured(in_time(elapsed_s=30), target=a_target(stream=None)).outcome is Outcome.PASS
    assert measured(in_time(elapsed_s=31), target=a_target(stream=None)).outcome is Outcome.WARN


def test_a_hanging_caller_fails_and_one_round_is_enough():
    hangs = service(lambda prompt: a_bad_answer(None, failure=TIMEOUT, elapsed_ms=10_000))
    found = gather(upstream_hang, TARGET, hangs)
    finding = judge(upstream_hang, found, TARGET)
    assert finding.outcome is Outcome.FAIL
    assert "4 of 4 questions hang: no reply within 10 s" in finding.reason.replace("\u00a0", " ")
    assert hangs.faults.events == ["broke upstream hang", "restored upstream hang"]


def test_a_dropped_connection_is_no_clean_error():
    dropped = a_bad_answer(None, failure=Failure(FailureKind.RESET, "reset"), problem="reset", elapsed_ms=9)
    finding = measured(lambda prompt: dropped)
    assert finding.outcome is Outcome.FAIL
    assert "reset" in finding.reason


@pytest.mark.parametrize("status", [500, 400])
def test_a_crash_or_blame_in_time_warns(status):
    finding = measured(in_time(status))
    assert finding.outcome is Outcome.WARN
    assert str(status) in finding.reason


def test_a_stream_that_ends_in_an_error_in_time_passes():
    ended = a_bad_answer(200, "no token text in 1 events", elapsed_ms=2500)
    assert measured(lambda prompt: ended, target=BOTH).outcome is Outcome.PASS


def test_streams_that_hang_beside_answers_that_do_not_are_told_by_their_route():
    streams = service(in_time())
    ask = streams.questions.answer

    def answer(prompt, route):
        hangs = streams.faults.cut and route == "stream"
        return a_bad_answer(None, failure=TIMEOUT, route=route) if hangs else ask(prompt, route)

    streams.questions.answer = answer
    finding = judge(upstream_hang, gather(upstream_hang, BOTH, streams), BOTH)
    assert finding.outcome is Outcome.FAIL
    assert "2 of 2 questions of the stream route hang" in finding.reason.replace("\u00a0", " ")


def test_a_stand_in_warns_and_one_that_stays_fails():
    apology = lambda prompt: an_answer("Sorry, try again later.", elapsed_ms=100)  # noqa: E731 - used twice
    assert measured(apology).outcome is Outcome.WARN
    finding = measured(apology, after=apology)
    assert finding.outcome is Outcome.FAIL
    assert "still the answer" in finding.reason


def test_a_lever_that_cuts_nothing_measures_nothing():
    finding = measured(lambda prompt: an_answer(f"About {prompt}"))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.upstream"


def test_a_service_that_does_not_come_back_fails():
    caller = Told("ask", False, 504, 2.5, "status", "status 504")
    finding = judge(upstream_hang, Evidence(("ask",), 10.0, (caller,), None, ""), TARGET)
    assert finding.outcome is Outcome.FAIL
    assert "no question is answered" in finding.reason


def test_a_service_that_comes_back_late_is_waited_for():
    late = iter([a_bad_answer(503)] * 2)
    finding = measured(in_time(), after=lambda prompt: next(late, None) or an_answer())
    assert finding.outcome is Outcome.PASS


def test_where_nothing_answers_it_follows_from_the_primary_route():
    finding = measured(in_time(), working=None)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_only_rate_limits_say_nothing():
    assert measured(in_time(429)).outcome is Outcome.NOT_ASSESSED


def test_a_lever_without_the_way_is_named():
    with pytest.raises(InstrumentFailure) as raised:
        gather(upstream_hang, TARGET, service(in_time(), ways=("refuse",)))
    assert raised.value.missing == "levers.upstream.ways"
