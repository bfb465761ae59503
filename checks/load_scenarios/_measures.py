"""Several figures of one scenario, each against its limit: the worst decides. Private to this family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from checks.contract import Finding, Limit, LoadSummary, Outcome, plural, show, wilson_interval

PRIMARY_ROUTE = "endpoint_health.primary_route"


@dataclass(frozen=True)
class Measure:
    """One judged figure, in words and against its limit; ``cause`` is the check that would explain it."""

    words: str
    value: float
    unit: str
    limit: Limit
    fix: str
    cause: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What its limit says."""
        return self.limit.outcome(self.value)

    @property
    def share(self) -> float:
        """The part of the points that it would earn alone."""
        return 0.0 if self.outcome is Outcome.FAIL else self.limit.share(self.value)

    @property
    def sentence_part(self) -> str:
        """Its words with the limit."""
        return f"{self.words} (limit {show(self.limit.pass_at, self.unit)})"


def success_of(summary: LoadSummary, limit: Limit) -> Measure:
    """Answered of sent. Needs at least one request."""
    success = summary.successful / summary.total_requests
    words = f"{show(success, 'ratio')} of {plural(summary.total_requests, 'request')} were answered"
    fix = "Find out why requests fail; the evidence has an example of each kind."
    return Measure(words, success, "ratio", limit, fix, PRIMARY_ROUTE)


def mean_of(mean_ms: float, limit: Limit) -> Measure:
    """Mean latency of what was answered."""
    words = f"in {show(mean_ms, 'ms')} on average"
    fix = "Look for what requests queue at: workers, a connection pool, the upstream's own limit."
    return Measure(words, mean_ms, "ms", limit, fix)


def worst_of(measures: Sequence[Measure]) -> Measure:
    """The first that fails, else the one that earns least: one explains the next, so order matters."""
    failed = [measure for measure in measures if measure.outcome is Outcome.FAIL]
    return failed[0] if failed else min(measures, key=lambda measure: measure.share)


def by_worst(summary: LoadSummary, measures: Sequence[Measure], *, notes: str, reproduce: str) -> Finding:
    """The worst of ``measures`` decides; the first is success, whose value and interval the finding shows."""
    worst, success = worst_of(measures), measures[0]
    interval = wilson_interval(summary.successful, summary.total_requests)
    sentence = ", ".join(measure.sentence_part for measure in measures)
    passes = worst.outcome is Outcome.PASS
    return Finding(
        outcome=worst.outcome,
        share=worst.share,
        reason=f"{sentence}.{notes}{success.limit.close_call(interval, 'ratio')}",
        value=success.value,
        unit=success.unit,
        limit=success.limit,
        interval=interval,
        fix="" if passes else worst.fix,
        reproduce=reproduce,
        follows_from=None if passes else worst.cause,
    )
