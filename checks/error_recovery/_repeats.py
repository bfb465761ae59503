"""One request under one Idempotency-Key, repeated: in turn, at once, with another body, by another user.

Private to this family. Effects are counted at the parties; replies are compared without their ignored paths.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from time import monotonic
from typing import Any

from checks.contract import (
    Auth,
    BodyPlan,
    Instruments,
    Reply,
    Request,
    Transaction,
    TransactionRequest,
    document_in,
)
from checks.error_recovery._flow import TIMEOUT_S, captured, new_values, problem_of, rendered
from checks.error_recovery._state import Change, State, changes, drop, effects, read_state, shallow

AGAIN = 3
AT_ONCE = 4
HOLD_S = 0.25  # all but the last byte is sent, then the last of each at the same moment
LATE_S = 0.3
LOOK_S = 0.05
READING = frozenset(("GET", "HEAD", "OPTIONS"))
BY_ITSELF = frozenset(("PUT", "DELETE"))  # RFC 9110, 9.2.2: idempotent without a key
MAX_CANDIDATES = 3


@dataclass(frozen=True)
class Said:
    """One reply, in what can be compared. ``problem`` is "" for a success."""

    status: int | None
    problem: str
    digest: str


@dataclass(frozen=True)
class Repeated:
    """A request of the transaction, the reply that counts, those of its repeats, and one after them all."""

    request: str
    first: Said
    again: tuple[Said, ...]
    later: Said | None = None


@dataclass(frozen=True)
class Trial:
    """A transaction whose requests were repeated, and what it did to the parties as a whole.

    ``rewritten``: what a repeat changed though no number or size moved. ``problem``: why it got no further.
    """

    repeated: tuple[Repeated, ...]
    effects: dict[str, float] = field(default_factory=dict)
    rewritten: tuple[Change, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Reuse:
    """A known key with something else behind it. ``untried`` says why it tells nothing.

    ``effect``: whether a party's state changed; ``same``: whether the first reply came back.
    """

    status: int | None = None
    good: bool = False
    effect: bool = False
    same: bool = False
    untried: str = ""


def keyed(call: TransactionRequest) -> bool:
    """Whether the service can tell a repeat of this request from another one."""
    if call.method in READING:
        return False
    written = f"{call.path} {call.headers} {json.dumps(call.body)}"
    return bool(call.idempotency_header) or call.method in BY_ITSELF or "{nonce}" in written


async def in_turn(instruments: Instruments, transaction: Transaction) -> Trial:
    """Each keyed request, and when it was answered again a few times, on connections of their own."""
    before, values = await read_state(instruments, transaction.state), new_values()
    repeated: list[Repeated] = []
    rewritten: tuple[Change, ...] = ()
    for place, call in enumerate(transaction.calls):
        request = rendered(transaction, place, values)
        reply = await instruments.http.send(request, timeout_s=TIMEOUT_S)
        if problem := problem_of(call, reply) or captured(call, reply, values):
            return Trial(tuple(repeated), problem=f"{call.name}: {problem}")
        if not keyed(call):
            continue
        done = await _still(instruments, transaction, values)
        again = [
            await instruments.http.send(request, timeout_s=TIMEOUT_S, fresh_connection=True)
            for _ in range(AGAIN)
        ]
        after = await _still(instruments, transaction, values, at_least_s=LATE_S)
        rewritten += () if effects(done, after) else changes(done, after)
        repeated.append(
            Repeated(call.name, _said(call, reply, transaction), _all_said(call, again, transaction))
        )
    after = await _still(instruments, transaction, values)
    return Trial(tuple(repeated), effects(before, after), rewritten)


async def at_once(instruments: Instruments, transaction: Transaction) -> Trial:
    """Each keyed request on several connections at the same moment, and once more when all were answered."""
    before, values = await read_state(instruments, transaction.state), new_values()
    repeated: list[Repeated] = []
    for place, call in enumerate(transaction.calls):
        request = rendered(transaction, place, values)
        replies: list[Reply] = []
        if keyed(call):
            replies = await asyncio.gather(*(_on_the_mark(instruments, request) for _ in range(AT_ONCE)))
        later = await instruments.http.send(request, timeout_s=TIMEOUT_S)
        first = next((reply for reply in replies if not problem_of(call, reply)), later)
        if keyed(call):
            said = [_said(call, reply, transaction) for reply in (first, later)]
            repeated.append(Repeated(call.name, said[0], _all_said(call, replies, transaction), said[1]))
        if problem := problem_of(call, first) or captured(call, first, values):
            return Trial(tuple(repeated), problem=f"{call.name}: {problem}")
    after = await _still(instruments, transaction, values, at_least_s=LATE_S)
    return Trial(tuple(repeated), effects(before, after))


async def _on_the_mark(instruments: Instruments, request: Request) -> Reply:
    """Send with the last byte held back, so that several are complete at the same moment."""
    if len(request.body) < 2:
        return await instruments.http.send(request, timeout_s=TIMEOUT_S, fresh_connection=True)
    plan = BodyPlan(pauses=((len(request.body) - 1, HOLD_S),))
    reply = await instruments.bodies.send(request, plan, timeout_s=TIMEOUT_S)
    return Reply(request.url, reply.status, reply.headers, reply.body, failure=reply.failure)


async def other_body(instruments: Instruments, transaction: Transaction) -> Reuse:
    """A known key with another body, which is taken under a key of its own."""
    place = _first_keyed(transaction)
    call = transaction.calls[place]
    values, reply, why = await _until(instruments, transaction, place)
    if why or reply is None:
        return Reuse(untried=why)
    request = rendered(transaction, place, values)
    for changed in islice(_variants(request.body), MAX_CANDIDATES):
        own, _, why = await _until(instruments, transaction, place - 1)
        control = dataclasses.replace(rendered(transaction, place, own), body=changed)
        if why:
            break
        if problem_of(call, await instruments.http.send(control, timeout_s=TIMEOUT_S)):
            continue  # not a body that the service takes: its refusal would say nothing about the key
        return await _reused(
            instruments, transaction, call, dataclasses.replace(request, body=changed), reply
        )
    return Reuse(untried="no other body was found that the service takes")


async def other_user(instruments: Instruments, transaction: Transaction, auth: Auth | None) -> Reuse:
    """A known key, sent by another user who may do the same."""
    call = transaction.calls[0]
    if auth is None or auth.other is None:
        return Reuse(untried="`[auth] other` is not declared")
    if not keyed(call) or auth.sent_with(None, call.headers) == call.headers:
        return Reuse(untried=f"the request has no header {auth.header}, or no key")
    values, reply, why = await _until(instruments, transaction, 0)
    if why or reply is None:
        return Reuse(untried=why)
    own, theirs = (rendered(transaction, 0, each) for each in (new_values(), values))
    own, theirs = (
        dataclasses.replace(each, headers=auth.sent_with(auth.other, each.headers)) for each in (own, theirs)
    )
    if problem := problem_of(call, await instruments.http.send(own, timeout_s=TIMEOUT_S)):
        return Reuse(untried=f"the other user is refused under a key of their own ({problem})")
    return await _reused(instruments, transaction, call, theirs, reply)


async def _reused(
    instruments: Instruments,
    transaction: Transaction,
    call: TransactionRequest,
    request: Request,
    first: Reply,
) -> Reuse:
    before = await _still(instruments, transaction, {})
    reply = await instruments.http.send(request, timeout_s=TIMEOUT_S)
    after = await _still(instruments, transaction, {}, at_least_s=LATE_S)
    return Reuse(
        status=reply.status,
        good=not problem_of(call, reply),
        effect=bool(changes(before, after)),
        same=_said(call, reply, transaction).digest == _said(call, first, transaction).digest,
    )


def _first_keyed(transaction: Transaction) -> int:
    return next(place for place, call in enumerate(transaction.calls) if keyed(call))


async def _until(
    instruments: Instruments, transaction: Transaction, last: int
) -> tuple[Mapping[str, str | int], Reply | None, str]:
    """Send the requests up to number ``last``: values, the last reply, and why it got no further."""
    values, reply = new_values(), None
    for place, call in enumerate(transaction.calls[: last + 1]):
        reply = await instruments.http.send(rendered(transaction, place, values), timeout_s=TIMEOUT_S)
        if problem := problem_of(call, reply) or captured(call, reply, values):
            return values, reply, f"{call.name}: {problem}"
    return values, reply, ""


async def _still(
    instruments: Instruments,
    transaction: Transaction,
    values: Mapping[str, str | int],
    at_least_s: float = 0.0,
) -> State:
    """The state once it no longer moves, or when ``settle_s`` is over."""
    await asyncio.sleep(min(at_least_s, transaction.settle_s))
    deadline = monotonic() + transaction.settle_s
    now = await read_state(instruments, transaction.state, values)
    while monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
        earlier, now = now, await read_state(instruments, transaction.state, values)
        if not changes(earlier, now):
            break
    return now


def _all_said(
    call: TransactionRequest, replies: Sequence[Reply], transaction: Transaction
) -> tuple[Said, ...]:
    return tuple(_said(call, reply, transaction) for reply in replies)


def _said(call: TransactionRequest, reply: Reply, transaction: Transaction) -> Said:
    document = reply.document()
    plain = document is not None and shallow(document)
    for path in transaction.ignore if plain else ():
        drop(document, path.split("."))
    content = json.dumps(document, sort_keys=True).encode() if plain else reply.body
    return Said(reply.status, problem_of(call, reply), sha256(content).hexdigest()[:16])


def _variants(body: bytes) -> Iterator[bytes]:
    """The same JSON with one thing changed: a number first, then a text of several words."""
    document = document_in(body)
    places = list(_leaves(document, ()))
    numbers = [place for place, leaf in places if isinstance(leaf, int) and not isinstance(leaf, bool)]
    texts = [place for place, leaf in places if isinstance(leaf, str) and " " in leaf.strip()]
    for place in (*numbers, *texts):
        changed = copy.deepcopy(document)
        holder: Any = changed
        for part in place[:-1]:
            holder = holder[part]
        leaf = holder[place[-1]]
        holder[place[-1]] = f"{leaf} too" if isinstance(leaf, str) else leaf + 1
        yield json.dumps(changed, ensure_ascii=False).encode()


def _leaves(node: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        if place:
            yield place, node
        return
    for key, inner in items:
        yield from _leaves(inner, (*place, key))
