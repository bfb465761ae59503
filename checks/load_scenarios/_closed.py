"""What the closed-model scenarios share: the plan, the evidence and how it is judged. Private to this family.

N users ask the repeat mix, wait for the answer, think, and ask again. Each scenario's own file holds its
words and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from checks.contract import (
    Finding,
    InstrumentFailure,
    Instruments,
    Limit,
    LoadPlan,
    LoadSummary,
    Outcome,
    Target,
    plural,
    show,
    wilson_interval,
)

ATTEMPTS = 3  # a hiccup of this machine is measured again; a driver that cannot keep up will say so each time


class Thresholds(Protocol):
    """The limits of a scenario. ``warn_within_ratio`` is how far past its limit a measure still warns."""

    @property
    def pass_success_ratio(self) -> float:
        """Answered of sent."""

    @property
    def pass_mean_ms(self) -> float:
        """Mean latency of answered requests."""

    @property
    def pass_hit_ratio(self) -> float:
        """Marked as cached, of the answers whose marker could be read."""

    @property
    def warn_within_ratio(self) -> float:
        """0.2 is 20 % past the limit."""


@dataclass(frozen=True)
class Evidence:
    """The driver's figures over every request, and how to send the like by hand."""

    summary: LoadSummary
    reproduce: str


@dataclass(frozen=True)
class _Measure:
    """One judged figure, in words and against its limit; ``cause`` is the check that would explain it."""

    words: str
    value: float
    unit: str
    limit: Limit
    fix: str
    cause: str | None

    @property
    def outcome(self) -> Outcome:
        return self.limit.outcome(self.value)

    @property
    def share(self) -> float:
        return 0.0 if self.outcome is Outcome.FAIL else self.limit.share(self.value)


async def run(target: Target, instruments: Instruments, scenario: str) -> Evidence:
    """Drive the business route as ``scenario`` of data/scenarios.toml says.

    There is no warm-up: a first ask is a miss and counts.

    ``[ask]`` is driven even where only ``[stream]`` works, since it is what users have. A scenario that the
    driver itself calls invalid is driven again, with other questions.
    """
    if target.ask is None and target.stream is None:
        raise InstrumentFailure("No question is declared. Add `[ask]` to the target file.", missing="ask")
    given = instruments.profile.scenarios[scenario]
    for attempt in range(1, ATTEMPTS + 1):
        prompts = instruments.prompts.repeats(given.distinct)
        plan = LoadPlan(
            scenario,
            given.users,
            given.duration_s,
            prompts,
            route="ask" if target.ask else "stream",
            think_time_ms=given.think_time_ms,
            min_requests=given.min_requests,
        )
        summary = await instruments.load.run(plan)
        if summary.validity != "invalid" or attempt == ATTEMPTS:
            break
        instruments.say(f"{scenario} is measured again. {' '.join(summary.validity_reasons)}")
    curl = instruments.questions.curl(prompts[0], route=plan.route)
    timed = f"{curl} -o /dev/null -w '%{{http_code}} %{{time_total}} s\\n'"
    line = f"for user in $(seq {given.users}); do (for i in 1 2 3 4 5; do {timed}; done) & done; wait"
    return Evidence(summary, line)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The worst of success, mean latency and hit ratio decides, and its share of the points is earned."""
    summary = evidence.summary
    if summary.validity == "invalid" or not summary.total_requests:
        why = " ".join(summary.validity_reasons) or "No request was sent."
        return Finding.not_assessed(f"The load driver could not measure this scenario. {why}")
    measures = _measures(summary, thresholds)
    failed = [measure for measure in measures if measure.outcome is Outcome.FAIL]
    worst = failed[0] if failed else min(measures, key=lambda measure: measure.share)
    success = measures[0]
    interval = wilson_interval(summary.successful, summary.total_requests)
    return Finding(
        outcome=worst.outcome,
        share=worst.share,
        reason=_sentence(summary, measures) + success.limit.close_call(interval, "ratio"),
        value=success.value,
        unit=success.unit,
        limit=success.limit,
        interval=interval,
        fix="" if worst.outcome is Outcome.PASS else worst.fix,
        reproduce=evidence.reproduce,
        follows_from=None if worst.outcome is Outcome.PASS else worst.cause,
    )


def _measures(summary: LoadSummary, thresholds: Thresholds) -> list[_Measure]:
    """Success, hit ratio where a marker could be read, mean latency where anything was answered.

    In the order in which one explains the next: what is not answered is not cached, and what is not cached
    is slow.
    """
    within = thresholds.warn_within_ratio

    def at_least(limit: float) -> Limit:
        return Limit.at_least(limit, limit * (1 - within), high=1.0)

    success = summary.successful / summary.total_requests
    measures = [
        _Measure(
            f"{show(success, 'ratio')} of {plural(summary.total_requests, 'request')} were answered",
            success,
            "ratio",
            at_least(thresholds.pass_success_ratio),
            "Find out why requests fail; the evidence has an example of each kind.",
            "endpoint_health.primary_route",
        )
    ]
    if summary.marked:
        hits = summary.cached / summary.marked
        words = f"{show(hits, 'ratio')} from the cache"
        limit = at_least(thresholds.pass_hit_ratio)
        fix = "Answer repeated questions from the cache."
        measures.append(_Measure(words, hits, "ratio", limit, fix, "cache.hit_rate"))
    if summary.mean_ms is not None:
        words = f"in {show(summary.mean_ms, 'ms')} on average"
        limit = Limit.at_most(thresholds.pass_mean_ms, thresholds.pass_mean_ms * (1 + within))
        fix = "Look for what requests queue at: workers, a connection pool, the upstream's own limit."
        measures.append(_Measure(words, summary.mean_ms, "ms", limit, fix, None))
    return measures


def _sentence(summary: LoadSummary, measures: list[_Measure]) -> str:
    parts = (f"{m.words} (limit {show(m.limit.pass_at, m.unit)})" for m in measures)
    notes = ""
    if summary.successful and not summary.marked:
        notes += " No cache marker could be read, so hits are not judged."
    if summary.failures:
        kind = max(summary.failures, key=lambda name: summary.failures[name])
        notes += f" Failures: {summary.failure_examples.get(kind, kind)}."
    if summary.validity == "suspect":
        notes += f" The measurement is suspect: {' '.join(summary.validity_reasons)}"
    return f"{', '.join(parts)}.{notes}"
