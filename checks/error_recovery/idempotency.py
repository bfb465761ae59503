"""A request that is sent again, under the same key, has one effect and one reply.

Why it matters
    Clients, proxies and queues repeat what was not answered in time. A payment that was carried out and whose
    reply was lost is then carried out twice; and repeats come while the first is still under way.

How it is measured
    The declared transaction is carried out with its Idempotency-Key (or the `{nonce}` that it holds). Then
    under new keys: each request again three times after its reply, on connections of their own, and each
    request on four connections at the same moment, whose last bytes are sent together. What it did is counted
    in the state of the parties, not in the replies. A repeat must get the first reply again; one that comes
    while the first is under way may be told so with 409, as the IETF draft on the Idempotency-Key header
    (2.6 and 2.7) has it, if the result is there afterwards.

    Also: the key again with another body, which the draft has refused (422); and, where `[auth] other` is
    declared, the key sent by another user, for whom it is a new one.

How to fix it
    1. Keep each key with a digest of its request and its result where all processes see it, in one insert
       that fails where the key is known, before anything is done.
    2. Let a repeat wait for the result, or answer 409 until it is there; then give that result again.
    3. Let the user be a part of the key, and answer 422 where the request behind a key is another one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from checks.contract import Check, Finding, Instruments, Kind, Limit, Target, Transaction, show
from checks.error_recovery._flow import Whole, curl_lines, declared, no_basis, play, settled, whole
from checks.error_recovery._repeats import (
    AGAIN,
    AT_ONCE,
    Repeated,
    Reuse,
    Said,
    Trial,
    at_once,
    in_turn,
    keyed,
    other_body,
    other_user,
)
from checks.error_recovery._state import effects, read_state, worded

CHECK = Check(
    failure_title="A repeated request has two effects",
    kind=Kind.ACTIVE,
    does="Carries out the transaction about ten times, some under one key, in turn and at once.",
    measures="times the effect of one transaction, under one key",
    needs=("http", "bodies", "target.transaction"),
    deadline_s=90,
    typical_s=4,
)
ROUNDS = 2
UNDER_WAY = 409


@dataclass(frozen=True)
class Thresholds:
    """One key, one effect (catalogue)."""

    max_effects: float = 1


@dataclass(frozen=True)
class Evidence:
    """``usual``: how far each number and size of the parties moves for one transaction, each time alike."""

    path: str
    keyed: bool
    countable: bool
    whole: Whole
    usual: dict[str, float]
    in_turn: Trial | None
    at_once: tuple[Trial, ...]
    other_body: Reuse
    other_user: Reuse
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Twice under keys of their own, then repeated under one key."""
    transaction = declared(target)
    has_key = any(keyed(call) for call in transaction.calls)
    countable = any(not probe.of_one for probe in transaction.state)
    basis, usual, turn = Whole(), dict[str, float](), None
    rounds: list[Trial] = []
    body = user = Reuse(untried="nothing was repeated")
    if has_key and countable:
        basis = await whole(instruments, transaction)
    if basis.sound:
        usual = await _usual(instruments, target, basis)
    if usual:
        instruments.say("The same transaction under one key, in turn")
        turn = await _undisturbed(in_turn, instruments, transaction)
        for _ in range(ROUNDS):
            instruments.say("The same transaction under one key, at once")
            rounds.append(await _undisturbed(at_once, instruments, transaction))
        body = await other_body(instruments, transaction)
        user = await other_user(instruments, transaction, target.auth)
    return Evidence(
        path=transaction.calls[-1].path,
        keyed=has_key,
        countable=countable,
        whole=basis,
        usual=usual,
        in_turn=turn,
        at_once=tuple(rounds),
        other_body=body,
        other_user=user,
        reproduce="# twice, and twice at once; compare the state of the parties:\n"
        + curl_lines(target, transaction),
    )


async def _usual(instruments: Instruments, target: Target, basis: Whole) -> dict[str, float]:
    """What a second transaction moves as far as the first did: the rest cannot be counted."""
    transaction = declared(target)
    before = await read_state(instruments, transaction.state)
    played = await play(instruments, transaction)
    moved = effects(before, await settled(instruments, transaction, before, played.values))
    return {path: by for path, by in basis.effects.items() if by and moved.get(path) == by}


async def _undisturbed(
    repeat: Callable[[Instruments, Transaction], Awaitable[Trial]],
    instruments: Instruments,
    transaction: Transaction,
) -> Trial:
    """One that broke off is tried once more: a busy host alone may make a step too late."""
    trial = await repeat(instruments, transaction)
    said = [each for one in trial.repeated for each in (one.first, *one.again)]
    if trial.problem or any(each.status is None or each.status >= 500 for each in said):
        again = await repeat(instruments, transaction)
        return (
            again if sum(map(abs, trial.effects.values())) <= sum(map(abs, again.effects.values())) else trial
        )
    return trial


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Two effects fail; one effect with another reply, or a key that means several things, warns."""
    unsaid = _unmeasured(evidence)
    if unsaid or evidence.in_turn is None:
        return unsaid or Finding.not_assessed("Nothing was repeated.")
    trials = (evidence.in_turn, *evidence.at_once)
    times = max(_times(trial, evidence.usual) for trial in trials)
    limit = Limit.at_most(thresholds.max_effects, thresholds.max_effects)
    wrong = _wrong(evidence, thresholds)
    if wrong:
        return Finding.failed(
            wrong, value=times, unit="count", limit=limit, fix=FIX, reproduce=evidence.reproduce
        )
    doubts = _doubts(evidence)
    reason = f"Under one key there was one effect, {1 + AGAIN} times in turn and {AT_ONCE} times at once."
    if doubts:
        return Finding.warned(
            f"{reason} But {'; '.join(doubts)}.",
            value=times,
            unit="count",
            limit=limit,
            fix=FIX,
            reproduce=evidence.reproduce,
        )
    return Finding.passed(
        f"{reason[:-1]}, and one reply. {_asides(evidence)}".rstrip(),
        value=times,
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )


FIX = (
    "Claim the key, with its user and a digest of the request, where all processes see it and before "
    "anything is done; give the kept result to every repeat, and 409 until it is there."
)


def _unmeasured(evidence: Evidence) -> Finding | None:
    if not evidence.keyed:
        return Finding.not_assessed(
            f"{evidence.path} has no key by which a repeat is known. Declare `idempotency_header`, or put "
            "{nonce} where the client's own reference stands.",
            missing="transaction.idempotency_header",
        )
    if not evidence.countable:
        return Finding.not_assessed(
            "Each declared state shows one transaction only, so a second effect would not be seen. Declare "
            "where a party shows all.",
            missing="transaction.state",
        )
    return no_basis(evidence.whole, evidence.path) or _uncounted(evidence)


def _uncounted(evidence: Evidence) -> Finding | None:
    if not evidence.usual:
        return Finding.not_assessed(
            "Two transactions move no number and no size of the state alike, so effects cannot be counted.",
            missing="transaction.state",
        )
    trials = (*filter(None, (evidence.in_turn,)), *evidence.at_once)
    said = [each for trial in trials for one in trial.repeated for each in (one.first, *one.again)]
    if any(each.status == 429 for each in said):
        return Finding.not_assessed("The repeats were rate limited (429), so they prove nothing.")
    if evidence.in_turn is not None and evidence.in_turn.problem:
        return Finding.not_assessed(f"A transaction failed meanwhile: {evidence.in_turn.problem}.")
    return None


def _times(trial: Trial, usual: dict[str, float]) -> float:
    """How often the effect of one transaction is there, by what moved furthest."""
    return round(max(trial.effects.get(path, 0.0) / by for path, by in usual.items()), 2)


def _wrong(evidence: Evidence, thresholds: Thresholds) -> str:
    turn = evidence.in_turn
    if turn is not None and _times(turn, evidence.usual) > thresholds.max_effects:
        return (
            f"Sent {1 + AGAIN} times in turn under one key, the transaction had "
            f"{show(_times(turn, evidence.usual), 'count')} times its effect: {_furthest(turn, evidence)}."
        )
    for trial in evidence.at_once:
        if _times(trial, evidence.usual) > thresholds.max_effects:
            return (
                f"Sent {AT_ONCE} times at once under one key, the transaction had "
                f"{show(_times(trial, evidence.usual), 'count')} times its effect: "
                f"{_furthest(trial, evidence)}; one after the other it had one."
            )
    user = evidence.other_user
    if user.good and not user.effect:
        return (
            f"Another user who happened to send the same key was told {user.status}, and nothing was done "
            f"for them{': they got the first reply' if user.same else ''}."
        )
    return ""


def _furthest(trial: Trial, evidence: Evidence) -> str:
    path, by = max(evidence.usual.items(), key=lambda item: trial.effects.get(item[0], 0.0) / item[1])
    return f"{path.rstrip('#')} moved by {trial.effects.get(path, 0.0):g} instead of {by:g}"


def _doubts(evidence: Evidence) -> list[str]:
    found = []
    for one in evidence.in_turn.repeated if evidence.in_turn else ():
        if any(_differs(one, each) for each in one.again):
            statuses = ", ".join(sorted({str(each.status) for each in one.again}))
            found.append(f"a repeat was not told what the first was ({one.first.status}, then {statuses})")
    if evidence.in_turn and evidence.in_turn.rewritten:
        found.append(f"a repeat changed something: {worded(evidence.in_turn.rewritten)}")
    for trial in evidence.at_once:
        found += [_at_once_doubt(one) for one in trial.repeated]
        found += [f"of those at once none was carried out ({trial.problem})"] if trial.problem else []
    body, user = evidence.other_body, evidence.other_user
    if body.good:
        what = "was carried out too" if body.effect else "got the first reply"
        found.append(f"another body under the same key {what} ({body.status}; 422 is expected)")
    if user.status is not None and not user.good:
        found.append(f"another user who happened to send the same key was refused ({user.status})")
    return list(dict.fromkeys(filter(None, found)))


def _differs(one: Repeated, each: Said) -> bool:
    return bool(each.problem) or each.digest != one.first.digest


def _at_once_doubt(one: Repeated) -> str:
    others = [each for each in one.again if each.status != UNDER_WAY and _differs(one, each)]
    if others:
        return f"one that came while the first was under way was told something else ({others[0].status})"
    if one.later is not None and _differs(one, one.later):
        return f"afterwards the key no longer had its reply ({one.later.status})"
    return ""


def _asides(evidence: Evidence) -> str:
    """What of the rest was seen to be right, and what was not tried."""
    body, user = evidence.other_body, evidence.other_user
    said = [
        f"Another body under it: {body.untried or f'refused ({body.status})'}.",
        f"Another user's same key: {user.untried or 'another key'}.",
    ]
    return " ".join(said)
