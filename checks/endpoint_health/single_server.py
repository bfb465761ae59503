"""One server answers, and no older one is left behind.

Why it matters
    A process from an earlier start that still answers serves old code to some of the users, and every other
    measurement then describes a mixture. It is the commonest reason why a mended bug seems to come back.

How it is measured
    The health route is read over fifty new connections. Where `[health] instance` says which instance or
    build answers, there must be one; else the Server header and the server's clock must agree. On this host
    also the process table is read: one process tree may listen on the port (trees that were started within
    five seconds of each other are one deployment), and no older one of the same program may answer
    elsewhere. The same program means: the same working folder and command line but for port numbers. That
    alone proves nothing, so its health route is asked too: only one that answers with a body of the same
    shape and calls itself another instance is an older server of this service.

How to fix it
    1. End the old process: `ss -ltnp` shows its pid, and the finding names it.
    2. Start the service under a supervisor that ends the old process before it starts the new one.
    3. Several replicas on purpose: let `[health] instance` name the build, not the replica; while a rolling
       deploy is on, say `rolling_deploy = true`.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from checks.contract import (
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Reply,
    Request,
    Target,
    curl_line,
    show,
)
from checks.endpoint_health._servers import (
    Elsewhere,
    Tree,
    clock_skew_s,
    instance_of,
    others,
    shape_of,
    trees_of,
)

CHECK = Check(
    failure_title="An older server still answers",
    kind=Kind.ACTIVE,
    does="Reads the health route over fifty new connections, and looks at the processes of this host.",
    measures="answering",
    needs=("http", "processes"),
    deadline_s=45,
    typical_s=1,
    beside=True,
)
CONNECTIONS = 50
GIVE_UP = 5  # connections without a single reply
PATIENCE_S = 20.0  # what a slow service has answered until then must do


@dataclass(frozen=True)
class Thresholds:
    """``max_clock_skew_s``: Date has whole seconds and servers renew it about once a second."""

    min_replies: float = 25
    max_clock_skew_s: float = 5.0
    same_deployment_s: float = 5.0


@dataclass(frozen=True)
class Evidence:
    """Replies by what they say of their server. ``clock_skews_s`` are server time minus ours, least and most.

    ``named`` is whether the instances come from the reply itself, and not from the Server header alone.
    """

    port: int
    replies: int
    problem: str
    instances: dict[str, int]
    named: bool
    shape: tuple[str, ...]
    clock_skews_s: tuple[float, float] | None
    trees: tuple[Tree, ...]
    elsewhere: tuple[Elsewhere, ...]
    rolling_deploy: bool
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Fifty new connections, then the process table."""
    request = Request("GET", target.health.liveness or "/", target.health.headers)
    replies: list[Reply] = []
    skews: list[float] = []
    problem = ""
    until = monotonic() + PATIENCE_S
    for number in range(CONNECTIONS):
        if monotonic() > until:
            problem = problem or "the others would take too long"
            break
        reply = await instruments.http.send(request, timeout_s=5.0, fresh_connection=True)
        if reply.failure is None and reply.status != 429 and (reply.status or 0) < 500:
            replies.append(reply)
            skews += clock_skew_s(reply)
        else:
            problem = reply.failure.detail if reply.failure else f"status {reply.status}"
        if not replies and number + 1 == GIVE_UP:
            break
    names = [instance_of(target, reply) for reply in replies]
    named = any(names)
    if not named:
        names = [reply.headers.get("server", "")[:80] for reply in replies]
    line = curl_line(target, request)
    return Evidence(
        port=target.port,
        replies=len(replies),
        problem=problem,
        instances={name: names.count(name) for name in sorted(set(names))},
        named=named,
        shape=shape_of(replies[0]) if replies else (),
        clock_skews_s=(min(skews), max(skews)) if skews else None,
        trees=trees_of(instruments.processes.listening(target.port)),
        elsewhere=await others(target, instruments, request.url) if replies else (),
        rolling_deploy=target.health.rolling_deploy,
        reproduce=f"for i in $(seq {CONNECTIONS}); do {line}; echo; done | sort | uniq -c; ss -ltnp",
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The process table proves most; then what the replies call themselves; then their clocks."""
    if evidence.replies < thresholds.min_replies:
        return Finding.not_assessed(
            f"Only {evidence.replies} of {CONNECTIONS} connections got a reply: {evidence.problem}.",
            follows_from="endpoint_health.liveness",
        )
    wrong, servers = _wrong(evidence, thresholds)
    limit = Limit.at_most(1, 1)
    if not wrong:
        seen = "one instance" if evidence.named else "the same Server header and clock"
        host = ", and one process tree listens" if evidence.trees else ""
        return Finding.passed(
            f"{evidence.replies} new connections saw {seen}{host}.",
            value=1, unit="count", limit=limit, reproduce=evidence.reproduce,
        )  # fmt: skip
    if evidence.rolling_deploy:
        return Finding.warned(
            f"{wrong} A rolling deploy is declared.",
            value=servers, unit="count", limit=limit, reproduce=evidence.reproduce,
        )  # fmt: skip
    return Finding.failed(
        wrong,
        value=servers,
        unit="count",
        limit=limit,
        fix="End the older process, and start the service so that it cannot stay behind. Several replicas on "
        "purpose: let `[health] instance` name the build.",
        reproduce=evidence.reproduce,
    )


def _wrong(evidence: Evidence, thresholds: Thresholds) -> tuple[str, int]:
    """What is wrong, "" for nothing, and how many servers answer."""
    trees = sorted(evidence.trees, key=lambda tree: tree.started_at)
    apart_s = trees[-1].started_at - trees[0].started_at if trees else 0.0
    if apart_s > thresholds.same_deployment_s:
        words = (
            f"{len(trees)} servers listen on port {evidence.port}; the oldest is process "
            f"{trees[0].root_pid}, started {show(apart_s, 's')} before the newest."
        )
        return words, len(trees)
    if len(evidence.instances) > 1:
        what = "instances" if evidence.named else "kinds of server"
        named = [f"{name or 'unnamed'} ({count})" for name, count in evidence.instances.items()]
        answered = f"{evidence.replies} new connections reached {len(named)} {what}"
        return f"{answered}: {', '.join(named[:4])}.", len(named)
    stale = [other for other in evidence.elsewhere if _is_older_one(other, evidence, trees)]
    if stale:
        words = (
            f"An older server of this service answers on port {stale[0].port}: process "
            f"{stale[0].tree.root_pid}, instance {stale[0].instance}."
        )
        return words, 1 + len(stale)
    low, high = evidence.clock_skews_s or (0.0, 0.0)
    if high - low > thresholds.max_clock_skew_s:
        return f"The replies' clocks differ by {show(high - low, 's')}: more than one server answers.", 2
    return "", 1


def _is_older_one(other: Elsewhere, evidence: Evidence, trees: list[Tree]) -> bool:
    """Another instance with the same shape of body, started before ours. Without a name it proves nothing."""
    alike = other.status is not None and 200 <= other.status < 300 and other.shape == evidence.shape
    another = evidence.named and bool(other.instance) and other.instance not in evidence.instances
    return alike and another and bool(trees) and other.tree.started_at < trees[0].started_at
