"""A declared transaction sent request by request, and what it did to the state of its parties.

Private to this family. What a reply gives to capture is hostile text: bounded, and never a reference.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from checks.contract import (
    Failing,
    Finding,
    InstrumentFailure,
    Instruments,
    Reply,
    Request,
    Target,
    Transaction,
    TransactionRequest,
    at_path,
    curl_line,
)
from checks.error_recovery._state import Change, State, changes, effects, read_state, worded

TIMEOUT_S = 15.0
POLL_S = 0.1
TRIES = 3
LATE_S = 0.5  # what a cut held back arrives within this after the restore, on a local network
MAX_CAPTURED_CHARS = 200

Before = Callable[[TransactionRequest], Awaitable[None]]


@dataclass(frozen=True)
class Played:
    """What came of a transaction: its last reply, what it captured, and why it went no further ("" if whole).

    ``accepted``: the last reply was 2xx, be it one that counts as a success or not.
    """

    status: int | None = None
    problem: str = ""
    accepted: bool = False
    values: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether each request was answered as a success."""
        return not self.problem

    @property
    def broke_off(self) -> bool:
        """Whether it failed for no fault of the caller's."""
        return self.status is None or self.status >= 500


def new_values() -> dict[str, str | int]:
    """Values for the templates of one transaction that was never sent before.

    The nonce is not drawn from the run's seed: a key that was used before would replay its reply.
    """
    return {"user": "assessment", "session": "assessment", "nonce": str(uuid.uuid4())}


def rendered(transaction: Transaction, place: int, values: Mapping[str, str | int]) -> Request:
    """Request number ``place`` with its values; each of several has an idempotency key of its own."""
    call = transaction.calls[place]
    request = call.render(**values)
    if not call.idempotency_header or not place:
        return request
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{values['nonce']} {place}"))
    return dataclasses.replace(request, headers={**request.headers, call.idempotency_header: key})


async def play(
    instruments: Instruments,
    transaction: Transaction,
    *,
    headers: Mapping[str, str] | None = None,
    before: Before | None = None,
    values: dict[str, str | int] | None = None,
) -> Played:
    """Send the requests in order until one is not answered with success. ``before`` is called for each.

    What is captured is put into ``values`` where they are given.
    """
    values = new_values() if values is None else values
    played = Played(values=values)
    for place, call in enumerate(transaction.calls):
        if before is not None:
            await before(call)
        request = rendered(transaction, place, values)
        request = dataclasses.replace(request, headers={**request.headers, **(headers or {})})
        reply = await instruments.http.send(request, timeout_s=TIMEOUT_S)
        problem = problem_of(call, reply) or captured(call, reply, values)
        played = Played(reply.status, problem, reply.succeeded, values)
        if problem:
            break
    return played


def problem_of(call: TransactionRequest, reply: Reply) -> str:
    """Why this reply is no success; "" where it is one."""
    if reply.failure is not None:
        return reply.failure.detail[:200]
    return "" if reply.status in call.good_statuses else f"status {reply.status}"


def captured(call: TransactionRequest, reply: Reply, values: dict[str, str | int]) -> str:
    """Take what ``call`` captures out of ``reply`` into ``values``; else say what is not there."""
    document = reply.document()
    for name, path in call.capture.items():
        found = at_path(document, path)
        text = str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
        if not text or text in (".", "..") or "${" in text or not text.isprintable():
            return f"status {reply.status} with nothing at `{path}` to capture as {{{name}}}"
        if len(text) > MAX_CAPTURED_CHARS:
            return f"what is at `{path}` is longer than {MAX_CAPTURED_CHARS} characters"
        values[name] = found if isinstance(found, int) else text
    return ""


@asynccontextmanager
async def made_to_fail(
    instruments: Instruments, failing: Failing, within: str | None = None
) -> AsyncIterator[Before]:
    """A lever's means is broken before the first request, or before the one ``within`` which it must be.

    What comes out is to be called before each request. What was broken is restored at the end of the block.
    """
    async with AsyncExitStack() as cut:
        pending = [failing.lever] if failing.lever is not None else []

        async def begin(call: TransactionRequest) -> None:
            if pending and within in (None, call.name):
                await cut.enter_async_context(instruments.faults.broken(pending.pop(), failing.way))

        yield begin


def untriable(instruments: Instruments, failing: Failing) -> str:
    """Why it cannot be made to fail; "" where it can."""
    if failing.lever is None or failing.way in instruments.faults.ways(failing.lever):
        return ""
    return f"the lever {failing.lever} has no way {failing.way!r}"


@dataclass(frozen=True)
class Whole:
    """The transaction with nothing broken: what it did (``effects``, ``change``), or why it did not.

    ``moves_itself``: what changes without any transaction.
    """

    moves_itself: tuple[Change, ...] = ()
    status: int | None = None
    problem: str = ""
    effects: dict[str, float] = field(default_factory=dict)
    change: tuple[Change, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there is something to compare with."""
        return not self.moves_itself and not self.problem and bool(self.change)


async def whole(instruments: Instruments, transaction: Transaction) -> Whole:
    """Look whether the state moves by itself, and carry the transaction out once.

    One that breaks off is tried again: a busy host alone may make a step too late.
    """
    first = await read_state(instruments, transaction.state)
    await asyncio.sleep(2 * POLL_S)
    before = await read_state(instruments, transaction.state)
    if moves := changes(first, before):
        return Whole(moves_itself=moves)
    played = await play(instruments, transaction)
    for _ in range(TRIES - 1):
        if played.whole or not played.broke_off:
            break
        before = await restored(instruments, transaction, [before], played.values)
        played = await play(instruments, transaction)
    after = await settled(instruments, transaction, before, played.values)
    return Whole((), played.status, played.problem, effects(before, after), changes(before, after))


async def settled(
    instruments: Instruments, transaction: Transaction, before: State, values: Mapping[str, str | int]
) -> State:
    """The state once it differs from ``before`` and stays, or when ``settle_s`` is over."""
    deadline = monotonic() + transaction.settle_s
    after = await read_state(instruments, transaction.state, values)
    while monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        earlier, after = after, await read_state(instruments, transaction.state, values)
        if changes(before, after) and not changes(earlier, after):
            break
    return after


async def restored(
    instruments: Instruments,
    transaction: Transaction,
    bases: Sequence[State],
    values: Mapping[str, str | int],
    *,
    late_s: float = LATE_S,
) -> State:
    """The state once it is as one of ``bases``, or after ``settle_s``; first looked at after ``late_s``."""
    started = monotonic()
    await asyncio.sleep(min(late_s, transaction.settle_s))
    after = await read_state(instruments, transaction.state, values)
    while all(changes(base, after) for base in bases) and monotonic() - started < transaction.settle_s:
        await asyncio.sleep(POLL_S)
        after = await read_state(instruments, transaction.state, values)
    return after


def no_basis(whole: Whole, path: str) -> Finding | None:
    """Why nothing can be learnt from this transaction, if so."""
    if whole.moves_itself:
        return Finding.not_assessed(
            f"The state changes without a transaction: {worded(whole.moves_itself)}. Name what may change "
            "in `ignore` of `[[transaction.state]]`.",
            missing="transaction.state.ignore",
        )
    if whole.problem:
        return Finding.not_assessed(
            f"{path} fails with nothing broken: {whole.problem}.", missing="transaction"
        )
    if not whole.change:
        return Finding.not_assessed(
            f"{path} reports success and no declared state changes. Declare where effects show.",
            missing="transaction.state",
        )
    return None


def declared(target: Target) -> Transaction:
    """The transaction. Raises InstrumentFailure."""
    if target.transaction is None:
        raise InstrumentFailure("No transaction is declared.", missing="transaction")
    return target.transaction


def curl_lines(target: Target, transaction: Transaction) -> str:
    """The transaction as shell lines; captures stay in braces for the reader to fill in."""
    values = {"user": "assessment", "session": "assessment", "nonce": "assessment-1"}
    return "\n".join(
        curl_line(target, rendered(transaction, place, values)) for place in range(len(transaction.calls))
    )
