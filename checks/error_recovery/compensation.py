"""A transaction that fails at any step leaves everything as it was.

Why it matters
    An order that fails half-way and keeps its stock reserved, or its invoice written, costs money and trust,
    and nobody sees it until the books are checked. Compensations that were never tried do not run.

How it is measured
    The declared transaction, of one request or several, must work once, and its effect must show in the
    declared state of the parties. Then each declared step is made to fail, by its lever or by the header that
    the service obeys, the transaction is sent with a key of its own, and the lever is restored. When
    `settle_s` have passed at the latest, the state of every party must be equal, in full, to the state right
    before (paths in `ignore` excepted). A transaction that reports success must have had all its effects, and
    one that is declared to be carried on must have them in the end.

How to fix it
    1. Write down each step before it is tried; when one fails, undo those before it in reverse order.
    2. Undo a step whose reply was lost too: the partner may have done it.
    3. Make each undo safe to repeat, and repeat it until it worked, also after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Literal

from checks.contract import (
    Check,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Step,
    Target,
    Transaction,
    plural,
    show,
)
from checks.error_recovery._flow import (
    Played,
    Whole,
    curl_lines,
    declared,
    made_to_fail,
    no_basis,
    play,
    restored,
    untriable,
    whole,
)
from checks.error_recovery._state import Change, State, changes, effects, read_state, worded

CHECK = Check(
    failure_title="A failed transaction leaves something behind",
    kind=Kind.FAULT,
    does="Carries out one real transaction, then one for each step with that step made to fail.",
    measures="steps after whose failure something was left behind",
    needs=("http", "faults", "target.transaction", "target.transaction.steps"),
    deadline_s=120,
    typical_s=4,
)


@dataclass(frozen=True)
class Thresholds:
    """Any residue fails (catalogue)."""

    max_residues: float = 0


@dataclass(frozen=True)
class Attempt:
    """One transaction. ``effects``: how far numbers and sizes moved while the step was cut; then afterwards.

    ``residue`` is what differs in the end from right before it. ``skipped`` says why it was not tried.
    """

    step: str
    means: str = ""
    expect: str = "either"
    accepted: bool = False
    reported_success: bool = False
    status: int | None = None
    problem: str = ""
    effects_during: dict[str, float] | None = None
    effects_after: dict[str, float] | None = None
    residue: tuple[Change, ...] = ()
    settled_s: float = 0.0
    skipped: str = ""


@dataclass(frozen=True)
class Evidence:
    """The transaction with nothing broken, and with each step made to fail."""

    path: str
    whole: Whole
    attempts: tuple[Attempt, ...]
    settle_s: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Once whole, then failing at each step. The lever restores whatever happens here."""
    transaction = declared(target)
    attempts: list[Attempt] = []
    basis = await whole(instruments, transaction)
    if basis.sound:
        for step in transaction.steps:
            instruments.say(f"The transaction with its step {step.name} made to fail")
            attempts.append(await _failing(instruments, transaction, step))
    return Evidence(
        path=transaction.calls[-1].path,
        whole=basis,
        attempts=tuple(attempts),
        settle_s=transaction.settle_s,
        reproduce="# with one step made to fail; compare the state before and after:\n"
        + curl_lines(target, transaction),
    )


async def _failing(instruments: Instruments, transaction: Transaction, step: Step) -> Attempt:
    means = f"the lever {step.lever}" if step.lever else f"the header {next(iter(step.fail_header))}"
    if impossible := untriable(instruments, step):
        return Attempt(step.name, means, skipped=impossible)
    before = await read_state(instruments, transaction.state)
    async with made_to_fail(instruments, step, step.request) as begin:
        played = await play(instruments, transaction, headers=step.fail_header, before=begin)
        during = await _state_while_broken(instruments, transaction, played)
    ended = monotonic()
    after = await restored(instruments, transaction, [before], played.values)
    unseen = all(probe.place(played.values) is None for probe in transaction.state)
    return Attempt(
        step.name,
        means,
        step.expect,
        accepted=played.accepted,
        reported_success=played.whole,
        status=played.status,
        problem=played.problem,
        effects_during=None if during is None else effects(before, during),
        effects_after=effects(before, after),
        residue=changes(before, after),
        settled_s=round(monotonic() - ended, 2),
        skipped="it gave nothing to capture by which a state could be looked up" if unseen else "",
    )


async def _state_while_broken(
    instruments: Instruments, transaction: Transaction, played: Played
) -> State | None:
    """The state now, or None where what is broken is also what shows it."""
    try:
        return await read_state(instruments, transaction.state, played.values)
    except InstrumentFailure:
        return None


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Every step whose failure left something behind is named; what could not be tried is not passed."""
    unsaid = no_basis(evidence.whole, evidence.path)
    if unsaid:
        return unsaid
    verdicts = [(attempt, *_verdict(attempt, evidence)) for attempt in evidence.attempts]
    wrong = [words for _, kind, words in verdicts if kind == "wrong"]
    untried = [words for _, kind, words in verdicts if kind == "untried"]
    clean = len(verdicts) - len(wrong) - len(untried)
    limit = Limit.at_most(thresholds.max_residues, thresholds.max_residues)
    if len(wrong) > thresholds.max_residues:
        return Finding.failed(
            f"After {len(wrong)} of {len(verdicts)} failed steps something is wrong. {' '.join(wrong)}",
            value=len(wrong),
            unit="count",
            limit=limit,
            fix="Undo the steps before the failed one, and the failed one too if its reply was lost; repeat "
            "each undo until it worked. A trace that is meant to stay belongs in `ignore`.",
            reproduce=evidence.reproduce,
        )
    if not clean:
        return Finding.not_assessed(
            f"No step could be made to fail. {' '.join(untried)}", missing="transaction.steps"
        )
    done = f"{plural(clean, 'step')} failed on purpose, and the state was as before within "
    slowest_s = max(attempt.settled_s for attempt, kind, _ in verdicts if kind == "clean")
    reason = f"{done}{show(slowest_s, 's')}, limit {show(evidence.settle_s, 's')}."
    passed = Finding.passed(reason, value=0, unit="count", limit=limit, reproduce=evidence.reproduce)
    if not untried:
        return passed
    reason = f"{reason} {' '.join(untried)}"
    return passed.but(outcome=Outcome.WARN, share=clean / len(verdicts), reason=reason)


def _verdict(attempt: Attempt, evidence: Evidence) -> tuple[Literal["clean", "wrong", "untried"], str]:
    """What one attempt shows, in words where it is not clean."""
    whole = evidence.whole.effects
    untried = attempt.skipped
    if attempt.status == 429:
        untried = "the transaction was rate limited (429)"
    elif attempt.accepted and attempt.effects_during == whole:
        untried = f"{attempt.means} made no difference, the transaction went through"
    if untried:
        return "untried", f"Step {attempt.step} could not be made to fail: {untried}."
    if attempt.accepted and attempt.effects_after == whole and attempt.expect != "compensated":
        return "clean", ""  # carried on once the partner was back, as it had promised
    if attempt.expect == "carried_on":
        left = f", and this is what there is of it: {worded(attempt.residue)}" if attempt.residue else ""
        return "wrong", f"Step {attempt.step} failed, and the transaction was not carried on{left}."
    if attempt.reported_success:
        return "wrong", f"Step {attempt.step} failed, and the transaction reported {attempt.status}."
    if attempt.residue:
        return "wrong", f"Step {attempt.step}: {worded(attempt.residue)}."
    return "clean", ""
