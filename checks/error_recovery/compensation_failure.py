"""A compensation that fails, or is interrupted by a crash, is carried on or shown, never forgotten.

Why it matters
    What undoes a failed order needs the same partners that are failing just now. An undo that is tried once
    and dropped, or that lives in the memory of a process that dies, leaves stock reserved and invoices
    written, and no list anywhere names them.

How it is measured
    For each step that declares a `compensation`: the step is made to fail while what undoing the steps
    before it needs is away too. A step whose lever can hang is held there until the earlier ones show their
    effect; then the other partner is cut. Something must be left undone now, or this shows nothing. Then all
    is restored, and within `settle_s` the state of every party must be as before, in full.

    For the last of these steps once more, with the service killed (SIGKILL) while the undo is pending, by the
    lever `[transaction] service` names or else the one that can `kill`; it is restored before the partner is.

    What stays behind must at least show where `[transaction] flagged` says: a number that rose, or a value.

How to fix it
    1. Keep what has to be undone in a file or table, written before a step is tried, until it is undone.
    2. Try an undo again, with growing pauses, until it worked; take the list up again at every start.
    3. Show how many are pending as a metric, and alert on those that are old.
"""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import Check, Finding, Instruments, Kind, Limit, Outcome, Target, plural, show
from checks.error_recovery._flow import Whole, curl_lines, declared, no_basis, whole
from checks.error_recovery._state import State, worded
from checks.error_recovery._undoing import Undoing, attempted, killer

CHECK = Check(
    failure_title="A compensation that fails is forgotten",
    kind=Kind.FAULT,
    does="Fails a step and what would undo the ones before it, restores both, and kills the service amid it.",
    measures="failed compensations that were not carried on",
    needs=("http", "faults", "counts", "target.transaction", "target.transaction.steps"),
    deadline_s=150,
    typical_s=9,
)


@dataclass(frozen=True)
class Thresholds:
    """None may be forgotten (catalogue)."""

    max_forgotten: float = 0


@dataclass(frozen=True)
class Evidence:
    """``killer``: the lever that kills the service, "" where none can. ``flagged``: where it would show."""

    path: str
    whole: Whole
    attempts: tuple[Undoing, ...]
    killer: str
    flagged: str
    settle_s: float
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Each compensation once, the last one again with a kill. The levers restore whatever happens here."""
    transaction = declared(target)
    steps = [step for step in transaction.steps if step.compensation is not None]
    kill = killer(target)
    basis = await whole(instruments, transaction) if steps else Whole()
    attempts: list[Undoing] = []
    left_by: list[State] = []
    if basis.sound:
        for step in steps:
            instruments.say(f"Step {step.name} fails, and so does what undoes the steps before it")
            attempts.append(await attempted(instruments, target, step, "", left_by))
        if kill and any(not each.untried(basis) for each in attempts):
            last = [step for step, each in zip(steps, attempts, strict=True) if not each.untried(basis)][-1]
            instruments.say(f"Step {last.name} again, and the service is killed while the undo is pending")
            attempts.append(await attempted(instruments, target, last, kill, left_by))
    return Evidence(
        path=transaction.calls[-1].path,
        whole=basis,
        attempts=tuple(attempts),
        killer=kill,
        flagged=transaction.flagged.url if transaction.flagged else "",
        settle_s=transaction.settle_s,
        reproduce="# with a step made to fail, and its compensation too; restore both, compare the state:\n"
        + curl_lines(target, transaction),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """What stays behind in silence fails; what stays and shows warns; what was not tried is not passed."""
    if not evidence.attempts:
        unsaid = no_basis(evidence.whole, evidence.path) if evidence.whole.status else None
        return unsaid or Finding.not_assessed(
            "No step declares what must be away so that undoing the steps before it fails. Add "
            '`compensation = { lever = "..." }` to a step.',
            missing="transaction.steps.compensation",
        )
    tried = [each for each in evidence.attempts if not each.untried(evidence.whole)]
    carried = [each for each in tried if each.carried_on(evidence.whole)]
    left = [each for each in tried if each not in carried]
    silent = [each for each in left if not each.flagged]
    untried = [_untried(each, evidence.whole) for each in evidence.attempts if each not in tried]
    if not evidence.killer:
        untried.append("No lever can kill the service, so an interrupted undo was not tried.")
    limit = Limit.at_most(thresholds.max_forgotten, thresholds.max_forgotten)
    if not tried:
        return Finding.not_assessed(" ".join(untried), missing="transaction.steps.compensation")
    words = " ".join(_left(each, evidence) for each in (silent or left))
    if len(silent) > thresholds.max_forgotten:
        return Finding.failed(
            words, value=len(left), unit="count", limit=limit, fix=FIX, reproduce=evidence.reproduce
        )
    finding = Finding.passed(
        f"Carried on: {plural(len(carried), 'failed undo')}, within "
        f"{show(max((each.settled_s for each in carried), default=0.0), 's')} once the partner was back, "
        f"limit {show(evidence.settle_s, 's')}"
        f"{'; one of them over a kill of the service' if any(each.killed for each in carried) else ''}.",
        value=len(left),
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )
    if left:
        return finding.but(outcome=Outcome.WARN, share=0.5, reason=words, fix=FIX)
    if untried:
        share = len(carried) / (len(carried) + len(untried))
        return finding.but(
            outcome=Outcome.WARN, share=share, reason=f"{finding.reason} {' '.join(untried)}", fix=ADD
        )
    return finding


FIX = "Keep what has to be undone until it is undone, across restarts, and show what is pending."
ADD = "Declare the levers with which the rest can be tried: `[levers.service]`, `compensation` of a step."


def _left(each: Undoing, evidence: Evidence) -> str:
    how = "the service was killed while its undo was pending" if each.killed else "its undo failed at first"
    shown = (
        f"it shows at {evidence.flagged}"
        if each.flagged
        else f"nothing at {evidence.flagged} shows it"
        if evidence.flagged
        else "no place is declared where it would show (`[transaction] flagged`)"
    )
    return f"Step {each.step} failed and {how}: {worded(each.residue)}, and {shown}."


def _untried(each: Undoing, whole: Whole) -> str:
    with_kill = " with a kill" if each.killed else ""
    return f"Step {each.step}: the failing undo{with_kill} could not be tried, {each.untried(whole)}."
