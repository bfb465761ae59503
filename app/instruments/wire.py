"""One HTTP exchange with a hostile peer: sent only where it may go, redirects kept there, replies bounded.

It uses httpx's transport without httpx's client: no cookies that change the next request, no proxies from the
environment, no log line with a URL in it, and redirects that are judged before they are followed.
"""

from __future__ import annotations

import asyncio
import functools
import math
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Self, cast
from urllib.parse import quote, urljoin

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpcore  # noqa: F401 - httpx imports it, as it does anyio, within the first request, which is timed
import httpx

from app.instruments.failures import failure_of, in_words, one_line
from app.instruments.inflate import Inflate
from app.instruments.manners import REDIRECTS, USER_AGENT
from app.instruments.origins import Origin
from app.instruments.references import References
from checks.contract import Failure, FailureKind, InstrumentFailure, Request
from checks.contract.target.calls import escape_for

READING = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_REDIRECTS = 5
STALE_S = 0.3  # in which a closed connection shows itself: a round trip, generously
MAX_STALE = 5  # kept connections that may turn out closed, one after the other
MAX_HEADERS = 200
MAX_HEADER_CHARS = 8_192
SPENT = "The service answers so slowly that this check's time is over before it is done."
KEEP_IDLE_S = 2.0  # below the idle time-outs of common servers (5 s), so that a reused connection is alive


class NoReply(Exception):  # noqa: N818 - it carries a fact about the service, it is no bug
    """The exchange broke; ``failure`` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reply whose body is still to be read. ``failure`` is set for a redirect that was not followed.

    ``port`` is our end of its connection, by which the service's end can be told from others.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    pieces: AsyncGenerator[bytes, None]
    failure: Failure | None = None
    port: int | None = None


class Wire:
    """Sends requests to declared ``origins`` only, and methods that change something as ``may_change`` says.

    Use it within ``async with``, which closes its connections.

    ``origins`` maps each to the environment variables whose values may be sent there. After ``until``
    (on the clock of time.monotonic) no reply is waited for: a check must end within its deadline. ``tls``
    says whom to trust, where it is not whom this project trusts.
    """

    def __init__(
        self,
        base: str,
        origins: Mapping[Origin, frozenset[str]],
        references: References,
        may_change: Callable[[Origin], InstrumentFailure | None],
        *,
        until: float = math.inf,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base = base
        self.until = until
        self._origins = dict(origins)
        self.references = references
        self._may_change = may_change
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._tls = tls or trusted_tls()  # made here, or the first probe would be timed with it

    def also_at(self, origin: Origin) -> None:
        """Let requests go to ``origin`` too; no secret is ever sent there unless it was declared."""
        self._origins.setdefault(origin, frozenset())

    async def __aenter__(self) -> Self:
        anyio.current_time()  # loads what the first request would otherwise load while it is timed
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    @asynccontextmanager
    async def exchange(self, request: Request, *, fresh_connection: bool = False) -> AsyncIterator[Arrival]:
        """Send ``request``; its reply's body is read within ``async with``, from ``Arrival.pieces``.

        The caller sets the deadline. Raises NoReply for what the service does, and InstrumentFailure for a
        request that may not be sent, or cannot be, or whose reply did not come ``until``.
        """
        outgoing = self.prepared(request)
        async with AsyncExitStack() as stack:
            try:
                async with ended_by(self.until):
                    transport = self._kept() if not fresh_connection else _transport(self._tls)
                    if fresh_connection:
                        stack.push_async_callback(transport.aclose)
                    response, failure = await _follow(transport, outgoing)
                    stack.push_async_callback(response.aclose)
                    arrival = self._arrival(response, failure)
                    stack.push_async_callback(arrival.pieces.aclose)
                    yield arrival
            except _FAULTS as error:
                raise NoReply(self._hidden(failure_of(error))) from error

    def _kept(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:
            self._transport = _transport(self._tls)
        return self._transport

    def prepared(self, request: Request) -> httpx.Request:
        """``request`` as it goes out, its secrets filled in. Raises InstrumentFailure where it may not."""
        url = request.url
        if not url.startswith(("http://", "https://")):
            url = f"{self._base.rstrip('/')}/{url.lstrip('/')}"
        origin = Origin.of(url)
        if origin not in self._origins:
            raise InstrumentFailure(f"{origin} is not declared in the target file, so nothing is sent there.")
        if request.method.upper() not in READING and (refusal := self._may_change(origin)):
            raise refusal
        fill = functools.partial(self.references.resolve, names=self._origins[origin])
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        own = {name.lower() for name in request.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in own}
        headers |= {name: fill(value) for name, value in request.headers.items()}
        body = _filled_body(request, fill)
        try:
            return httpx.Request(
                request.method,
                fill(url, escape=lambda value: quote(value, safe="")),
                headers=[(name.encode("ascii"), value.encode()) for name, value in headers.items()],
                content=body,
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise InstrumentFailure(f"The request cannot be formed: {in_words(error)}.") from error

    def _arrival(self, response: httpx.Response, failure: Failure | None) -> Arrival:
        headers: dict[str, str] = {}
        for raw_name, raw_value in response.headers.raw[:MAX_HEADERS]:
            name = raw_name.decode("latin-1").lower()[:MAX_HEADER_CHARS]
            value = self.references.hide(raw_value.decode("latin-1"))[:MAX_HEADER_CHARS]
            both = f"{headers[name]}, {value}" if name in headers else value
            headers[name] = both[:MAX_HEADER_CHARS]
        return Arrival(
            self.references.hide(str(response.request.url)),
            response.status_code,
            headers,
            _pieces(response, headers.get("content-encoding", "")),
            self._hidden(failure) if failure else None,
            _own_port(response),
        )

    def _hidden(self, failure: Failure) -> Failure:
        return Failure(failure.kind, self.references.hide(failure.detail))


_FAULTS = (httpx.HTTPError, httpx.InvalidURL, zlib.error, OSError, UnicodeError)


@asynccontextmanager
async def ended_by(until: float) -> AsyncIterator[None]:
    """Raises InstrumentFailure where the block would outlast ``until``."""
    left_s = until - monotonic()
    if left_s <= 0:
        raise InstrumentFailure(SPENT)
    timer = asyncio.timeout(left_s if math.isfinite(left_s) else None)
    try:
        async with timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise InstrumentFailure(SPENT) from error
        raise


@functools.cache
def trusted_tls() -> ssl.SSLContext:
    """How probes speak TLS: whom this project trusts, and no setting of the environment."""
    return httpx.create_ssl_context(trust_env=False)  # reading the certificates takes longer than a probe


def _transport(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(keepalive_expiry=KEEP_IDLE_S)
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)


async def _send(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    """Send, and once more where a kept connection had been closed meanwhile (RFC 9112, 9.3.1).

    Many servers close after an error reply without saying so; that is no failure of the next request.
    What breaks on a connection that was opened for the request is one, and so is what breaks later than
    STALE_S: by then the service has the request, and a crash over it must not be hidden by a second try.
    """
    for _ in range(MAX_STALE):
        opened, started = asyncio.Event(), perf_counter()

        async def trace(name: str, _info: object, opened: asyncio.Event = opened) -> None:
            if name.startswith("connection.connect"):
                opened.set()

        request.extensions = {**request.extensions, "trace": trace}
        try:
            return await transport.handle_async_request(request)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            garbled = isinstance(error, httpx.RemoteProtocolError) and "without sending" not in str(error)
            if opened.is_set() or garbled or perf_counter() - started > STALE_S:
                raise
    return await transport.handle_async_request(request)


async def _follow(
    transport: httpx.AsyncHTTPTransport, request: httpx.Request
) -> tuple[httpx.Response, Failure | None]:
    """The first reply that is no redirect, or the redirect that must not be followed and why."""
    for hop in range(MAX_REDIRECTS + 1):
        response = await _send(transport, request)
        response.request = request
        place = response.headers.get("location")
        if response.status_code not in REDIRECTS or place is None:
            return response, None
        refused = _off_target(request, place)
        if refused is None and hop == MAX_REDIRECTS:
            refused = Failure(FailureKind.REDIRECT, f"more than {MAX_REDIRECTS} redirects")
        if refused is not None:
            return response, refused
        await response.aclose()
        request = _onward(request, response.status_code, place)
    raise AssertionError("the last hop returns")


def _off_target(request: httpx.Request, place: str) -> Failure | None:
    here = Origin.of(str(request.url))
    try:
        url = urljoin(str(request.url), place)
        there = Origin.of(url)
        httpx.URL(url)
    except (InstrumentFailure, httpx.InvalidURL, ValueError):
        return Failure(FailureKind.REDIRECT, f"redirects to {one_line(place)!r}, which is no http(s) URL")
    if there == here:
        return None
    return Failure(FailureKind.REDIRECT, f"redirects to {one_line(url)}, which is off {here}")


def _onward(request: httpx.Request, status: int, place: str) -> httpx.Request:
    """The request after a redirect: 307 and 308 keep method and body, others become GET as in browsers."""
    keeps = status in (307, 308) or request.method in READING
    dropped = set() if keeps else {"content-length", "content-type", "transfer-encoding"}
    headers = [(name, value) for name, value in request.headers.raw if name.lower().decode() not in dropped]
    url = urljoin(str(request.url), place)
    return httpx.Request(
        request.method if keeps else "GET", url, headers=headers, content=request.content if keeps else b""
    )


def _filled_body(request: Request, fill: Callable[..., str]) -> bytes:
    if b"${" not in request.body:
        return request.body
    kind = next((value for name, value in request.headers.items() if name.lower() == "content-type"), None)
    # latin-1 keeps every byte of a body that is deliberately no text
    return fill(request.body.decode("latin-1"), escape=_as_latin_1(escape_for(kind))).encode("latin-1")


def _as_latin_1(escape: Callable[[str], str]) -> Callable[[str], str]:
    return lambda value: escape(value).encode().decode("latin-1")


def _own_port(response: httpx.Response) -> int | None:
    stream = response.extensions.get("network_stream")
    address = stream.get_extra_info("client_addr") if stream is not None else None
    return int(address[1]) if isinstance(address, tuple) and len(address) > 1 else None


async def _pieces(response: httpx.Response, encoding: str) -> AsyncGenerator[bytes, None]:
    """The body in pieces of bounded size, inflated as far as the caller reads and no further."""
    inflate = Inflate() if encoding.strip().lower() in ("gzip", "x-gzip", "deflate") else None
    async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_raw())) as raws:
        async for raw in raws:
            if inflate is None:
                yield raw
            else:
                for piece in inflate.pieces(raw):
                    yield piece
