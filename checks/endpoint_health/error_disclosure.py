"""Errors say what was wrong with the request, and nothing of how the service is made.

Why it matters
    A stack trace, a path or a query in a reply tells a stranger which library to look up and where to push.
    It shows in one kind of error only: the one that nobody tried. And a client that meets another shape of
    error from each layer cannot tell its user what to do.

How it is measured
    Every kind of error is asked for: paths that do not exist, ids with a quote, each way in which the
    declared question is no question (types, nesting, encoding, methods, content types), routes that need a
    credential without one and with one that never was, and a body of a gigabyte that is announced and not
    sent. Each error reply is searched for stack traces, debug pages, paths of the server, SQL, names of
    exceptions and secrets, after what was sent has been taken out: an echo is no leak. Found ones are not
    kept, only their kind and where they stood. All errors should have one shape: problem documents
    (RFC 9457) for a pass, JSON of the service's own for half the points.

How to fix it
    1. Write one handler for every exception, that of the framework and the server's own 404 and 405 included.
    2. Answer `application/problem+json` with `type`, `title`, `status` and a `detail` that is a sentence.
    3. Log what happened under a request id, and send the id alone. Turn the debug mode off.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from urllib.parse import unquote

from checks.contract import (
    BodyPlan,
    BodyReply,
    Check,
    FailureKind,
    Finding,
    Instruments,
    Kind,
    Limit,
    Reply,
    Request,
    Target,
    curl_line,
    escaped,
    leaks_in,
    plural,
    show,
)
from checks.endpoint_health._errors import Wrong, wrong_bodies, wrong_credentials, wrong_paths
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._question import declared_at, known_operations, new_question

CHECK = Check(
    failure_title="Errors show how the service is made",
    kind=Kind.ACTIVE,
    does="Sends some sixty requests that must be refused, and reads what the refusals say.",
    measures="error replies show too much",
    needs=("http", "bodies", "openapi?", "target.ask|stream"),
    deadline_s=150,
    typical_s=2,
    hostile=True,
)
TIMEOUT_S = 10.0
MAX_SILENT = 3
ENOUGH_S = 90.0  # of asking: a service this slow has other findings
MAX_LINE_CHARS = 2_000
MAX_KEYS = 20
MAX_NAME_CHARS = 60
GIGABYTE = 10**9
ANSWERED_WITHIN_S = 1.0  # an announced length is refused at once or not at all
PROBLEM = "application/problem+json"
OWN_JSON_SHARE = 0.5  # clean, and of one shape
MANY_SHAPES_SHARE = 0.25  # clean, and each layer has its own


@dataclass(frozen=True)
class Thresholds:
    """One leak is too many (catalogue). Where more than a tenth got no reply, too many errors are unseen."""

    max_leaking: float = 0
    max_unanswered_ratio: float = 0.1


@dataclass(frozen=True)
class Leak:
    """What a reply shows, and where: a dotted path into its JSON, "" elsewhere. Never the text itself."""

    kind: str
    place: str


@dataclass(frozen=True)
class ErrorReply:
    """One error. ``keys`` are the names at the top of a JSON object, empty where it is none.

    ``reproduce`` is empty for a clean problem document.
    """

    name: str
    status: int
    media_type: str
    keys: tuple[str, ...]
    leaks: tuple[Leak, ...]
    reproduce: str = ""


@dataclass(frozen=True)
class Evidence:
    """``asked`` requests of ``planned`` were sent; ``stopped`` says what ended it before, "" for nothing.

    ``unanswered`` of them got no reply, so what their errors show is not known.
    """

    planned: int
    asked: int
    unanswered: int
    stopped: str
    errors: tuple[ErrorReply, ...]
    problem: str
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Send until all are sent, or the service is silent or keeps limiting the rate."""
    word = f"{instruments.random.getrandbits(48):012x}"
    cases = await _cases(target, instruments, word)
    errors: list[ErrorReply] = []
    asked, unanswered, silent, problem, stopped = 0, 0, 0, "", ""
    ends_at = time.monotonic() + ENOUGH_S
    for case in cases:
        send = functools.partial(
            instruments.http.send, case.request, timeout_s=TIMEOUT_S, fresh_connection=True
        )
        reply = await patiently(send)
        asked += 1
        errors += _error(target, case, reply, word)
        problem = reply.failure.detail if reply.failure else problem
        unanswered += reply.status is None
        silent += reply.failure is not None and reply.failure.kind is FailureKind.TIMEOUT
        stopped = _stops(reply, silent, ends_at)
        if stopped:
            break
    if not stopped:
        errors += await _too_long(target, instruments, word)
    return Evidence(
        planned=len(cases),
        asked=asked,
        unanswered=unanswered,
        stopped=stopped,
        errors=tuple(errors),
        problem=problem[:200],
        reproduce=curl_line(target, cases[0].request, options="-i"),
    )


def _stops(reply: Reply, silent: int, ends_at: float) -> str:
    """Why nothing more should be asked, "" where it may."""
    if reply.status == 429:
        return "It limits the rate (429)"
    if silent == MAX_SILENT:
        return f"It was silent {MAX_SILENT} times"
    return f"{show(ENOUGH_S, 's')} were over" if time.monotonic() > ends_at else ""


async def _cases(target: Target, instruments: Instruments, word: str) -> list[Wrong]:
    """All requests, those last that are the most likely to harm."""
    call = target.ask or target.stream
    assert call is not None  # noqa: S101 - CHECK.needs has it
    prompt = instruments.prompts.fresh(1)[0]
    good = functools.partial(new_question, call, prompt)
    operations = await known_operations(instruments)
    fields, taken = declared_at(operations, good())
    return [
        *wrong_paths(word, operations),
        *wrong_credentials(target, word),
        *wrong_bodies(good, prompt, fields, taken),
    ]


async def _too_long(target: Target, instruments: Instruments, word: str) -> list[ErrorReply]:
    """What a body of a gigabyte gets that is announced; not a byte of it is sent."""
    call = target.ask or target.stream
    assert call is not None  # noqa: S101 - CHECK.needs has it
    request = call.render(prompt="", user="person-1", session=word, nonce=word)
    plan = BodyPlan(filler_bytes=GIGABYTE, stop_after=0)
    found: BodyReply = await instruments.bodies.send(request, plan, timeout_s=ANSWERED_WITHIN_S)
    reply = Reply(request.url, found.status, found.headers, found.body, failure=found.failure)
    case = Wrong("a body of a gigabyte, announced", request, stdin=f"head -c {GIGABYTE} /dev/zero")
    return _error(target, case, reply, word)


def _error(target: Target, case: Wrong, reply: Reply, word: str) -> list[ErrorReply]:
    """The reply where it is an error; leads elsewhere or good ones are none."""
    if reply.status is None or reply.status < 400 or reply.status == 429:
        return []
    document = reply.document()
    names = list(document)[:MAX_KEYS] if isinstance(document, dict) else []
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    leaks = leaks_in(reply, _sent(case.request, word))
    error = ErrorReply(
        name=case.name,
        status=reply.status,
        media_type=escaped(media_type, MAX_NAME_CHARS),
        keys=tuple(escaped(name, MAX_NAME_CHARS) for name in names),
        leaks=tuple(Leak(kind, escaped(place, MAX_NAME_CHARS)) for kind, place in leaks),
    )
    if _is_problem(error) and not error.leaks:
        return [error]  # nobody will want to see it again
    line = curl_line(target, case.request, stdin=case.stdin, options="-i")[:MAX_LINE_CHARS]
    return [replace(error, reproduce=line)]


def _sent(request: Request, word: str) -> list[str]:
    """The texts of a request that a reply may echo."""
    body = request.body.decode("utf-8", "replace")
    values = (value for value in request.headers.values() if "${" not in value)
    return [body, request.url, unquote(request.url), *values, word]


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A leak fails whatever else; a rate limit leaves kinds of error unseen; then the shape decides."""
    leaking = [error for error in evidence.errors if error.leaks]
    limit = Limit.at_most(thresholds.max_leaking, thresholds.max_leaking)
    if len(leaking) > thresholds.max_leaking:
        return Finding.failed(
            f"{len(leaking)} of {plural(len(evidence.errors), 'error reply', 'error replies')} show too much:"
            f" {_examples(leaking)}.",
            value=len(leaking), unit="count", limit=limit,
            fix="Answer every exception with one handler: a sentence and a request id. What happened belongs "
            "in the log.",
            reproduce="\n".join(error.reproduce for error in _one_a_kind(leaking)[:3]),
        )  # fmt: skip
    if unsaid := _proves_nothing(evidence, thresholds):
        return unsaid
    kinds = sorted({error.status for error in evidence.errors})
    clean = (
        f"{plural(len(evidence.errors), 'error reply', 'error replies')} "
        f"({', '.join(map(str, kinds))}) show nothing of the service"
    )
    others = [error for error in evidence.errors if not _is_problem(error)]
    if not others:
        return Finding.passed(
            f"{clean}, and all are problem documents.",
            value=0, unit="count", limit=limit, reproduce=evidence.reproduce,
        )  # fmt: skip
    share, words = _shape(evidence.errors, others)
    return Finding.warned(
        f"{clean}. {words}",
        share=share, value=0, unit="count", limit=limit,
        fix="Answer every error as application/problem+json (RFC 9457), also those of router and server.",
        reproduce=others[0].reproduce,
    )  # fmt: skip


def _proves_nothing(evidence: Evidence, thresholds: Thresholds) -> Finding | None:
    if evidence.stopped and evidence.errors:
        return Finding.not_assessed(
            f"{evidence.stopped} after {evidence.asked} of {evidence.planned} wrong requests; the "
            "errors that were not seen may show anything."
        )
    if not evidence.errors:
        why = f" ({evidence.problem})" if evidence.problem else ", not even a path that does not exist"
        return Finding.not_assessed(
            f"None of {plural(evidence.asked, 'wrong request')} got an error reply{why}.",
            follows_from="endpoint_health.primary_route",
        )
    if evidence.unanswered > thresholds.max_unanswered_ratio * evidence.asked:
        return Finding.not_assessed(
            f"{evidence.unanswered} of {plural(evidence.asked, 'wrong request')} got no reply "
            f"({evidence.problem}), so what their errors show is not known.",
            follows_from="endpoint_health.bad_input",
        )
    return None


def _is_problem(error: ErrorReply) -> bool:
    return error.media_type == PROBLEM and bool({"type", "title", "status", "detail"} & set(error.keys))


def _shape(errors: tuple[ErrorReply, ...], others: list[ErrorReply]) -> tuple[float, str]:
    """The share for shapes that are not problem documents alone, and what is said of them."""
    common = set(errors[0].keys).intersection(*(error.keys for error in errors))
    if common:
        return OWN_JSON_SHARE, f"They have a shape of their own (`{min(common)}`), not RFC 9457's."
    known = next((error for error in errors if error.keys), errors[0])
    odd = next((error for error in others if not set(error.keys) & set(known.keys)), others[0])
    kind = odd.media_type or "no body"
    said = f"{odd.name} gets {odd.status} as {kind}{' ' * bool(odd.keys)}{', '.join(odd.keys[:3])}"
    return MANY_SHAPES_SHARE, f"They have no shape in common: {said}."


def _one_a_kind(leaking: list[ErrorReply]) -> list[ErrorReply]:
    """The first error for each kind of leak."""
    found: dict[str, ErrorReply] = {}
    for error in leaking:
        for leak in error.leaks:
            found.setdefault(leak.kind, error)
    return list(dict.fromkeys(found.values()))


def _examples(leaking: list[ErrorReply]) -> str:
    told = []
    for error in _one_a_kind(leaking)[:3]:
        place = f" at `{error.leaks[0].place}`" if error.leaks[0].place else ""
        kinds = " and ".join(leak.kind for leak in error.leaks[:2])
        told.append(f"{error.name} ({error.status}) shows {kinds}{place}")
    return "; ".join(told)
