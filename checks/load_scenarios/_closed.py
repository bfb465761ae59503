"""What the scenarios of one to twenty users share: the plan, the evidence and how it is judged.

N users ask the repeat mix, wait for the answer, think, and ask again. Each scenario's own file holds its
words and its limits. Private to this family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from checks.contract import Finding, Instruments, Limit, LoadPlan, LoadSummary, Target, show
from checks.load_scenarios._driving import drive, remarks, unusable
from checks.load_scenarios._measures import Measure, by_worst, mean_of, success_of


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


async def run(target: Target, instruments: Instruments, scenario: str) -> Evidence:
    """Drive ``scenario`` of data/scenarios.toml. There is no warm-up: a first ask is a miss and counts."""
    plan, summary = await drive(target, instruments, scenario)
    return Evidence(summary, curl_loop(instruments, plan))


def curl_loop(instruments: Instruments, plan: LoadPlan) -> str:
    """A shell line in which as many users as ``plan`` has ask one question five times each."""
    question = plan.prompts[0] if plan.prompts else instruments.prompts.fresh(1)[0]
    curl = instruments.questions.curl(question, route=plan.route)
    timed = f"{curl} -o /dev/null -w '%{{http_code}} %{{time_total}} s\\n'"
    return f"for user in $(seq {plan.users}); do (for i in 1 2 3 4 5; do {timed}; done) & done; wait"


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The worst of success, mean latency and hit ratio decides, and its share of the points is earned."""
    summary = evidence.summary
    if why := unusable(summary):
        return Finding.not_assessed(why)
    unmarked = summary.successful and not summary.marked
    notes = " No cache marker could be read, so hits are not judged." if unmarked else ""
    measures = _measures(summary, thresholds)
    return by_worst(summary, measures, notes=notes + remarks(summary), reproduce=evidence.reproduce)


def _measures(summary: LoadSummary, thresholds: Thresholds) -> list[Measure]:
    """Success, hit ratio where a marker could be read, mean latency where anything was answered.

    In the order in which one explains the next: what is not answered is not cached, and what is not cached
    is slow.
    """
    within = thresholds.warn_within_ratio

    def at_least(limit: float) -> Limit:
        return Limit.at_least(limit, limit * (1 - within), high=1.0)

    measures = [success_of(summary, at_least(thresholds.pass_success_ratio))]
    if summary.marked:
        hits = summary.cached / summary.marked
        words = f"{show(hits, 'ratio')} from the cache"
        limit = at_least(thresholds.pass_hit_ratio)
        fix = "Answer repeated questions from the cache."
        measures.append(Measure(words, hits, "ratio", limit, fix, "cache.hit_rate"))
    if summary.mean_ms is not None:
        limit = Limit.at_most(thresholds.pass_mean_ms, thresholds.pass_mean_ms * (1 + within))
        measures.append(mean_of(summary.mean_ms, limit))
    return measures
