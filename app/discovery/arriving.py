"""Whether there is a service at a URL at all; if not, why, in words that lead on."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from app import targets
from app.discovery.cleaning import remark
from app.errors import UserError
from app.instruments.http import HttpProbe
from checks.contract import FailureKind, Reply, Request

LOOK_TIMEOUT_S = 5.0
PLAIN_PLACE = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(?=$|[/?#])")  # what may stand in a command

Say = Callable[[str], None]


class DiscoveryError(UserError):
    """There is no service to look at; the message says why and what to do."""


def whole_service(url: str) -> None:
    """Raises DiscoveryError for a URL that names more than a service: a path, a query, a user."""
    targets.validated({"url": url}, source=url, key="service")
    parts = urlsplit(url)
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if "@" in parts.netloc:
        raise DiscoveryError(f"{bare}: give no user or password in the URL; send a header with -H instead.")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise DiscoveryError(
            f"{remark(url)} names a place within a service. Discovery looks at the whole: "
            f"`python -m app discover {bare}`. For a service that stands under a path, write `url` and the "
            f"paths of `[ask]` and `[health]` into a target file yourself."
        )


async def first_look(url: str, http: HttpProbe, say: Say) -> None:
    """Raises DiscoveryError where neither ``/`` nor a health route is answered in HTTP."""
    replies = []
    for place in ("/", "/health"):
        reply = await http.send(Request("GET", place), timeout_s=LOOK_TIMEOUT_S, fresh_connection=True)
        if reply.failure is None:
            server = remark(reply.headers.get("server", ""))
            say(f"{url} answers{f' ({server})' if server else ''}.")
            return
        replies.append(reply)
        if reply.failure.kind not in (FailureKind.REDIRECT, FailureKind.TIMEOUT):
            break
    raise DiscoveryError(_why_not(url, replies[0]))


def _why_not(url: str, reply: Reply) -> str:
    """What is wrong at ``url``, and what to do."""
    assert reply.failure is not None  # noqa: S101 - asked for a failure only
    said = remark(reply.failure.detail)
    other = "http" if url.startswith("https") else "https"
    switched = f"{other}://{url.partition('://')[2]}"
    if reply.failure.kind is FailureKind.REDIRECT:
        there = PLAIN_PLACE.match(reply.headers.get("location", ""))
        hint = f" If that is the service: `python -m app discover {there[0]}`." if there else ""
        return f"{url} {said}.{hint}"
    if reply.status is not None:
        return f"{url}: {said}. It speaks HTTP and does not end its replies well: see its log."
    perhaps = f"If it speaks {'plain HTTP' if other == 'http' else 'TLS'}, try {switched}."
    remedies = {
        FailureKind.REFUSED: "Start the service or change the URL.",
        FailureKind.DNS: "Check the host name in the URL.",
        FailureKind.TIMEOUT: f"{perhaps} Else see whether it hangs.",
        FailureKind.TLS: f"{perhaps} Else use the name in its certificate, and a certificate that is valid "
        "and that this machine trusts.",
        FailureKind.RESET: f"{perhaps} Else check the port: what speaks there may not be HTTP.",
        FailureKind.PROTOCOL: f"Something else than HTTP speaks there. Check the port, or try {switched}.",
    }
    return f"{url}: {said}. {remedies.get(reply.failure.kind, 'Check the URL.')}"
