"""What to assess: the shape of a target file, and how a request is filled in and a reply is read.

Everything here is pure. Only ``url`` is needed; what is left out cannot be measured, and the finding then
names the key to add. Loading from disk, discovery and secrets live in app/targets.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import quote, quote_plus, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from checks.texts import document_in

PLACEHOLDER = re.compile(r"\{(prompt|user|session|nonce)\}")
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # a secret, by the name of its variable
HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to send. ``url`` is absolute or a path of the target."""

    method: str = "GET"
    url: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Table(BaseModel):
    """A table of the target file: strict, frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Marker(Table):
    """How a reply shows something: in a ``header`` or at a ``json`` path, by value, presence or absence."""

    header: str | None = None
    json_path: str | None = Field(default=None, alias="json")
    equals: str | int | float | bool | None = None
    present: bool | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Marker:
        if (self.header is None) == (self.json_path is None):
            raise ValueError("needs exactly one of `header` and `json`")
        if (self.equals is None) == (self.present is None):
            raise ValueError("needs exactly one of `equals` and `present`")
        return self

    def shown(self, headers: Mapping[str, str], document: object) -> bool:
        """Whether the reply shows it. ``headers`` has lower-case names; ``document`` is the parsed body."""
        if self.header is not None:
            found: object = headers.get(self.header.lower())
        else:
            found = at_path(document, self.json_path or "")
        if self.present is not None:
            return (found is not None) is self.present
        if isinstance(self.equals, str) or self.header is not None:
            return found is not None and str(found).casefold() == str(self.equals).casefold()
        return found is not None and type(found) is type(self.equals) and found == self.equals


def _clean_method(method: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3,10}", method):
        raise ValueError(f"{method!r} is not an HTTP method")
    return method.upper()


def _clean_place(place: str) -> str:
    if not place.startswith(("/", "http://", "https://")):
        raise ValueError(f"{place!r} is neither a path that starts with / nor an http(s) URL")
    return place


def _clean_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.match(name):
            raise ValueError(f"{name!r} is not a header name")
        if any(ord(character) < 32 and character != "\t" for character in value):
            raise ValueError(f"the value of header {name!r} holds a control character")
    return headers


def _clean_name(name: str) -> str:
    return next(iter(_clean_headers({name: ""})))


HeaderName = Annotated[str, AfterValidator(_clean_name)]
Method = Annotated[str, AfterValidator(_clean_method)]
Place = Annotated[str, AfterValidator(_clean_place)]
Headers = Annotated[dict[str, str], AfterValidator(_clean_headers)]
Body = dict[str, Any] | list[Any] | str


class Call(Table):
    """A request template. A table or list ``body`` is sent as JSON; a string is sent as it stands.

    ``{prompt} {user} {session} {nonce}`` are filled in and escaped for where they stand.
    """

    method: Method = "POST"
    path: Place
    headers: Headers = {}
    body: Body = ""
    idempotency_header: str | None = None

    def render(self, **values: str) -> Request:
        """Fill the template. Values: ``prompt``, ``user``, ``session``, ``nonce``; a missing one is empty.

        The nonce is also the idempotency key, where a header for one is declared.
        """
        headers = {name: _fill(text, values, _in_header) for name, text in self.headers.items()}
        kind = next((text for name, text in headers.items() if name.lower() == "content-type"), None)
        if isinstance(self.body, str):
            body = _fill(self.body, values, escape_for(kind)).encode()
            if body and kind is None:
                headers["Content-Type"] = (
                    "application/json" if self.body.lstrip()[:1] in "{[" else "text/plain"
                )
        else:
            body = json.dumps(_fill_deep(self.body, values), ensure_ascii=False).encode()
            if kind is None:
                headers["Content-Type"] = "application/json"
        if self.idempotency_header:
            headers[self.idempotency_header] = _in_header(values.get("nonce", ""))
        return Request(self.method, _fill(self.path, values, quote), headers, body)


def _fill(text: str, values: Mapping[str, str], escape: Any) -> str:
    return PLACEHOLDER.sub(lambda match: escape(values.get(match[1], "")), text)


def _fill_deep(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return _fill(node, values, str)
    if isinstance(node, list):
        return [_fill_deep(item, values) for item in node]
    if isinstance(node, dict):
        return {key: _fill_deep(item, values) for key, item in node.items()}
    return node


def _in_header(value: str) -> str:
    return "".join(character for character in value if 32 <= ord(character) < 127)


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def escape_for(content_type: str | None) -> Callable[[str], str]:
    """How a value is escaped in a body of this content type: as form, as JSON (also if unknown), or not."""
    kind = (content_type or "json").lower()
    if "x-www-form-urlencoded" in kind:
        return quote_plus
    return _in_json if "json" in kind else str


def at_path(document: object, path: str) -> object:
    """Look up a dotted path (``choices.0.message.content``); None where there is nothing."""
    node = document
    for part in _parts(path):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and part.lstrip("-").isdigit() and -len(node) <= int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


@lru_cache(maxsize=256)
def _parts(path: str) -> tuple[str, ...]:
    """A path's parts, kept: under load the same few are looked up thousands of times a second."""
    return tuple(path.split(".")) if path else ()


class Count(Table):
    """Where a running count is read: a JSON value (``json``) or a Prometheus ``metric`` at ``url``."""

    url: Place
    headers: Headers = {}
    json_path: str | None = Field(default=None, alias="json")
    metric: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Count:
        if (self.json_path is None) == (self.metric is None):
            raise ValueError("needs exactly one of `json` and `metric`")
        return self


class Ask(Call):
    """``[ask]``: the business request, and how its reply is read."""

    answer: str | None = None
    good_statuses: tuple[int, ...] = (200, 201)
    cached: Marker | None = None


class Stream(Call):
    """``[stream]``: the streaming request; where the token text is, and what ends the stream.

    ``token`` is a path into an event's JSON data ("" or absent: the data is the text itself), ``reasoning``
    one to text that comes before the answer, ``token_count`` one to the number of tokens of the whole answer.
    The stream ends with an event named ``end_event``, or whose data is ``end_data``, or at a JSON path that
    is there. ``open`` is a gauge of the streams that are open just now: the service's own, or better the
    number of calls under way at the paid upstream.
    """

    token: str | None = None
    reasoning: str | None = None
    token_count: str | None = None
    end_event: str | None = None
    end_data: str | None = None
    end_json: str | None = None
    cached: Marker | None = None
    open: Count | None = None

    def render(self, **values: str) -> Request:
        """Fill the template and ask for an event stream."""
        request = super().render(**values)
        headers = {"Accept": "text/event-stream", **request.headers}
        return Request(request.method, request.url, headers, request.body)

    def ends(self, event: str, data: str) -> bool:
        """Whether this event says that the stream is complete."""
        if self.end_event is not None and event == self.end_event:
            return True
        if self.end_data is not None and data.strip() == self.end_data:
            return True
        return self.end_json is not None and at_path(document_in(data), self.end_json) is not None

    def text(self, event: str, data: str) -> str:
        """Token text of one event; "" for a role-only, empty or terminal event."""
        if self.ends(event, data):
            return ""
        if not self.token:
            return data
        found = at_path(document_in(data), self.token)
        return found if isinstance(found, str) else ""


class OpenApiPlace(Table):
    """``[openapi]``: where the service's document is, and what opens it. Else usual places are tried."""

    document: Place | None = None
    headers: Headers = {}


class RequestCounter(Table):
    """``[health.requests]``: the service's own count of business requests, a ``metric`` with ``labels``."""

    metric: str
    labels: dict[str, str] = {}


class Protected(Call):
    """``[[auth.protected]]``: a route that needs a credential; the method is GET unless stated.

    What changes something is never sent with a valid credential, so its ``body`` may be a good one.
    """

    method: Method = "GET"


def _by_reference(credential: str) -> str:
    if not REFERENCE.search(credential):
        raise ValueError("holds a credential as it stands; write ${ENV_NAME} for it and set that variable")
    return credential


Credential = Annotated[str, AfterValidator(_by_reference)]


class Auth(Table):
    """``[auth]``: the ``header`` by which callers show who they are, and what stands in it.

    ``valid`` and ``other`` are credentials of two users, ``expired`` one that has run out or was revoked,
    ``wrong`` one that never was (made up where it is left out). ``spared`` is one that the rate limit spares:
    load is sent with it. Each is the whole value of the header: ``Bearer ${SHOP_TOKEN}``.
    """

    header: HeaderName = "Authorization"
    valid: Credential | None = None
    other: Credential | None = None
    expired: Credential | None = None
    wrong: str | None = None
    spared: Credential | None = None
    protected: tuple[Protected, ...] = Field(default=(), max_length=20)

    @property
    def credentials(self) -> tuple[str, ...]:
        """All that are declared."""
        return tuple(filter(None, (self.valid, self.other, self.expired, self.wrong, self.spared)))

    def sent_with(self, credential: str | None, headers: Mapping[str, str]) -> dict[str, str]:
        """``headers`` with this credential in place of whatever was there; with None there is none at all."""
        kept = {name: text for name, text in headers.items() if name.lower() != self.header.lower()}
        return kept if credential is None else {**kept, self.header: credential}


class Health(Table):
    """``[health]``: health, readiness and metrics routes, and where an instance or build id is."""

    liveness: Place | None = None
    readiness: Place | None = None
    metrics: Place | None = None
    headers: Headers = {}
    healthy: Marker | None = None
    instance: Marker | None = None
    rolling_deploy: bool = False
    requests: RequestCounter | None = None


class NearDuplicates(Table):
    """``[[prompts.near_duplicates]]``: two questions that read nearly alike and have different right answers.

    ``tells`` is a word or phrase for each, which the right answer to it holds and the other's does not.
    """

    questions: tuple[str, str]
    tells: tuple[str, str]

    @model_validator(mode="after")
    def _differ(self) -> NearDuplicates:
        if not all(text.strip() for text in (*self.questions, *self.tells)):
            raise ValueError("`questions` and `tells` need two texts each that are not empty")
        if self.questions[0] == self.questions[1] or self.tells[0].casefold() == self.tells[1].casefold():
            raise ValueError("both questions, or both tells, are the same; each pair must differ")
        return self


class Context(Table):
    """``[prompts.context]``: how a user tells something that only their own answers may know.

    ``tell`` is sent in the user's session with a made-up word in place of ``{secret}``; ``ask`` is a question
    whose right answer in that session holds it.
    """

    tell: str
    ask: str

    @model_validator(mode="after")
    def _holds_a_secret(self) -> Context:
        if "{secret}" not in self.tell or "{secret}" in self.ask or not self.ask.strip():
            raise ValueError("`tell` must hold {secret}, and `ask` must ask for it without naming it")
        return self


class Prompts(Table):
    """``[prompts]``: the questions that users repeat, those that must be told apart, and users' context."""

    near_duplicates: tuple[NearDuplicates, ...] = Field(default=(), max_length=20)
    context: Context | None = None
    repeat: tuple[str, ...] = (
        "What is your refund policy?",
        "Tell me about shipping",
        "How do I return items?",
        "Which payment methods do you accept?",
        "What are your business hours?",
        "Where is my order?",
        "How do I change my address?",
        "Do you ship abroad?",
    )


class RateLimit(Table):
    """``[objectives.rate_limit]``: what one user, or one address, may send: ``burst``, then ``per_s``.

    ``path`` is a cheap GET route under that limit; without one the business question is asked.
    """

    per_s: float = Field(gt=0, le=10_000)
    burst: int = Field(ge=1, le=10_000)
    per: Literal["user", "address"] = "user"
    path: Place | None = None


class Objectives(Table):
    """``[objectives]``: the team's own limits. Each wins over the rubric's limit of the same meaning."""

    success_ratio: float | None = Field(default=None, gt=0, le=1)
    mean_latency_ms: float | None = Field(default=None, gt=0)
    hit_ratio: float | None = Field(default=None, gt=0, le=1)
    health_p95_ms: float | None = Field(default=None, gt=0)
    first_token_p10_ms: float | None = Field(default=None, gt=0)
    first_token_median_ms: float | None = Field(default=None, gt=0)
    cache_ping_p95_ms: float | None = Field(default=None, gt=0)
    cache_get_p99_ms: float | None = Field(default=None, gt=0)
    cache_speedup: float | None = Field(default=None, gt=1)
    calls_avoided_ratio: float | None = Field(default=None, gt=0, le=1)
    answer_within_s: float | None = Field(default=None, gt=0)
    peak_per_s: float | None = Field(default=None, gt=0, le=10_000)
    memory_bytes: float | None = Field(default=None, gt=0)
    body_bytes: int | None = Field(default=None, gt=0, le=1_000_000_000)
    recovery_s: float | None = Field(default=None, gt=0)
    rate_limit: RateLimit | None = None


class Redis(Table):
    """``[redis]``: the cache's server. ``url`` may hold ``${ENV_NAME}``; ``key_prefix`` is this service's."""

    url: str
    key_prefix: str = ""


class Upstream(Table):
    """``[upstream]``: the paid service behind this one, where its calls are counted."""

    calls: Count


class Cost(Table):
    """``[cost]``: what a paid call costs, to project a month, and what a month may cost."""

    price_per_call_usd: float = Field(gt=0)
    calls_per_question: float = Field(default=1, gt=0)
    questions_per_day: float = Field(gt=0)
    budget_per_month_usd: float | None = Field(default=None, gt=0)


Way = Literal["refuse", "hang", "errors", "slow", "reset"]


class Lever(Table):
    """``[levers.NAME]``: what breaks and restores one dependency.

    ``toxiproxy`` needs ``api`` and ``proxy``; ``command`` needs ``break`` and ``restore``.
    """

    kind: Literal["toxiproxy", "command"]
    ways: tuple[Way, ...] = ("refuse",)
    api: str | None = None
    proxy: str | None = None
    break_command: tuple[str, ...] | None = Field(default=None, alias="break")
    restore_command: tuple[str, ...] | None = Field(default=None, alias="restore")

    @model_validator(mode="after")
    def _complete(self) -> Lever:
        if self.kind == "toxiproxy" and not (self.api and self.proxy):
            raise ValueError("a toxiproxy lever needs `api` and `proxy`")
        if self.kind == "command" and not (self.break_command and self.restore_command):
            raise ValueError("a command lever needs `break` and `restore`")
        return self


class StateProbe(Table):
    """Where a party of the transaction shows its state as JSON; ``ignore`` lists paths that may change."""

    name: str
    url: Place
    headers: Headers = {}
    ignore: tuple[str, ...] = ()


class Step(Table):
    """One step of the transaction, and the lever (with its way) that makes it fail."""

    name: str
    lever: str
    way: Way = "refuse"


class Transaction(Call):
    """``[transaction]``: a multi-step request, its steps, and the state of every party."""

    good_statuses: tuple[int, ...] = (200, 201)
    settle_s: float = Field(default=2.0, gt=0, le=60)
    state: tuple[StateProbe, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1)


class Waiver(Table):
    """``[[waivers]]``: an accepted failure. It earns nothing, lifts the cap, and ends by itself.

    ``until`` is an ISO date; a malformed one counts as ended.
    """

    check: str
    reason: str
    owner: str
    approver: str
    until: str


class Claim(Table):
    """``[[claims]]``: what the team says, tied to the value that ``check`` measures.

    ``check = "score"`` ties it to the score itself.
    """

    text: str
    check: str
    value: float
    better: Literal["higher", "lower"] = "higher"


def _clean_origin(origin: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", origin):
        raise ValueError(f"{origin!r} is not a web origin such as https://shop.example")
    return origin.lower()


class Target(Table):
    """A service to assess. ``key`` is the name of its file and of its history.

    ``web_origins`` are the sites whose pages may call it with their users' credentials.
    """

    key: str = "service"
    url: str
    name: str = ""
    team: str = ""
    public: bool = False
    web_origins: tuple[Annotated[str, AfterValidator(_clean_origin)], ...] = ()
    allow_faults: bool = False
    ask: Ask | None = None
    stream: Stream | None = None
    auth: Auth | None = None
    health: Health = Health()
    openapi: OpenApiPlace | None = None
    prompts: Prompts = Prompts()
    objectives: Objectives = Objectives()
    redis: Redis | None = None
    upstream: Upstream | None = None
    cost: Cost | None = None
    levers: dict[str, Lever] = {}
    transaction: Transaction | None = None
    waivers: tuple[Waiver, ...] = ()
    claims: tuple[Claim, ...] = ()
    plugins: dict[str, dict[str, Any]] = {}
    guessed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Target:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is not an http(s) URL with a host")
        for step in self.transaction.steps if self.transaction else ():
            if step.lever not in self.levers:
                raise ValueError(f"transaction step {step.name!r} names lever {step.lever!r}, not declared")
        return self

    @property
    def host(self) -> str:
        """The host that is assessed, without port."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port that is assessed."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def title(self) -> str:
        """The name people read."""
        return self.name or self.host

    def under_load(self) -> Target:
        """The same target, whose questions are sent with the credential that its rate limit spares."""
        if self.auth is None or self.auth.spared is None:
            return self
        calls = {name: call for name in ("ask", "stream") if (call := getattr(self, name)) is not None}
        return self.model_copy(
            update={
                name: call.model_copy(update={"headers": self.auth.sent_with(self.auth.spared, call.headers)})
                for name, call in calls.items()
            }
        )

    def absolute(self, place: str) -> str:
        """Full URL of a path of this target, or ``place`` itself where it is a URL already."""
        if place.startswith(("http://", "https://")):
            return place
        return f"{self.url.rstrip('/')}/{place.lstrip('/')}"  # joined as text: a path never becomes a host
