"""Requests that get every kind of error which a service has words for. Pure; private to this family.

None of them can do anything: what would change something is sent without a right credential and with an
empty object for a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from checks.contract import BodyField, Call, Operation, Request, Target
from checks.endpoint_health._bad_inputs import bad_inputs

MAX_OPERATIONS = 20
CREDENTIALS = ("authorization", "cookie", "x-api-key", "api-key", "x-auth-token")


@dataclass(frozen=True)
class Wrong:
    """A request that should be refused. ``stdin`` is a shell command that prints a body that is long."""

    name: str
    request: Request
    stdin: str = ""


def wrong_paths(word: str, operations: Sequence[Operation]) -> Iterator[Wrong]:
    """Things that are not there, by names that a database or a file system would choke on."""
    yield Wrong("an unknown path", Request("GET", f"/{word}"))
    yield Wrong("an unknown path with a quote", Request("GET", f"/{word}%27%22"))
    yield Wrong("a path that is no UTF-8", Request("GET", f"/{word}%ff%fe"))
    reading = [each for each in operations if each.method == "GET" and "{" in each.path]
    for operation in reading[:MAX_OPERATIONS]:
        path = re.sub(r"\{[^{}/]{1,80}\}", f"{word}%27", operation.path)
        yield Wrong(f"an unknown id of {operation.path[:60]}", Request("GET", path))


def wrong_credentials(target: Target, word: str) -> Iterator[Wrong]:
    """Each route that needs a credential, without one and with one that never was."""
    header = target.auth.header if target.auth else "Authorization"
    for path, request in _guarded(target):
        bare = {
            name: value for name, value in request.headers.items() if not _is_credential(name, value, header)
        }
        yield Wrong(f"no credential for {path}", replace(request, headers=bare))
        never = {**bare, header: f"Bearer greenlight-{word}"}
        yield Wrong(f"an unknown credential for {path}", replace(request, headers=never))


def wrong_bodies(
    good: Callable[[], Request], prompt: str, fields: Mapping[str, BodyField], taken: frozenset[str]
) -> Iterator[Wrong]:
    """The question in every way in which it is no question."""
    for case in bad_inputs(good, prompt, fields, taken):
        yield Wrong(case.name, case.request, case.stdin)


def _guarded(target: Target) -> Iterator[tuple[str, Request]]:
    protected: tuple[Call, ...] = target.auth.protected if target.auth else ()
    steps = target.transaction.calls if target.transaction else ()
    declared = [call for call in (target.ask, target.stream, *steps) if call is not None]
    header = target.auth.header if target.auth else "Authorization"
    with_one = [
        call for call in declared if any(_is_credential(*item, header) for item in call.headers.items())
    ]
    seen = set()
    for call in (*protected, *with_one):
        request = call.render()
        if (call.method, request.url) not in seen:
            seen.add((call.method, request.url))
            yield call.path[:80], replace(request, body=b"{}" if request.body else b"")


def _is_credential(name: str, value: str, header: str) -> bool:
    return "${" in value or name.lower() in (header.lower(), *CREDENTIALS)
