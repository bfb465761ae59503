"""A transaction that fails at any step leaves everything as it was.

Why it matters
    An order that fails half-way and keeps its stock reserved, or its invoice written, costs money and trust,
    and nobody sees it until the books are checked. Compensations that were never tried do not run.

How it is measured
    The declared transaction must work once, and its effect must show in the declared state of the parties.
    Then, for each declared step, the lever makes that step fail, the transaction is sent with a key of its
    own, and the lever is restored. When `settle_s` have passed at the latest, the state of every party must
    be equal, in full, to the state right before (paths in `ignore` excepted). A transaction that reports
    success must have had all its effects.

How to fix it
    1. Write down each step before it is tried; when one fails, undo those before it in reverse order.
    2. Undo a step whose reply was lost too: the partner may have done it.
    3. Make each undo safe to repeat, and repeat it until it worked, also after a restart.
"""

from __future__ import annotations

import asyncio
import uuid
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
    Reply,
    Step,
    Target,
    Transaction,
    curl_line,
    plural,
    show,
)
from checks.error_recovery._state import Change, changes, effects, read_state, worded

CHECK = Check(
    failure_title="A failed transaction leaves something behind",
    kind=Kind.FAULT,
    does="Carries out one real transaction, then one for each step with that step made to fail.",
    measures="steps after whose failure something was left behind",
    needs=("http", "faults", "target.transaction"),
    deadline_s=120,
    typical_s=6,
)
TIMEOUT_S = 15.0
POLL_S = 0.1
LATE_S = 0.5  # what a cut held back arrives within this after the restore, on a local network


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
    """The transaction with nothing cut, and with each step cut. ``moves_itself``: changes without any."""

    path: str
    moves_itself: tuple[Change, ...]
    whole: Attempt
    attempts: tuple[Attempt, ...]
    settle_s: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Once whole, then cut at each step. The lever restores whatever happens here."""
    transaction = target.transaction
    if transaction is None:
        raise InstrumentFailure("No transaction is declared.", missing="transaction")
    first = await read_state(instruments, transaction.state)
    await asyncio.sleep(2 * POLL_S)
    moves_itself = changes(first, await read_state(instruments, transaction.state))
    whole = Attempt("")
    attempts: list[Attempt] = []
    if not moves_itself:
        whole = await _whole(instruments, transaction)
    if whole.reported_success and whole.residue:
        for step in transaction.steps:
            instruments.say(f"The transaction with its step {step.name} made to fail")
            attempts.append(await _cut(instruments, transaction, step))
    request = transaction.render(user="assessment", nonce="assessment-1")
    return Evidence(
        path=transaction.path,
        moves_itself=moves_itself,
        whole=whole,
        attempts=tuple(attempts),
        settle_s=transaction.settle_s,
        reproduce="# with one step made to fail; compare the state before and after:\n"
        + curl_line(target, request),
    )


async def _whole(instruments: Instruments, transaction: Transaction) -> Attempt:
    before = await read_state(instruments, transaction.state)
    reply = await _send(instruments, transaction)
    deadline = monotonic() + transaction.settle_s
    after = await read_state(instruments, transaction.state)
    while not changes(before, after) and monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        after = await read_state(instruments, transaction.state)
    return Attempt(
        "",
        reported_success=reply.status in transaction.good_statuses and reply.failure is None,
        status=reply.status,
        problem=reply.failure.detail[:200] if reply.failure else "",
        effects_after=effects(before, after),
        residue=changes(before, after),
    )


async def _cut(instruments: Instruments, transaction: Transaction, step: Step) -> Attempt:
    if step.way not in instruments.faults.ways(step.lever):
        return Attempt(step.name, skipped=f"the lever {step.lever} has no way {step.way!r}")
    before = await read_state(instruments, transaction.state)
    async with instruments.faults.broken(step.lever, step.way):
        reply = await _send(instruments, transaction)
        during = await read_state(instruments, transaction.state)
    restored = monotonic()
    await asyncio.sleep(min(LATE_S, transaction.settle_s))
    after = await read_state(instruments, transaction.state)
    while changes(before, after) and monotonic() - restored < transaction.settle_s:
        await asyncio.sleep(POLL_S)
        after = await read_state(instruments, transaction.state)
    return Attempt(
        step.name,
        reported_success=reply.status in transaction.good_statuses and reply.failure is None,
        status=reply.status,
        problem=reply.failure.detail[:200] if reply.failure else "",
        effects_during=effects(before, during),
        effects_after=effects(before, after),
        residue=changes(before, after),
        settled_s=round(monotonic() - restored, 2),
    )


async def _send(instruments: Instruments, transaction: Transaction) -> Reply:
    nonce = str(uuid.uuid4())  # not from the run's seed: a key that was used before would replay its reply
    return await instruments.http.send(
        transaction.render(user="assessment", nonce=nonce), timeout_s=TIMEOUT_S
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Every step whose failure left something behind is named; what could not be tried is not passed."""
    unsaid = _no_basis(evidence)
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


def _no_basis(evidence: Evidence) -> Finding | None:
    if evidence.moves_itself:
        return Finding.not_assessed(
            f"The state changes without a transaction: {worded(evidence.moves_itself)}. Name what may change "
            "in `ignore` of `[[transaction.state]]`.",
            missing="transaction.state.ignore",
        )
    whole = evidence.whole
    if not whole.reported_success:
        said = whole.problem or f"status {whole.status}"
        return Finding.not_assessed(
            f"{evidence.path} fails with nothing cut: {said}. So no compensation could be tried.",
            missing="transaction",
        )
    if not whole.residue:
        return Finding.not_assessed(
            f"{evidence.path} reports success and no declared state changes. Declare where effects show.",
            missing="transaction.state",
        )
    return None


def _verdict(attempt: Attempt, evidence: Evidence) -> tuple[Literal["clean", "wrong", "untried"], str]:
    """What one attempt shows, in words where it is not clean."""
    whole = evidence.whole.effects_after
    accepted = attempt.status is not None and 200 <= attempt.status < 300 and not attempt.problem
    untried = attempt.skipped
    if attempt.status == 429:
        untried = "the transaction was rate limited (429)"
    elif accepted and attempt.effects_during == whole:
        untried = "the lever made no difference, the transaction went through"
    if untried:
        return "untried", f"Step {attempt.step} could not be made to fail: {untried}."
    if accepted and attempt.effects_after == whole:
        return "clean", ""  # carried on once the partner was back, as it had promised
    if attempt.reported_success:
        return "wrong", f"Step {attempt.step} failed, and the transaction reported {attempt.status}."
    if attempt.residue:
        return "wrong", f"Step {attempt.step}: {worded(attempt.residue)}."
    return "clean", ""
