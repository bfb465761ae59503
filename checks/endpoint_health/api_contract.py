"""The service answers as its OpenAPI document declares.

Why it matters
    Callers, generated clients and tests are written against the document. Where a reply has another status,
    content type or shape, they break in ways that the service's own tests never see.

How it is measured
    The document is looked for where `[openapi]` says, else at the usual places and on pages that link to it.
    Schemathesis makes requests by its schemas, from a seed that is kept; our own are a short, a long and a
    multi-line question, and what the document shows as examples. Each reply is compared in status, content
    type, headers and schema. Operations that change things (DELETE, PUT, PATCH, and POST that does not ask)
    are left out, or get one body that is cut short; the model is asked twelve questions at most. Server
    errors of the declared question are judged by `primary_route` and `bad_input`; a 401, 403 or 429 and a
    reply that did not come say nothing of the contract.

How to fix it
    1. Generate the document from the code that answers, or test the code against it in each build.
    2. Declare every status that a route may give, errors and limits too, each with its content type.
    3. Make fields that may be missing or null say so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from checks.contract import (
    Check,
    Deviation,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Operation,
    Outcome,
    Reply,
    Target,
    curl_line,
    plural,
    wilson_interval,
)
from checks.endpoint_health._contract_calls import (
    MAX_CALLED,
    Sent,
    declared_call,
    made,
    requests,
    shares,
    use_of,
    wishes,
)
from checks.endpoint_health._pacing import patiently

CHECK = Check(
    failure_title="Replies are not as the API's document says",
    kind=Kind.ACTIVE,
    does="Calls documented operations that change nothing, with data that the document allows and forbids.",
    measures="of replies are as documented",
    needs=("http", "openapi"),
    deadline_s=130,
    typical_s=6,
    hostile=True,
)
TOGETHER = 4
TIMEOUT_S = 10.0
PATIENCE_S = 30.0  # for all calls; those that are left then are not made
MAX_BODY_BYTES = 16 << 20  # of all replies; what comes after is compared without its body
MAX_LINE_CHARS = 3_000
MAX_KEPT = 30  # deviations with their curl line
MAX_LABEL_CHARS = 100
MAX_TAIL_CHARS = 160  # of what is wrong with a document: validators quote the wrong part first
ABSENT = "openapi.document"  # what the instrument names where there is no document


@dataclass(frozen=True)
class Thresholds:
    """All pass, 98 % warn (catalogue, after Schemathesis' checks)."""

    pass_conforming_ratio: float = 1.0
    warn_conforming_ratio: float = 0.98


@dataclass(frozen=True)
class Deviating:
    """A reply that is not as declared: what was sent, what is wrong, and how to repeat it."""

    operation: str
    sent: str
    status: int | None
    what: str
    detail: str
    reproduce: str


@dataclass(frozen=True)
class Evidence:
    """What was found, called and compared.

    ``absent`` says why there is no document, "" where there is one; ``unsound`` what is wrong with it.
    ``operations`` are all that it has, ``called`` those that were called. ``left_out`` are examples of those
    that were not, because they may change things; of ``unmade`` Schemathesis could make no request.
    ``compared`` replies were judged and ``deviating`` are those of them that differ; ``set_aside`` counts the
    others by reason. ``undocumented`` is the business route where the document does not have it,
    ``only_crashed`` where it answered no valid question, and some with server errors.
    """

    seed: int
    absent: str = ""
    unsound: str = ""
    operations: int = 0
    called: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    left_out_count: int = 0
    unmade: tuple[str, ...] = ()
    compared: int = 0
    deviating_count: int = 0
    deviating: tuple[Deviating, ...] = ()
    set_aside: dict[str, int] = field(default_factory=dict)
    undocumented: str = ""
    only_crashed: str = ""
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the document, choose, call, compare."""
    seed = instruments.random.getrandbits(32)
    try:
        operations = await instruments.openapi.operations()
    except InstrumentFailure as failure:
        if failure.missing != ABSENT:
            raise
        return Evidence(seed, failure.reason)
    uses = {each.label: use_of(target, each) for each in operations}
    usable = [each for each in operations if uses[each.label] not in ("left out", "skipped")]
    chosen = sorted(usable, key=lambda each: declared_call(target, each) is None)[:MAX_CALLED]
    instruments.say("Making requests by the service's OpenAPI document")
    dealt = shares(target, uses, chosen)
    examples = await instruments.openapi.examples(wishes(uses, chosen, dealt), seed=seed)
    by_schema = [made(target, example) for example in examples.made]
    planned = _distinct([*requests(target, instruments, chosen, uses, dealt), *by_schema])
    called = await _call_all(instruments, planned)
    left_out = [each.label[:MAX_LABEL_CHARS] for each in operations if uses[each.label] == "left out"]
    return replace(
        await _compared(target, instruments, called),
        seed=seed,
        unsound=examples.problem,
        operations=len(operations),
        left_out=tuple(left_out[:10]),
        left_out_count=len(left_out),
        unmade=tuple(label[:MAX_LABEL_CHARS] for label in list(examples.failed)[:10]),
        undocumented=_undocumented(target, operations),
    )


def _distinct(planned: Sequence[Sent]) -> list[Sent]:
    kept = {(each.request.method, each.request.url, each.request.body): each for each in reversed(planned)}
    return list(reversed(kept.values()))


async def _call_all(instruments: Instruments, planned: Sequence[Sent]) -> list[tuple[Sent, Reply]]:
    """The replies in order; what valid data asks for comes first, so that bad data harms the least."""
    ordered = sorted(planned, key=lambda each: not each.valid)
    until, places = monotonic() + PATIENCE_S, asyncio.Semaphore(TOGETHER)
    room = MAX_BODY_BYTES

    async def call(sent: Sent) -> tuple[Sent, Reply] | None:
        nonlocal room
        async with places:
            if monotonic() > until:
                return None
            try:
                reply = await patiently(lambda: instruments.http.send(sent.request, timeout_s=TIMEOUT_S))
            except InstrumentFailure:  # a header or path that the document made impossible
                return None
        room -= len(reply.body)
        return sent, reply if room >= 0 else replace(reply, body=b"", truncated=True)

    return [done for done in await asyncio.gather(*map(call, ordered)) if done is not None]


async def _compared(
    target: Target, instruments: Instruments, called: Sequence[tuple[Sent, Reply]]
) -> Evidence:
    """What the replies show; the rest of the evidence is to be filled in."""
    counted, set_aside = _sorted_out(called)
    found = await instruments.openapi.deviations([(sent.operation, reply) for sent, reply in counted])
    set_aside |= {"could not be compared": found.count(None)} if None in found else {}
    wrong = [
        _deviating(target, sent, reply, deviations[0])
        for (sent, reply), deviations in zip(counted, found, strict=True)
        if deviations
    ]
    asked = [reply.status or 0 for sent, reply in called if sent.valid and _is_ask(target, sent)]
    first = next((sent.request for sent, _ in counted), None)
    return Evidence(
        seed=0,
        called=tuple(dict.fromkeys(sent.operation.label[:MAX_LABEL_CHARS] for sent, _ in called)),
        compared=len(counted) - found.count(None),
        deviating_count=len(wrong),
        deviating=tuple(wrong[:MAX_KEPT]),
        set_aside=set_aside,
        only_crashed=target.ask.path if target.ask and _only_crashed(asked) else "",
        reproduce=curl_line(target, first, options="-i")[:MAX_LINE_CHARS] if first else "",
    )


def _only_crashed(statuses: Sequence[int]) -> bool:
    return any(status >= 500 for status in statuses) and not any(200 <= status < 300 for status in statuses)


def _sorted_out(called: Sequence[tuple[Sent, Reply]]) -> tuple[list[tuple[Sent, Reply]], dict[str, int]]:
    """The calls whose replies are to be compared, and how many others there are by reason."""
    counted: list[tuple[Sent, Reply]] = []
    aside: dict[str, int] = {}
    for sent, reply in called:
        why = _says_nothing(sent, reply)
        if why:
            aside[why] = aside.get(why, 0) + 1
        else:
            counted.append((sent, reply))
    return counted, aside


def _says_nothing(sent: Sent, reply: Reply) -> str:
    """Why a reply says nothing of the contract, "" where it does."""
    if reply.status is None:
        return "no reply"
    if reply.status in (401, 403):
        return "asks for a credential"
    if reply.status == 429:
        return "rate limited"
    if 300 <= reply.status < 400:
        return "redirects"
    if reply.status >= 500 and sent.asks:
        return "server error of the business route"
    return ""


def _deviating(target: Target, sent: Sent, reply: Reply, first: Deviation) -> Deviating:
    return Deviating(
        operation=sent.operation.label[:MAX_LABEL_CHARS],
        sent=sent.what,
        status=reply.status,
        what=first.what,
        detail=first.detail,
        reproduce=curl_line(target, sent.request, options="-i")[:MAX_LINE_CHARS],
    )


def _is_ask(target: Target, sent: Sent) -> bool:
    return target.ask is not None and declared_call(target, sent.operation) is target.ask


def _undocumented(target: Target, operations: Sequence[Operation]) -> str:
    call = target.ask or target.stream
    if call is None or "{" in call.path or any(declared_call(target, each) is call for each in operations):
        return ""
    return f"{call.method} {call.path}"


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Whether there is a document, then how many replies are as it says, then what it leaves out."""
    unsaid = _unsaid(evidence)
    if unsaid:
        return unsaid
    conforming = evidence.compared - evidence.deviating_count
    limit = Limit.at_least(thresholds.pass_conforming_ratio, thresholds.warn_conforming_ratio, high=1.0)
    finding = Finding.by_limit(
        conforming / evidence.compared,
        "ratio",
        limit,
        f"{_said(evidence, conforming)} {_left_out(evidence)}".strip(),
        interval=wilson_interval(conforming, evidence.compared),
        fix=_fix(evidence),
        reproduce="\n".join(each.reproduce for each in evidence.deviating[:3]) or evidence.reproduce,
    )
    if finding.outcome is Outcome.FAIL:
        return finding
    if evidence.only_crashed:
        return Finding.not_assessed(
            f"{evidence.only_crashed} answers no valid question, only server errors come, so it cannot be "
            "compared with its document; the other replies are as documented.",
            follows_from="endpoint_health.primary_route",
        )
    doubt = _doubt(evidence)
    if doubt:
        fix = "Mend the document, so that it describes what callers use."
        return finding.but(outcome=Outcome.WARN, share=min(0.5, finding.share), reason=doubt, fix=fix)
    return finding


def _unsaid(evidence: Evidence) -> Finding | None:
    """The finding where nothing could be compared: for want of a document, or of replies."""
    absent = evidence.absent or ("" if evidence.operations else "The OpenAPI document declares no operation.")
    if absent:
        return Finding.failed(
            absent,
            fix="Publish an OpenAPI document, which most frameworks make from the code. One that stands "
            "elsewhere is declared as `[openapi] document`.",
        )
    return None if evidence.compared else Finding.not_assessed(_nothing_compared(evidence))


def _nothing_compared(evidence: Evidence) -> str:
    why = ", ".join(f"{count} times: {reason}" for reason, count in evidence.set_aside.items())
    if why:
        return f"No reply could be compared with the document ({why})."
    return (
        f"None of the {plural(evidence.operations, 'documented operation')} can be called without changing "
        "something."
    )


def _said(evidence: Evidence, conforming: int) -> str:
    called = plural(len(evidence.called), "operation")
    counted = f"{conforming} of {plural(evidence.compared, 'reply', 'replies')} of {called} are as documented"
    if not evidence.deviating:
        return f"{counted}."
    first = evidence.deviating[0]
    detail = re.split(r" (?:Validated against|Schema:|Schema at|Value:) ", first.detail)[0]
    wrong = f"{first.operation} answers {first.status} to {first.sent}"
    return f"{counted}. {wrong}: {first.what.lower()} ({detail})."


def _left_out(evidence: Evidence) -> str:
    """What was not called, and which replies do not count."""
    told = []
    if evidence.left_out_count:
        were = "was" if evidence.left_out_count == 1 else "were"
        told.append(f"{plural(evidence.left_out_count, 'operation')} that may change things {were} left out.")
    if evidence.set_aside:
        reasons = ", ".join(f"{count} ({reason})" for reason, count in evidence.set_aside.items())
        told.append(f"Not compared: {reasons}.")
    return " ".join(told)


def _fix(evidence: Evidence) -> str:
    places = list(dict.fromkeys(f"{each.operation} ({each.what.lower()})" for each in evidence.deviating))
    named = "; ".join(places[:5]) + (f"; and {len(places) - 5} more" if len(places) > 5 else "")
    return f"Make reply and document agree at {named}." if places else ""


def _doubt(evidence: Evidence) -> str:
    if evidence.unsound:
        what = (
            evidence.unsound
            if len(evidence.unsound) <= MAX_TAIL_CHARS
            else f"…{evidence.unsound[-MAX_TAIL_CHARS:]}"
        )
        return f"The OpenAPI document is not sound: {what.rstrip('.')}."
    if evidence.undocumented:
        return f"{evidence.undocumented}, the business route, is not in the service's OpenAPI document."
    return ""
