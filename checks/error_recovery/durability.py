"""What the service has acknowledged is there after a crash, as it was acknowledged.

Why it matters
    An order that was confirmed and is gone after a crash was paid for and is never sent; and nobody knows of
    it, since its only trace was in the memory of a process that died. Worse, its number may be given to the
    next customer.

How it is measured
    The declared transaction is carried out three times, which shows what each leaves in the state of the
    parties: new entries, and which of their values are alike each time; numbers, and how far they move. Then
    six at once are acknowledged, and the service's whole process tree is killed with SIGKILL within a second
    of the last reply. When it is back, and `settle_s` have passed at the latest, all six must be there with
    the same content, once, and everything from before as it was. One more transaction after that must leave
    its own trace and touch no earlier one: ids that are handed out again would.

How to fix it
    1. Reply after the write: commit to a store that outlives the process, then acknowledge.
    2. Where the work is done later, put it into a durable queue or a journal first; take that up at start.
    3. Let ids come from the store or be random, never from a counter in memory.
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
    show,
)
from checks.error_recovery._flow import Whole, curl_lines, declared, no_basis, whole
from checks.error_recovery._lifetime import require_way
from checks.error_recovery._readback import AT_ONCE, Books, crash, learn, one_more, read_back
from checks.error_recovery._records import Loss

CHECK = Check(
    failure_title="Acknowledged writes are lost in a crash",
    kind=Kind.FAULT,
    does="Carries out ten transactions, kills the service with SIGKILL amid them, and reads the state back.",
    measures="acknowledged writes that were lost or changed",
    needs=("http", "processes", "faults", "target.transaction", "target.levers.service"),
    deadline_s=240,
    typical_s=4,
)
MAX_LOSSES = 20
ROUNDS = 3  # in longer profiles: what is written now and then is only lost when the kill comes in between
CRASH_RESTART = "error_recovery.crash_restart"


@dataclass(frozen=True)
class Thresholds:
    """Not one (catalogue)."""

    max_lost: float = 0


@dataclass(frozen=True)
class Evidence:
    """``acknowledged`` of those sent at once, ``unsure`` got no success; killed so long after the last reply.

    ``lost`` is what was not there as acknowledged when the service was back, ``afterwards`` what was wrong
    with one more transaction then, or why there was none. ``unread`` is why nothing could be read back.
    """

    path: str
    whole: Whole
    tells: bool
    settle_s: float
    acknowledged: int = 0
    unsure: int = 0
    killed_after_s: float = 0.0
    survivors: tuple[int, ...] = ()
    lost: tuple[Loss, ...] = ()
    afterwards: tuple[Loss, ...] = ()
    none_afterwards: str = ""
    unread: str = ""
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Learn, acknowledge, kill, read back. The lever has it running again whatever happens here."""
    require_way(instruments, "kill")
    transaction = declared(target)
    path = transaction.calls[-1].path
    basis, books = await whole(instruments, transaction), Books(instruments, transaction)
    if not basis.sound:
        return Evidence(path, basis, False, transaction.settle_s)
    pattern, before = await learn(books)
    if not pattern.tells:
        return Evidence(path, basis, False, transaction.settle_s)
    instruments.say(f"{AT_ONCE} transactions at once, then the service is killed")
    lost, afterwards = tuple[Loss, ...](), tuple[Loss, ...]()
    none_afterwards = unread = ""
    for _ in range(ROUNDS if instruments.profile.deadline_factor > 1 else 1):
        crashed = await crash(target, instruments, books)
        try:
            lost, before = await read_back(books, pattern, before, crashed)
            afterwards, none_afterwards = await one_more(books, pattern, before)
            before = await books.read()
        except InstrumentFailure as failure:
            unread = failure.reason[:500]
        if lost or afterwards or none_afterwards or unread:
            break
    return Evidence(
        path=path,
        whole=basis,
        tells=True,
        settle_s=transaction.settle_s,
        acknowledged=crashed.counts[0],
        unsure=crashed.counts[1],
        killed_after_s=crashed.killed_after_s,
        survivors=crashed.survivors,
        lost=lost[:MAX_LOSSES],
        afterwards=afterwards[:MAX_LOSSES],
        none_afterwards=none_afterwards,
        unread=unread,
        reproduce="# six times, kill -9 of the service's processes within a second, then read the state:\n"
        + curl_lines(target, transaction),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Whatever was acknowledged and is not there as it was fails."""
    unmeasured = _unmeasured(evidence)
    if unmeasured:
        return unmeasured
    limit = Limit.at_most(thresholds.max_lost, thresholds.max_lost)
    when = f"{show(evidence.killed_after_s, 's')} before a kill"
    wrong = max((loss.count for loss in evidence.lost), default=0)
    if wrong > thresholds.max_lost:
        told = "; ".join(loss.words for loss in evidence.lost[:3])
        return Finding.failed(
            f"Of {plural(evidence.acknowledged, 'transaction')} acknowledged {when} not all are there "
            f"afterwards: {told}.",
            value=wrong,
            unit="count",
            limit=limit,
            fix="Write to a store that outlives the process, and acknowledge after that.",
            reproduce=evidence.reproduce,
        )
    if evidence.afterwards:
        told = "; ".join(loss.words for loss in evidence.afterwards[:3])
        return Finding.failed(
            f"The first transaction after the restart goes wrong, as if its id had been another's: {told}.",
            value=max(loss.count for loss in evidence.afterwards),
            unit="count",
            limit=limit,
            fix="Let ids come from the store or be random, never from a counter in memory.",
            reproduce=evidence.reproduce,
        )
    note = (
        f" One more after the restart fails: {evidence.none_afterwards}." if evidence.none_afterwards else ""
    )
    return Finding.passed(
        f"All {plural(evidence.acknowledged, 'transaction')} acknowledged {when} are there afterwards, with "
        f"the same content.{note}",
        value=0,
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )


def _unmeasured(evidence: Evidence) -> Finding | None:
    if none := no_basis(evidence.whole, evidence.path):
        return none
    if not evidence.tells:
        return Finding.not_assessed(
            "Two transactions leave nothing alike in the declared state, so a lost one would not be seen. "
            "Declare where a party shows all of them.",
            missing="transaction.state",
        )
    if evidence.survivors:
        return Finding.not_assessed(
            f"Process {evidence.survivors[0]} listened before the kill and still does: the lever reaches "
            "another one.",
            missing="levers.service.port",
        )
    if not evidence.acknowledged:
        return Finding.not_assessed(
            f"None of {AT_ONCE} transactions at once was acknowledged, so none could be lost."
        )
    if evidence.unread:
        return Finding.not_assessed(
            f"What became of the writes cannot be read. {evidence.unread}", follows_from=CRASH_RESTART
        )
    return None
