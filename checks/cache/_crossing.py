"""Questions that are nearly alike, and users whose context differs: what is asked, and what came back.

Private to this family. What is kept of an answer is whether it holds a word that only its own question or
context has, or one that only the other's has; a digest; and its beginning, to be shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Literal

from checks.contract import Answer, Instruments, Route, Target, printable

AT_A_TIME = 4  # in turn; at once is all of a pair
SHOWN_CHARS = 120
TELLING_TRIES = 4
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
UNTOLD = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: whether it is good, holds ``own`` words and those of the ``other``, and its beginning.

    ``digest`` is of its text, ``letters`` of its letters alone: a number or a time may differ in a copy.
    """

    good: bool
    own: bool
    other: bool
    digest: str
    letters: str
    begins: str
    problem: str


@dataclass(frozen=True, slots=True)
class Twins:
    """Two nearly equal questions and their answers. ``kind`` says what differs."""

    kind: Literal["declared", "number", "negation", "name"]
    questions: tuple[str, str]
    heard: tuple[Heard, Heard]


@dataclass(frozen=True, slots=True)
class Round:
    """Pairs asked one half after the other, or both halves ``at_once``; the upstream calls that they cost."""

    at_once: bool
    twins: tuple[Twins, ...]
    calls: float


@dataclass(frozen=True, slots=True)
class Users:
    """The same question by two users who told each their own, and by a stranger who told nothing.

    ``reproduce`` is as shell lines what the two users did.
    """

    at_once: bool
    question: str
    heard: tuple[Heard, Heard, Heard]
    reproduce: str


@dataclass(frozen=True, slots=True)
class _Asked:
    kind: Literal["declared", "number", "negation", "name"]
    questions: tuple[str, str]
    tells: tuple[str, str]


def pairs_of(target: Target, instruments: Instruments) -> list[_Asked]:
    """The declared pairs and three made-up ones, all new in this run."""
    random = instruments.random
    declared = []
    for pair in target.prompts.near_duplicates:
        aside = instruments.prompts.aside()
        first, second = (f"{question} {aside}" for question in pair.questions)
        declared.append(_Asked("declared", (first, second), pair.tells))
    number, negation, name = instruments.prompts.fresh(3)
    numbers, names = _two_numbers(random), (a_word(random), a_word(random))
    return [
        *declared,
        _Asked("number", _both(f"{number} My order number is {{}}.", numbers), numbers),
        _Asked("negation", _both(f"{negation} I have {{}}paid for it.", ("", "not ")), ("", "")),
        _Asked("name", _both(f"{name} Please answer to {{}}.", names), names),
    ]


async def ask_in_turn(instruments: Instruments, pairs: Sequence[_Asked], route: Route) -> tuple[Twins, ...]:
    """All first halves, then all second ones."""
    first = await _some_at_a_time([_ask(instruments, pair.questions[0], route) for pair in pairs])
    second = await _some_at_a_time([_ask(instruments, pair.questions[1], route) for pair in pairs])
    return tuple(_twins(*each) for each in zip(pairs, first, second, strict=True))


async def ask_at_once(instruments: Instruments, pairs: Sequence[_Asked], route: Route) -> tuple[Twins, ...]:
    """Both halves of a pair at the same moment, pair by pair."""
    asked = []
    for pair in pairs:
        both = (_ask(instruments, question, route) for question in pair.questions)
        asked.append(_twins(pair, *await asyncio.gather(*both)))
    return tuple(asked)


async def ask_users(target: Target, instruments: Instruments, route: Route) -> tuple[Users, ...]:
    """Two users tell each their own, then they and a stranger ask the same, in turn and at once.

    Nothing where no context is declared.
    """
    context = target.prompts.context
    if context is None:
        return ()
    first, second = (_User.new(name, context.tell, instruments) for name in ("greenlight-a", "greenlight-b"))
    stranger = _User.new("greenlight-c", "", instruments)
    users = (first, second, stranger)
    rounds = []
    for at_once in (False, True):
        question = f"{context.ask} {instruments.prompts.aside()}"
        if at_once:
            asks = (user.asks(question, instruments, route) for user in (first, second))
            both = list(await asyncio.gather(*asks))
        else:
            both = [await user.tells_and_asks(question, users, instruments, route) for user in users[:2]]
        answers = [
            *both,
            await stranger.asks(question, instruments, route),
        ]  # last, lest all get the stranger's
        heard = [user.hears(answer, users) for user, answer in zip(users, answers, strict=True)]
        lines = [line for user in users[:2] for line in user.lines(question, instruments, route)]
        rounds.append(Users(at_once, question, (heard[0], heard[1], heard[2]), "\n".join(lines)))
    return tuple(rounds)


@dataclass(frozen=True, slots=True)
class _User:
    """Somebody with a session, and a secret that they tell in it ("" for a stranger)."""

    name: str
    session: str
    secret: str
    tell: str

    @classmethod
    def new(cls, name: str, tell: str, instruments: Instruments) -> _User:
        session = f"{a_word(instruments.random)}-{instruments.random.getrandbits(48):012x}"
        secret = a_word(instruments.random) if tell else ""
        return cls(name, session, secret, tell.replace("{secret}", secret))

    async def asks(self, text: str, instruments: Instruments, route: Route) -> Answer:
        return await instruments.questions.ask(text, route=route, user=self.name, session=self.session)

    async def tells_and_asks(
        self, question: str, users: Sequence[_User], instruments: Instruments, route: Route
    ) -> Answer:
        """The answer that shows the secret, or the last: what was told may have reached another replica."""
        for _ in range(TELLING_TRIES):
            await self.asks(self.tell, instruments, route)
            answer = await self.asks(question, instruments, route)
            heard = self.hears(answer, users)
            if heard.own or heard.other:
                break
        return answer

    def hears(self, answer: Answer, users: Sequence[_User]) -> Heard:
        others = [user.secret for user in users if user.secret and user is not self]
        return _heard(answer, [self.secret] if self.secret else [], others)

    def lines(self, question: str, instruments: Instruments, route: Route) -> list[str]:
        curl = instruments.questions.curl
        return [
            curl(text, route=route, user=self.name, session=self.session) for text in (self.tell, question)
        ]


def a_word(random: Random) -> str:
    """A made-up word of eight letters, which no answer holds by chance."""
    word = "".join(random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(4))
    return word.capitalize()


def _two_numbers(random: Random) -> tuple[str, str]:
    """Two numbers of the same five digits."""
    digits = [str(digit) for digit in random.sample(range(1, 10), 5)]
    return "".join(digits), "".join([*digits[:3], digits[4], digits[3]])


def _both(template: str, words: tuple[str, str]) -> tuple[str, str]:
    return template.format(words[0]), template.format(words[1])


async def _ask(instruments: Instruments, question: str, route: Route) -> Answer:
    return await instruments.questions.ask(question, route=route)


async def _some_at_a_time(asks: Sequence[Awaitable[Answer]]) -> list[Answer]:
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(ask: Awaitable[Answer]) -> Answer:
        async with places:
            return await ask

    return list(await asyncio.gather(*map(one, asks)))


def _twins(pair: _Asked, first: Answer, second: Answer) -> Twins:
    one, other = ([tell] if tell else [] for tell in pair.tells)
    return Twins(pair.kind, pair.questions, (_heard(first, one, other), _heard(second, other, one)))


def _heard(answer: Answer, own: Sequence[str], other: Sequence[str]) -> Heard:
    text = answer.text
    return Heard(
        answer.good,
        _holds(text, own),
        _holds(text, other),
        _digest(text),
        _digest(UNTOLD.sub("", text.casefold())),
        printable(text[:SHOWN_CHARS]),
        answer.problem,
    )


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _holds(text: str, words: Sequence[str]) -> bool:
    """Whether one of the words stands in the text as a word of its own, in any case."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)
