"""Attempts to get in: requests to a protected route without a good credential.

Pure; private to this family.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote, urlsplit

from checks.contract import Auth, Forgery, Protected, Request, Target

READING = frozenset({"GET", "HEAD", "OPTIONS"})
What = Literal["valid", "none", "credential", "malformed", "way", "scheme", "undeclared"]


@dataclass(frozen=True)
class Attempt:
    """One request, in words, and what it tries.

    ``valid`` and ``none``: the right credential and none, against which the others are read. ``credential``:
    a wrong one. ``malformed``: no credential in the right form. ``way``: no credential, on another way to
    the same place. ``scheme``: the right one under a wrong scheme. ``undeclared``: none, with a method that
    nobody declared. ``made_by`` is the shell line that sets a variable of the request.
    """

    name: str
    what: What
    request: Request
    made_by: str = ""


@dataclass(frozen=True)
class Door:
    """A protected route, and how it may be tried. ``harmless``: the right credential may be sent too."""

    call: Protected
    harmless: bool
    others: frozenset[str]

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.call.method} {self.call.path}"


def doors(target: Target, auth: Auth) -> list[Door]:
    """The declared routes. To read is harmless, and so is the business question."""
    asked = {(call.method, call.path) for call in (target.ask, target.stream) if call is not None}
    return [
        Door(
            call,
            call.method in READING or (call.method, call.path) in asked,
            frozenset(other.method for other in auth.protected if other.path == call.path),
        )
        for call in auth.protected
    ]


@dataclass(frozen=True)
class Attempts:
    """All attempts at one door. ``made_up`` is a credential that nobody ever gave out."""

    target: Target
    auth: Auth
    door: Door
    made_up: str
    forgeries: Sequence[Forgery]
    values: dict[str, str]

    def all(self) -> Iterator[Attempt]:
        """Control first, then the most obvious, then the rest."""
        if self.auth.valid and self.door.harmless:
            yield Attempt("the valid credential", "valid", self._with(self.auth.valid))
        yield Attempt("no credential", "none", self._with(None))
        yield from self._credentials()
        yield from self._ways()

    def _credentials(self) -> Iterator[Attempt]:
        scheme = self._scheme
        wrong = self.auth.wrong or self._value(self.made_up)
        yield Attempt("a wrong credential", "credential", self._with(wrong))
        if self.auth.expired:
            yield Attempt("an expired credential", "credential", self._with(self.auth.expired))
        for forged in self.forgeries:
            yield Attempt(forged.name, "credential", self._with(forged.value), forged.made_by)
        yield Attempt("an empty credential", "malformed", self._with(""))
        yield Attempt("the word undefined", "malformed", self._with(self._value("undefined")))
        if scheme:
            yield Attempt(f"the word {scheme} alone", "malformed", self._with(scheme))
        if scheme and self.auth.valid and self.door.harmless:
            other = "Basic" if scheme.lower() != "basic" else "Bearer"
            value = self.auth.valid.replace(scheme, other, 1)
            yield Attempt("the right credential under another scheme", "scheme", self._with(value))

    def _ways(self) -> Iterator[Attempt]:
        bare = self._with(None)
        url = self.target.absolute(bare.url)
        parts = urlsplit(url)
        start, path = url[: url.index(parts.netloc) + len(parts.netloc)], parts.path or "/"
        tail = url[len(start) + len(parts.path) :]
        for name, changed in _spellings(path):
            yield Attempt(name, "way", replace(bare, url=f"{start}{changed}{tail}"))
        from_within = {**bare.headers, "X-Forwarded-For": "127.0.0.1"}
        yield Attempt("an X-Forwarded-For of 127.0.0.1", "way", replace(bare, headers=from_within))
        if bare.method == "GET":
            yield Attempt("the method HEAD", "way", replace(bare, method="HEAD"))
        elif "GET" not in self.door.others:
            yield Attempt("the method GET", "undeclared", replace(bare, method="GET", body=b""))

    def nowhere(self, word: str) -> Request:
        """A request like the bare one, to a path that is not there."""
        bare = self._with(None)
        path, mark, query = bare.url.partition("?")
        return replace(bare, url=f"{path.rstrip('/')}-{word}{mark}{query}")

    def _with(self, credential: str | None) -> Request:
        request = self.door.call.render(**self.values)
        return replace(request, headers=self.auth.sent_with(credential, request.headers))

    @property
    def _before(self) -> str:
        """What stands before the credential: a scheme, or the name of a cookie."""
        if self.auth.valid is None:
            return "Bearer " if self.auth.header.lower() == "authorization" else ""
        return self.auth.valid.partition("${")[0]

    @property
    def _scheme(self) -> str:
        return self._before.strip() if self._before.endswith(" ") else ""

    def _value(self, credential: str) -> str:
        return f"{self._before}{credential}"


def _spellings(path: str) -> Iterator[tuple[str, str]]:
    """Other ways to write a path, which a lock and a router may read differently."""
    bare = path.rstrip("/")
    yield ("a slash at the end", f"{bare}/") if path == bare else ("no slash at the end", bare or "/")
    if not bare:
        return
    yield "two slashes at the start", f"/{bare}"
    head, _, last = bare.rpartition("/")
    if head:
        yield "two slashes within", f"{head}//{last}"
    if bare.upper() != bare:
        yield "capital letters", bare.upper()
    if last and last[0].isalpha():
        yield "an encoded letter", f"{head}/%{ord(last[0]):02x}{last[1:]}"
    yield "a path parameter", f"{bare};a=1"


def same_place(one: str, other: str) -> bool:
    """Whether two paths are ways to write the same."""
    return _plain(one) == _plain(other)


def _plain(path: str) -> str:
    return "/".join(part for part in unquote(path).partition(";")[0].casefold().split("/") if part)
