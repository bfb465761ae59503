"""Who answers: what a reply says of its server, and which process trees of this host could be it.

Private to this family.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from checks.contract import Instruments, ProcessFact, Reply, Request, Target, at_path, escaped

MAX_CHARS = 80
MAX_OTHERS = 8
MAX_NAMES = 50
# Where a body names who answered, when the target file does not say. A build comes first, since an older one
# is what is looked for and replicas share it. A pid is none: the workers of one server have several.
USUAL_NAMES = ("build", "build_id", "commit", "instance", "instance_id", "version", "hostname", "pod")


@dataclass(frozen=True)
class Tree:
    """A process tree: its root, the oldest start of those that listen (epoch s), its ports and command."""

    root_pid: int
    started_at: float
    ports: tuple[int, ...]
    command: str


@dataclass(frozen=True)
class Elsewhere:
    """What a tree of the same program answers on another port. ``shape``: the names in its body."""

    tree: Tree
    port: int
    status: int | None
    instance: str
    shape: tuple[str, ...]


def trees_of(facts: Sequence[ProcessFact]) -> tuple[Tree, ...]:
    """The trees that the processes belong to, oldest first."""
    by_root: dict[int, list[ProcessFact]] = {}
    for fact in facts:
        by_root.setdefault(fact.root_pid, []).append(fact)
    trees = [
        Tree(
            root,
            min(fact.started_at for fact in members),
            tuple(sorted({port for fact in members for port in fact.ports})),
            members[0].command,
        )
        for root, members in by_root.items()
    ]
    return tuple(sorted(trees, key=lambda tree: tree.started_at))


async def others(target: Target, instruments: Instruments, place: str) -> tuple[Elsewhere, ...]:
    """What other trees of the same program answer at ``place`` on their own ports, without credentials."""
    serving = instruments.processes.listening(target.port)
    roots = {fact.root_pid for fact in serving}
    found = [fact for mine in serving[:1] for fact in instruments.processes.same_program(mine)]
    path = urlsplit(target.absolute(place)).path
    answers = []
    for tree in trees_of([fact for fact in found if fact.root_pid not in roots])[:MAX_OTHERS]:
        for port in tree.ports[:MAX_OTHERS]:
            request = Request("GET", f"http://127.0.0.1:{port}{path}")
            reply = await instruments.http.send(request, timeout_s=2.0, fresh_connection=True)
            answers.append(Elsewhere(tree, port, reply.status, instance_of(target, reply), shape_of(reply)))
    return tuple(answers)


def instance_of(target: Target, reply: Reply) -> str:
    """What the reply calls its server: at the declared place, else under a usual name; "" for nothing."""
    marker, document = target.health.instance, reply.document()
    if marker is not None and marker.header is not None:
        return _clean(reply.headers.get(marker.header.lower()))
    if marker is not None:
        return _clean(at_path(document, marker.json_path or ""))
    return next((name for key in USUAL_NAMES if (name := _clean(at_path(document, key)))), "")


def shape_of(reply: Reply) -> tuple[str, ...]:
    """The names at the top of a JSON body, or the kind of body: what two replies of one program share."""
    document = reply.document()
    if isinstance(document, dict):
        return tuple(sorted(_clean(str(name)) for name in list(document)[:MAX_NAMES]))
    return (type(document).__name__ if document is not None else "text" if reply.body else "empty",)


def clock_skew_s(reply: Reply) -> list[float]:
    """Server time minus ours in s, or nothing where the reply has no date."""
    try:
        return [round(parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time(), 1)]
    except (KeyError, ValueError, TypeError, OverflowError):  # no date, or none that is one
        return []


def _clean(found: object) -> str:
    if not isinstance(found, (str, int, float)) or isinstance(found, bool):
        return ""
    return escaped(str(found), MAX_CHARS)
