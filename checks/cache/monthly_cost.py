"""The month's upstream bill stays within its budget.

Why it matters
    "$4,200 a month becomes $840" is what a cache is bought for. Whether it does is decided by every call
    that is paid for: those of the stream that goes around the cache, those that a retry or a hedge makes
    twice, and those behind a reply that says it was cached.

How it is measured
    A few users ask the declared repeat mix, every question eight times, in turn over each declared route
    that answers, and the upstream meter is read around it. The calls that were paid for an answer are
    projected to a month of 30 days: `[cost] questions_per_day`, shared evenly by the routes, times
    `price_per_call_usd`. An uncached answer costs `calls_per_question` or what the first asks show at
    the meter, whichever is dearer, since a meter may see only some of the paid calls. The limit is
    `[cost] budget_per_month_usd`.

    Your own service supplies the meter with a counter of its paid calls among its metrics, named in the
    target file: `[upstream] calls = { url = "/metrics", metric = "model_calls_total" }`. Without it
    nothing is projected.

How to fix it
    1. Mend `cache.cost_saving` first: repeats that are paid for are most of a bill.
    2. Give every route the same cache: an answer that one of them stored is an answer for all.
    3. Where an uncached answer costs more calls than you declared, look for retries of calls that were
       accepted, for hedged requests, and for moderation or titles that are asked for each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.cache._mix import DAYS_PER_MONTH, STILL_METER, Mix, answering_routes, ask_mixes, cannot_say
from checks.cache._reproduce import ask_twice, meter_line
from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Target,
    plural,
    show,
    wilson_interval,
)

CHECK = Check(
    failure_title="The upstream bill is over its budget",
    kind=Kind.ACTIVE,
    does="Four users ask the repeat mix over each declared route, each question eight times.",
    measures="for paid upstream calls, projected from what was asked",
    needs=("questions", "upstream", "target.cost", "target.cost.budget_per_month_usd"),
    deadline_s=150,
    typical_s=5,
)


@dataclass(frozen=True)
class Thresholds:
    """The budget is the team's own; a bill of up to a quarter more is one that a busy month also brings."""

    pass_budget_ratio: float = 1.0
    warn_budget_ratio: float = 1.25


@dataclass(frozen=True)
class Evidence:
    """What was asked over each route and what the target declares. Amounts are US dollars."""

    mixes: tuple[Mix, ...]
    questions_per_day: float
    calls_per_question: float
    price_per_call_usd: float
    budget_per_month_usd: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask the repeat mix over every route that answers, between readings of the upstream meter."""
    routes = await answering_routes(target, instruments)
    mixes = await ask_mixes(instruments, routes)
    lines = [ask_twice(instruments, instruments.prompts.repeats(1)[0], route) for route in routes]
    meter, cost = meter_line(target), target.cost
    return Evidence(
        mixes,
        cost.questions_per_day if cost else 0.0,
        cost.calls_per_question if cost else 0.0,
        cost.price_per_call_usd if cost else 0.0,
        (cost.budget_per_month_usd if cost else None) or 0.0,
        "\n".join([meter, *lines, meter]),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The projected bill against the budget."""
    unmeasured = _unmeasured(evidence.mixes)
    if unmeasured:
        return unmeasured
    answered = sum(mix.answered for mix in evidence.mixes)
    paid = min(sum(mix.paid or 0.0 for mix in evidence.mixes), answered)
    low, high = wilson_interval(paid, answered)
    whole = _uncached_usd(evidence)
    budget = evidence.budget_per_month_usd
    limit = Limit.at_most(budget * thresholds.pass_budget_ratio, budget * thresholds.warn_budget_ratio)
    interval = (low * whole, high * whole)
    return Finding.by_limit(
        paid / answered * whole,
        "usd_month",
        limit,
        f"At {show(evidence.questions_per_day, 'count')} questions a day the upstream costs "
        f"{show(paid / answered * whole, 'usd_month')}, budget {show(budget, 'usd_month')}: "
        f"{show(paid / answered, 'ratio')} of {plural(answered, 'answer')} were paid for"
        f"{_by_route(evidence.mixes)}.{_dearer(evidence)}{limit.close_call(interval, 'usd_month')}",
        interval=interval,
        fix="Answer every route from the same cache, and pay one uncached answer once.",
        reproduce=evidence.reproduce,
        follows_from="cache.cost_saving" if _saves_nothing(evidence.mixes[0]) else None,
    )


def _unmeasured(mixes: Sequence[Mix]) -> Finding | None:
    """The finding where too little was answered, or the meter says nothing of it."""
    for mix in mixes or (Mix(None),):
        silent = cannot_say(mix)
        if silent:
            return silent
    problems = [mix.meter_problem for mix in mixes if mix.paid is None]
    if not problems:
        return None
    return Finding.not_assessed(problems[0] or STILL_METER, missing="upstream.calls")


def _calls_per_question(mixes: Sequence[Mix]) -> float:
    """Paid calls of one uncached answer, as first asks show it."""
    return sum(mix.first_calls or 0.0 for mix in mixes) / max(1, sum(mix.first_asked for mix in mixes))


def _uncached_usd(evidence: Evidence) -> float:
    """What a month would cost if every answer were paid for."""
    calls = max(evidence.calls_per_question, _calls_per_question(evidence.mixes))
    return evidence.questions_per_day * DAYS_PER_MONTH * calls * evidence.price_per_call_usd


def _by_route(mixes: Sequence[Mix]) -> str:
    if len(mixes) < 2:
        return ""
    shares = [
        f"{show(min(1.0, (mix.paid or 0.0) / mix.answered), 'ratio')} over `[{mix.route}]`" for mix in mixes
    ]
    return f" ({', '.join(shares)})"


def _dearer(evidence: Evidence) -> str:
    measured = _calls_per_question(evidence.mixes)
    if measured <= evidence.calls_per_question:
        return ""
    return (
        f" An uncached answer cost {show(measured, 'count')} paid calls, not "
        f"{show(evidence.calls_per_question, 'count')} as declared."
    )


def _saves_nothing(mix: Mix) -> bool:
    """Whether repeats over the first route were paid for as well, which is another check's to say."""
    return (mix.meter_hits or 0.0) < mix.answered / 2
