"""A good question in a body that is far too long, as plan and as shell line. Pure; private to this family.

What makes it long costs a language model nothing: white space before JSON, a field more in a form.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Literal

from checks.contract import BodyPlan, Request, Target, curl_line

Way = Literal["announced", "chunked"]


def lengthened(
    request: Request, way: Way, size_bytes: int, pauses: tuple[tuple[int, float], ...] = ()
) -> tuple[Request, BodyPlan]:
    """The request with what comes before its own body."""
    form = _is_form(request)
    plan = BodyPlan(
        before=b"padding=" if form else b"",
        filler=b"x" if form else b" ",
        filler_bytes=size_bytes,
        chunked=way == "chunked",
        pauses=pauses,
    )
    return (replace(request, body=b"&" + request.body) if form else request), plan


def long_curl(target: Target, request: Request, way: Way, size_bytes: int) -> str:
    """A shell line that sends the same."""
    request, plan = lengthened(request, way, size_bytes)
    filler = f"head -c {size_bytes} /dev/zero | tr '\\0' '{plan.filler.decode()}'"
    parts = [f"printf {plan.before.decode()}"] if plan.before else []
    parts += [filler, f"printf %s {shlex.quote(request.body.decode('utf-8', 'replace'))}"]
    if plan.chunked:
        request = replace(request, headers={**request.headers, "Transfer-Encoding": "chunked"})
    return curl_line(target, request, stdin=f"({'; '.join(parts)})", options="-i")


def half_line(target: Target, request: Request, watched_s: float) -> str:
    """A shell line that sends the head of a request and half its body, and waits."""
    half = len(request.body) // 2
    text = request.body.decode("utf-8", "ignore")[:half]
    headers = [f"Host: {target.host}", *(f"{name}: {value}" for name, value in request.headers.items())]
    head = "\r\n".join([f"{request.method} {request.url} HTTP/1.1", *headers])
    whole = f"{head}\r\nContent-Length: {len(request.body)}\r\n\r\n{text}"
    sent = shlex.quote(whole.replace("\\", "\\\\").replace("%", "%%").replace("\r\n", "\\r\\n"))
    talk = f"nc {target.host} {target.port}"
    if target.url.startswith("https"):
        talk = f"openssl s_client -quiet -connect {target.host}:{target.port}"
    return f"(printf {sent}; sleep {watched_s:g}) | time {talk}"


def _is_form(request: Request) -> bool:
    kinds = [value.lower() for name, value in request.headers.items() if name.lower() == "content-type"]
    return any("x-www-form-urlencoded" in kind for kind in kinds)
