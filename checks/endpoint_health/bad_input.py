"""Bad input is refused, and does no harm.

Why it matters
    Whatever faces the internet gets garbage. An input that crashes a route is an outage that anyone can
    cause, and one that is accepted is answered from data that nobody checked.

How it is measured
    The declared question is changed in some fifty ways, in each of its fields: malformed JSON, another type
    of body, wrong types, missing fields, nulls (also inside lists), values just outside the limits of the
    schema, huge and non-finite numbers, lone surrogates, invalid UTF-8, other methods and content types, and
    ten thousand nested lists. Each is sent over a new connection and must be refused with a 4xx. A 5xx, a
    reset, silence for ten seconds, or a 2xx for plainly invalid data fails. What a field may be, and whether
    it may be left out, is read from OpenAPI; without one a 2xx counts only where the question itself was
    missing or of another kind. At the end the route must still answer, by the same processes.

How to fix it
    1. Validate the body against a schema before anything else sees it; refuse unknown types, do not coerce.
    2. Catch every error of parsing (depth, encoding, non-finite numbers), and of writing the error's reply.
    3. Answer 400, 413, 415 or 422 with a problem document, and 405 with an Allow header.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

from checks.contract import (
    Check,
    FailureKind,
    Finding,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Reply,
    Route,
    Target,
    curl_line,
    plural,
)
from checks.endpoint_health._bad_inputs import Case, bad_inputs
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._question import declared_at, known_operations, new_question

CHECK = Check(
    failure_title="Bad input is accepted or crashes the service",
    kind=Kind.ACTIVE,
    does="Sends some fifty malformed or invalid requests to the business route, the most harmful last.",
    measures="bad inputs were accepted or crashed",
    needs=("http", "questions", "processes", "openapi?"),
    deadline_s=150,
    typical_s=3,
    hostile=True,
)
TIMEOUT_S = 10.0
MAX_SILENT = 3
MAX_LOOKS = 3  # at whether the service still answers, after inputs that got no good refusal
TRIES = 3
RETRY_S = 0.3
MAX_LINE_CHARS = 4_000


@dataclass(frozen=True)
class Thresholds:
    """One is too many (catalogue)."""

    max_mishandled: float = 0


@dataclass(frozen=True)
class Result:
    """What one bad input got. ``invalid``: a 2xx would prove that wrong data is accepted."""

    name: str
    invalid: bool
    status: int | None
    failure: str
    allow_missing: bool
    reproduce: str


@dataclass(frozen=True)
class Evidence:
    """Results in order. ``broken_by`` is the input after which the route no longer answered, "" for none.

    ``ended`` are the processes of this host that served the port before and are gone.
    """

    route: Route | None
    path: str
    planned: int
    schema: bool
    results: tuple[Result, ...]
    broken_by: str
    ended: tuple[int, ...]
    reproduce: str = ""


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Send the cases until all are sent, or the service is silent or broken, or keeps limiting the rate."""
    route = await instruments.questions.route()
    call = target.stream if route == "stream" else target.ask
    if route is None or call is None:
        return Evidence(None, "", 0, False, (), "", ())
    prompt = instruments.prompts.fresh(1)[0]

    good = functools.partial(new_question, call, prompt)
    fields, methods = declared_at(await known_operations(instruments), good())
    cases = list(bad_inputs(good, prompt, fields, methods))
    before = {fact.pid for fact in instruments.processes.listening(target.port)}
    results, broken_by = await _send_all(target, instruments, cases, route)
    after = {fact.pid for fact in instruments.processes.listening(target.port)}
    return Evidence(
        route=route,
        path=call.path,
        planned=len(cases),
        schema=bool(fields),
        results=tuple(results),
        broken_by=broken_by,
        ended=tuple(sorted(before - after)),
        reproduce=curl_line(target, cases[-1].request, stdin=cases[-1].stdin, options="-i"),
    )


async def _send_all(
    target: Target, instruments: Instruments, cases: list[Case], route: Route
) -> tuple[list[Result], str]:
    """The results, and the name of the case after which the route no longer answered."""
    results: list[Result] = []
    suspicions = 0
    for case in cases:
        send = functools.partial(
            instruments.http.send, case.request, timeout_s=TIMEOUT_S, fresh_connection=True
        )
        reply = await patiently(send)
        results.append(_result(target, case, reply))
        if reply.status == 429:
            break
        suspicious = reply.failure is not None or (reply.status or 0) >= 500
        suspicions += suspicious
        look = case.heavy or case is cases[-1] or (suspicious and suspicions <= MAX_LOOKS)
        if look and not await _answers(instruments, route):
            return results, case.name
        if sum(result.failure == FailureKind.TIMEOUT for result in results) == MAX_SILENT:
            break
    return results, ""


async def _answers(instruments: Instruments, route: Route) -> bool:
    """Whether a new question is answered, at the third try at the latest."""
    for prompt in instruments.prompts.fresh(TRIES):
        answer = await instruments.questions.ask(prompt, route=route, timeout_s=TIMEOUT_S)
        if answer.good or answer.status == 429:
            return True
        await asyncio.sleep(RETRY_S)
    return False


def _result(target: Target, case: Case, reply: Reply) -> Result:
    refused = reply.failure is None and 400 <= (reply.status or 0) < 500
    allow_missing = reply.status == 405 and not reply.headers.get("allow", "").strip()
    told = case.heavy or allow_missing or not refused
    line = curl_line(target, case.request, stdin=case.stdin, options="-i") if told else ""
    failure = reply.failure.kind if reply.failure else ""
    return Result(case.name, case.invalid, reply.status, failure, allow_missing, line[:MAX_LINE_CHARS])


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Harm first, then what was mishandled, then what is left to say."""
    if evidence.route is None:
        return Finding.not_assessed(
            "No declared route answers a good question, so nothing can be said of its bad input.",
            follows_from="endpoint_health.primary_route",
        )
    wrong = [result for result in evidence.results if _mishandled(result)]
    limit = Limit.at_most(thresholds.max_mishandled, thresholds.max_mishandled)
    if _harm(evidence) or len(wrong) > thresholds.max_mishandled:
        return _failed(evidence, wrong, limit)
    if any(result.status == 429 for result in evidence.results):
        return Finding.not_assessed(
            f"Rate limited (429) after {len(evidence.results) - 1} of {evidence.planned} bad inputs."
        )
    bare = [result for result in evidence.results if result.allow_missing]
    passed = Finding.passed(
        f"{evidence.path} refused {plural(len(evidence.results), 'bad input')} and still answers"
        f"{_coped(evidence)}.",
        value=0,
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )
    if bare:
        reason = f"{passed.reason[:-1]}; its 405 for {bare[0].name} lacks the Allow header."
        fix = "Send Allow with 405; RFC 9110 demands it (15.5.6)."
        return passed.but(
            outcome=Outcome.WARN, share=0.5, reason=reason, fix=fix, reproduce=bare[0].reproduce
        )
    return passed


def _failed(evidence: Evidence, wrong: list[Result], limit: Limit) -> Finding:
    examples = "; ".join(f"{result.name} got {_got(result)}" for result in wrong[:3])
    more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    counted = f"{len(wrong)} of {plural(len(evidence.results), 'bad input')} mishandled: {examples}{more}."
    worst = [result for result in evidence.results if result.name == evidence.broken_by]
    return Finding.failed(
        f"{_harm(evidence)} {counted if wrong else ''}".strip(),
        value=len(wrong),
        unit="count",
        limit=limit,
        fix="Validate the body before anything else sees it, and answer 4xx whatever is wrong with it."
        + (" Restart the service now: our probe broke it." if evidence.broken_by else ""),
        reproduce="\n".join(result.reproduce for result in (worst or wrong)[:3]),
    )


def _mishandled(result: Result) -> bool:
    if result.failure and result.failure != FailureKind.REDIRECT:
        return True
    status = result.status or 0
    unknown_method = status == 501 and result.name.startswith("method ")
    return (status >= 500 and not unknown_method) or (200 <= status < 300 and result.invalid)


def _harm(evidence: Evidence) -> str:
    if evidence.broken_by:
        return f"Our probe broke the service: after {evidence.broken_by} it answers no question any more."
    if evidence.ended:
        pids = ", ".join(str(pid) for pid in evidence.ended[:3])
        return f"Bad input ended a process of the service ({pids}); something started another."
    return ""


def _got(result: Result) -> str:
    words = {FailureKind.TIMEOUT: f"no reply in {TIMEOUT_S:g} s", FailureKind.RESET: "a reset connection"}
    if result.failure:
        return words.get(FailureKind(result.failure), f"no reply ({result.failure})")
    return f"{result.status} as if it were right" if (result.status or 0) < 300 else str(result.status)


def _coped(evidence: Evidence) -> str:
    taken = sum(200 <= (result.status or 0) < 300 for result in evidence.results)
    if not taken:
        return ""
    why = "that OpenAPI does not forbid" if evidence.schema else "that no schema forbids"
    return f"; {taken} of them it took, of a kind {why}"
