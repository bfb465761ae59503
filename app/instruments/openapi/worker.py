"""Schemathesis in a process of its own: makes requests by a document, and compares replies with it.

Run as a script (``python -I worker.py``) so that nothing of the project is loaded. A document is somebody
else's text and holds patterns that take for ever, or shapes that grow without end; here it can be ended, and
the memory is bounded. It sends nothing: requests are printed and replies are read, one JSON a line.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any, TextIO
from urllib.parse import urlsplit

MEMORY_BYTES = 1 << 30  # of addresses; what it takes for a usual document is below 100 MB
CPU_S = 60
BASE = "http://target.invalid"  # only a place to hang paths on: it is never resolved
MAX_DETAIL_CHARS = 400
MAX_BODY_BYTES = 64_000
MAX_URL_CHARS = 2_000
# What belongs to the connection, or is ours to say.
OURS = frozenset(
    (
        *("host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer"),
        *("user-agent", "accept-encoding", "x-schemathesis-testcaseid", "authorization", "cookie"),
    )
)


def main() -> None:
    """Read what is wanted from standard input and print what comes of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no line of ours
    asked = json.load(sys.stdin.buffer)
    schema = _loaded(asked["document"])
    lines = _examples(schema, asked) if "plan" in asked else _deviations(schema, asked["replies"])
    for line in lines:
        _print(out, line)


def _print(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()  # what is done counts, also where the rest takes too long


def _loaded(document: dict[str, Any]) -> Any:
    from schemathesis import openapi  # noqa: PLC0415 - after the limits, which are to hold for it
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415

    config = SchemathesisConfig()  # not the one of a file that lies about
    generation = config.projects.default.generation
    generation.codec = None  # "utf-8" means a table of all characters: 3 s and 200 MB when it is made
    generation.allow_x00 = False
    generation.with_security_parameters = False
    return openapi.from_dict(document, config=config)


def _examples(schema: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Whether the document is sound, then a line for each operation and kind of data."""
    try:
        schema.validate()
    except Exception as error:  # noqa: BLE001 - whatever it is, the document is not sound
        yield {"problem": _short(error)}
    for wish in asked["plan"]:
        for mode in ("positive", "negative"):
            if not wish[mode]:
                continue
            found = {"operation": wish["operation"], "mode": mode}
            try:
                cases = _cases(schema[wish["path"]][wish["method"]], mode, wish[mode], asked["seed"])
                yield found | {"requests": cases}
            except Exception as error:  # noqa: BLE001 - nothing can be made here; the others go on
                yield found | {"requests": [], "problem": f"{type(error).__name__}: {_short(error)}"}


def _cases(operation: Any, mode: str, count: int, seed: int) -> list[dict[str, Any]]:
    from hypothesis import HealthCheck, Phase, given, settings  # noqa: PLC0415
    from hypothesis import seed as seeded  # noqa: PLC0415
    from schemathesis.generation import GenerationMode  # noqa: PLC0415

    kept: dict[str, dict[str, Any]] = {}

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def keep(case: Any) -> None:
        request = _request(case)
        if request is not None:
            kept.setdefault(json.dumps(request, sort_keys=True), request)

    keep()
    return list(kept.values())[:count]


def _request(case: Any) -> dict[str, Any] | None:
    """The case as it would go over the wire; None for one that cannot."""
    import requests  # noqa: PLC0415

    given = case.as_transport_kwargs(base_url=BASE)
    known = ("method", "url", "headers", "params", "data", "json", "files", "cookies")
    try:
        prepared = requests.Request(**{name: given[name] for name in known if name in given}).prepare()
    except (ValueError, requests.RequestException):
        return None
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else body
    parts = urlsplit(prepared.url or "")
    url = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not isinstance(body, bytes) or len(body) > MAX_BODY_BYTES or len(url) > MAX_URL_CHARS:
        return None
    headers = {str(name): _text(value) for name, value in prepared.headers.items()}
    return {
        "url": url,
        "headers": {name: value for name, value in headers.items() if name.lower() not in OURS},
        "body": base64.b64encode(body).decode(),
    }


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _deviations(schema: Any, replies: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """For each reply in which way it is not as declared; an empty list for one that is."""
    for reply in replies:
        try:
            yield {"deviations": _compared(schema[reply["path"]][reply["method"]], reply)}
        except Exception as error:  # noqa: BLE001 - this one cannot be compared; the others can
            yield {"deviations": [], "problem": f"{type(error).__name__}: {_short(error)}"}


def _compared(operation: Any, reply: dict[str, Any]) -> list[dict[str, str]]:
    import requests  # noqa: PLC0415
    from schemathesis import Response  # noqa: PLC0415
    from schemathesis.core.failures import Failure, FailureGroup  # noqa: PLC0415
    from schemathesis.specs.openapi import checks  # noqa: PLC0415

    compared = [checks.status_code_conformance, checks.content_type_conformance]
    if reply["whole"]:
        compared += [checks.response_headers_conformance, checks.response_schema_conformance]
    response = Response(
        status_code=reply["status"],
        headers={name: [value] for name, value in reply["headers"].items()},
        content=base64.b64decode(reply["body"]),
        request=requests.Request(reply["method"], BASE).prepare(),
        elapsed=0.0,
        verify=False,
    )
    try:
        operation.Case().validate_response(response, checks=compared)
    except FailureGroup as group:
        return [_deviation(failure) for failure in group.exceptions]
    except Failure as failure:
        return [_deviation(failure)]
    return []


def _deviation(failure: Any) -> dict[str, str]:
    return {"what": _short(failure.title), "detail": _short(failure.message)}


def _short(what: object) -> str:
    text = "".join(character if character.isprintable() else " " for character in str(what))
    return " ".join(text.split())[:MAX_DETAIL_CHARS]


if __name__ == "__main__":
    main()
