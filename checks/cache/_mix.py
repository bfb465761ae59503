"""The repeat mix: how the cache checks ask it, and how answers that cost no upstream call are counted.

Private to this family. The mix is asked in blocks. In a block each of a few questions, new to the service,
is asked once and then again and again; the next round starts when the last one has ended, so no question is
ever in flight twice and a stampede cannot blur the count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from checks.contract import Answer, Finding, InstrumentFailure, Instruments, Route, Target, wilson_interval

DISTINCT = 4
ASKS = 8  # a perfect cache then answers 7 of 8 (87.5 %), which leaves room above limits of 70 % and 80 %
PACE_S = 0.02  # between two asks of one user, so that a rate limit meant for people is not met
MAX_BLOCKS = 5
ENOUGH_S = 20.0  # in the quick profile no block begins later than this, however slow the service is
NARROW_RATIO = 0.06  # half of the interval: with 87.5 % hits this takes four blocks, with none one
DAYS_PER_MONTH = 30
NO_ROUTE = "No declared route answers a question."
MIN_REPEATS = 20  # fewer answered repeats prove nothing
STILL_METER = (
    "The upstream meter did not move while new questions were asked, so it counts something else. Point "
    "`[upstream]` at the counter of paid calls."
)


@dataclass(frozen=True, slots=True)
class Mix:
    """What came back. ``first_*`` is about each question's first ask; calls are deltas of the meter.

    ``marked`` counts answers whose cache marker could be read, ``cached`` those that it calls hits.
    ``problem`` and ``meter_problem`` say why an answer was not good and why there are no calls.
    """

    route: Route | None
    asked: int = 0
    answered: int = 0
    repeats_answered: int = 0
    rate_limited: int = 0
    marked: int = 0
    cached: int = 0
    first_asked: int = 0
    first_calls: float | None = None
    repeat_calls: float | None = None
    problem: str = ""
    meter_problem: str = ""

    @property
    def paid(self) -> float | None:
        """Questions' worth of upstream calls, or None where the meter was not read or never moved.

        One uncached answer may cost several calls, so a call counts as the share of a question that the
        first asks show. It never counts as more than one: first asks that were hits must not hide calls.
        """
        if not self.first_calls or self.repeat_calls is None:
            return None
        return (self.first_calls + self.repeat_calls) / max(1.0, self.first_calls / self.first_asked)

    @property
    def meter_hits(self) -> float | None:
        """Answers that cost no upstream call, or None. A failed ask that was paid for counts against it."""
        return None if self.paid is None else max(0.0, self.answered - self.paid)

    @property
    def hits(self) -> float | None:
        """Hits where the best witness saw them: the meter, then the marker; None where there is neither."""
        if self.meter_hits is not None:
            return self.meter_hits
        return self.cached * self.answered / self.marked if self.marked else None


class Meter:
    """The upstream meter, which most checks can do without, as changes since it was last read.

    Once it could not be read, or went back, ``problem`` says so and no change means anything.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._last: float | None = None
        self.problem = ""

    async def change(self) -> float:
        """Calls since the last reading; 0 for the first."""
        try:
            calls = await self._instruments.upstream.calls()
        except InstrumentFailure as failure:
            self.problem = self.problem or failure.reason
            return 0.0
        last, self._last = self._last, calls
        if last is not None and calls < last:
            self.problem = self.problem or "The upstream meter went back during the measurement."
        return 0.0 if last is None else calls - last

    async def settled(self, step_s: float, within_s: float) -> float:
        """Calls since the last reading, read when the meter has not moved for ``step_s``."""
        total, until = await self.change(), monotonic() + within_s
        while monotonic() < until:
            await asyncio.sleep(step_s)
            more = await self.change()
            if not more:
                break
            total += more
        return total


async def answering_routes(target: Target, instruments: Instruments) -> list[Route]:
    """The first route that answers, and the stream beside it where that answers too."""
    first = await instruments.questions.route()
    if first != "ask" or target.stream is None:
        return [first] if first else []
    answer = await instruments.questions.ask(instruments.prompts.fresh(1)[0], route="stream")
    return ["ask", "stream"] if answer.good else ["ask"]


async def ask_mix(instruments: Instruments, route: Route | None) -> Mix:
    """Ask blocks until the profile's samples are there and the hit ratio is known well, or five are asked.

    ``route`` is found by the caller beforehand, since finding it asks a question too.
    """
    return (await ask_mixes(instruments, [route] if route else []) or (Mix(route),))[0]


async def ask_mixes(instruments: Instruments, routes: Sequence[Route]) -> tuple[Mix, ...]:
    """The same over several routes, which take turns: what is to be known well is all of them together."""
    mixes = [Mix(route) for route in routes]
    meter = Meter(instruments)
    await meter.change()
    until = monotonic() + ENOUGH_S * instruments.profile.deadline_factor
    for block in range(MAX_BLOCKS if mixes else 0):
        if block and monotonic() > until:
            break
        mixes = [await _ask_block(instruments, mix, meter) for mix in mixes]
        asked, answered = sum(mix.asked for mix in mixes), sum(mix.answered for mix in mixes)
        instruments.say(f"Block {block + 1}: {answered} of {asked} questions answered")
        if asked >= instruments.profile.samples and _known_well(mixes):
            break
    return tuple(mixes)


def cannot_say(mix: Mix) -> Finding | None:
    """The finding where too little was answered to say anything about the cache, else None."""
    cause = "endpoint_health.primary_route"
    if mix.route is None:
        return Finding.not_assessed(NO_ROUTE, follows_from=cause)
    if mix.repeats_answered >= MIN_REPEATS:
        return None
    limited = f" {mix.rate_limited} were refused by a rate limit (429)." if mix.rate_limited else ""
    return Finding.not_assessed(
        f"Only {mix.repeats_answered} repeated questions were answered, {MIN_REPEATS} are needed."
        f"{limited} {mix.problem}".strip(),
        follows_from=cause,
    )


def _known_well(mixes: Sequence[Mix]) -> bool:
    answered = sum(mix.answered for mix in mixes)
    if not answered or any(mix.hits is None for mix in mixes):
        return True  # more asking will not tell more
    low, high = wilson_interval(min(sum(mix.hits or 0.0 for mix in mixes), answered), answered)
    return high - low <= 2 * NARROW_RATIO


async def _ask_block(instruments: Instruments, mix: Mix, meter: Meter) -> Mix:
    prompts = instruments.prompts.repeats(DISTINCT)
    first = await _ask_round(instruments, mix, prompts)
    first_calls = await meter.change()
    again: list[Answer] = []
    for _ in range(ASKS - 1):
        again += await _ask_round(instruments, mix, prompts)
    repeat_calls = await meter.change()
    return replace(
        _with_answers(mix, first, again),
        meter_problem=meter.problem,
        first_calls=None if meter.problem else (mix.first_calls or 0.0) + first_calls,
        repeat_calls=None if meter.problem else (mix.repeat_calls or 0.0) + repeat_calls,
    )


async def _ask_round(instruments: Instruments, mix: Mix, prompts: Sequence[str]) -> list[Answer]:
    async def ask(user: int, prompt: str) -> Answer:
        answer = await instruments.questions.ask(prompt, route=mix.route or "ask", user=f"user-{user}")
        await asyncio.sleep(PACE_S)
        return answer

    return list(await asyncio.gather(*(ask(user, prompt) for user, prompt in enumerate(prompts))))


def _with_answers(mix: Mix, first: Sequence[Answer], again: Sequence[Answer]) -> Mix:
    both = [*first, *again]
    good = [answer for answer in both if answer.good]
    problems = (answer.problem for answer in both if not answer.good and answer.status != 429)
    return replace(
        mix,
        asked=mix.asked + len(both),
        answered=mix.answered + len(good),
        repeats_answered=mix.repeats_answered + sum(answer.good for answer in again),
        rate_limited=mix.rate_limited + sum(answer.status == 429 for answer in both),
        marked=mix.marked + sum(answer.cached is not None for answer in good),
        cached=mix.cached + sum(answer.cached is True for answer in good),
        first_asked=mix.first_asked + len(first),
        problem=mix.problem or next(problems, ""),
    )
