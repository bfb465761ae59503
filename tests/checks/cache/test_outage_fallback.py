"""cache.outage_fallback against a scripted chat service and a scripted lever."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import _outage, outage_fallback
from checks.cache._outage import Probe
from checks.contract import Failure, FailureKind, InstrumentFailure, Outcome, Reply
from tests.checks.scripted import (
    ChatModel,
    ScriptedFaults,
    ScriptedHttp,
    ScriptedInstruments,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
    measure,
)

BOTH = {"cache": ("hang", "refuse")}


def service(*, uncut=None, cut=None, ways=BOTH, **changes) -> tuple[ScriptedInstruments, ScriptedFaults]:
    """A service that answers through ``uncut`` and ``cut`` (a function of way and prompt)."""
    faults = ScriptedFaults(ways)
    chat = ChatModel()

    def answer(prompt, route):
        if faults.cut and cut:
            return cut(faults.cut[1], prompt)
        return uncut(prompt) if uncut else chat.answer(prompt, route)

    instruments = chat.instruments(faults=faults, **changes)
    instruments.questions.answer = answer
    return instruments, faults


def quick(prompt="", **changes):
    return an_answer(f"About {prompt}", **changes)


def test_good_answers_in_time_through_both_cuts_pass():
    instruments, faults = service(cut=lambda way, prompt: quick(prompt, elapsed_ms=320.0))
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 320
    assert faults.events == [
        "broke cache refuse",
        "restored cache refuse",
        "broke cache hang",
        "restored cache hang",
    ]


def test_known_and_new_questions_are_asked_during_the_cut():
    instruments, _ = service(cut=lambda way, prompt: quick(prompt))
    found = gather(outage_fallback, a_target(), instruments)
    assert {probe.never_seen for probe in found.cut} == {True, False}
    assert {probe.way for probe in found.cut} == {"refuse", "hang"}
    assert set(found.answered_again_s) == {"refuse", "hang"}


def test_an_error_names_the_way_and_the_time_of_the_first():
    def cut(way, prompt):
        return a_bad_answer(500, "status 500 instead of 200") if way == "hang" else quick(prompt)

    instruments, faults = service(cut=cut)
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.FAIL
    assert "a cache that is silent" in finding.reason
    assert "after the cut got no good answer: status 500" in finding.reason
    assert "curl" in finding.reproduce
    assert faults.cut is None


def test_a_hang_fails():
    instruments, _ = service(cut=lambda way, prompt: a_bad_answer(None, "no reply within 5 s"))
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.FAIL
    assert "no reply within 5 s" in finding.reason
    assert "refuses connections" in finding.reason


def test_good_but_late_answers_warn():
    instruments, _ = service(
        uncut=lambda prompt: quick(prompt, elapsed_ms=2000.0),
        cut=lambda way, prompt: quick(prompt, elapsed_ms=5000.0),
    )
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.WARN
    assert 0 < finding.share < 1
    assert finding.limit.pass_at == 4000


@pytest.mark.parametrize(
    ("cold_ms", "cut_ms", "outcome"),
    [
        (300.0, 1300.0, Outcome.PASS),
        (300.0, 1301.0, Outcome.WARN),
        (3000.0, 6000.0, Outcome.PASS),
        (3000.0, 6001.0, Outcome.WARN),
    ],
)
def test_the_bound_is_twice_the_cold_p95_or_one_second_more(cold_ms, cut_ms, outcome):
    finding = judge(outage_fallback, evidence(cold_ms=cold_ms, cut_ms=cut_ms))
    assert finding.outcome is outcome


def test_one_and_the_same_apology_for_every_question_is_no_answer():
    instruments, _ = service(cut=lambda way, prompt: an_answer("Sorry, something went wrong."))
    found = gather(outage_fallback, a_target(), instruments)
    many = replace(found, cut=found.cut * 4)
    finding = judge(outage_fallback, many)
    assert finding.outcome is Outcome.FAIL
    assert "one and the same answer" in finding.reason


def test_a_service_that_always_says_the_same_is_not_accused_of_apologies():
    instruments, _ = service(
        uncut=lambda prompt: an_answer("Hello."), cut=lambda way, prompt: an_answer("Hello.")
    )
    assert measure(outage_fallback, a_target(), instruments).outcome is Outcome.PASS


def test_a_service_that_stays_down_after_the_cut_fails():
    finding = judge(outage_fallback, evidence(answered_again_s={"refuse": None}))
    assert finding.outcome is Outcome.FAIL
    assert "came back" in finding.reason


def recovery_s(instruments, *, used_cache: bool) -> float | None:
    users = _outage.Users(instruments, "ask", ["known"])
    counter = _outage.CommandCount(instruments)
    return asyncio.run(users.answered_again_s(counter, used_cache=used_cache))


def test_a_good_answer_after_the_cut_is_waited_for():
    answers = iter([a_bad_answer(503), a_bad_answer(503), quick()])
    instruments, _ = service()
    instruments.questions.answer = lambda prompt, route: next(answers)
    assert recovery_s(instruments, used_cache=False) >= 4 * _outage.PACE_S


def test_the_next_cut_waits_until_the_service_calls_its_cache_again():
    chat = ChatModel()
    instruments = chat.instruments()
    uncached, asked = 3, instruments.questions.asked
    instruments.questions.answer = lambda prompt, route: (
        quick(prompt) if len(asked) <= uncached else chat.answer(prompt)
    )
    assert recovery_s(instruments, used_cache=True) < 4 * _outage.PACE_S
    assert len(asked) == uncached + 1
    assert recovery_s(instruments, used_cache=False) is not None
    assert len(asked) == uncached + 2


def test_only_the_ways_of_the_lever_are_used():
    instruments, faults = service(ways={"cache": ("refuse", "slow")}, cut=lambda way, prompt: quick(prompt))
    assert measure(outage_fallback, a_target(), instruments).outcome is Outcome.PASS
    assert faults.events == ["broke cache refuse", "restored cache refuse"]


def test_a_lever_without_a_fitting_way_is_not_assessed():
    instruments, _ = service(ways={"cache": ("slow",)})
    with pytest.raises(InstrumentFailure, match="neither way") as caught:
        gather(outage_fallback, a_target(), instruments)
    assert caught.value.missing == "levers.cache.ways"


def test_a_lever_that_fails_is_not_the_services_failure():
    instruments, _ = service()
    instruments.faults = ScriptedFaults(BOTH, refusal=InstrumentFailure("The proxy answers 404."))
    with pytest.raises(InstrumentFailure, match="404"):
        gather(outage_fallback, a_target(), instruments)


def test_a_lever_that_does_not_cut_proves_nothing():
    instruments, _ = service()  # the model goes on using its Redis
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "did not cut" in finding.reason


def test_a_service_that_never_called_its_cache_passes_with_a_remark():
    instruments, _ = service(uncut=quick, cut=lambda way, prompt: quick(prompt))
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is Outcome.PASS
    assert "no call to the cache before" in finding.reason


def test_a_service_that_does_not_answer_is_never_cut():
    for instruments, faults in (
        service(uncut=lambda prompt: a_bad_answer(500)),
        service(uncut=lambda prompt: a_bad_answer(429)),
    ):
        finding = measure(outage_fallback, a_target(), instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"
        assert faults.events == []
    instruments, faults = service()
    instruments.questions.working = None
    assert measure(outage_fallback, a_target(), instruments).outcome is Outcome.NOT_ASSESSED
    assert faults.events == []


def evidence(*, cold_ms=300.0, cut_ms=300.0, **changes) -> outage_fallback.Evidence:
    cold = tuple(Probe("", 0, True, True, 200, cold_ms, "", str(n)) for n in range(10))
    cut = tuple(Probe("refuse", n, True, True, 200, cut_ms, "", str(n)) for n in range(10))
    fields = {
        "cold": cold,
        "cut": cut,
        "answered_again_s": {"refuse": 0.3},
        "answer_deadline_s": 12.0,
        "commands": {},
        "reproduce": "",
    }
    return outage_fallback.Evidence(**fields | changes)


def probes(way):
    return st.builds(
        Probe,
        way,
        st.floats(0, 60),
        st.booleans(),
        st.booleans(),
        st.none() | st.sampled_from([200, 429, 500]),
        st.floats(0, 1e5),
        st.text(max_size=10),
        st.sampled_from("abc"),
    )


@given(
    st.lists(probes(st.just("")), max_size=10),
    st.lists(probes(st.sampled_from(["refuse", "hang"])), max_size=10),
    st.dictionaries(st.sampled_from(["refuse", "hang"]), st.none() | st.floats(0, 10)),
    st.dictionaries(st.sampled_from(["", "refuse", "hang"]), st.none() | st.integers(0, 99)),
)
def test_any_evidence_gives_an_honest_finding(cold, cut, again, commands):
    found = evidence(cold=tuple(cold), cut=tuple(cut), answered_again_s=again, commands=commands)
    finding = judge(outage_fallback, found)
    if finding.outcome in (Outcome.PASS, Outcome.WARN):
        assert all(probe.good for probe in cut if probe.status != 429)
        assert None not in again.values()


SILENT = Reply("/health", None, failure=Failure(FailureKind.TIMEOUT, "no reply within 5 s"))


@pytest.mark.parametrize(
    ("uncut", "cut", "outcome"),
    [
        (Reply("/health", 200), Reply("/health", 200, body=b'{"status": "degraded"}'), Outcome.PASS),
        (Reply("/health", 200), Reply("/health", 503), Outcome.FAIL),
        (Reply("/health", 200), SILENT, Outcome.FAIL),
        (Reply("/health", 503), Reply("/health", 503), Outcome.PASS),
    ],
    ids=["degraded and green", "red", "silent", "red before"],
)
def test_a_health_route_that_turns_red_with_the_cache_fails(uncut, cut, outcome):
    instruments, faults = service(cut=lambda way, prompt: quick(prompt, elapsed_ms=320.0))
    instruments.http = ScriptedHttp({("GET", "/health"): lambda _: cut if faults.cut else uncut})
    finding = measure(outage_fallback, a_target(), instruments)
    assert finding.outcome is outcome
    if outcome is Outcome.FAIL:
        assert "the health route turns red" in finding.reason


def test_without_a_declared_health_route_none_is_asked():
    instruments, _ = service(cut=lambda way, prompt: quick(prompt, elapsed_ms=320.0))
    instruments.http = ScriptedHttp({})
    assert measure(outage_fallback, a_target(health=None), instruments).outcome is Outcome.PASS
    assert instruments.http.sent == []
