"""No answer reaches a question, or a user, that it was not made for.

Why it matters
    A cache that takes two questions for one gives a wrong answer fast, and one that forgets whose answer
    it is gives a customer another one's data. Hit rates get better by it, and nothing else notices.

How it is measured
    Questions that differ in a number, a negation or a name only are asked, one after the other and both
    at once, beside the pairs that `[[prompts.near_duplicates]]` declares with a word that only the right
    answer to each holds. An answer that holds the other question's word and not its own has crossed. So
    has one with the same text as its twin where the upstream meter shows that the two cost less than two
    answers. Then two users tell each something of their own (`[prompts.context]`: `tell` with a made-up
    `{secret}`, and `ask`, which asks for it), and they and a stranger ask the same question, in turn and
    at once: nobody may get what another one told. Any answer that crossed fails.

    Your own service supplies the meter with a counter of its paid calls among its metrics, named in the
    target file: `[upstream] calls = { url = "/metrics", metric = "model_calls_total" }`. Without it two
    equal texts prove nothing, and this is not assessed where they come; what crossed by its words still
    fails.

How to fix it
    1. Make the key of everything that the answer depends on: the whole question, and user or session
       where they play a part. Do not drop digits, "not" or names to get more hits.
    2. Use the same key for calls under way as for what is stored.
    3. Where questions are matched by meaning, compare what must not differ before an answer is reused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from checks.cache._crossing import (
    Heard,
    Round,
    Twins,
    Users,
    ask_at_once,
    ask_in_turn,
    ask_users,
    pairs_of,
)
from checks.cache._mix import NO_ROUTE, Meter
from checks.contract import Check, Finding, Instruments, Kind, Limit, Route, Target, plural, show

CHECK = Check(
    failure_title="Answers reach questions or users they were not made for",
    kind=Kind.ACTIVE,
    does="Asks some dozen questions that are nearly alike, and one that two users must not share.",
    measures="answers crossed",
    needs=("questions", "upstream?"),
    deadline_s=150,
    typical_s=5,
)
SINGLES = 2
FEWEST = 2  # of the pairs of a round; with fewer it says nothing
SETTLE_S, SETTLED_WITHIN_S = 0.2, 2.0


@dataclass(frozen=True)
class Thresholds:
    """One answer that crossed is one too many."""

    max_crossed: float = 0


@dataclass(frozen=True)
class Evidence:
    """``single_calls``: what one answer costs at the meter, None where it was not read or did not move.

    ``named``: the declared request names a user or a session, so that answers may depend on it.
    ``reproduce`` has shell lines for each pair of the rounds, by its first question.
    """

    route: Route | None
    single_calls: float | None
    rounds: tuple[Round, ...]
    users: tuple[Users, ...]
    named: bool
    meter_problem: str
    reproduce: dict[str, str]


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask pairs and users, in turn and at once, with the meter read around the pairs."""
    route = await instruments.questions.route()
    named = any(word in _template(target, route) for word in ("{user}", "{session}"))
    if route is None:
        return Evidence(None, None, (), (), named, "", {})
    meter = Meter(instruments)
    await meter.change()
    singles = instruments.prompts.fresh(SINGLES)
    await asyncio.gather(*(instruments.questions.ask(prompt, route=route) for prompt in singles))
    single = await meter.settled(SETTLE_S, SETTLED_WITHIN_S) / SINGLES
    rounds: list[Round] = []
    for at_once in (False, True):
        ask = ask_at_once if at_once else ask_in_turn
        twins = await ask(instruments, pairs_of(target, instruments), route)
        rounds.append(Round(at_once, twins, await meter.settled(SETTLE_S, SETTLED_WITHIN_S)))
    instruments.say("Nearly equal questions are asked; now users with a context of their own")
    users = await ask_users(target, instruments, route)
    lines = {
        pair.questions[0]: "\n".join(instruments.questions.curl(each, route=route) for each in pair.questions)
        for each_round in rounds
        for pair in each_round.twins
    }
    known = single if single and not meter.problem else None
    return Evidence(route, known, tuple(rounds), users, named, meter.problem, lines)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """What crossed fails; without any of it everything must have been looked at to pass."""
    leaks = [(users, heard) for users in evidence.users for heard in users.heard if _leaked(heard)]
    crossed = [
        (asked, twins) for asked, twins in _pairs(evidence) if _state(evidence, asked, twins) == "crossed"
    ]
    number = len(leaks) + len(crossed)
    limit = Limit.at_most(thresholds.max_crossed, thresholds.max_crossed)
    if number > thresholds.max_crossed:
        words, reproduce = _leak(*leaks[0]) if leaks else _crossing(evidence, *crossed[0])
        more = f" In all {number} answers crossed." if number > 1 else ""
        return Finding.failed(
            words + more,
            value=float(number),
            unit="count",
            limit=limit,
            fix="Make the cache's key, and that of calls under way, of all that the answer depends on.",
            reproduce=reproduce,
        )
    unmeasured = _unmeasured(evidence)
    if unmeasured:
        return unmeasured
    asked = sum(1 for _ in _pairs(evidence))
    users = (
        "two users and a stranger got only what was theirs"
        if evidence.users
        else "the request names no user and no session, so no answer can be somebody's"
    )
    return Finding.passed(
        f"{plural(asked, 'pair')} of nearly equal questions were told apart, and {users}.",
        value=float(number),
        unit="count",
        limit=limit,
    )


def _template(target: Target, route: str | None) -> str:
    call = target.stream if route == "stream" else target.ask
    return call.model_dump_json() if call else ""


def _pairs(evidence: Evidence) -> Iterator[tuple[Round, Twins]]:
    """The pairs of which both halves were answered."""
    for asked in evidence.rounds:
        for twins in asked.twins:
            if all(heard.good for heard in twins.heard):
                yield asked, twins


def _leaked(heard: Heard) -> bool:
    return heard.good and heard.other


def _state(evidence: Evidence, asked: Round, twins: Twins) -> Literal["apart", "crossed", "unknown"]:
    """What the words of both answers tell, else their texts together with the meter."""
    first, second = twins.heard
    if any(heard.other and not heard.own for heard in twins.heard):
        return "crossed"
    copies = any(
        _same(each) for each in asked.twins
    )  # digits may differ only where no whole text is the same
    if (first.own and second.own) or not (_same(twins) if copies else first.letters == second.letters):
        return "apart"
    if evidence.single_calls is None:
        return "unknown"
    answers = sum(heard.good for each in asked.twins for heard in each.heard)
    return "crossed" if asked.calls < (answers - 0.5) * evidence.single_calls else "apart"


def _same(twins: Twins) -> bool:
    first, second = twins.heard
    return first.good and second.good and first.digest == second.digest


def _leak(users: Users, heard: Heard) -> tuple[str, str]:
    who = ("the first user", "the second user", "a stranger")[users.heard.index(heard)]
    when = " at the same moment" if users.at_once else ""
    got = f"{who} got what another one had told: {_quoted(heard.begins)}"
    return f"Asked {_quoted(users.question)}{when}, {got}.", users.reproduce


def _crossing(evidence: Evidence, asked: Round, twins: Twins) -> tuple[str, str]:
    when = "asked at the same moment" if asked.at_once else "asked one after the other"
    one, other = map(_quoted, twins.questions)
    begins = _quoted(next((heard for heard in twins.heard if heard.other), twins.heard[1]).begins)
    words = f"{one} and {other}, {when}, got one and the same answer: {begins}."
    return words, evidence.reproduce.get(twins.questions[0], "")


def _quoted(text: str) -> str:
    return f"\u201c{text.strip()}\u201d"


def _unmeasured(evidence: Evidence) -> Finding | None:
    cause = "endpoint_health.primary_route"
    if evidence.route is None:
        return Finding.not_assessed(NO_ROUTE, follows_from=cause)
    for asked in evidence.rounds:
        good = sum(each is asked for each, _ in _pairs(evidence))
        if good < FEWEST:
            problem = next((h.problem for twins in asked.twins for h in twins.heard if h.problem), "")
            return Finding.not_assessed(
                f"Only {good} of {plural(len(asked.twins), 'pair')} of questions were answered. {problem}",
                follows_from=cause,
            )
    unknown = [twins for asked, twins in _pairs(evidence) if _state(evidence, asked, twins) == "unknown"]
    if unknown:
        return Finding.not_assessed(
            f"{_quoted(unknown[0].questions[0])} and {_quoted(unknown[0].questions[1])} got the same text. "
            f"Whether both were paid for only the upstream meter tells. {evidence.meter_problem}".strip(),
            missing="upstream.calls",
        )
    return _context_unmeasured(evidence)


def _context_unmeasured(evidence: Evidence) -> Finding | None:
    if not evidence.users and not evidence.named:
        return None
    pairs = show(float(sum(1 for _ in _pairs(evidence))), "count")
    told_apart = f"{pairs} pairs of nearly equal questions were told apart, but"
    if not evidence.users:
        return Finding.not_assessed(
            f"{told_apart} whether one user's context reaches another was not tried. Add `[prompts.context]` "
            "with `tell` and `ask` to the target file.",
            missing="prompts.context",
        )
    heard = [each for users in evidence.users for each in users.heard]
    if any(each.own for each in heard):
        return None
    problem = next((each.problem for each in heard if each.problem), "")
    return Finding.not_assessed(
        f"{told_apart} no user got back what they had told, so nothing could cross: "
        f"{_quoted(problem or heard[0].begins)}. Check `tell` and `ask` of `[prompts.context]`.",
        missing="prompts.context",
    )
