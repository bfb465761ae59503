"""A request can be followed by its id.

Why it matters
    A user who reports an error, a log line and a trace are the same event only where one id stands in all
    three. It is needed most when a request fails, and when it went through several services.

How it is measured
    The health route, a route that does not exist and (where that is harmless) the business route are read
    with GET: each without an id, and with an `X-Request-ID`, an `X-Correlation-ID` and a W3C `traceparent`
    made for it. A reply carries an id where one of the usual headers does. The incoming id is honoured where
    one of the ids sent comes back in a header, or in the reply's own `request_id` or `trace_id`. Ids of
    requests without one must differ, also on the same connection. At last, ids that nobody should write into
    a header or a log are sent: markup, an encoded line break, ten thousand characters. They must not come
    back as they were.

How to fix it
    1. Take `traceparent` or `X-Request-ID` at the outermost layer, check it against a short pattern, and make
       a new random id (a UUID) where there is none or it does not fit.
    2. Set the id on every reply there, so that errors of all layers below carry it too.
    3. Write it into each log line, and send it along to every service that is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from checks.contract import Check, Finding, Instruments, Kind, Reply, Request, Target, curl_line
from checks.endpoint_health._pacing import patiently

CHECK = Check(
    failure_title="Requests cannot be followed by an id",
    kind=Kind.PASSIVE,
    does="Reads the health route and routes that answer with an error a dozen times, with and without an id.",
    needs=("http",),
    deadline_s=40,
    typical_s=0.3,
    beside=True,
)
ANONYMOUS = 3  # requests without an id to each route: two may differ by chance of a counter, three do not
TIMEOUT_S = 5.0
PATIENCE_S = 10.0  # a service this slow is judged on the routes that were read until then
LONG_CHARS = 10_000
MAX_ID_CHARS = 200
MAX_RAW_CHARS = 500  # of a long id: so much of it in a reply is the id as it was sent
# What gateways, frameworks and clouds call it, from the W3C recommendation to vendors.
ID_HEADERS = (
    *("x-request-id", "request-id", "x-correlation-id", "correlation-id", "x-requestid", "x-trace-id"),
    *("traceparent", "traceresponse", "trace-id", "x-b3-traceid", "x-amzn-trace-id", "x-amzn-requestid"),
    *("x-cloud-trace-context", "x-ms-request-id", "apigw-requestid", "cf-ray", "uber-trace-id"),
)
ID_KEYS = ("request_id", "requestId", "trace_id", "traceId", "correlation_id", "correlationId", "instance")
INJECTED = "x-injected-by-id"
HOSTILE = {
    "markup": '"><script>alert(1)</script>',
    "an encoded line break": f"a%0d%0a{INJECTED}: 1",
    f"{LONG_CHARS:,} characters": "a" * LONG_CHARS,
}


@dataclass(frozen=True)
class Thresholds:
    """None: an id is there and honoured, or it is not (catalogue, W3C Trace Context)."""


@dataclass(frozen=True)
class Route:
    """What came from one route. ``statuses`` without an id, then with one; a failed request is 0.

    ``ids`` are of the replies to requests without one, "" for none. ``given`` is whether the reply to a
    request with ids carries any, ``echoed`` whether one of those that were sent.
    """

    path: str
    statuses: tuple[int, ...]
    ids: tuple[str, ...]
    given: bool
    echoed: bool

    @property
    def good(self) -> bool:
        """Whether every reply was a success."""
        return all(200 <= status < 300 for status in self.statuses)

    @property
    def bad(self) -> bool:
        """Whether every reply was an error of its own."""
        return all(400 <= status < 600 and status != 429 for status in self.statuses)


@dataclass(frozen=True)
class Evidence:
    """Routes in order, and the hostile ids that came back as sent (``raw``) or became a header."""

    routes: tuple[Route, ...]
    raw: tuple[str, ...]
    injected: tuple[str, ...]
    reproduce: str
    reproduce_hostile: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Each route with and without ids, then hostile ids at the first, while patience lasts."""
    until = monotonic() + PATIENCE_S
    routes: list[Route] = []
    for place in _places(target, instruments):
        if not routes or (routes[0].good and monotonic() < until):
            routes.append(await _route(instruments, place, target))
    first = routes[0].path
    raw, injected = [], []
    for name, text in HOSTILE.items():
        if monotonic() > until or not routes[0].good:
            break
        reply = await _read(instruments, target, first, {"X-Request-ID": text, "X-Correlation-ID": text})
        if any(text[:MAX_RAW_CHARS] in value for value in reply.headers.values()):
            raw.append(name)
        if INJECTED in reply.headers:
            injected.append(name)
    known = Request("GET", first, {**target.health.headers, "X-Request-ID": "6f1c2d3e-greenlight"})
    hostile = Request("GET", first, {**target.health.headers, "X-Request-ID": HOSTILE["markup"]})
    return Evidence(
        routes=tuple(routes),
        raw=tuple(raw),
        injected=tuple(injected),
        reproduce=curl_line(target, known, options="-i"),
        reproduce_hostile=curl_line(target, hostile, options="-i"),
    )


def _places(target: Target, instruments: Instruments) -> Iterator[str]:
    """The health route, one that does not exist, and the business route where GET is not what it takes."""
    liveness = target.health.liveness or "/"
    yield liveness if liveness.startswith("/") else "/"
    yield f"/no-such-route-{instruments.random.getrandbits(40):010x}"
    call = target.ask or target.stream
    if call is not None and call.method == "POST" and call.path.startswith("/") and "{" not in call.path:
        yield call.path


async def _route(instruments: Instruments, place: str, target: Target) -> Route:
    replies = [await _read(instruments, target, place, {})]
    while len(replies) < ANONYMOUS and replies[-1].status not in (None, 429):
        replies.append(await _read(instruments, target, place, {}))
    if replies[-1].status in (None, 429):  # it will not answer the others either
        return Route(place, tuple(reply.status or 0 for reply in replies), (), given=False, echoed=False)
    sent = f"{instruments.random.getrandbits(128):032x}"
    trace, span = (f"{instruments.random.getrandbits(bits):0{bits // 4}x}" for bits in (128, 64))
    ids = {"X-Request-ID": sent, "X-Correlation-ID": sent, "traceparent": f"00-{trace}-{span}-01"}
    known = await _read(instruments, target, place, ids)
    return Route(
        path=place,
        statuses=tuple(reply.status or 0 for reply in (*replies, known)),
        ids=tuple(_id_of(reply)[:MAX_ID_CHARS] for reply in replies),
        given=bool(_id_of(known)),
        echoed=any(sent in text or trace in text for text in _said(known)),
    )


async def _read(instruments: Instruments, target: Target, place: str, headers: Mapping[str, str]) -> Reply:
    own = target.health.headers if place == target.health.liveness else {}
    request = Request("GET", place, {**own, **headers})
    return await patiently(lambda: instruments.http.send(request, timeout_s=TIMEOUT_S))


def _id_of(reply: Reply) -> str:
    return next((reply.headers[name] for name in ID_HEADERS if reply.headers.get(name)), "")


def _said(reply: Reply) -> Iterator[str]:
    """Where a reply may repeat an id: its headers, and the keys of its body that are meant for one."""
    yield from reply.headers.values()
    document = reply.document()
    if isinstance(document, dict):
        yield from (value for key in ID_KEYS if isinstance(value := document.get(key), str))


def judge(evidence: Evidence, _thresholds: Thresholds) -> Finding:
    """No id, or one that says nothing, fails; then what is missing on errors, unheeded, or taken as it is."""
    good = [route for route in evidence.routes if route.good]
    bad = [route for route in evidence.routes if route.bad]
    if not good:
        path, statuses = evidence.routes[0].path, evidence.routes[0].statuses
        said = f"answers {statuses[0]}" if statuses[0] else "gives no reply"
        return Finding.not_assessed(
            f"{path} {said}, so there is no good reply to look at. Declare a route that answers 200 as "
            "`[health] liveness`.",
            missing="health.liveness",
        )
    failed = _failed(evidence, good)
    if failed:
        return Finding.failed(failed, fix=FIX, reproduce=evidence.reproduce)
    doubt = _doubt(good, bad)
    if doubt:
        return Finding.warned(doubt, fix=FIX, reproduce=evidence.reproduce)
    if evidence.raw:
        return Finding.warned(
            f"An incoming id of {evidence.raw[0]} comes back as it was sent; whoever reads logs or replies "
            "gets it too.",
            fix="Take an incoming id only where it matches a short pattern, such as `[A-Za-z0-9._:-]{1,64}`; "
            "make a new one otherwise.",
            reproduce=evidence.reproduce_hostile,
        )
    return Finding.passed(
        f"An incoming id comes back on {len(good) + len(bad)} routes, errors included; without one each "
        "request gets its own.",
        reproduce=evidence.reproduce,
    )


FIX = (
    "At the outermost layer take `traceparent` or `X-Request-ID`, or make a random id, and set it on every "
    "reply, errors included."
)


def _failed(evidence: Evidence, good: list[Route]) -> str:
    if evidence.injected:
        return f"An incoming id of {evidence.injected[0]} becomes a header of the reply."
    for route in good:
        if not any(route.ids) and not route.given:
            return f"{route.path} answers without any request id."
    for route in evidence.routes:
        given = [each for each in route.ids if each]
        if len(given) > 1 and len(set(given)) < len(given):
            return f"Different requests get the same id: {given[-1]!a} at {route.path}."
    return ""


def _doubt(good: list[Route], bad: list[Route]) -> str:
    for route in bad:
        if not any(route.ids) and not route.given:
            return f"Good replies carry a request id; the {route.statuses[0]} of {route.path} does not."
    for route in (*good, *bad):
        if not route.echoed:
            return f"{route.path} gives ids of its own and does not honour the one that comes in."
    for route in (*good, *bad):
        if not all(route.ids):
            return f"{route.path} repeats an id that comes in, and makes none where there is none."
    return ""
