"""The team's own chaos experiments find the service as steady as they expect.

Why it matters
    An experiment says what must stay true while something is broken. It is worth something as long as it is
    carried out: a hypothesis that held last year is a claim.

How it is measured
    Each experiment of `[[chaos]]` is carried out by the Chaos Toolkit in a process of its own: its
    hypothesis, its method, the hypothesis again, its rollbacks. A deviation fails, and so does a rollback
    that did not succeed. A hypothesis that does not hold before anything is broken says nothing.

How to fix it
    1. Look at the probe that is out of its tolerance, and at what the method broke right before.
    2. Where a rollback failed, put that back by hand now.
    3. Where the hypothesis did not hold before, mend the service or the tolerance first.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Target,
    plural,
)
from checks.contract.instruments.chaos import ChaosJournal

CHECK = Check(
    failure_title="A chaos experiment finds the service unsteady",
    kind=Kind.FAULT,
    does="Carries out the experiments of `[[chaos]]`, which break what they break and roll back.",
    measures="experiments that deviated",
    needs=("chaos", "faults", "target.chaos"),
    deadline_s=300,
    typical_s=20,
)


@dataclass(frozen=True)
class Thresholds:
    """Any deviation fails: tolerances are the experiment's own."""

    max_deviations: float = 0


@dataclass(frozen=True)
class Outing:
    """One experiment: its journal, or why there is none."""

    file: str
    journal: ChaosJournal | None = None
    problem: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that were declared, in order."""

    outings: tuple[Outing, ...]


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """One after the other."""
    outings = []
    for experiment in target.chaos:
        instruments.say(f"Experiment {experiment.file}")
        try:
            journal = await instruments.chaos.carry_out(experiment)
        except InstrumentFailure as failure:
            outings.append(Outing(experiment.file, problem=failure.reason))
        else:
            outings.append(Outing(experiment.file, journal))
    return Evidence(tuple(outings))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Deviations and failed rollbacks fail; what could not be tried is not passed."""
    tried = [(outing, outing.journal) for outing in evidence.outings if outing.journal]
    wrong = [words for outing, journal in tried if (words := _wrong(outing, journal))]
    untried = [
        *(f"{outing.file}: {outing.problem}" for outing in evidence.outings if not outing.journal),
        *(words for outing, journal in tried if (words := _says_nothing(outing, journal))),
    ]
    limit = Limit.at_most(thresholds.max_deviations, thresholds.max_deviations)
    reproduce = "\n".join(f"chaos run {outing.file}" for outing in evidence.outings)
    if len(wrong) > thresholds.max_deviations:
        return Finding.failed(
            f"{len(wrong)} of {plural(len(evidence.outings), 'experiment')} found something: "
            f"{' '.join(wrong)}",
            value=len(wrong),
            unit="count",
            limit=limit,
            fix="Look at the probe that is out of its tolerance. Put back by hand what a rollback did not.",
            reproduce=reproduce,
        )
    if untried:
        return Finding.not_assessed(" ".join(untried), missing="chaos")
    return Finding.passed(
        f"{plural(len(tried), 'experiment')} did not deviate, and all rollbacks succeeded.",
        value=0,
        unit="count",
        limit=limit,
        reproduce=reproduce,
    )


def _wrong(outing: Outing, journal: ChaosJournal) -> str:
    left = [each for each in journal.rollbacks if each.status != "succeeded"]
    if left:
        return f"{outing.file}: the rollback {left[0].name} did not succeed: {left[0].error}."
    if journal.deviated:
        outside = ", ".join(journal.outside) or "its hypothesis"
        return f"{outing.file} ({journal.title}) deviated: {outside} was out of tolerance afterwards."
    return ""


def _says_nothing(outing: Outing, journal: ChaosJournal) -> str:
    if journal.deviated:
        return ""
    if journal.steady_before is False:
        outside = ", ".join(journal.outside) or "its hypothesis"
        return f"{outing.file}: {outside} was out of tolerance before anything was broken."
    failed = [each for each in journal.method if each.status != "succeeded"]
    if failed:
        return f"{outing.file}: {failed[0].name} did not succeed: {failed[0].error}."
    if journal.steady_after is None:
        return f"{outing.file} has no hypothesis to hold, so it proves nothing."
    return "" if journal.status == "completed" else f"{outing.file} was {journal.status}."
