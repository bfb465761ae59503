"""cache.isolation against a scripted chat service that remembers what a session told."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cache import _crossing, isolation
from checks.cache._crossing import Heard, Round, Twins, Users
from checks.contract import Answer, InstrumentFailure, Outcome
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedUpstream,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    judge,
    measure,
)

CONTEXT = {"tell": "My code is {secret}.", "ask": "What is my code?"}
PAIRS = [
    {"questions": ["Open on Monday?", "Open on Sunday?"], "tells": ["from eight", "closed"]},
]
ASK = {"path": "/api/chat", "body": {"message": "{prompt}", "session": "{session}"}, "answer": "answer"}


LETTERS = str.maketrans("0123456789", "abcdefghij")


def a_service_target(**prompts):
    return a_target(ask=ASK, stream=None, prompts={"near_duplicates": PAIRS, "context": CONTEXT} | prompts)


TARGET = a_service_target()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(isolation, "SETTLE_S", 0.001)


class Chat:
    """Answers from what was asked and what the session told; ``key`` is what its cache goes by.

    ``flight`` is the key of calls under way, ``echoes`` whether answers repeat the question's own words.
    """

    working = "ask"

    def __init__(self, key=None, flight=None, *, echoes=True, remembers=True, fails=lambda prompt: False):
        self.key = key or (lambda session, prompt: (session, prompt))
        self.flight = flight or self.key
        self.echoes = echoes
        self.remembers = remembers
        self.fails = fails
        self.told: dict[str, str] = {}
        self.kept: dict[object, str] = {}
        self.under_way: dict[object, asyncio.Future[str]] = {}
        self.calls = 0

    async def route(self):
        return self.working

    async def ask(self, prompt, *, route="ask", user="", session="", timeout_s=30.0) -> Answer:
        if self.fails(prompt):
            return a_bad_answer(500)
        if prompt.startswith("My code is") and self.remembers:
            self.told[session] = prompt
        session = session if session in self.told else ""
        key, flight = self.key(session, prompt), self.flight(session, prompt)
        if key not in self.kept:
            if flight in self.under_way:
                return an_answer(await self.under_way[flight])
            self.under_way[flight] = asyncio.get_running_loop().create_future()
            self.calls += 1
            text = self.thought(session, prompt)
            await asyncio.sleep(0.002)
            self.kept[key] = text
            self.under_way.pop(flight).set_result(text)
        return an_answer(self.kept[key])

    def thought(self, session: str, prompt: str) -> str:
        days = {"Open on Monday?": "from eight", "Open on Sunday?": "closed"}
        known = next((answer for question, answer in days.items() if question in prompt), "")
        said = prompt if self.echoes else sha256(prompt.encode()).hexdigest().translate(LETTERS)
        return f"{known} {self.told.get(session, '')} {said}"

    def curl(self, prompt, *, route="ask", user="", session=""):
        return f"curl '{prompt}' # {session}"

    def instruments(self, *, meter=True, **changes) -> ScriptedInstruments:
        given = {"questions": self}
        if meter:
            given["upstream"] = ScriptedUpstream(lambda: float(self.calls))
        return ScriptedInstruments(**given | changes)


def without_digits(session, prompt):
    return session, re.sub(r"\d{5}", "", prompt)  # scripted prompts differ in numbers, and those are short


def test_answers_of_their_own_pass():
    finding = measure(isolation, TARGET, Chat().instruments())
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value == 0
    assert "8\u00a0pairs" in finding.reason
    assert "two users and a stranger" in finding.reason


@pytest.mark.parametrize(
    ("less", "differs"),
    [
        (without_digits, "My order number is"),
        (lambda session, prompt: (session, prompt.replace("not ", "")), "I have not paid"),
        (lambda session, prompt: (session, re.sub(r"answer to \w+", "", prompt)), "Please answer to"),
        (lambda session, prompt: (session, re.sub(r"(Mon|Sun)day", "", prompt)), "Open on"),
    ],
)
@pytest.mark.parametrize("echoes", [True, False])
def test_a_key_that_drops_what_differs_fails_and_shows_the_pair(less, differs, echoes):
    finding = measure(isolation, TARGET, Chat(less, echoes=echoes).instruments())
    assert finding.outcome is Outcome.FAIL
    assert differs in finding.reason
    assert "asked one after the other" in finding.reason
    assert finding.reproduce.count("curl") == 2


def test_calls_under_way_that_are_shared_by_less_fail_at_once_only():
    finding = measure(isolation, TARGET, Chat(flight=without_digits).instruments())
    assert finding.outcome is Outcome.FAIL
    assert "asked at the same moment" in finding.reason
    assert "In all" not in finding.reason


def test_a_key_without_the_session_gives_one_user_the_others_secret():
    finding = measure(isolation, TARGET, Chat(lambda session, prompt: prompt).instruments(meter=False))
    assert finding.outcome is Outcome.FAIL
    assert "the second user got what another one had told" in finding.reason
    assert finding.reproduce.count("curl") == 4


def test_sharing_across_users_at_the_same_moment_fails():
    finding = measure(isolation, TARGET, Chat(flight=lambda session, prompt: prompt).instruments())
    assert finding.outcome is Outcome.FAIL
    assert "at the same moment, the" in finding.reason


def test_without_a_meter_words_alone_can_fail_and_different_texts_pass():
    assert measure(isolation, TARGET, Chat().instruments(meter=False)).outcome is Outcome.PASS
    finding = measure(isolation, TARGET, Chat(without_digits).instruments(meter=False))
    assert finding.outcome is Outcome.FAIL


def test_the_same_text_without_a_meter_is_not_assessed_with_the_key_to_add():
    def drops_not(session, prompt):
        return session, prompt.replace("not ", "")

    finding = measure(isolation, TARGET, Chat(drops_not, echoes=False).instruments(meter=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "upstream.calls"
    assert "only the upstream meter tells" in finding.reason


def test_a_service_that_says_the_same_to_all_and_pays_for_it_has_not_crossed():
    chat = Chat(echoes=False)
    chat.thought = lambda session, prompt: f"Call us. {chat.told.get(session, '')}"
    no_pairs = a_service_target(near_duplicates=[])
    assert measure(isolation, no_pairs, chat.instruments()).outcome is Outcome.PASS


def test_a_copy_in_which_only_a_time_differs_is_one():
    chat, now = Chat(without_digits, echoes=False), iter(range(1000))
    ask = chat.ask

    async def stamped(prompt, **more):
        answer = await ask(prompt, **more)
        return an_answer(f"{answer.text} at 12:00:{next(now):02}")

    chat.ask = stamped
    finding = measure(isolation, a_service_target(near_duplicates=[]), chat.instruments())
    assert finding.outcome is Outcome.FAIL
    assert "My order number is" in finding.reason


def test_a_meter_that_cannot_be_read_is_named():
    chat = Chat(echoes=False)
    chat.thought = lambda session, prompt: "Call us."
    broken = ScriptedUpstream(InstrumentFailure("The meter answers 404."))
    finding = measure(isolation, a_service_target(near_duplicates=[]), chat.instruments(upstream=broken))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "The meter answers 404." in finding.reason


def test_without_a_declared_context_users_are_not_assessed():
    finding = measure(isolation, a_service_target(context=None), Chat().instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "prompts.context"


def test_a_request_that_names_nobody_needs_no_context():
    target = a_target(stream=None)
    finding = measure(isolation, target, Chat().instruments())
    assert finding.outcome is Outcome.PASS
    assert "names no user and no session" in finding.reason


def test_a_context_that_is_not_remembered_proves_nothing():
    finding = measure(isolation, TARGET, Chat(remembers=False).instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "prompts.context"
    assert "no user got back what they had told" in finding.reason


def test_one_question_in_six_that_fails_decides_nothing():
    asked = iter(range(1000))
    chat = Chat(fails=lambda prompt: next(asked) % 6 == 5)
    assert measure(isolation, TARGET, chat.instruments()).outcome is Outcome.PASS


def test_a_service_that_does_not_answer_is_not_assessed():
    silent = Chat()
    silent.working = None
    for chat in (silent, Chat(fails=lambda prompt: True)):
        finding = measure(isolation, TARGET, chat.instruments())
        assert finding.outcome is Outcome.NOT_ASSESSED
        assert finding.follows_from == "endpoint_health.primary_route"


def test_what_an_answer_says_is_kept_short_and_printable():
    chat = Chat(lambda session, prompt: prompt)
    chat.thought = lambda session, prompt: f"{chat.told.get(session, '')}\x1b[2J\x00" + "x" * 100_000
    found = gather(isolation, TARGET, chat.instruments())
    begins = [heard.begins for asked in found.rounds for twins in asked.twins for heard in twins.heard]
    assert all(text.isprintable() and len(text) <= _crossing.SHOWN_CHARS for text in begins)


def test_a_word_is_heard_as_a_word_of_its_own_only():
    assert _crossing._holds("No, you cannot.", ["no"])
    assert not _crossing._holds("You know.", ["no"])
    assert _crossing._holds("(48213)", ["48213"])
    assert not _crossing._holds("148213", ["48213"])


heard = st.builds(
    Heard,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from("ab"),
    st.sampled_from("ab"),
    st.text(max_size=5),
    st.text(max_size=5),
)
twins = st.builds(
    Twins, st.sampled_from(["declared", "number"]), st.just(("one?", "two?")), st.tuples(heard, heard)
)
rounds = st.builds(Round, st.booleans(), st.lists(twins, max_size=4).map(tuple), st.floats(0, 20))
users = st.builds(Users, st.booleans(), st.just("mine?"), st.tuples(heard, heard, heard), st.just(""))


@given(
    st.sampled_from(["ask", "stream", None]),
    st.none() | st.floats(0.5, 4),
    st.lists(rounds, max_size=2),
    st.lists(users, max_size=2),
    st.booleans(),
)
def test_any_evidence_gives_an_honest_finding(route, single, asked, told, named):
    found = isolation.Evidence(route, single, tuple(asked), tuple(told), named, "", {})
    finding = judge(isolation, found)
    if finding.outcome is Outcome.PASS:
        assert route
        assert not any(each.good and each.other for user in told for each in user.heard)
        assert told or not named
