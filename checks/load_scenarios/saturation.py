"""The service takes twice its declared peak, and sheds what is more.

Why it matters
    A service has a load past which more requests bring fewer answers. What counts is how far it is from the
    day's peak, and what happens beyond: one that refuses the surplus at once serves the rest as before; one
    that queues it makes everyone wait until nobody is served in time.

How it is measured
    Never-seen questions arrive at a rate that rises in steps, from half the declared peak
    (`[objectives] peak_per_s`) to eight times that, whatever became of those before. An answer counts within
    six seconds. The knee is where a rise brings no more answers (a segmented fit over the steps; the evidence
    has it with its interval and a Universal Scalability Law fit). Beyond it, at least nine in ten of what was
    not answered must have been refused with 429 or 503; where half of it ran into the time-out, the service
    hangs, and fails wherever its knee is. It ends early where more than half fails. A service that no step
    breaks passes on the rate it held; that it sheds was then not seen, and the finding says so.

How to fix it
    1. Bound concurrency and queue at what the slowest dependency takes, and refuse the rest at once with 429
       or 503 and Retry-After.
    2. Give each request a deadline, and drop it from the queue when that is over.
    3. Raise the knee last: more workers, a larger pool, a faster upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Knee,
    Limit,
    LoadStep,
    LoadSummary,
    Outcome,
    StopRule,
    Target,
    plural,
    show,
)
from checks.load_scenarios._driving import example_of, load_line, remarks, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE
from checks.load_scenarios._open import drive_stages, level, unserved

CHECK = Check(
    failure_title="The service breaks at too little load, or hangs past it",
    kind=Kind.LOAD,
    does="Sends new questions at a rate that rises in steps, to eight times the declared peak at most.",
    measures="is where more requests bring no more answers",
    needs=("questions", "load", "target.objectives.peak_per_s"),
    deadline_s=180,
    typical_s=8,
    scenario="saturation",
)
BROKEN_FAILURE_RATIO = 0.5  # clearly broken: each second request is lost, for as long as one step


@dataclass(frozen=True)
class Thresholds:
    """``few_unserved``: with fewer, how they were lost is chance."""

    pass_peak_factor: float = 2.0
    warn_peak_factor: float = 1.0
    min_shed_ratio: float = 0.9
    hang_ratio: float = 0.5
    few_unserved: float = 20


@dataclass(frozen=True)
class Evidence:
    """The steps are in ``summary``; ``knee`` is what the statistics make of them."""

    summary: LoadSummary
    peak_per_s: float
    knee: Knee | None
    reproduce: str


@dataclass(frozen=True)
class _Past:
    """What became of arrivals past the knee."""

    scheduled: int
    unserved: int
    shed: int
    late: int

    @classmethod
    def of(cls, steps: Sequence[LoadStep], knee: Knee) -> _Past:
        past = [step for step in steps if knee.per_s is not None and step.offered_per_s > knee.per_s]
        return cls(
            sum(step.scheduled for step in past),
            sum(unserved(step) for step in past),
            sum(step.shed for step in past),
            sum(step.timed_out + step.dropped for step in past),
        )


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Drive the steps, and find the knee in those that were driven."""
    peak_per_s = target.objectives.peak_per_s
    if peak_per_s is None:
        raise InstrumentFailure(
            "No peak is declared. Add `[objectives] peak_per_s` to the target file.",
            missing="objectives.peak_per_s",
        )
    given = instruments.profile.scenarios["saturation"]
    stages = [level(factor * peak_per_s, given.duration_s) for factor in given.peak_factors]
    stop = StopRule(for_s=given.duration_s, max_failure_ratio=BROKEN_FAILURE_RATIO)
    _, summary = await drive_stages(target, instruments, "saturation", stages, stop=stop)
    driven = [step for step in summary.steps if step.scheduled]
    knee = instruments.statistics.knee(driven) if driven else None
    beyond = 1.5 * max(peak_per_s, knee.per_s or knee.at_least_per_s if knee else 0.0)
    line = load_line(target, f"--rate {beyond:g} --duration {4 * given.duration_s:g}")
    return Evidence(summary, peak_per_s, knee, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Hanging past the knee fails; else the knee decides, and only shedding passes."""
    summary, knee, peak = evidence.summary, evidence.knee, evidence.peak_per_s
    if summary.validity == "invalid" or knee is None:
        return Finding.not_assessed(unusable(summary) or "No step was driven.")
    held = knee.per_s if knee.per_s is not None else knee.at_least_per_s
    limit = Limit.at_least(thresholds.pass_peak_factor * peak, thresholds.warn_peak_factor * peak)
    past = _Past.of(summary.steps, knee)
    outcome, share, words, fix = _judged(limit.outcome(held), limit.share(held), past, knee, thresholds)
    reason = (
        f"{_knee_words(knee, held, peak)}, limit {show(limit.pass_at, 'per_s')}; {words}."
        f"{_doubts(knee, limit)}{_rate_limited(summary)}"
    )
    if outcome is not Outcome.PASS:
        reason += remarks(summary)
    if summary.partial:
        reason += f" It ended early: {summary.partial}."
    return Finding(
        outcome=outcome,
        share=share,
        reason=reason,
        value=held,
        unit="per_s",
        limit=limit,
        interval=knee.interval,
        fix=fix,
        reproduce=evidence.reproduce,
        follows_from=None if summary.successful else PRIMARY_ROUTE,
    )


def _judged(
    by_knee: Outcome, share: float, past: _Past, knee: Knee, thresholds: Thresholds
) -> tuple[Outcome, float, str, str]:
    """Outcome, share of the points, what happens past the knee in words, and what to mend."""
    raise_it = "Raise the knee: more workers, a larger pool, a faster upstream."
    bound_it = "Bound concurrency and queue, and refuse the rest at once with 429 or 503 and Retry-After."
    share = 0.0 if by_knee is Outcome.FAIL else share
    below = raise_it if by_knee is not Outcome.PASS else ""
    if knee.per_s is None:
        return by_knee, share, "no step broke it, so whether it sheds was not seen", below
    counted = past.unserved >= thresholds.few_unserved
    shed, late = past.shed / max(past.unserved, 1), past.late / max(past.unserved, 1)
    if counted and late >= thresholds.hang_ratio:
        words = f"past it {show(late, 'ratio')} of {_lost(past)} ran into the time-out: it hangs"
        return Outcome.FAIL, 0.0, words, bound_it
    if counted and shed >= thresholds.min_shed_ratio:
        return (
            by_knee,
            share,
            f"past it {show(shed, 'ratio')} of {_lost(past)} were shed with 429 or 503",
            below,
        )
    words = (
        f"past it only {show(shed, 'ratio')} of {_lost(past)} were shed with 429 or 503"
        if counted
        else f"past it only {past.unserved:,} of {plural(past.scheduled, 'request')} went unanswered, "
        "too few to see how"
    )
    if by_knee is Outcome.FAIL:
        return by_knee, 0.0, words, raise_it
    return Outcome.WARN, min(share, 0.5), words, bound_it


def _lost(past: _Past) -> str:
    return f"{plural(past.unserved, 'request')} that went unanswered"


def _knee_words(knee: Knee, held: float, peak: float) -> str:
    times = f"{show(held / peak, 'x')} the declared peak"
    if knee.per_s is None:
        return f"Held {show(held, 'per_s')}, {times}"
    return f"More than {show(held, 'per_s')}, {times}, bring no more answers"


def _doubts(knee: Knee, limit: Limit) -> str:
    notes = limit.close_call(knee.interval, "per_s") if knee.interval else ""
    if not knee.resolved and knee.per_s is not None and not notes:
        notes += " The steps around the knee do not lie clearly on its sides."
    if not knee.monotone:
        notes += " What was served fell and rose again between steps, so something else changed meanwhile."
    return notes


def _rate_limited(summary: LoadSummary) -> str:
    if not example_of(summary).startswith("HTTP 429"):
        return ""
    return " It was a rate limit that refused us: with more callers than this one the service may take more."
