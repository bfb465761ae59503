"""The service states its version.

Why it matters
Whoever is called at night must know which build answers.

How it is measured
One request to the health route; its JSON must hold a version.

How to fix it
Add `"version"` to the health reply, filled in by the build.
"""

from dataclasses import dataclass

from checks.contract import Check, Finding, Instruments, Kind, Request, Target, at_path

CHECK = Check(
    failure_title="The service does not state its version",
    kind=Kind.PASSIVE,
    does="Sends one request to the health route",
    needs=("http", "target.health.liveness"),
    deadline_s=10,
    typical_s=1,
)


@dataclass(frozen=True)
class Thresholds:
    min_length: int = 1


@dataclass(frozen=True)
class Evidence:
    status: int | None
    version: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    reply = await instruments.http.send(Request("GET", target.health.liveness or "/"))
    return Evidence(reply.status, str(at_path(reply.document(), "version") or ""))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    if evidence.status is None:
        return Finding.not_assessed("The health route did not answer.")
    if len(evidence.version) >= thresholds.min_length:
        return Finding.passed(f"The health reply states version {evidence.version}.")
    return Finding.failed("The health reply states no version.", fix='Add "version" to the health reply.')
