"""The bytes of each request: rendered once per question, then only nonce, user and session change."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from uuid import uuid4

from app.instruments.manners import USER_AGENT
from app.instruments.origins import DEFAULT_PORTS, Origin
from app.instruments.references import References, names_in
from checks.contract import Call, InstrumentFailure, Request, Target
from checks.contract.target.calls import escape_for

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
LENGTH_HEADERS = frozenset({"content-length", "transfer-encoding"})
PATH_SAFE = "/%:@!$&'()*+,;=~"


class Template(NamedTuple):
    """A request with slots. ``one_number``: its only slot is one, as is usual, and quicker to fill."""

    pattern: bytes
    one_number: bool


class RequestWriter:
    """Writes requests of ``call``. Secrets are resolved once, in memory; ``hide`` removes them from a text.

    Raises InstrumentFailure for a missing variable, a header value that cannot be sent, and a ``path`` that
    leads to another origin than the target's: a load goes where the target says it is, and nowhere else.
    """

    def __init__(self, target: Target, call: Call, resolve: Callable[[str], str]) -> None:
        names = names_in(call.model_dump_json())
        self._references = References({name: resolve(f"${{{name}}}") for name in names})
        self.hide = self._references.hide
        self._call = self._resolved(call)
        self._target = target
        self.origin = Origin.of(target.absolute(self._call.path))
        if self.origin != Origin.of(target.url):
            raise InstrumentFailure(
                f"The path of the request leads to {self.origin}, off the target.", missing="path"
            )
        # Slots have the width of what takes their place, so Content-Length stays right, and need no escaping.
        # Never from the run's seed: a service would answer a repeated idempotency key from what it stored.
        self._numbers = count()
        self._user = b"user-%b%%06d" % uuid4().hex[:6].encode()
        self._values = {"nonce": str(uuid4()), "session": str(uuid4()), "user": f"slot-{uuid4().hex[:12]}"}
        self._slots = {self._values["user"].encode(): b"%(user)b"} | {
            self._values[name].encode(): str(uuid4())[:-12].encode() + b"%(number)b"
            for name in ("nonce", "session")
        }

    def template(self, prompt: str) -> Template:
        """The request that asks ``prompt``, a pattern for ``fill``. Raises InstrumentFailure."""
        request = self._call.render(prompt=prompt, **self._values)
        pattern = (self._head(request) + request.body).replace(b"%", b"%%")
        for slot, field in self._slots.items():
            pattern = pattern.replace(slot, field)
        fields = pattern.count(b"%(number)b") + pattern.count(b"%(user)b")
        if fields == 1 and b"%(number)b" in pattern:
            return Template(pattern.replace(b"%(number)b", b"%b"), one_number=True)
        return Template(pattern, one_number=False)

    def fill(self, template: Template, user: bytes) -> bytes:
        """A request ready to send, with a nonce and a session that no other request has.

        A session per question, so that no answer depends on an earlier one and none gets slower by a history.
        """
        number = b"%012x" % next(self._numbers)
        if template.one_number:
            return template.pattern % number
        return template.pattern % {b"number": number, b"user": user}

    def user(self, number: int) -> bytes:
        """The name of one user of this run, as wide as its slot."""
        return self._user % number

    def _resolved(self, call: Call) -> Call:
        headers = {name: self._references.resolve(value) for name, value in call.headers.items()}
        body: Any = call.body
        if isinstance(body, str):
            kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
            body = self._references.resolve(body, escape=escape_for(kind))
        else:
            body = self._fill_deep(body)
        path = self._references.resolve(call.path, escape=lambda value: quote(value, safe=""))
        return call.model_copy(update={"headers": headers, "body": body, "path": path})

    def _fill_deep(self, node: Any) -> Any:
        if isinstance(node, str):
            return self._references.resolve(node)
        if isinstance(node, list):
            return [self._fill_deep(item) for item in node]
        if isinstance(node, dict):
            return {key: self._fill_deep(value) for key, value in node.items()}
        return node

    def _head(self, request: Request) -> bytes:
        parts = urlsplit(self._target.absolute(request.url))
        place = quote(parts.path or "/", safe=PATH_SAFE)
        if parts.query:
            place += "?" + quote(parts.query, safe=PATH_SAFE + "?")
        headers = {
            "Host": _authority(self.origin),
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        own = {name.lower(): name for name in headers}
        for name, value in request.headers.items():
            if CONTROL.search(value):
                raise InstrumentFailure(
                    f"The value of the header {name} holds a control character.", missing=name
                )
            if name.lower() not in LENGTH_HEADERS:
                headers.pop(own.get(name.lower(), ""), None)
                headers[name] = value
        if request.body or request.method not in ("GET", "HEAD"):
            headers["Content-Length"] = str(len(request.body))
        lines = [
            f"{request.method} {place} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()


def _authority(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if DEFAULT_PORTS[origin.scheme] == origin.port else f"{host}:{origin.port}"
