"""Repeated questions do not pay the upstream again.

Why it matters
    Each call to a language model is paid for. What a cache saves is decided where the calls are counted,
    not in what a reply says about itself.

How it is measured
    A few users ask the declared repeat mix, every question eight times, and the upstream meter is read
    around it. The first asks show what one uncached answer costs in calls; the share of calls avoided is
    what was not paid of that price. With `[cost]` declared it is projected to a month of 30 days.

How to fix it
    1. Mend `cache.hit_rate` first: an answer that was not stored cannot be saved.
    2. Where replies say "cached" and are paid for all the same, return before the model is called.
    3. Make no upstream calls around the cache: embeddings, moderation and titles repeat as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.cache._mix import DAYS_PER_MONTH, STILL_METER, Mix, ask_mix, cannot_say
from checks.cache._reproduce import ask_twice, meter_line
from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Target,
    objective,
    plural,
    show,
    wilson_interval,
)

CHECK = Check(
    failure_title="Repeats are paid for again",
    kind=Kind.ACTIVE,
    does="Four users ask the repeat mix, each question eight times, up to 160 questions.",
    measures="of paid upstream calls were avoided",
    needs=("questions", "upstream", "target.upstream"),
    deadline_s=120,
    typical_s=4,
)


@dataclass(frozen=True)
class Thresholds:
    """The team expects the cache to save 80 % of the cost."""

    pass_avoided_ratio: float = objective(0.8, "calls_avoided_ratio")
    warn_avoided_ratio: float = 0.5


@dataclass(frozen=True)
class Evidence:
    """Answers and meter, and what a day costs without a cache (0 where no cost is declared)."""

    mix: Mix
    questions_per_day: float
    uncached_usd_day: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask the repeat mix between readings of the upstream meter."""
    mix = await ask_mix(instruments, await instruments.questions.route())
    line = ask_twice(instruments, instruments.prompts.repeats(1)[0], mix.route)
    meter = meter_line(target)
    line = f"{meter}\n{line}\n{meter}"
    if target.cost is None:
        return Evidence(mix, 0.0, 0.0, line)
    per_day = target.cost.questions_per_day
    usd_day = per_day * target.cost.calls_per_question * target.cost.price_per_call_usd
    return Evidence(mix, per_day, usd_day, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The share of calls avoided at the meter, against the limits."""
    mix = evidence.mix
    silent = cannot_say(mix)
    if silent:
        return silent
    if mix.meter_hits is None:
        return Finding.not_assessed(mix.meter_problem or STILL_METER, missing="upstream.calls")
    avoided = mix.meter_hits / mix.answered
    interval = wilson_interval(mix.meter_hits, mix.answered)
    limit = Limit.at_least(thresholds.pass_avoided_ratio, thresholds.warn_avoided_ratio, high=1.0)
    calls = (mix.first_calls or 0) + (mix.repeat_calls or 0)
    return Finding.by_limit(
        avoided,
        "ratio",
        limit,
        f"{show(avoided, 'ratio')} of upstream calls were avoided, limit {show(limit.pass_at, 'ratio')}: "
        f"{plural(mix.answered, 'answer')} cost {show(calls, 'count')} paid calls."
        f"{_per_month(evidence, avoided)}{limit.close_call(interval, 'ratio')}",
        interval=interval,
        fix="Return a stored answer before the upstream is called.",
        reproduce=evidence.reproduce,
        follows_from="cache.hit_rate",
    )


def _per_month(evidence: Evidence, avoided: float) -> str:
    usd = evidence.uncached_usd_day * DAYS_PER_MONTH
    if not usd:
        return ""
    saved = f" instead of {show(usd, 'usd_month')}" if avoided else ", as without a cache"
    return (
        f" At {show(evidence.questions_per_day, 'count')} questions a day that is "
        f"{show(usd * (1 - avoided), 'usd_month')}{saved}."
    )
