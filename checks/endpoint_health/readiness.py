"""A readiness route says whether this instance can serve, and names what it needs.

Why it matters
    Liveness asks whether to restart an instance, readiness whether to send users to it. Where one route
    answers both, a dependency that is away either restarts healthy instances or leaves users on ones that
    cannot serve them.

How it is measured
    The declared readiness route (`[health] readiness`, else the usual places) is read five times. It must be
    another one than liveness, answer 2xx, and name at least one dependency with its state, in any of the
    usual forms. One that is said to be down inside a reply that says ready contradicts it. A route that
    answers for every path proves nothing, nor does one that redirects or asks for a credential. A reply later
    than one second counts as none with an orchestrator's default. Where the paid upstream's meter is
    declared, it must not move.

How to fix it
    1. Add a route such as `/ready`: 200 while this instance can serve, 503 while it cannot.
    2. Name each dependency and its state: `{"status": "ready", "dependencies": {"model": "up"}}`.
    3. Let liveness (`/health`) depend on the process alone, and leave optional dependencies out of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Reply,
    Request,
    Target,
    curl_line,
    escaped,
    plural,
    show,
)
from checks.endpoint_health._meter import calls_now
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._states import STATE_KEYS, YES_OR_NO_KEYS, body_kind, meaning, words_of

CHECK = Check(
    failure_title="No route says whether the service is ready",
    kind=Kind.PASSIVE,
    does="Reads the readiness route five times; where none is declared, looks at the usual places.",
    measures="for the slowest of five readings",
    needs=("http", "upstream?"),
    deadline_s=60,
    typical_s=0.3,
)
READINGS = 5
TIMEOUT_S = 5.0
MAX_NAMES = 20
MAX_NAME_CHARS = 60
# Kubernetes' own, Spring Boot, ASP.NET, Quarkus, and what frameworks' guides use.
USUAL = (
    *("/ready", "/readyz", "/readiness", "/health/ready", "/healthz/ready", "/-/ready", "/api/ready"),
    *("/actuator/health/readiness", "/q/health/ready", "/health/readiness", "/api/health/ready"),
)
VERBOSE_LINE = re.compile(r"^\[[+-]\]([\w./:-]{1,60}) (\w+)", re.MULTILINE)  # as Kubernetes writes it


@dataclass(frozen=True)
class Thresholds:
    """An orchestrator's probe gives up after one second by default (Kubernetes, ``timeoutSeconds``)."""

    max_slowest_ms: float = 1000.0


@dataclass(frozen=True)
class Evidence:
    """``url`` is "" where no route was found; ``looked_at`` are then the places with their statuses.

    ``names`` are the dependencies that the replies name, ``words`` place and word of each state in them.
    ``like_liveness``: the same words at the same places as the liveness route. ``invented`` is the status of
    a path that cannot exist.
    """

    url: str
    declared: bool
    same_url: bool
    like_liveness: bool
    invented: int
    looked_at: tuple[tuple[str, int], ...]
    statuses: tuple[int, ...]
    redirected: bool
    page: bool
    times_ms: tuple[float, ...]
    words: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    paid_calls: float | None
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Find the route, read it, and read liveness beside it."""
    health = target.health
    looked_at: list[tuple[str, int]] = []
    invented = await _read(instruments, Request("GET", f"/{instruments.random.getrandbits(60):015x}/ready"))
    place = health.readiness or await _found(instruments, invented, looked_at)
    request = Request("GET", place or USUAL[0], health.headers if health.readiness else {})
    before = await calls_now(instruments)
    replies: list[Reply] = []
    while place and len(replies) < READINGS and all(reply.succeeded for reply in replies[-1:]):
        replies.append(await _read(instruments, request))
    after = await calls_now(instruments)
    live = await _read(instruments, Request("GET", health.liveness or "/health", health.headers))
    last = replies[-1] if replies else None
    return Evidence(
        url=target.absolute(place) if place else "",
        declared=bool(health.readiness),
        same_url=bool(place and health.liveness) and _same(target, place, health.liveness or ""),
        like_liveness=last is not None and live.succeeded and _content(live) == _content(last),
        invented=invented.status or 0,
        looked_at=tuple(looked_at),
        statuses=tuple(reply.status or 0 for reply in replies),
        redirected=any(300 <= (reply.status or 0) < 400 for reply in replies),
        page=any(body_kind(reply) == "html" for reply in replies),
        times_ms=tuple(round(reply.elapsed_ms, 2) for reply in replies),
        words=tuple(sorted({word for reply in replies for word in words_of(reply)})),
        names=tuple(sorted({name for reply in replies for name in _names(reply)})[:MAX_NAMES]),
        paid_calls=after - before if before is not None and after is not None else None,
        reproduce=curl_line(target, request, options="-i"),
    )


async def _found(instruments: Instruments, invented: Reply, looked_at: list[tuple[str, int]]) -> str:
    """The first usual place that answers otherwise than one that cannot exist, "" for none.

    Every place looked at is noted with its status (0: no reply).
    """
    for place in USUAL:
        reply = await _read(instruments, Request("GET", place))
        looked_at.append((place, reply.status or 0))
        if reply.status not in (None, 404, 405, 410, invented.status) and body_kind(reply) != "html":
            return place
        if reply.status is None:
            break
    return ""


async def _read(instruments: Instruments, request: Request) -> Reply:
    return await patiently(lambda: instruments.http.send(request, timeout_s=TIMEOUT_S))


def _same(target: Target, one: str, other: str) -> bool:
    """Whether two places are the same route; what stands behind ``?`` makes a route of its own."""
    parts = [urlsplit(target.absolute(place)) for place in (one, other)]
    return len({(part.netloc, part.path.rstrip("/"), part.query) for part in parts}) == 1


def _content(reply: Reply) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a reply says, but for values that change by themselves: its states, and where it says them."""
    states = tuple(sorted(f"{place} {word}" for place, word in words_of(reply)))
    return states, tuple(_names(reply))


def _names(reply: Reply) -> Iterator[str]:
    """Dependencies that a reply names with a state; bounded by what ``words_of`` finds."""
    document = reply.document()
    if document is None:
        yield from (match[1] for match in VERBOSE_LINE.finditer(reply.text[:10_000]))
        return
    for place, word in words_of(reply):
        holder, *inner = place.split(".")
        parts = [part for part in inner if part.lower() not in STATE_KEYS and part.lower() != "name"]
        if parts and (meaning(word) or (holder.lower() in YES_OR_NO_KEYS and word.isalpha())):
            yield escaped(parts[0], MAX_NAME_CHARS)
    if isinstance(document, dict):
        for key, value in list(document.items())[:MAX_NAMES]:
            known = isinstance(value, bool) or (isinstance(value, str) and meaning(value))
            if known and key.lower() not in STATE_KEYS:
                yield escaped(key, MAX_NAME_CHARS)
            yield from _listed(value)


def _listed(value: object) -> Iterator[str]:
    """Names in a list of dependencies: ``[{"name": "db", "status": "up"}]``."""
    for entry in value[:MAX_NAMES] if isinstance(value, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            yield escaped(entry["name"], MAX_NAME_CHARS)


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Whether there is one, then what it says, then how it is made."""
    unsaid = _absent(evidence) or _proves_nothing(evidence)
    if unsaid:
        return unsaid
    wrong = _wrong(evidence)
    if wrong:
        return Finding.failed(wrong, fix=FIX, reproduce=evidence.reproduce)
    slowest = max(evidence.times_ms)
    doubt = _doubt(evidence, slowest, thresholds)
    limit = Limit.at_most(thresholds.max_slowest_ms, thresholds.max_slowest_ms)
    if doubt:
        return Finding.warned(
            doubt, value=slowest, unit="ms", limit=limit, fix=FIX, reproduce=evidence.reproduce
        )
    return Finding.passed(
        f"{evidence.url} says ready in {show(slowest, 'ms')} at most and names "
        f"{plural(len(evidence.names), 'dependency', 'dependencies')}: {', '.join(evidence.names[:4])}.",
        value=slowest, unit="ms", limit=limit, reproduce=evidence.reproduce,
    )  # fmt: skip


FIX = (
    "Answer 200 at a route of its own, such as `/ready`, with each dependency and its state while this "
    "instance can serve, and 503 while it cannot."
)


def _absent(evidence: Evidence) -> Finding | None:
    if evidence.url:
        return None
    if any(status == 0 for _, status in evidence.looked_at):
        return Finding.not_assessed("The service gives no reply.", follows_from="endpoint_health.liveness")
    if 200 <= evidence.invented < 300 or evidence.invented in (401, 403, 429):
        return Finding.not_assessed(
            f"Any path answers {evidence.invented} here, so no readiness route can be guessed. Declare it as "
            "`[health] readiness`.",
            missing="health.readiness",
        )
    places = ", ".join(place for place, _ in evidence.looked_at)
    return Finding.failed(
        f"There is no readiness route: none is declared, and none answers at {places}.",
        fix=f"{FIX} One that stands elsewhere is declared as `[health] readiness`.",
        reproduce=evidence.reproduce,
    )


def _proves_nothing(evidence: Evidence) -> Finding | None:
    why = {
        "redirects, which proves nothing": evidence.redirected,
        "asks for a credential, which proves nothing": {401, 403} & set(evidence.statuses),
        "was rate limited (429)": 429 in evidence.statuses,
    }
    for words, applies in why.items():
        if applies:
            key = "headers" if "credential" in words and evidence.declared else "readiness"
            return Finding.not_assessed(
                f"{evidence.url} {words}. Declare the right one as `[health] {key}`.", missing=f"health.{key}"
            )
    return None


def _wrong(evidence: Evidence) -> str:
    bad = [status for status in evidence.statuses if not 200 <= status < 300]
    if bad:
        return (
            f"{evidence.url} {f'answers {bad[0]}' if bad[0] else 'gives no reply'}: the service is not ready."
        )
    if evidence.page:
        return f"{evidence.url} answers with an HTML page, which says nothing of readiness."
    down = [(place, word) for place, word in evidence.words if meaning(word) == "bad"]
    if down:
        place, word = down[0]
        return f'{evidence.url} answers {evidence.statuses[0]} while it says "{word}" at `{place}`.'
    return ""


def _doubt(evidence: Evidence, slowest_ms: float, thresholds: Thresholds) -> str:
    if evidence.same_url:
        return "Readiness and liveness are the same route, so one of the two questions gets a wrong answer."
    if evidence.paid_calls is not None and evidence.paid_calls >= READINGS:
        return (
            f"{READINGS} readings of {evidence.url} made {evidence.paid_calls:g} paid upstream calls; "
            "a route that is read every few seconds must cost nothing."
        )
    if evidence.like_liveness:
        return f"{evidence.url} says word for word what liveness says, so it tells nothing more."
    if not evidence.names:
        return f"{evidence.url} says ready and names no dependency."
    if slowest_ms > thresholds.max_slowest_ms:
        limit = show(thresholds.max_slowest_ms, "ms")
        return f"{evidence.url} took {show(slowest_ms, 'ms')}; a probe gives up after {limit}."
    return ""
