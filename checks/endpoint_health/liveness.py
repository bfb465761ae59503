"""The health route answers fast and says healthy.

Why it matters
    Load balancers and orchestrators decide by this route whether users are sent to an instance. One that is
    slow, or says healthy while a part is down, keeps users on an instance that cannot serve them.

How it is measured
    The declared health route is read forty times in a row (in the quick profile), and the 95th percentile of
    its times is taken. Every status must be 2xx. Body words are understood in the usual forms (JSON with
    nested components, a bare word, plain text, nothing); one component that says degraded or down counts
    for the whole. `[health] healthy` in the target file overrides the words. Where the paid upstream's
    meter is declared, it must not move with the health route. Whether it stays green while an optional
    dependency is away, `cache.outage_fallback` sees, which cuts one.

How to fix it
    1. Answer from what the process knows already; do not call dependencies on each request.
    2. Say `{"status": "healthy"}` with 200, or 503 when this instance should get no users.
    3. Report an optional dependency that is away as such, without calling the whole degraded.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from checks.contract import (
    Check,
    FailureKind,
    Finding,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Reply,
    Request,
    Target,
    curl_line,
    objective,
    percentile,
    show,
)
from checks.endpoint_health._meter import calls_now
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._states import body_kind, meaning, words_of

CHECK = Check(
    failure_title="The health route does not say healthy in time",
    kind=Kind.PASSIVE,
    does="Reads the health route forty times, one after the other.",
    measures="for the health route (95th percentile)",
    needs=("http", "upstream?", "target.health.liveness"),
    deadline_s=30,
    typical_s=0.5,
)
METERED = 3  # readings with the upstream's meter beside them
ENOUGH = 10  # readings of a slow route
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Thresholds:
    """The catalogue's limits of the 95th percentile; orchestrators give up after one second by default."""

    pass_p95_ms: float = objective(200.0, "health_p95_ms")
    warn_p95_ms: float = 1000.0


@dataclass(frozen=True)
class Evidence:
    """What came back. ``words`` are place and word of each state seen in any reply.

    ``marked`` is whether the declared marker of health was in every reply, None where none is declared.
    ``paid_calls`` is how far the upstream's meter moved in METERED readings, None where it was not read.
    """

    url: str
    reproduce: str
    times_ms: tuple[float, ...]
    statuses: dict[str, int]
    failures: dict[str, str]
    redirected: bool
    body_kinds: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    marked: bool | None
    paid_calls: float | None


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Read the route until there are enough times, or it failed, or patience is over."""
    place = target.health.liveness or "/health"
    request = Request("GET", place, target.health.headers)
    replies: list[Reply] = []
    started = monotonic()

    async def read() -> None:
        replies.append(await patiently(lambda: instruments.http.send(request, timeout_s=5.0)))

    before = await calls_now(instruments)
    for _ in range(METERED):
        await read()
    after = await calls_now(instruments)
    paid = after - before if before is not None and after is not None else None
    wanted = 2 * instruments.profile.samples if not paid or paid < METERED else METERED
    while len(replies) < wanted and all(reply.succeeded for reply in replies[-METERED:]):
        if len(replies) >= ENOUGH and monotonic() - started > PATIENCE_S:
            break
        await read()
    healthy = target.health.healthy
    statuses = [str(reply.status) for reply in replies if reply.status is not None]
    return Evidence(
        url=target.absolute(place),
        reproduce=curl_line(target, request, options="-i"),
        times_ms=tuple(round(reply.elapsed_ms, 2) for reply in replies if reply.succeeded),
        statuses={status: statuses.count(status) for status in sorted(set(statuses))},
        failures={reply.failure.kind: reply.failure.detail for reply in replies if reply.failure},
        redirected=any(_led_elsewhere(target.absolute(place), reply) for reply in replies),
        body_kinds=tuple(sorted({body_kind(reply) for reply in replies if not reply.failure})),
        words=tuple(sorted({word for reply in replies for word in words_of(reply)})),
        marked=all(healthy.shown(reply.headers, reply.document()) for reply in replies) if healthy else None,
        paid_calls=paid,
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Status first, then words, then what it costs, then time."""
    unsaid = _proves_nothing(evidence)
    if unsaid:
        return unsaid
    wrong = _wrong(evidence)
    if wrong:
        return Finding.failed(wrong, fix=FIX, reproduce=evidence.reproduce)
    p95_ms = percentile(evidence.times_ms, 0.95)
    limit = Limit.at_most(thresholds.pass_p95_ms, thresholds.warn_p95_ms)
    timed = Finding.by_limit(
        p95_ms,
        "ms",
        limit,
        f"Says healthy in {show(p95_ms, 'ms')} (95th percentile of {len(evidence.times_ms)}), "
        f"limit {show(limit.pass_at, 'ms')}.",
        fix="Answer from what the process knows already; call no dependency in the health route.",
        reproduce=evidence.reproduce,
    )
    doubt = _doubt(evidence)
    if doubt and timed.outcome is not Outcome.FAIL:
        return timed.but(outcome=Outcome.WARN, reason=doubt, share=min(0.5, timed.share), fix=FIX)
    return timed


FIX = 'Answer 200 with `{"status": "healthy"}` while this instance can serve, and 503 while it cannot.'


def _proves_nothing(evidence: Evidence) -> Finding | None:
    path = evidence.url
    if set(evidence.statuses) == {"429"}:
        return Finding.not_assessed(f"{path} was rate limited (429) each time.", missing="health.liveness")
    if FailureKind.REDIRECT in evidence.failures or evidence.redirected:
        return Finding.not_assessed(
            f"{path} redirects, which proves nothing. Declare where it leads as `[health] liveness`.",
            missing="health.liveness",
        )
    if set(evidence.statuses) & {"401", "403"}:
        return Finding.not_assessed(
            f"{path} asks for a credential, which proves nothing. Add it as `[health] headers`.",
            missing="health.headers",
        )
    return None


def _wrong(evidence: Evidence) -> str:
    if evidence.failures:
        kind, detail = next(iter(evidence.failures.items()))
        return f"The health route gives no reply: {kind}, {detail}."
    bad = [status for status in evidence.statuses if not status.startswith("2") and status != "429"]
    if bad:
        return f"The health route answers {', '.join(bad)} instead of 200."
    if evidence.marked is not None:
        return "" if evidence.marked else "A reply lacks what `[health] healthy` declares."
    down = [place_and_word for place_and_word in evidence.words if meaning(place_and_word[1]) == "bad"]
    if down:
        return f"The health route says {_said(down)}."
    if "html" in evidence.body_kinds:
        return "The health route answers with an HTML page, which says nothing of health."
    return ""


def _doubt(evidence: Evidence) -> str:
    if evidence.paid_calls is not None and evidence.paid_calls >= METERED:
        return (
            f"{METERED} readings of the health route made {evidence.paid_calls:g} paid upstream calls; "
            "a health route that is read every few seconds must cost nothing."
        )
    if evidence.marked is not None:
        return ""
    degraded = [word for word in evidence.words if meaning(word[1]) == "degraded"]
    if degraded:
        return f"The health route says {_said(degraded)}."
    whole = [word for word in evidence.words if "." not in word[0]]
    unknown = [word for word in whole if meaning(word[1]) is None]
    if unknown and len(unknown) == len(whole):
        return f"The health route says {_said(unknown)}, no known word of health. Declare `[health] healthy`."
    return ""


def _said(words: list[tuple[str, str]]) -> str:
    first = [f'"{word}" at `{place}`' if place else f'"{word}"' for place, word in words[:3]]
    return ", ".join(first) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def _led_elsewhere(url: str, reply: Reply) -> bool:
    """Whether redirects led to a page for people; one that only adds a slash leads to the same route."""
    moved = reply.url.rstrip("/") not in (url.rstrip("/"), "") and reply.url.startswith("http")
    return moved and body_kind(reply) == "html"
