"""The service's OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from checks.contract.instruments.http import Reply
from checks.contract.target.calls import Request


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
