"""Protected routes refuse whoever has no good credential.

Why it matters
    A lock that looks at the key's shape and not at the key opens for anybody. Nobody notices in daily use:
    those who may come in do, and those who may not have no reason to try.

How it is measured
    Each route of `[[auth.protected]]` is asked without a credential, with a wrong, an empty and the expired
    one, and with forgeries of the valid one: other last characters and, where it is a JWT, no signature
    (alg none) and changed claims. Then without a credential on other ways to the same place: a slash more,
    two slashes, capital letters, an encoded letter, a path parameter, HEAD, and an X-Forwarded-For from
    within. All must be refused: 401 or 403, a 404 where the valid credential gets more, or a redirect to
    sign in. The valid credential must be accepted, or a service that refuses everybody would pass; it is
    sent only where that is harmless: to routes that read, and to the business question. What changes
    something is sent without a valid credential alone, and no more once it was let in. Without a declared
    `expired` credential half the points are earned.

How to fix it
    1. Put the lock before the router, for all paths but those that are listed as open.
    2. Verify the signature with the one algorithm that you sign with, then the time, then who it is.
    3. Answer 401 with WWW-Authenticate to a credential that is missing or bad, 403 where it is not enough.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from checks.contract import (
    Auth,
    Check,
    FailureKind,
    Finding,
    Forgery,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Reply,
    Target,
    curl_line,
    plural,
)
from checks.endpoint_health._attempts import Attempt, Attempts, Door, doors
from checks.endpoint_health._locks import REFUSALS, Lock, Tried, locks
from checks.endpoint_health._pacing import patiently

CHECK = Check(
    failure_title="A protected route lets strangers in",
    kind=Kind.ACTIVE,
    does="Sends up to 20 requests to each protected route, nearly all without a good credential.",
    measures="attempts without a good credential were let in",
    needs=("http", "credentials", "target.public|auth.protected"),
    deadline_s=120,
    typical_s=2,
    hostile=True,  # wrong credentials may lock a caller out for a while
)
TIMEOUT_S = 5.0
ENOUGH_S = 45.0
MAX_SILENT = 3
SHOWN = 3
MAX_LINE_CHARS = 1_000  # times the most attempts there can be, evidence stays within its bound
MAX_PATH_CHARS = 200


@dataclass(frozen=True)
class Thresholds:
    """One is too many (OWASP API2, broken authentication)."""

    max_let_in: float = 0


@dataclass(frozen=True)
class Evidence:
    """Attempts by route, in order; ``complete``: all that were planned, but for those after a way in.

    ``public``: the target declares so, and no route as protected.
    """

    public: bool
    expired_declared: bool
    complete: bool
    tried: tuple[Tried, ...]


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Try each protected route in every way, one request after the other."""
    auth = target.auth
    if auth is None or not auth.protected:
        if target.public:
            return Evidence(True, False, True, ())
        raise InstrumentFailure("No route is declared as protected.", missing="auth.protected")
    forgeries = instruments.credentials.forgeries()
    tried: list[Tried] = []
    until = monotonic() + ENOUGH_S
    for door in doors(target, auth):
        tried += await _try(target, instruments, auth, door, forgeries, until=until)
        if _silent(tried):
            break
    complete = monotonic() < until and not _silent(tried)
    return Evidence(False, auth.expired is not None, complete, tuple(tried))


async def _try(
    target: Target,
    instruments: Instruments,
    auth: Auth,
    door: Door,
    forgeries: Sequence[Forgery],
    *,
    until: float,
) -> list[Tried]:
    """All attempts at one door, until a change was let in, the rate is limited or the time is over."""
    word = f"{instruments.random.getrandbits(64):016x}"
    # Not from the run's seed: a key that was used before would replay its reply.
    values = {"user": f"user-{word}", "session": word, "nonce": str(uuid.uuid4())}
    values["prompt"] = instruments.prompts.fresh(1)[0]
    attempts = Attempts(target, auth, door, word * 2, forgeries, values)
    anywhere: bool | None = None
    tried: list[Tried] = []
    for attempt in attempts.all():
        if monotonic() > until:
            break
        send = functools.partial(
            instruments.http.send, attempt.request, timeout_s=TIMEOUT_S, fresh_connection=True
        )
        reply = await patiently(send)
        if attempt.what in ("way", "undeclared") and reply.succeeded and anywhere is None:
            nowhere = await instruments.http.send(attempts.nowhere(word), timeout_s=TIMEOUT_S)
            anywhere = nowhere.succeeded
        tried.append(_tried(target, door, attempt, reply, anywhere=bool(anywhere)))
        let_in = attempt.what != "valid" and reply.succeeded
        if reply.status == 429 or (let_in and not door.harmless) or _silent(tried):
            break
    return tried


def _silent(tried: Sequence[Tried]) -> bool:
    """Whether it is no use to go on, since no reply comes in time."""
    return sum(each.failure == FailureKind.TIMEOUT for each in tried) >= MAX_SILENT


def _tried(target: Target, door: Door, attempt: Attempt, reply: Reply, *, anywhere: bool) -> Tried:
    plain = reply.status in REFUSALS and attempt.what != "none"
    line = "" if plain else curl_line(target, attempt.request, options="-i")[:MAX_LINE_CHARS]
    return Tried(
        route=door.name,
        name=attempt.name,
        what=attempt.what,
        status=reply.status,
        failure=reply.failure.kind if reply.failure else "",
        asked=urlsplit(target.absolute(attempt.request.url)).path[:MAX_PATH_CHARS],
        landed=urlsplit(target.absolute(reply.url)).path[:MAX_PATH_CHARS],
        anywhere=anywhere and attempt.what in ("way", "undeclared"),
        challenge="www-authenticate" in reply.headers,
        reproduce=f"{attempt.made_by}\n{line}".strip() if line else "",
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Who got in decides; then whether the refusals prove anything; then what is left to say."""
    if evidence.public:
        return Finding.not_applicable("The target declares itself public, and no route as protected.")
    found = locks(evidence.tried)
    opened = [each for lock in found for each in lock.opened]
    broken = [each for lock in found for each in lock.broken]
    limit = Limit.at_most(thresholds.max_let_in, thresholds.max_let_in)
    if len(opened) > thresholds.max_let_in or broken:
        return _failed(opened, broken, limit)
    unproven = [lock.unproven for lock in found if lock.unproven]
    if unproven or not evidence.complete or any(each.status == 429 for each in evidence.tried):
        return _nothing_proven(unproven, complete=evidence.complete)
    return _passed(evidence, found, limit)


def _failed(opened: Sequence[Tried], broken: Sequence[Tried], limit: Limit) -> Finding:
    shown = (opened or broken)[:SHOWN]
    examples = "; ".join(f"{each.route} with {each.name} got {each.got}" for each in shown)
    rest = len(opened or broken) - len(shown)
    more = f", and {rest} more" if rest else ""
    said = (
        f"{plural(len(opened), 'attempt')} without a good credential got in"
        if opened
        else f"The lock itself breaks on {plural(len(broken), 'attempt')}"
    )
    return Finding.failed(
        f"{said}: {examples}{more}.",
        value=len(opened),
        unit="count",
        limit=limit,
        fix="Verify signature, time and holder of every credential, before the router and for all paths."
        if opened
        else "Catch whatever is wrong with a credential, and answer 401.",
        reproduce="\n".join(each.reproduce for each in shown),
    )


def _nothing_proven(unproven: Sequence[str], *, complete: bool) -> Finding:
    if not unproven:
        why = "Rate limited (429)" if complete else "The service was too slow or silent"
        return Finding.not_assessed(f"{why} before all attempts were made.")
    everybody = any("refuses everybody" in reason for reason in unproven)
    remedy = (
        "Correct `[auth] valid`, or the value of its variable."
        if everybody
        else "Declare a route that is there and a request that is good but for its credential."
    )
    key = "auth.valid" if everybody else "auth.protected"
    return Finding.not_assessed(f"{'; '.join(unproven[:SHOWN])}. {remedy}", missing=key)


def _passed(evidence: Evidence, found: Sequence[Lock], limit: Limit) -> Finding:
    refused = [each for each in evidence.tried if each.what in ("none", "credential", "malformed", "way")]
    accepted = "" if any(lock.valid for lock in found) else "; the valid credential was not tried"
    accepted = "; the valid credential was accepted" if any(lock.opens for lock in found) else accepted
    said = f"{plural(len(found), 'protected route')} refused {plural(len(refused), 'attempt')}{accepted}"
    remarks = "".join(f"; {remark}" for lock in found for remark in lock.remarks)
    unclear = [each for lock in found for each in lock.unclear]
    passed = Finding.passed(
        f"{said}{remarks}.", value=0, unit="count", limit=limit, reproduce=refused[0].reproduce
    )
    if unclear:
        first = unclear[0]
        return passed.but(
            outcome=Outcome.WARN,
            share=0.5,
            reason=f"{said}, but {first.route} with {first.name} got {first.got} and not 401: the lock may "
            f"have let it by{remarks}.",
            fix="Answer 401 to a credential that is not good, before anything else is looked at.",
            reproduce=first.reproduce,
        )
    if not evidence.expired_declared:
        return passed.but(
            outcome=Outcome.WARN,
            share=0.5,
            reason=f"{said}; an expired credential was not tried, since none is declared{remarks}.",
            fix="Add `[auth] expired`, a credential that has run out or was revoked, to the target file.",
        )
    return passed
