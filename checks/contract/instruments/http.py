"""Probes over HTTP: requests, bodies that no client would send, handshakes, wrong credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from checks.contract.instruments.failures import Failure
from checks.contract.target.calls import Request
from checks.contract.texts import document_in


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
