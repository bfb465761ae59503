"""Questions that nobody asked before are answered well, without the cache's help.

Why it matters
    A cache hides how the service does without it. A campaign, a crawler or an attacker who varies one word
    asks only new questions, and after a flush everyone does. What then breaks was broken all the time.

How it is measured
    Five users on one connection each ask for the profile's time, and every question is new: whole words
    differ, so that a cache that normalises its keys has none of them. Success and mean latency are judged
    against the target's objectives. A failure with a 5xx status, beyond one in a hundred by chance, fails
    whatever the ratio, and so does a service that answers fewer than half.

How to fix it
    1. Compare with `light`, which has the same users and the cache: the difference is what the cache hides.
    2. Give the upstream a connection pool of the size of your peak, a time-out, and a bounded queue.
    3. Answer with 429 or 503 and Retry-After what you cannot serve; a 500 says that nobody thought of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    LoadSummary,
    Outcome,
    Target,
    objective,
    show,
    wilson_interval,
)
from checks.load_scenarios._driving import drive, load_line, remarks, unusable
from checks.load_scenarios._measures import PRIMARY_ROUTE, by_worst, mean_of, success_of

CHECK = Check(
    failure_title="New questions alone bring the service down",
    kind=Kind.LOAD,
    does="Five users ask at the same time, and no question is asked twice.",
    measures="of never-seen questions were answered",
    needs=("questions", "load"),
    deadline_s=120,
    typical_s=1,
    scenario="cache_hostile",
)


@dataclass(frozen=True)
class Thresholds:
    """The limits of five to twenty users in the team's load suite; up to six times as slow it still warns."""

    pass_success_ratio: float = objective(0.95, "success_ratio")
    collapse_success_ratio: float = 0.5
    pass_mean_ms: float = objective(5_000, "mean_latency_ms")
    collapse_mean_factor: float = 6.0
    chance_failure_ratio: float = 0.01


@dataclass(frozen=True)
class Evidence:
    """The driver's figures, and how to drive the like by hand."""

    summary: LoadSummary
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Run the scenario."""
    plan, summary = await drive(target, instruments, "cache_hostile")
    questions = instruments.prompts.fresh(3)
    lines = [instruments.questions.curl(question, route=plan.route) for question in questions]
    driven = load_line(target, f"--users {plan.users} --duration {plan.duration_s:g}")
    return Evidence(summary, "\n".join([*lines, driven]))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The worse of success and mean latency decides; a 5xx that is no chance fails."""
    summary = evidence.summary
    if why := unusable(summary):
        return Finding.not_assessed(why)
    pass_ms = thresholds.pass_mean_ms
    limit = Limit.at_least(thresholds.pass_success_ratio, thresholds.collapse_success_ratio, high=1.0)
    measures = [success_of(summary, limit)]
    if summary.mean_ms is not None:
        slow = Limit.at_most(pass_ms, pass_ms * thresholds.collapse_mean_factor)
        measures.append(mean_of(summary.mean_ms, slow))
    notes = _hits(summary) + remarks(summary)
    finding = by_worst(summary, measures, notes=notes, reproduce=evidence.reproduce)
    if not _server_error(summary):
        return finding
    beyond_chance = _least_failed(summary) > thresholds.chance_failure_ratio
    if finding.outcome is Outcome.FAIL or (finding.outcome is Outcome.PASS and not beyond_chance):
        return finding
    return finding.but(
        outcome=Outcome.FAIL,
        share=0.0,
        reason=f"{finding.reason} A server error is not a way of refusing.",
        fix="Find the error in the service's log; shed with 429 what cannot be served.",
        follows_from=PRIMARY_ROUTE,
    )


def _hits(summary: LoadSummary) -> str:
    if not summary.cached:
        return ""
    ratio = show(summary.cached / summary.marked, "ratio")
    return f" {ratio} were marked as cached although nobody had asked them before."


def _server_error(summary: LoadSummary) -> bool:
    return any(example.startswith("HTTP 5") for example in summary.failure_examples.values())


def _least_failed(summary: LoadSummary) -> float:
    return wilson_interval(summary.failed, summary.total_requests)[0]
