"""The instruments that a check may use, as protocols. app/instruments has the real ones.

An instrument measures and never judges. A reply that failed is a value, not an exception: ``Reply.failure``.
What an instrument cannot do at all raises ``InstrumentFailure``; a check that lets it through is reported as
not assessed with that sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Literal, Protocol

from checks.load import Load, Route, Scenario, Statistics
from checks.target import Request
from checks.texts import document_in


class InstrumentFailure(Exception):  # noqa: N818 - it names a fact about the service, not a bug
    """An instrument could not measure. ``missing`` names the target-file key that would help."""

    def __init__(self, reason: str, *, missing: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing


class FailureKind(StrEnum):
    """Why a request got no usable reply."""

    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    REDIRECT = "redirect"
    STATUS = "status"
    WRONG_BODY = "wrong_body"


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind and one example of it in words."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: bounded (1 MiB of body kept), with the time it took.

    ``status`` is None when there was no reply; ``failure`` then says why. Header names are lower case.
    """

    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False
    elapsed_ms: float = 0.0
    failure: Failure | None = None

    @property
    def succeeded(self) -> bool:
        """Whether a whole reply with a status of 2xx came."""
        return self.failure is None and 200 <= (self.status or 0) < 300

    @property
    def text(self) -> str:
        """The body as text; undecodable bytes are replaced."""
        return self.body.decode("utf-8", "replace")

    def document(self) -> object:
        """The body as JSON, or None where it is not JSON."""
        return document_in(self.body)


class Http(Protocol):
    """Probes: one request at a time, every deadline explicit, nothing followed off the target."""

    async def send(
        self, request: Request, *, timeout_s: float = 10.0, fresh_connection: bool = False
    ) -> Reply:
        """Send and return the reply. Never raises for what the service does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPlan:
    """How a body is sent. ``before``, then ``filler`` up to ``filler_bytes``, stand before the request's own.

    ``chunked`` announces no length. After so many bytes of a body each of ``pauses`` waits so many s for a
    reply. After ``stop_after`` bytes nothing more is sent, though the whole length was announced.
    """

    before: bytes = b""
    filler: bytes = b" "
    filler_bytes: int = 0
    chunked: bool = False
    pauses: tuple[tuple[int, float], ...] = ()
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class BodyReply:
    """What a body got. ``sent_bytes`` of it had left when the reply came, ``whole`` if that was all of it.

    ``failure`` of kind RESET also stands for a connection that was closed without a reply.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent_bytes: int = 0
    whole: bool = False
    elapsed_ms: float = 0.0
    failure: Failure | None = None


class Bodies(Protocol):
    """Sends bodies that no HTTP client would send, each over a connection of its own."""

    async def send(self, request: Request, plan: BodyPlan, *, timeout_s: float = 10.0) -> BodyReply:
        """Send until the service replies, closes, or ``timeout_s`` is over; after a reply nothing more goes.

        Never raises for what the service does.
        """


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What handshakes with the target show. ``failure`` says why there was none at all.

    ``distrust`` is why this machine does not trust the certificate, "" where it does, whatever its name;
    ``days_left`` and ``life_days`` are of its validity. ``old_versions`` were agreed to though nobody should;
    ``untried`` could not be offered by this machine.
    """

    failure: Failure | None = None
    version: str = ""
    distrust: str = ""
    name_matches: bool | None = None
    names: tuple[str, ...] = ()
    days_left: float | None = None
    life_days: float | None = None
    old_versions: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()


class Tls(Protocol):
    """Shakes hands with the target's port."""

    async def look(self) -> TlsFacts:
        """The facts now. Never raises for what the service does."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event and when its last byte came, from the start of the request."""

    at_ms: float
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Frames:
    """How a stream was framed, beside its events: what a client drops or replaces without an error.

    ``strays`` are the first of ``stray_count`` lines that are no field of an event, ``not_utf8`` counts lines
    that are no UTF-8, ``dataless`` names events without a data line, which no client is told of, and
    ``unfinished`` says that the stream broke off within an event.
    """

    strays: tuple[str, ...] = ()
    stray_count: int = 0
    not_utf8: int = 0
    dataless: tuple[str, ...] = ()
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class StreamReply:
    """A whole event stream: ``first_byte_ms`` of the body, its events (bounded), its end, its frames."""

    status: int | None
    headers: Mapping[str, str]
    events: tuple[Event, ...]
    first_byte_ms: float | None
    end_ms: float
    body_start: str = ""
    failure: Failure | None = None
    frames: Frames = Frames()


class OpenStream(Protocol):
    """A stream that is read in the background for as long as its ``async with`` block lasts.

    ``over`` is whether it has ended, by itself or by a failure; ``port`` is our end of its connection.
    """

    status: int | None
    failure: Failure | None
    port: int | None

    @property
    def events(self) -> Sequence[Event]:
        """The events so far."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""


@dataclass(frozen=True, slots=True)
class Forgery:
    """A wrong credential made from the declared valid one: ``value`` is its header value, in references.

    ``made_by`` is the shell line that sets the variable which ``value`` refers to.
    """

    name: str
    value: str
    made_by: str


class Credentials(Protocol):
    """Makes wrong credentials out of the right one, which a check never sees."""

    def forgeries(self) -> list[Forgery]:
        """Those that fit the kind of the credential; empty where none is declared or it is too short."""


class Sse(Protocol):
    """Reads server-sent events and when they came."""

    async def read(self, request: Request, *, timeout_s: float = 30.0) -> StreamReply:
        """Read until the stream ends or ``timeout_s`` is over. Never raises for what the service does."""

    def opened(self, request: Request) -> AbstractAsyncContextManager[OpenStream]:
        """A stream on a connection of its own. Whoever ends the block leaves it, as a closed tab does."""

    async def open_streams(self) -> float:
        """How many streams the declared gauge says are open.

        Raises InstrumentFailure where none is declared (``stream.open``) or it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, by whichever declared route was asked.

    ``good``: a good status, the declared shape, and a non-empty text. ``cached`` is None where the target
    declares no marker. ``problem`` says in words why an answer is not good.
    """

    route: Route
    good: bool
    status: int | None
    text: str
    cached: bool | None
    elapsed_ms: float
    problem: str = ""
    failure: Failure | None = None


class Questions(Protocol):
    """Asks the declared business question; falls back on the declared stream where ``[ask]`` is broken."""

    async def route(self) -> Route | None:
        """The declared route that answers a question just now (``ask`` first), or None."""

    async def ask(
        self,
        prompt: str,
        *,
        route: Route = "ask",
        user: str = "",
        session: str = "",
        timeout_s: float = 30.0,
    ) -> Answer:
        """Ask one question. Never raises for what the service does."""

    def curl(self, prompt: str, *, route: Route = "ask", user: str = "", session: str = "") -> str:
        """The same question as a curl line, secrets as ``$ENV_NAME``."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of one question asked ``asked`` times at once; times are ms from the first that was sent.

    ``sent_ms`` is when the last one was sent, ``good_ms`` when good answers came, in order; ``cached`` of
    them are hits by their marker. ``limited`` were refused with 429; ``problem`` is why another one was not
    good.
    """

    asked: int
    sent_ms: float
    good_ms: tuple[float, ...]
    cached: int
    limited: int
    problem: str


class Bursts(Protocol):
    """Asks one question many times at the same moment, on connections that are open beforehand."""

    async def at_once(
        self, prompt: str, count: int, *, route: Route = "ask", timeout_s: float = 30.0
    ) -> Burst:
        """Ask as one user, each in a session of its own. Never raises for what the service does."""


class Prompts(Protocol):
    """Questions, random per run, so that a service cannot be tuned to them."""

    def fresh(self, count: int) -> list[str]:
        """Never-seen questions that differ in whole words."""

    def repeats(self, distinct: int) -> list[str]:
        """``distinct`` questions of the declared repeat mix, made new for this run by added words."""


class PromptSource(Prompts, Protocol):
    """The questions of a run, and what makes a declared question new in it."""

    def aside(self) -> str:
        """A sentence that no question of this run had so far."""


@dataclass(frozen=True, slots=True)
class RedisCounters:
    """Counters of a Redis at one moment. ``data_commands`` leaves out PING, INFO, AUTH and such.

    ``sees_all`` is False for a node of a cluster and for a replica: what a service sends may go elsewhere,
    so that their silence proves nothing.
    """

    run_id: str
    uptime_s: int
    keyspace_hits: int
    keyspace_misses: int
    data_commands: int
    sees_all: bool = True


@dataclass(frozen=True, slots=True)
class RedisState:
    """What a Redis says of its memory at one moment, and counts since its start (``run_id``).

    ``used_bytes`` is what counts against ``max_bytes`` (0: no limit), ``host_bytes`` the memory of its host
    (0: not said). A ``replica`` leaves evicting to its primary. ``sets`` are commands that store a value.
    """

    run_id: str
    replica: bool
    used_bytes: int
    max_bytes: int
    host_bytes: int
    policy: str
    evicted: int
    sets: int
    rejected: int


@dataclass(frozen=True, slots=True)
class KeySample:
    """Keys of the declared database and prefix: digest of the name -> seconds to live, None without end.

    ``complete``: these are all of them.
    """

    seconds: Mapping[str, int | None]
    complete: bool


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """An entry of the slow log: its number, which only grows, and the command without its arguments."""

    number: int
    took_ms: float
    command: str


@dataclass(frozen=True, slots=True)
class SlowLog:
    """The newest entries, newest first. ``from_ms``: what takes longer is logged; negative: nothing is."""

    commands: tuple[SlowCommand, ...]
    from_ms: float | None


class Redis(Protocol):
    """Reads the declared Redis. Raises InstrumentFailure when it cannot be reached or read."""

    async def ping_ms(self, count: int) -> list[float]:
        """Round trips of PING, each on a fresh connection, in ms."""

    async def get_ms(self, count: int) -> list[float]:
        """Round trips of GET on one warm connection in ms, for a key that is not there; at least one."""

    async def counters(self) -> RedisCounters:
        """The counters now; reading them does not move them."""

    async def state(self) -> RedisState:
        """Memory, its limit, and the counters that go with it."""

    async def keys(self) -> KeySample:
        """A sample of the keys, by SCAN, with their time to live: at least 500 or all, in bounded time."""

    async def slow_log(self) -> SlowLog:
        """The slow log's newest entries."""


class Upstream(Protocol):
    """Reads the declared meter of the paid upstream."""

    async def calls(self) -> float:
        """Calls so far. Raises InstrumentFailure when the meter cannot be read."""


@dataclass(frozen=True, slots=True)
class ProcessFact:
    """One process: ``root_pid`` is the topmost ancestor with the same command (a worker's master)."""

    pid: int
    root_pid: int
    started_at: float
    command: str
    ports: tuple[int, ...]


class Processes(Protocol):
    """Looks at the processes of this host; empty where the target is elsewhere."""

    def listening(self, port: int) -> list[ProcessFact]:
        """Processes that listen on ``port``."""

    def same_program(self, fact: ProcessFact) -> list[ProcessFact]:
        """Other process trees that run the same command line and listen on some port."""

    def holds_connection(self, port: int, peer_port: int) -> bool | None:
        """Whether a process that listens on ``port`` still has its end of the connection from ``peer_port``.

        None where the processes of the service cannot be seen.
        """


@dataclass(frozen=True, slots=True)
class BodyField:
    """What a schema says of one field of a body; ``kind`` is its JSON type, "" where it may be several.

    ``bounds`` has the limits of its values in the schema's own words: ``maximum``, ``minLength``, ``enum``...
    """

    kind: str
    required: bool
    nullable: bool
    bounds: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the service's OpenAPI with a body built from its schema and examples.

    ``fields`` maps dotted paths of the body (``messages.0.content``) to what the schema says of them; it is
    empty where no schema is declared. ``path`` is filled in and can be sent; ``template`` is as declared.
    """

    method: str
    path: str
    summary: str
    body: Any | None
    content_type: str | None
    streams: bool
    prompt_field: str | None = None
    fields: Mapping[str, BodyField] = field(default_factory=dict)
    template: str = ""

    @property
    def label(self) -> str:
        """How people call it: ``POST /api/chat``."""
        return f"{self.method} {self.template or self.path}"


@dataclass(frozen=True, slots=True)
class Wish:
    """How many requests to make by the schema of an operation: such as it allows, and such as it forbids."""

    operation: Operation
    valid: int
    invalid: int


@dataclass(frozen=True, slots=True)
class Example:
    """A request made by the schema of an operation; ``valid`` where the schema allows it."""

    operation: Operation
    request: Request
    valid: bool


@dataclass(frozen=True, slots=True)
class Examples:
    """What could be made. ``problem`` is what makes the document unsound, "" for nothing.

    ``failed`` maps the label of an operation for which nothing could be made to the reason.
    """

    made: tuple[Example, ...]
    problem: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deviation:
    """In which way a reply is not as declared: ``what`` in a few words, and ``detail``."""

    what: str
    detail: str


class OpenApi(Protocol):
    """Reads the service's OpenAPI document. Raises InstrumentFailure when there is none."""

    async def operations(self) -> list[Operation]:
        """All operations of all documents found."""

    async def examples(self, wishes: Sequence[Wish], *, seed: int) -> Examples:
        """Requests for ``wishes``; the same for the same document and seed. Nothing is sent."""

    async def deviations(
        self, replies: Sequence[tuple[Operation, Reply]]
    ) -> list[tuple[Deviation, ...] | None]:
        """In which way each reply is not as declared, empty for not at all; None: it cannot be compared."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of a metrics page. ``labels`` maps a label name to its distinct values (bounded)."""

    url: str
    status: int | None
    content_type: str
    families: Mapping[str, str]
    series: int
    labels: Mapping[str, tuple[str, ...]]
    parse_error: str = ""
    failure: Failure | None = None


class Metrics(Protocol):
    """Scrapes the declared metrics route."""

    async def scrape(self) -> Scrape:
        """Read the page. Never raises for what the service does."""

    async def requests(self) -> float:
        """The service's own count of business requests: the declared counter, summed over its series.

        Raises InstrumentFailure where none is declared (``health.requests``) or it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Resident memory of the service now, and where it was read (``process`` or ``metrics``)."""

    resident_bytes: float
    source: Literal["process", "metrics"]


class Memory(Protocol):
    """Reads the service's memory: of its process tree on this host, else from its metrics."""

    async def read(self) -> MemoryReading:
        """Raises InstrumentFailure where neither can be read."""


class Faults(Protocol):
    """Levers. Whatever happens, what was broken is restored."""

    def ways(self, lever: str) -> tuple[str, ...]:
        """The ways in which ``lever`` can break its dependency; empty where it is not declared."""

    def broken(self, lever: str, way: str) -> AbstractAsyncContextManager[None]:
        """Break within ``async with``, restore on leaving it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How long to measure. ``quick`` is for a developer, ``standard`` for a release, ``deep`` for a night."""

    name: Literal["quick", "standard", "deep"]
    samples: int
    outage_s: float
    deadline_factor: float
    scenarios: Mapping[str, Scenario]


class Instruments(Protocol):
    """All instruments of a run. One that ``CHECK.needs`` does not name raises InstrumentFailure."""

    profile: Profile
    random: Random
    prompts: PromptSource
    http: Http
    credentials: Credentials
    sse: Sse
    questions: Questions
    bursts: Bursts
    load: Load
    redis: Redis
    upstream: Upstream
    processes: Processes
    openapi: OpenApi
    metrics: Metrics
    memory: Memory
    faults: Faults
    bodies: Bodies
    tls: Tls
    statistics: Statistics

    def say(self, text: str) -> None:
        """Tell whoever watches the run what happens now."""
