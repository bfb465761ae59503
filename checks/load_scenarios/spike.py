"""After a burst of five times the usual requests the service is soon as fast as before.

Why it matters
    Mails, campaigns and other people's retries come in bursts. A service may be slow while one lasts; what
    it queued then must not keep it slow for everyone who comes later, nor may it lose requests.

How it is measured
    Requests arrive at a given rate, whatever became of those before: 0.3 of the declared peak
    (`[objectives] peak_per_s`; two a second where none is declared), then five times that, then as before.
    A third of the questions was never asked before. Latency counts from when a request was meant to be
    sent. After the burst it is looked at in short windows: it is back when the 95th percentile of two in a
    row is at most 1.5 times (or 250 ms more than) that before the burst, and no more than before fail. If it
    is not back at the end, the usual rate goes on until it is, two minutes at most. Failures in the burst
    count too, where they are more than chance.

How to fix it
    1. Bound the queue, and shed what cannot be served soon with 429 or 503 and Retry-After.
    2. Drop work for callers that have left: a request whose time-out is over is paid for nothing.
    3. Let retries wait longer each time and differ from each other, so that a burst does not make another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    LoadPlan,
    LoadStep,
    LoadSummary,
    Outcome,
    Stage,
    Target,
    objective,
    plural,
    show,
    wilson_interval,
)
from checks.load_scenarios._driving import load_line, remarks, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE, Measure, worst_of
from checks.load_scenarios._open import drive_stages, level, unserved
from checks.load_scenarios._recovery import Window, back_after_s, bound_ms

CHECK = Check(
    failure_title="A burst leaves the service slow",
    kind=Kind.LOAD,
    does="Sends requests at a steady rate, five times as many for a moment, and the steady rate again.",
    measures="after the burst it was as fast as before",
    needs=("questions", "load"),
    deadline_s=300,
    typical_s=4,
    scenario="spike",
)
ASSUMED_BASE_PER_S = 2.0
FEWEST_BEFORE = 15
FEWEST_IN_WINDOW = 6  # fewer are all fast by chance, where one in three is slow
SHORTEST_WINDOW_S = 1.0
WINDOWS = 3
LONGEST_S = 120.0  # of looking whether it is back
NEVER = 1.01  # times the limit: not back is past it, whatever limit was set


@dataclass(frozen=True)
class Thresholds:
    """k6's spike test asks whether a system recovers; 30 s is about how long people try again by hand."""

    pass_recovery_s: float = objective(30, "recovery_s")
    warn_recovery_s: float = LONGEST_S
    pass_success_ratio: float = objective(0.99, "success_ratio")
    warn_success_ratio: float = 0.8


@dataclass(frozen=True)
class Evidence:
    """The stages before and in the burst, the windows after it, and why looking on was in vain if it was."""

    summary: LoadSummary
    peak_declared: bool
    before: LoadStep | None
    burst: LoadStep | None
    windows: tuple[Window, ...]
    unclear: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Drive the three stages, and the last one again until latency is back."""
    given = instruments.profile.scenarios["spike"]
    usual, burst, _ = given.peak_factors
    declared = target.objectives.peak_per_s
    base_per_s = usual * declared if declared else ASSUMED_BASE_PER_S
    burst_per_s = base_per_s * burst / usual
    after = _windows(base_per_s, given.duration_s)
    stages = (
        level(base_per_s, max(given.duration_s, FEWEST_BEFORE / base_per_s)),
        level(burst_per_s, given.duration_s),
        *after,
    )
    plan, summary = await drive_stages(target, instruments, "spike", stages)
    ended = time.monotonic()
    line = load_line(target, f"--rate {burst_per_s:g} --duration {given.duration_s:g}")
    if unusable(summary) or len(summary.steps) < len(stages):
        return Evidence(summary, declared is not None, None, None, (), "", line)
    steps = summary.steps
    burst_end_s = steps[1].start_s + steps[1].duration_s
    burst_ended = ended - max(summary.duration_s, plan.duration_s) + burst_end_s
    windows = [Window.of(step, step.start_s + step.duration_s - burst_end_s) for step in steps[2:]]
    after_s = sum(stage.duration_s for stage in after)
    more = replace(plan, scenario="spike_after", stages=after, duration_s=after_s)
    unclear = await _look_on(instruments, more, steps[0], windows, burst_ended) if steps[0].answered else ""
    return Evidence(summary, declared is not None, steps[0], steps[1], tuple(windows), unclear, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The worse of the time until latency is back and the requests served in the burst decides."""
    summary, before, burst = evidence.summary, evidence.before, evidence.burst
    if why := unusable(summary):
        return Finding.not_assessed(why)
    if before is None or burst is None or not burst.scheduled or not before.scheduled:
        return Finding.not_assessed("The stages of the burst were not measured.")
    limit = Limit.at_most(thresholds.pass_recovery_s, thresholds.warn_recovery_s)
    if not before.answered:
        return Finding.failed(
            f"None of {plural(before.scheduled, 'request')} before the burst was answered.{remarks(summary)}",
            limit=limit,
            fix="Mend the business route first.",
            reproduce=evidence.reproduce,
            follows_from=PRIMARY_ROUTE,
        )
    back_s = back_after_s(before, evidence.windows)
    if back_s is None and evidence.unclear:
        return Finding.not_assessed(f"Whether latency came back could not be measured. {evidence.unclear}")
    recovery = _recovery_of(back_s, evidence.windows, before, limit)
    served = _served_in(burst, thresholds)
    worst = worst_of([recovery, served])
    assumed = "" if evidence.peak_declared else (
        f" No peak is declared, so {show(before.offered_per_s, 'per_s')} was taken as usual; declare "
        "`[objectives] peak_per_s`."
    )  # fmt: skip
    return Finding(
        outcome=worst.outcome,
        share=worst.share,
        reason=f"{_burst_words(before, burst)} {recovery.sentence_part}; {served.sentence_part}."
        f"{assumed}{remarks(summary)}",
        value=recovery.value,
        unit="s",
        limit=limit,
        fix="" if worst.outcome is Outcome.PASS else worst.fix,
        reproduce=evidence.reproduce,
    )


async def _look_on(
    instruments: Instruments, plan: LoadPlan, before: LoadStep, windows: list[Window], burst_ended: float
) -> str:
    """Go on at the usual rate until latency is back; adds to ``windows``. Says why it could not be seen."""
    at_s, unclear = windows[-1].until_s, ""
    while back_after_s(before, windows) is None and at_s < LONGEST_S:
        instruments.say(
            f"Not as fast as before the burst; looking on at {show(before.offered_per_s, 'per_s')}"
        )
        began_s = max(at_s, time.monotonic() - burst_ended)
        summary = await instruments.load.run(plan)
        unclear = unusable(summary)
        if not unclear:
            windows += [Window.of(step, began_s + step.start_s + step.duration_s) for step in summary.steps]
        at_s = began_s + plan.duration_s
    return unclear


def _windows(per_s: float, duration_s: float) -> tuple[Stage, ...]:
    window_s = max(SHORTEST_WINDOW_S, FEWEST_IN_WINDOW / per_s)
    return tuple(level(per_s, window_s) for _ in range(max(WINDOWS, round(duration_s / window_s))))


def _recovery_of(back_s: float | None, windows: Sequence[Window], before: LoadStep, limit: Limit) -> Measure:
    bound = show(bound_ms(before), "ms")
    fix = "Bound the queue, shed what cannot be served soon, and drop work for callers that have left."
    if back_s is not None:
        words = f"p95 is back below {bound} within {show(back_s, 's')} after it"
        return Measure(words, back_s, "s", limit, fix)
    looked_s = windows[-1].until_s
    last_ms = next((window.p95_ms for window in reversed(windows) if window.p95_ms is not None), None)
    now = f"it is {show(last_ms, 'ms')}" if last_ms is not None else "nothing is answered"
    words = f"{show(looked_s, 's')} after it p95 is not back below {bound}: {now}"
    return Measure(words, max(looked_s, limit.warn_at * NEVER), "s", limit, fix)


def _served_in(burst: LoadStep, thresholds: Thresholds) -> Measure:
    """Success in the burst. Its interval's upper end is judged: what may be chance does not count."""
    served = 1 - unserved(burst) / burst.scheduled
    _, best = wilson_interval(burst.scheduled - unserved(burst), burst.scheduled)
    words = f"{show(served, 'ratio')} of {plural(burst.scheduled, 'request')} in the burst were answered"
    fix = "Find out why requests fail in a burst; size pools and queues for it, or shed with Retry-After."
    limit = Limit.at_least(thresholds.pass_success_ratio, thresholds.warn_success_ratio, high=1.0)
    return Measure(words, best, "ratio", limit, fix)


def _burst_words(before: LoadStep, burst: LoadStep) -> str:
    usual = f"usual {show(before.offered_per_s, 'per_s')}, p95 {show(before.p95_ms or 0.0, 'ms')}"
    at_most = f", p95 {show(burst.p95_ms, 'ms')}" if burst.p95_ms is not None else ""
    return f"A burst of {show(burst.offered_per_s, 'per_s')}{at_most} ({usual}):"
