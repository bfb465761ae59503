"""Pages of other sites, as a service sees them: by their Origin. Pure; private to this family."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from checks.contract import Reply, Target

MAX_NAMES = 3


def foreign_origins(target: Target, word: str) -> list[str]:
    """Origins that nobody can have meant to let in: one of a random name, ``null``, and look-alikes.

    A look-alike ends as a known name does, or begins so: what a comparison of an end, a beginning or a part
    takes for the name itself. Known are the declared sites and the target's own domain.
    """
    found = [f"https://{word}.example", "null"]
    for name in list(dict.fromkeys(_known_names(target)))[:MAX_NAMES]:
        found += [f"https://evil{name}", f"https://{name}.{word}.example"]
    return [origin for origin in found if origin not in target.web_origins]


def _known_names(target: Target) -> list[str]:
    names = [urlsplit(origin).hostname or "" for origin in target.web_origins]
    if not is_address(target.host) and not is_loopback(target.host):
        labels = target.host.lower().split(".")
        names.append(".".join(labels[1:] if len(labels) > 2 else labels))  # evilapi.x.y may be x.y's own
    return [name for name in names if name]


def let_in(reply: Reply, origin: str) -> bool:
    """Whether a browser would give this reply to a page of ``origin`` that asked with credentials."""
    allowed = reply.headers.get("access-control-allow-origin", "").strip()
    credentials = reply.headers.get("access-control-allow-credentials", "").strip()
    return reply.failure is None and allowed.lower() == origin and credentials == "true"


def is_address(host: str) -> bool:
    """Whether ``host`` is a number and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or number alone."""
    if is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost" or host.lower().endswith(".localhost")
