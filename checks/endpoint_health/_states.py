"""Words of health in a health route's reply: usual words, bodies of the usual kinds.

Private to this family.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from checks.contract import Reply, escaped

State = Literal["good", "degraded", "bad"]
Body = Literal["empty", "text", "json", "html"]

# In the wild: Kubernetes probes, Spring Actuator (UP, OUT_OF_SERVICE), the health+json draft (pass, warn,
# fail), ASP.NET (Healthy, Degraded), Elasticsearch (green, yellow, red), gRPC health (SERVING), terminus.
GOOD = (
    *("healthy", "ok", "okay", "pass", "passed", "passing", "up", "alive", "live", "green", "running"),
    *("ready", "serving", "available", "good", "online", "operational", "success", "active", "connected"),
)
DEGRADED = ("degraded", "warn", "warning", "yellow", "partial", "impaired", "unstable")
BAD = (
    *("unhealthy", "down", "fail", "failed", "failing", "failure", "error", "errored", "critical", "red"),
    *("out_of_service", "unavailable", "offline", "dead", "disconnected", "unreachable", "ko"),
)
WORDS: dict[str, State] = {
    **dict.fromkeys(GOOD, "good"),
    **dict.fromkeys(DEGRADED, "degraded"),
    **dict.fromkeys(BAD, "bad"),
}
STATE_KEYS = frozenset(
    ("status", "state", "health", "healthy", "ok", "ready", "alive", "condition", "result", "up")
)
# A word in one of these is a component's state; a bool is one only in the plainly named.
YES_OR_NO_KEYS = frozenset(("components", "checks", "dependencies", "services"))
COMPONENT_KEYS = YES_OR_NO_KEYS | frozenset(
    ("status", "health", "details", "subsystems", "entries", "results", "info", "error")
)
# What went wrong in words ("error": "ECONNREFUSED"), in place of a state; unless it says that nothing did.
ERROR_KEYS = frozenset(("error", "errors", "exception"))
NO_ERROR = frozenset(("", "none", "null", "no", "0", "ok", "false"))
# Words that say one thing only, whatever key they stand at ({"redis": "disconnected"}).
PLAINLY_AWAY = frozenset(("down", "disconnected", "unreachable", "unavailable", "out_of_service"))
MAX_NODES = 2_000
MAX_WORDS = 30
MAX_CHARS = 80


def meaning(word: str) -> State | None:
    """What a word of health says; None for a word that is not one. The first word of a phrase counts."""
    first = re.match(r"[a-z_]+", word.strip().lower().replace(" ", "_").replace("-", "_"))
    if first is None:
        return None
    whole = first[0].strip("_")
    if whole.startswith("not_"):
        return "bad"
    return WORDS.get(whole) or WORDS.get(whole.split("_")[0])


def body_kind(reply: Reply) -> Body:
    """What kind of body a reply has."""
    if not reply.body.strip():
        return "empty"
    if reply.document() is not None:
        return "json"
    return "html" if reply.text.lstrip()[:1] == "<" else "text"


def words_of(reply: Reply) -> list[tuple[str, str]]:
    """Place (dotted path, "" for the whole body) and word of each state in the reply; bounded."""
    document = reply.document()
    if document is None:
        return [("", _clean(reply.text))] if body_kind(reply) == "text" else []
    return list(islice(_walk(document), MAX_WORDS))


def _walk(document: object) -> Iterator[tuple[str, str]]:
    queue: list[tuple[str, str, object]] = [("", "", document)]
    for place, holder, node in queue:  # grows while it is walked: breadth first
        if len(queue) > MAX_NODES:
            return
        key = place.rpartition(".")[2].lower()
        if isinstance(node, dict):
            queue += [
                (f"{place}.{name}".lstrip(".")[-MAX_CHARS:], key, value)
                for name, value in islice(node.items(), MAX_NODES)
            ]
        elif isinstance(node, list):
            queue += [(place, holder, value) for value in node[:MAX_NODES]]
        elif isinstance(node, str) and key in ERROR_KEYS:
            if node.strip().lower() not in NO_ERROR:
                yield _clean(place), _clean(f"error: {node}")
        elif isinstance(node, str) and (
            not place or key in STATE_KEYS or holder in COMPONENT_KEYS or node.strip().lower() in PLAINLY_AWAY
        ):
            yield _clean(place), _clean(node)
        elif isinstance(node, bool) and (key in STATE_KEYS or holder in YES_OR_NO_KEYS):
            yield _clean(place), _yes_or_no(node)


def _yes_or_no(value: bool) -> str:
    return "ok" if value else "fail"


def _clean(text: str) -> str:
    return escaped(text.strip(), MAX_CHARS)
