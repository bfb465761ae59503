"""Which operations of a document are called, and with what: only what changes nothing and costs little.

Private to this family. Everything of the document is hostile: paths are cleaned, and names are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from checks.contract import Call, Example, Instruments, Operation, Request, Target, Wish
from checks.endpoint_health._diagnosis import ASKING, HARMFUL, PATH, words
from checks.endpoint_health._question import new_question

PAID = 12  # requests that the paid model may have to answer, of all operations that take a question
INVALID = 3  # of each that takes a question: a lax service answers these too, and pays
MAX_BY_SCHEMA = 6
READS = 2  # of each that is read with parameters
MAX_CALLED = 60  # operations
LONG_CHARS = 1_200  # as someone who pastes an e-mail
# Words of routes that a mere GET may set off, whatever RFC 9110 says.
SETS_OFF = frozenset(
    (
        *("logout", "delete", "remove", "reset", "shutdown", "restart", "purge", "flush", "clear", "cancel"),
        *("deploy", "unsubscribe", "disable", "trigger", "run", "execute", "import", "sync"),
    )
)
Use = Literal["reads", "asks", "malformed", "left out", "skipped"]


@dataclass(frozen=True)
class Sent:
    """A request to be made and what it is: ``valid`` where the document allows it.

    ``asks`` is whether its operation is the declared business request, of which crashes are judged elsewhere.
    """

    operation: Operation
    request: Request
    what: str
    valid: bool
    asks: bool


def use_of(target: Target, operation: Operation) -> Use:
    """What may be done with an operation."""
    odd = not PATH.fullmatch(operation.path) or "//" in operation.path or ".." in operation.path
    if odd or operation.method in ("HEAD", "OPTIONS"):
        return "skipped"
    if declared_call(target, operation):
        return "asks"
    named = words(operation.path)
    if operation.method == "GET":
        return "left out" if named & SETS_OFF else "reads"
    if operation.method != "POST":
        return "left out"
    if named & ASKING and not named & HARMFUL and operation.prompt_field is not None:
        return "asks"
    json_body = operation.body is not None and "json" in (operation.content_type or "")
    return "malformed" if json_body else "left out"


def declared_call(target: Target, operation: Operation) -> Call | None:
    """The declared business request or stream that an operation is, or None."""
    for call in (target.ask, target.stream):
        if call is not None and call.method == operation.method and _path(call.path) == _path(operation.path):
            return call
    return None


def _path(place: str) -> str:
    return urlsplit(place).path.rstrip("/")


@dataclass(frozen=True)
class Share:
    """What an operation that asks may cost: requests of ours, and requests made by its schema."""

    ours: int
    by_schema: int


def shares(target: Target, uses: Mapping[str, Use], operations: Sequence[Operation]) -> dict[str, Share]:
    """Deals out PAID questions: each operation gets what is ours, the first ones first, then by schema."""
    left, ours = PAID, {}
    for operation in operations:
        if uses[operation.label] == "asks":
            wanted = len(OWN) if declared_call(target, operation) else 1
            ours[operation.label] = min(wanted, left)
            left -= ours[operation.label]
    served = {label: count for label, count in ours.items() if count}
    each = min(MAX_BY_SCHEMA, left // max(1, len(served)))
    return {label: Share(count, each) for label, count in served.items()}


def wishes(
    uses: Mapping[str, Use], operations: Sequence[Operation], dealt: Mapping[str, Share]
) -> list[Wish]:
    """How many requests are to be made of each operation that is read or asked."""
    found = []
    for operation in operations:
        if uses[operation.label] == "reads":
            found.append(Wish(operation, READS, READS))
        elif operation.label in dealt:
            found.append(Wish(operation, dealt[operation.label].by_schema, INVALID))
    return found


def requests(
    target: Target,
    instruments: Instruments,
    operations: Sequence[Operation],
    uses: Mapping[str, Use],
    dealt: Mapping[str, Share],
) -> Iterator[Sent]:
    """Requests of our own: the declared question in three forms, documented examples, a body cut short."""
    for operation in operations:
        use, call = uses[operation.label], declared_call(target, operation)
        share = dealt.get(operation.label)
        if share and call is not None:
            for what, make in list(OWN.items())[: share.ours]:
                yield Sent(operation, new_question(call, make(instruments)), what, True, True)
        elif use == "reads" or share:
            yield Sent(operation, _documented(operation), "what the document shows", True, False)
        elif use == "malformed":
            headers = {"Content-Type": "application/json"}
            broken = Request(operation.method, operation.path, headers, b'{"')
            yield Sent(operation, broken, "a body cut short", False, False)


def made(target: Target, example: Example) -> Sent:
    """A request made by the document, with the headers that the declared request needs."""
    operation, call = example.operation, declared_call(target, example.operation)
    request = example.request
    if call is not None:
        own = {name.lower() for name in request.headers}
        given = new_question(call, "").headers
        missing = {name: value for name, value in given.items() if name.lower() not in own}
        request = replace(request, headers={**request.headers, **missing})
    what = "what the schema allows" if example.valid else "what the schema forbids"
    return Sent(operation, request, what, example.valid, call is not None)


def _documented(operation: Operation) -> Request:
    if operation.body is None:
        return Request(operation.method, operation.path)
    headers = {"Content-Type": operation.content_type or "application/json"}
    return Request(operation.method, operation.path, headers, json.dumps(operation.body).encode())


def _long(instruments: Instruments) -> str:
    text = ""
    while len(text) < LONG_CHARS:
        text += f"{instruments.prompts.fresh(1)[0]} "
    return text.strip()


OWN: Mapping[str, Callable[[Instruments], str]] = {
    "the declared question": lambda instruments: instruments.prompts.fresh(1)[0],
    "a long question": _long,
    "a question of two lines with accents": lambda instruments: (
        f"Grüße, 你好, naïve ✓\n{instruments.prompts.fresh(1)[0]}"
    ),
}
