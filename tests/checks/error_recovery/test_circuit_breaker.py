"""error_recovery.circuit_breaker against a scripted chat service and fault proxy."""

from __future__ import annotations

import asyncio

import pytest

from checks.contract import InstrumentFailure, Outcome, Reply
from checks.error_recovery import _pressing, circuit_breaker
from checks.error_recovery._pressing import Slot
from checks.error_recovery.circuit_breaker import Evidence
from tests.checks.error_recovery.chats import PROBLEM, Chat
from tests.checks.scripted import a_target, gather, judge

TARGET = a_target(objectives={"peak_per_s": 20})
FIELDS = {
    "routes": ("ask",),
    "usual": 1.0,
    "timed": True,
    "per_s": 10.0,
    "told": "status 503 (50 times)",
    "limited_ratio": 0.0,
    "closed_s": 1.0,
    "watched_s": 120.0,
    "reproduce": "curl",
}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for module in (_pressing, circuit_breaker):
        monkeypatch.setattr(module, "SLOT_S", 0.05)
    monkeypatch.setattr(circuit_breaker, "SHORTEST_S", 0.6)
    monkeypatch.setattr(circuit_breaker, "MOST_PER_S", 200.0)
    monkeypatch.setattr(circuit_breaker, "LEAST_PER_S", 200.0)


def measured(chat: Chat, target=TARGET):
    return judge(circuit_breaker, gather(circuit_breaker, target, chat.instruments()), target)


def of_slots(*slots: tuple[int, int, float], **changes):
    found = tuple(Slot(*slot) for slot in slots)
    return judge(circuit_breaker, Evidence(**FIELDS | {"slots": found} | changes))


def test_calls_that_fall_and_come_back_pass():
    chat = Chat(breaks_after=10, closes_after=20)
    finding = measured(chat)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value >= 0.9
    assert "status 503" in finding.reason
    assert chat.faults.events == ["broke upstream errors", "restored upstream errors"]


def test_calls_that_do_not_fall_fail_though_the_upstream_is_used_again():
    finding = measured(Chat())
    assert (finding.outcome, finding.value) == (Outcome.FAIL, 0.0)
    assert "was used again" in finding.reason


def test_a_breaker_on_one_of_two_routes_is_half_a_breaker():
    class OnAskOnly(Chat):
        def complete(self, request, route):
            kept, self.breaks_after = self.breaks_after, self.breaks_after if route == "ask" else None
            done = super().complete(request, route)
            self.breaks_after = kept
            return done

    finding = measured(OnAskOnly(breaks_after=10, closes_after=40, tries=1))
    assert finding.outcome in (Outcome.WARN, Outcome.FAIL)


def test_a_breaker_that_never_closes_fails_and_is_watched_for_a_while():
    finding = measured(Chat(breaks_after=10, closes_after=None))
    assert finding.outcome is Outcome.FAIL
    assert "still not used" in finding.reason
    assert finding.value >= 0.9


def test_good_stand_ins_are_no_sign_that_the_upstream_is_used_again():
    finding = measured(Chat(breaks_after=10, closes_after=None, stands_in=lambda prompt: "Later."))
    assert finding.outcome is Outcome.FAIL
    assert "still not used" in finding.reason


@pytest.mark.parametrize(
    ("calls", "outcome"),
    [
        (0.0, Outcome.PASS),
        (2.0, Outcome.PASS),
        (2.1, Outcome.WARN),
        (10.0, Outcome.WARN),
        (10.1, Outcome.FAIL),
    ],
)
def test_on_the_limit_of_the_fall(calls, outcome):
    found = of_slots((5, 5, 15.0), (5, 5, calls), (5, 5, 0.0), (5, 5, 0.0), (5, 5, 0.0))
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("closed_s", "outcome"),
    [
        (30.0, Outcome.PASS),
        (31.0, Outcome.WARN),
        (120.0, Outcome.WARN),
        (121.0, Outcome.FAIL),
        (None, Outcome.FAIL),
    ],
)
def test_on_the_limit_of_the_way_back(closed_s, outcome):
    assert of_slots(*[(5, 5, 0.0)] * 5, closed_s=closed_s).outcome is outcome


def test_questions_that_do_not_end_are_no_open_breaker():
    finding = of_slots(*[(5, 0, 0.4)] * 5)
    assert finding.outcome is Outcome.FAIL
    assert "did not even end" in finding.reason
    assert of_slots(*[(5, 1, 1.0)] * 5).outcome is Outcome.FAIL


def test_callers_who_get_no_answer_wait_at_most_so_many():
    chat = Chat()
    instruments = chat.instruments()

    async def never(*_, **__):
        await asyncio.Event().wait()

    instruments.questions.ask = never
    pressing = _pressing.Pressing(instruments, ("ask",), per_s=10_000, timeout_s=1)

    async def pressed():
        calls = circuit_breaker.UpstreamCalls(instruments)
        await calls.start()
        return await pressing.slot(calls)

    slot = asyncio.run(pressed())
    assert (slot.asked, slot.ended) == (_pressing.MAX_WAITING, 0)


def test_rate_limits_are_no_breaker():
    finding = measured(Chat(says=Reply("/api/chat", 429, body=PROBLEM)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "objectives.peak_per_s"


def test_where_nothing_answers_it_follows_from_the_primary_route():
    finding = measured(Chat(working=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_proxy_that_no_call_comes_through_measures_nothing():
    finding = measured(Chat(calls_of=()))
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "levers.upstream")


def test_calls_that_somebody_polls_with_do_not_count():
    class Polled(Chat):
        def answer(self, prompt, route):
            if self.cut:
                self.call("GET /health")
            return super().answer(prompt, route)

    assert measured(Polled(breaks_after=10, closes_after=20)).outcome is Outcome.PASS


def test_a_meter_that_counts_failed_calls_is_as_good():
    def metered(**changes):
        return measured(Chat(counts=False, meter=lambda chat: len(chat.proxied), **changes))

    assert metered(breaks_after=10, closes_after=20).outcome is Outcome.PASS
    assert metered().outcome is Outcome.FAIL


def test_a_meter_that_does_not_count_failed_calls_is_said_so():
    answered = Chat(counts=False, meter=lambda chat: sum(not call.refused for call in chat.proxied))
    finding = measured(answered)
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "levers.upstream.kind")


def test_a_lever_without_errors_says_what_to_start_and_declare():
    with pytest.raises(InstrumentFailure, match="python -m app faults proxy") as caught:
        measured(Chat(ways=("refuse", "hang")))
    assert caught.value.missing == "levers.upstream.ways"
