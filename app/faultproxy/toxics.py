"""Toxics: what one does to the bytes of a link, and the shape in which Toxiproxy's API names it.

Attributes as in Toxiproxy's documentation: ``latency`` and ``jitter`` in ms, ``timeout`` in ms, ``rate`` in
KB/s. ``http_errors`` is ours: the next ``count`` HTTP requests (0 for all) get a 503, with a ``Retry-After``
of ``retry_after`` s unless that is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

STREAMS = ("downstream", "upstream")
ATTRIBUTES: Mapping[str, Mapping[str, int]] = {
    "latency": {"latency": 0, "jitter": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "bandwidth": {"rate": 0},
    "http_errors": {"count": 0, "retry_after": 0},
}


class BadToxicError(Exception):
    """A toxic that cannot be; the message says why."""


@dataclass(frozen=True)
class Toxic:
    """One toxic of a proxy. ``toxicity`` is the probability that a link has it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Mapping[str, int]
    _turns: Iterator[int] = field(default_factory=count, compare=False, repr=False)

    @classmethod
    def parse(cls, document: Any, base: Toxic | None = None) -> Toxic:
        """Read a toxic from JSON; ``base`` is the toxic that it changes. Raises BadToxicError."""
        if not isinstance(document, dict):
            raise BadToxicError("bad request body: not an object")
        kind = base.type if base else str(document.get("type"))
        if kind not in ATTRIBUTES:
            raise BadToxicError("invalid toxic type")
        usual = "upstream" if kind == "http_errors" else "downstream"
        stream = base.stream if base else document.get("stream") or usual
        if stream not in STREAMS:
            raise BadToxicError("stream was invalid, can be either upstream or downstream")
        name = base.name if base else document.get("name") or f"{kind}_{stream}"
        toxicity = document.get("toxicity", base.toxicity if base else 1.0)
        if not isinstance(name, str) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
            raise BadToxicError("bad request body: name is a string, toxicity a number from 0 to 1")
        attributes = dict(base.attributes if base else ATTRIBUTES[kind])
        attributes |= _attributes(kind, document.get("attributes") or {})
        return cls(name, kind, stream, float(toxicity), attributes)

    def document(self) -> dict[str, Any]:
        """The toxic as the API shows it."""
        return {
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
            "attributes": dict(self.attributes),
        }

    def refuses(self) -> bool:
        """Whether the request that comes now gets an error: each call is one request's turn."""
        most = self.attributes["count"]
        return not most or next(self._turns) < most

    def delay_s(self, size: int, random: Random) -> float:
        """How long this toxic holds a chunk of ``size`` bytes, in s."""
        if self.type == "latency":
            jitter = self.attributes["jitter"]
            return max(0.0, self.attributes["latency"] + random.uniform(-jitter, jitter)) / 1000
        if self.type == "bandwidth" and self.attributes["rate"] > 0:
            return size / (self.attributes["rate"] * 1000)
        return 0.0


def _attributes(kind: str, given: Any) -> dict[str, int]:
    known = ATTRIBUTES[kind]
    if not isinstance(given, dict):
        raise BadToxicError("bad request body: attributes is not an object")
    for name, value in given.items():
        if name in known and (not isinstance(value, int) or value < 0):
            raise BadToxicError(f"bad request body: {name} is not a number of 0 or more")
    return {name: value for name, value in given.items() if name in known}
