"""A transaction of one or several requests, the state of every party, and how its steps are made to fail."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from checks.contract.target.calls import (
    GIVEN,
    PLACEHOLDER,
    Body,
    Call,
    Count,
    Headers,
    Marker,
    Method,
    Place,
    Table,
    filled,
    in_path,
)
from checks.contract.target.dependencies import Way

CAPTURE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _clean_captures(captures: dict[str, str]) -> dict[str, str]:
    for name in captures:
        if not CAPTURE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a capture: letters, digits and _ only")
        if name in GIVEN:
            raise ValueError(f"{{{name}}} is filled in already; capture under another name")
    return captures


Captures = Annotated[dict[str, str], AfterValidator(_clean_captures)]


class StateProbe(Table):
    """Where a party of the transaction shows its state as JSON; ``ignore`` lists paths that may change.

    A ``url`` that holds ``{nonce}`` or a capture shows what this one transaction made: nothing is there
    before it, and 404 or 410 means that nothing is there. ``undone`` is how such a party shows that what is
    there counts as nothing, ``{ json = "status", equals = "cancelled" }``.
    """

    name: str
    url: Place
    headers: Headers = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    undone: Marker | None = None

    @model_validator(mode="after")
    def _sound(self) -> StateProbe:
        _plain_host(self.url)
        if self.undone and not self.of_one:
            raise ValueError("`undone` needs a capture or {nonce} in `url`: it is about one transaction")
        return self

    @property
    def of_one(self) -> bool:
        """Whether it shows what one transaction made, and not the party as a whole."""
        return bool(names_in(self.url))

    def place(self, values: Mapping[str, str | int]) -> str | None:
        """Where to look, or None where a value for it is missing: then the transaction made nothing yet."""
        return filled(self.url, values, in_path) if names_in(self.url) <= values.keys() else None


class Failing(Table):
    """How something is made to fail: a ``lever`` in a ``way``, or a ``fail_header`` that it obeys."""

    lever: str | None = None
    way: Way = "refuse"
    fail_header: Headers = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_means(self) -> Failing:
        if (self.lever is None) == (not self.fail_header):
            raise ValueError("needs exactly one of `lever` and `fail_header`")
        return self


class Step(Failing):
    """One step of the transaction and how it is made to fail.

    ``request`` names the request within which it happens: nothing is broken before that one. ``expect`` is
    what must come of it: ``compensated`` (as before), ``carried_on`` (as if nothing had failed), or either.
    ``compensation`` is what must be away so that undoing an earlier step fails.
    """

    name: str
    request: str | None = None
    expect: Literal["compensated", "carried_on", "either"] = "either"
    compensation: Failing | None = None


class Flag(Count):
    """Where it shows that something could not be undone: a number that rises, or ``equals`` at ``json``."""

    equals: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _equals_json(self) -> Flag:
        if self.equals is not None and self.metric is not None:
            raise ValueError("`equals` goes with `json`; a metric is seen to rise")
        return self


class TransactionRequest(Call):
    """``[[transaction.requests]]``: one request of several.

    ``capture`` takes values from its JSON reply: ``{ order = "id" }`` fills ``{order}`` in later requests.
    """

    name: str = ""
    good_statuses: tuple[int, ...] = (200, 201)
    capture: Captures = Field(default_factory=dict)


class Transaction(Table):
    """``[transaction]``: its request or ``requests``, its steps, and the state of every party.

    ``headers``, ``idempotency_header`` and ``good_statuses`` hold for each of the requests that does not say
    otherwise. ``ignore`` lists paths of a reply that may differ when a request is repeated. ``service`` is
    the lever that kills the service (else the one that can), ``flagged`` where a failed undo shows.
    """

    method: Method = "POST"
    path: Place | None = None
    headers: Headers = Field(default_factory=dict)
    body: Body = ""
    idempotency_header: str | None = None
    good_statuses: tuple[int, ...] = (200, 201)
    capture: Captures = Field(default_factory=dict)
    requests: tuple[TransactionRequest, ...] = Field(default=(), max_length=20)
    ignore: tuple[str, ...] = ()
    settle_s: float = Field(default=2.0, gt=0, le=60)
    state: tuple[StateProbe, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(default=(), max_length=50)
    service: str | None = None
    flagged: Flag | None = None

    @model_validator(mode="after")
    def _sound(self) -> Transaction:
        if (self.path is None) == (not self.requests):
            raise ValueError("needs `path` for its one request, or `[[transaction.requests]]`")
        if self.requests and (self.body or self.capture or "method" in self.model_fields_set):
            raise ValueError("`method`, `body` and `capture` belong into each of `[[transaction.requests]]`")
        names = [call.name for call in self.calls]
        _unlike(names, "request")
        _unlike([probe.name for probe in self.state], "state")
        _unlike([step.name for step in self.steps], "step")
        for step in self.steps:
            if step.request is not None and step.request not in names:
                near = _near(step.request, names)
                raise ValueError(f"step {step.name!r} names request {step.request!r}, not declared{near}")
        self._placeholders_known()
        return self

    @property
    def calls(self) -> tuple[TransactionRequest, ...]:
        """The requests in order, each with what holds for all, and with a name."""
        if not self.requests:
            only = self.model_dump(include=set(TransactionRequest.model_fields))
            return (TransactionRequest.model_validate({**only, "name": "the request"}),)
        return tuple(
            call.model_copy(
                update={
                    "name": call.name or f"{call.method} {call.path}",
                    "headers": {**self.headers, **call.headers},
                    "idempotency_header": call.idempotency_header or self.idempotency_header,
                    "good_statuses": call.good_statuses
                    if "good_statuses" in call.model_fields_set
                    else self.good_statuses,
                }
            )
            for call in self.requests
        )

    @property
    def failings(self) -> Iterator[tuple[str, Failing]]:
        """All that is made to fail: steps and compensations, each with the words to name it."""
        for step in self.steps:
            yield f"transaction step {step.name!r}", step
            if step.compensation:
                yield f"the compensation of transaction step {step.name!r}", step.compensation

    def _placeholders_known(self) -> None:
        known: set[str] = {*GIVEN}
        later = {name for call in self.calls for name in call.capture}
        for call in self.calls:
            _plain_host(call.path)
            for name in sorted(names_in(call.path, *call.headers.values()) - known):
                raise ValueError(f"request {call.name!r}: no earlier request captures {_braced(name, known)}")
            for name in sorted((_names_deep(call.body) & later) - known):
                raise ValueError(f"request {call.name!r}: {{{name}}} is captured only after it is sent")
            known |= call.capture.keys()
        known -= GIVEN - {"nonce"}
        for probe in self.state:
            for name in sorted(names_in(probe.url) - known):
                raise ValueError(f"state {probe.name!r}: no request captures {_braced(name, known)}")


def names_in(*texts: str) -> set[str]:
    """The placeholders in ``texts``."""
    return {name for text in texts for name in PLACEHOLDER.findall(text)}


def _plain_host(place: str) -> None:
    if names_in("/".join(place.split("/", 3)[:3]) if "://" in place else ""):
        raise ValueError(f"a placeholder may stand in the path of {place!r}, not in its host")


def _names_deep(node: Any) -> set[str]:
    if isinstance(node, str):
        return names_in(node)
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return {name for each in inner for name in _names_deep(each)}


def _unlike(names: list[str], what: str) -> None:
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ValueError(f"two are named {twice!r}; each {what} needs a `name` of its own")


def _braced(name: str, known: set[str]) -> str:
    return f"{{{name}}}{_near(name, [each for each in known if each not in GIVEN])}"


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
