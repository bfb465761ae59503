"""A cached answer is at least five times faster.

Why it matters
    "Five times faster with the cache" is what was expected and never measured. A cache that answers as
    slowly as the model it stands in front of has a cost and no benefit.

How it is measured
    Questions that the service has never seen are asked, and then the same ones again, in small batches so
    that both see the same minute. The ratio of the medians gets a bootstrap interval (2,000 resamples of
    the pairs, 95 %, percentile method), and its lower end is judged. Where the target declares its paid
    upstream, the meter is read between: repeats that still paid were not answered by the cache, however
    fast they came. A first ask that is marked as cached counts like any other, which can only lower the
    ratio, and is named.

How to fix it
    1. Mend `cache.hit_rate` first: an answer that was not stored cannot be fast.
    2. Return the stored answer before anything slow: no model, no moderation, no database on a hit.
    3. Keep connections to the cache open, and store answers small and ready to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic

from checks.cache._mix import NO_ROUTE, Meter
from checks.cache._reproduce import ask_twice
from checks.contract import (
    Answer,
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Route,
    Target,
    objective,
    plural,
    ratio_of_medians,
    show,
)

CHECK = Check(
    failure_title="The cache makes answers hardly faster",
    kind=Kind.ACTIVE,
    does="Asks 20 never-seen questions or more, two at a time, and each of them again.",
    measures="faster when the same question is asked again",
    needs=("questions", "upstream?"),
    deadline_s=120,
    typical_s=5,
)
BATCH = 4
USERS = 2  # more would queue at a single upstream connection and make the cold side look slow
MIN_PAIRS = 10
ENOUGH_S = 60.0  # in the quick profile; a service this slow is judged on fewer pairs
WIDE = 2.5  # an interval whose ends differ by more than this factor is worth up to twice the questions


@dataclass(frozen=True)
class Thresholds:
    """The team expects 5x; below 2x nobody notices."""

    pass_speedup: float = objective(5.0, "cache_speedup")
    warn_speedup: float = 2.0


@dataclass(frozen=True)
class Evidence:
    """``pairs_ms``: a question's first ask and the same again, where both were answered.

    ``unanswered`` counts the other pairs, ``problem`` is one of their reasons. ``cold_calls`` and
    ``warm_calls`` are the upstream meter's on each side, None where it was not read. ``cold_marked`` counts
    first asks that came back marked as cached.
    """

    pairs_ms: tuple[tuple[float, float], ...]
    unanswered: int
    problem: str
    cold_marked: int
    cold_calls: float | None
    warm_calls: float | None
    reproduce: str


async def gather(_target: Target, instruments: Instruments) -> Evidence:
    """Ask batches of never-seen questions, each batch twice, with the meter read in between."""
    route = await instruments.questions.route()
    samples = instruments.profile.samples if route else 0
    cold: list[Answer] = []
    warm: list[Answer] = []
    meter = Meter(instruments)
    cold_calls = warm_calls = await meter.change()
    until = monotonic() + ENOUGH_S * instruments.profile.deadline_factor
    while len(cold) < samples or (len(cold) < 2 * samples and _wide(_pairs_ms(cold, warm))):
        if len(cold) >= MIN_PAIRS and monotonic() > until:
            break
        prompts = instruments.prompts.fresh(BATCH)
        cold += await _ask_all(instruments, prompts, route)
        cold_calls += await meter.change()
        warm += await _ask_all(instruments, prompts, route)
        warm_calls += await meter.change()
        instruments.say(f"{len(cold)} questions asked twice")
    pairs_ms = _pairs_ms(cold, warm)
    return Evidence(
        pairs_ms,
        unanswered=len(cold) - len(pairs_ms),
        problem=next((a.problem for a in (*cold, *warm) if not a.good), "" if route else NO_ROUTE),
        cold_marked=sum(answer.cached is True for answer in cold),
        cold_calls=None if meter.problem else cold_calls,
        warm_calls=None if meter.problem else warm_calls,
        reproduce=ask_twice(instruments, instruments.prompts.fresh(1)[0], route),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The lower end of the interval decides, unless the meter shows that repeats were paid again."""
    pairs = evidence.pairs_ms
    if len(pairs) < MIN_PAIRS:
        return Finding.not_assessed(
            f"Only {plural(len(pairs), 'question')} of {len(pairs) + evidence.unanswered} were answered "
            f"twice, {MIN_PAIRS} are needed. {evidence.problem}".strip(),
            follows_from="endpoint_health.primary_route",
        )
    limit = Limit.at_least(thresholds.pass_speedup, thresholds.warn_speedup)
    ratio, interval = ratio_of_medians(pairs)
    paid_again = _paid_again(evidence)
    return Finding.by_limit(
        0.0 if paid_again else interval[0],
        "x",
        limit,
        f"Asked again, an answer took {show(median(warm for _, warm in pairs), 'ms')} instead of "
        f"{show(median(cold for cold, _ in pairs), 'ms')}: {show(ratio, 'x')} as fast, at least "
        f"{show(interval[0], 'x')}, limit {show(limit.pass_at, 'x')}.{paid_again}{_remarks(evidence)}",
        interval=interval,
        fix="Return the stored answer before anything slow is called.",
        reproduce=evidence.reproduce,
        follows_from="cache.hit_rate",
    ).but(value=ratio)


async def _ask_all(instruments: Instruments, prompts: Sequence[str], route: Route | None) -> list[Answer]:
    places = asyncio.Semaphore(USERS)

    async def ask(prompt: str) -> Answer:
        async with places:
            return await instruments.questions.ask(prompt, route=route or "ask")

    return list(await asyncio.gather(*(ask(prompt) for prompt in prompts)))


def _pairs_ms(cold: Sequence[Answer], warm: Sequence[Answer]) -> tuple[tuple[float, float], ...]:
    pairs = zip(cold, warm, strict=True)
    return tuple((first.elapsed_ms, again.elapsed_ms) for first, again in pairs if first.good and again.good)


def _wide(pairs_ms: Sequence[tuple[float, float]]) -> bool:
    if len(pairs_ms) < MIN_PAIRS:
        return False  # the service does not answer, so more asking does not help
    low, high = ratio_of_medians(pairs_ms)[1]
    return high > WIDE * low


def _paid_again(evidence: Evidence) -> str:
    cold, warm = evidence.cold_calls, evidence.warm_calls
    if not cold or warm is None or warm <= cold / 2:
        return ""
    return (
        f" The repeats cost {show(warm, 'count')} upstream calls and the first asks {show(cold, 'count')}, "
        "so the cache answered few of them."
    )


def _remarks(evidence: Evidence) -> str:
    marked = f" {plural(evidence.cold_marked, 'never-seen question')} came back marked as cached."
    failed = (
        f" {plural(evidence.unanswered, 'pair')} with an unanswered ask were left out: {evidence.problem}."
    )
    return (marked if evidence.cold_marked else "") + (failed if evidence.unanswered else "")
