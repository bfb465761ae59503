"""How a request is filled in, and how something is read from its reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import quote, quote_plus

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_]*)\}")  # after $ it is a reference to a secret
GIVEN = frozenset(("prompt", "user", "session", "nonce"))  # the placeholders that every template may hold


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

    def render(self, **values: str | int) -> Request:
        """Fill the template. Values: ``prompt``, ``user``, ``session``, ``nonce``; a missing one is empty.

        Further values fill placeholders of their names; other texts in braces stay as they are. A number
        stays one where its placeholder is a whole text of a table or list. The nonce is also the idempotency
        key, where a header for one is declared.
        """
        headers = {name: filled(text, values, _in_header) for name, text in self.headers.items()}
        kind = next((text for name, text in headers.items() if name.lower() == "content-type"), None)
        if isinstance(self.body, str):
            body = filled(self.body, values, escape_for(kind)).encode()
            if body and kind is None:
                headers["Content-Type"] = (
                    "application/json" if self.body.lstrip()[:1] in "{[" else "text/plain"
                )
        else:
            body = json.dumps(_fill_deep(self.body, values), ensure_ascii=False).encode()
            if kind is None:
                headers["Content-Type"] = "application/json"
        if self.idempotency_header:
            headers[self.idempotency_header] = _in_header(str(values.get("nonce", "")))
        return Request(self.method, filled(self.path, values, in_path), headers, body)


def filled(text: str, values: Mapping[str, str | int], escape: Callable[[str], str]) -> str:
    """``text`` with its placeholders filled in once; what a value holds is never taken for a placeholder."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] in values:
            return escape(str(values[match[1]]))
        return "" if match[1] in GIVEN else match[0]

    return PLACEHOLDER.sub(value_of, text)


def in_path(value: str) -> str:
    """``value`` as one part of a URL, slashes too."""
    return quote(value, safe="")


def _fill_deep(node: Any, values: Mapping[str, str | int]) -> Any:
    if isinstance(node, str):
        alone = PLACEHOLDER.fullmatch(node)
        if alone and isinstance(values.get(alone[1]), int):
            return values[alone[1]]
        return filled(node, values, str)
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
