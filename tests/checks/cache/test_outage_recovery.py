"""cache.outage_recovery against a scripted chat service and a scripted lever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import outage_recovery
from checks.cache._outage import Pair
from checks.contract import InstrumentFailure, Outcome, ProcessFact
from tests.checks.scripted import (
    ChatModel,
    ScriptedFaults,
    ScriptedInstruments,
    ScriptedProcesses,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
    measure,
)

BOTH = {"cache": ("hang", "refuse")}
TARGET = a_target()


class Service:
    """A chat service whose cache can be cut; ``after`` is what it does once it was."""

    def __init__(self, after="recovers", ways=BOTH, **changes) -> None:
        self.chat = ChatModel(**changes)
        self.faults = ScriptedFaults(ways)
        self.after = after
        self.pids = [7]

    def answer(self, prompt, route="ask"):
        was_cut = bool(self.faults.events)
        if self.faults.cut or (was_cut and self.after == "pays"):
            self.chat.calls += 1
            return an_answer(f"About {prompt}", cached=False)
        if was_cut and self.after == "stands in":
            commands = self.chat.commands
            found = self.chat.answer(prompt, route)
            self.chat.commands = commands
            return found
        if was_cut and self.after == "fails":
            return a_bad_answer(500)
        if was_cut and self.after == "restarts":
            self.pids = [8]
        return self.chat.answer(prompt, route)

    def instruments(self, **changes) -> ScriptedInstruments:
        made = self.chat.instruments(faults=self.faults, processes=Listening(self), **changes)
        made.questions.answer = self.answer
        return made


class Listening(ScriptedProcesses):
    def __init__(self, service: Service) -> None:
        super().__init__({})
        self.service = service

    def listening(self, port):
        return [ProcessFact(pid, pid, 1.0, "chat", (port,)) for pid in self.service.pids]


def test_hits_that_come_back_at_once_pass():
    service = Service()
    finding = measure(outage_recovery, TARGET, service.instruments())
    assert finding.outcome is Outcome.PASS
    assert finding.value < 1
    assert service.faults.events == [
        "broke cache refuse",
        "restored cache refuse",
        "broke cache hang",
        "restored cache hang",
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("pays", "repeats are paid for again"),
        ("stands in", "Redis sees no command"),
        ("fails", "no good answer: status 500"),
    ],
)
def test_hits_that_never_come_back_fail_with_what_is_seen_instead(after, words):
    service = Service(after)
    finding = measure(outage_recovery, TARGET, service.instruments())
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert "a cache that refuses connections came back" in finding.reason
    assert "restore it" in finding.reproduce
    assert service.faults.events == ["broke cache refuse", "restored cache refuse"]


def test_a_restart_in_between_is_no_recovery():
    finding = measure(outage_recovery, TARGET, Service("restarts").instruments())
    assert finding.outcome is Outcome.FAIL
    assert "Process 7 ended" in finding.reason


def test_the_marker_decides_where_there_is_no_meter():
    for after, outcome in (("recovers", Outcome.PASS), ("pays", Outcome.FAIL)):
        service = Service(after)
        instruments = service.instruments()
        instruments.upstream = ScriptedInstruments().upstream
        assert measure(outage_recovery, TARGET, instruments).outcome is outcome


def test_a_marker_that_lies_does_not_hide_that_repeats_are_paid():
    service = Service("pays")
    instruments = service.instruments()
    instruments.questions.answer = lambda prompt, route: mark(service.answer(prompt, route))
    assert measure(outage_recovery, TARGET, instruments).outcome is Outcome.FAIL


def mark(answer):
    return an_answer(answer.text, cached=True)


def test_without_redis_hits_are_enough():
    service = Service("stands in")
    instruments = service.instruments()
    instruments.redis = ScriptedInstruments().redis
    assert measure(outage_recovery, TARGET, instruments).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("seconds", "outcome", "share"),
    [(30.0, Outcome.PASS, 1), (75.0, Outcome.WARN, 0.5), (120.0, Outcome.WARN, 0), (120.1, Outcome.FAIL, 0)],
)
def test_the_limits_themselves_are_within(seconds, outcome, share):
    finding = judge(outage_recovery, evidence(recovered_s={"refuse": 0.5, "hang": seconds}))
    assert finding.outcome is outcome
    assert finding.share == pytest.approx(share)
    assert "a cache that is silent" in finding.reason


def test_a_team_may_state_its_own_recovery_time():
    target = a_target(objectives={"recovery_s": 5})
    assert judge(outage_recovery, evidence(recovered_s={"refuse": 6.0}), target).outcome is Outcome.WARN


def test_without_hits_before_there_is_nothing_to_come_back():
    service = Service(caches=False)
    finding = measure(outage_recovery, TARGET, service.instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "cache.hit_rate"
    assert service.faults.events == []


def test_hits_that_redis_never_saw_prove_nothing_about_the_cache_that_is_cut():
    finding = measure(outage_recovery, TARGET, Service(uses_redis=False).instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "redis.url"


def test_one_failing_question_decides_nothing():
    failing = iter([False, True])
    service = Service(broken=lambda prompt: a_bad_answer(500) if next(failing, False) else None)
    assert measure(outage_recovery, TARGET, service.instruments()).outcome is Outcome.PASS


def test_without_any_witness_a_key_is_named():
    service = Service(marks=None)
    instruments = service.instruments()
    instruments.upstream = ScriptedInstruments().upstream
    finding = measure(outage_recovery, TARGET, instruments)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "ask.cached"


def test_a_meter_that_does_not_move_is_no_witness():
    service = Service("pays")
    instruments = service.instruments()
    instruments.upstream.read = lambda: 7.0
    assert measure(outage_recovery, TARGET, instruments).outcome is Outcome.FAIL


def test_a_service_that_does_not_answer_is_never_cut():
    for service, working in ((Service(), None), (Service(broken=lambda prompt: a_bad_answer(503)), "ask")):
        instruments = service.instruments(working=working)
        finding = measure(outage_recovery, TARGET, instruments)
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"
        assert service.faults.events == []


def test_a_lever_that_does_not_cut_proves_nothing():
    service = Service()
    instruments = service.instruments()
    instruments.questions.answer = service.chat.answer
    finding = measure(outage_recovery, TARGET, instruments)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "did not cut" in finding.reason


def test_a_lever_without_a_fitting_way_is_not_assessed():
    with pytest.raises(InstrumentFailure, match="neither way"):
        gather(outage_recovery, TARGET, Service(ways={"cache": ("slow",)}).instruments())


def evidence(**changes) -> outage_recovery.Evidence:
    pair = Pair(True, (1, 0), True, 3, "")
    fields = {
        "before": (pair,) * 5,
        "recovered_s": {"refuse": 0.5},
        "last": pair,
        "watched_s": 120.0,
        "commands": 0,
        "asked": 10,
        "roots_before": (7,),
        "roots_after": (7,),
        "reproduce": "",
    }
    return outage_recovery.Evidence(**fields | changes)


pairs = st.builds(
    Pair,
    st.booleans(),
    st.none() | st.tuples(st.floats(0, 9), st.floats(0, 9)),
    st.none() | st.booleans(),
    st.none() | st.integers(0, 9),
    st.text(max_size=10),
)


@given(
    st.lists(pairs, max_size=5),
    st.dictionaries(st.sampled_from(["refuse", "hang"]), st.none() | st.floats(0, 200)),
    st.none() | pairs,
)
def test_any_evidence_gives_an_honest_finding(before, recovered, last):
    if not recovered:
        before = []
    found = evidence(before=tuple(before), recovered_s=recovered, last=last)
    finding = judge(outage_recovery, found)
    if finding.outcome in (Outcome.PASS, Outcome.WARN):
        assert None not in recovered.values()
        assert sum(pair.hit(uses_redis=False) for pair in before) >= outage_recovery.NEEDED
