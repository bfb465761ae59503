"""A request as a shell line that repeats it. Pure; what a service sent never gets out of its quotes."""

from __future__ import annotations

import shlex

from checks.contract.target import Target
from checks.contract.target.auth import REFERENCE
from checks.contract.target.calls import Request


def curl_line(target: Target, request: Request, *, stdin: str = "", options: str = "") -> str:
    """``request`` as a curl line; each ``${ENV_NAME}`` stays a shell variable for the reader to set.

    ``stdin`` is a shell command that prints the body, for one too long to stand in the line. A body that is
    not plain text is printed by ``printf`` byte for byte. ``options`` are more options of curl.
    """
    words = ["curl", "-sS", *options.split(), "-X", request.method, quoted(target.absolute(request.url))]
    for name, value in request.headers.items():
        words += ["-H", quoted(f"{name}: {value}")]
    plain = _plain(request.body)
    if not stdin and request.body and plain is None:
        stdin = f"printf {shlex.quote(_octal(request.body))}"
    if stdin:
        return f"{stdin} | {' '.join([*words, '--data-binary', '@-'])}"
    if plain:
        words += ["--data-raw", quoted(plain)]
    return " ".join(words)


def quoted(text: str) -> str:
    """Quote for a POSIX shell: plain parts in single quotes, references as ``"$NAME"``."""
    parts = REFERENCE.split(text)
    if len(parts) == 1:
        return shlex.quote(text)
    return "".join(
        f'"${part}"' if number % 2 else part and shlex.quote(part) for number, part in enumerate(parts)
    )


def _plain(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\t\n" for character in text) else None


def _octal(body: bytes) -> str:
    """``body`` as a format of POSIX printf."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b"%\\" else f"\\{byte:03o}" for byte in body)
