"""A silent upstream becomes a clean error within the caller's patience.

Why it matters
    An upstream that accepts a call and never answers is worse than one that is down: without a time-out every
    caller waits, connections and workers fill up, and one slow dependency takes the whole service with it.

How it is measured
    The lever makes the upstream silent. Three questions that were never asked before are put at once, twice,
    so that a time-out of the first round and whatever protects later ones are both seen. Each must end within
    the target's `[objectives] answer_within_s` (30 s where it says nothing): with 502, 503 or 504, with a
    stream that ends in an error, or with a stand-in that is not kept as the answer. Twice the time is waited
    before a question counts as hanging. Then the upstream is restored, and a new question must be answered
    within thirty seconds.

How to fix it
    1. Give the upstream's client a connect, a read and a total time-out, all below what callers wait.
    2. Answer 504 with a problem document when it strikes, and do not repeat a call that may be paid already.
    3. After some time-outs stop asking for a few seconds (a circuit breaker), and try again by yourself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

from checks.contract import (
    Answer,
    Check,
    Failure,
    FailureKind,
    Finding,
    InstrumentFailure,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Route,
    Target,
    objective,
    plural,
    show,
)

CHECK = Check(
    failure_title="Callers hang when the upstream is silent",
    kind=Kind.FAULT,
    does="Makes the upstream silent, asks six new questions meanwhile, and restores it.",
    measures="for the slowest reply while the upstream was silent",
    needs=("questions", "faults", "target.levers.upstream"),
    deadline_s=200,
    typical_s=6,
)
ROUNDS = 2
AT_ONCE = 3
ANSWER_WITHIN_S = 30.0  # the brief: most answers within 30 s
RECOVERY_S = 30.0
TRY_S = 10.0
RETRY_S = 0.3
CLEAN = frozenset((502, 503, 504))


@dataclass(frozen=True)
class Thresholds:
    """What the brief's callers wait; twice that still warns (catalogue)."""

    answer_within_s: float = objective(ANSWER_WITHIN_S, "answer_within_s")
    warn_factor: float = 2.0


@dataclass(frozen=True)
class Probe:
    """One question while the upstream was silent; ``again_sha256`` is its answer after that."""

    good: bool
    status: int | None
    elapsed_s: float
    failure: str
    problem: str
    text_sha256: str
    again_sha256: str = ""


@dataclass(frozen=True)
class Evidence:
    """The questions in order; ``answered_again_s`` is None when no answer came within RECOVERY_S."""

    route: Route | None
    patience_s: float
    probes: tuple[Probe, ...]
    answered_again_s: float | None
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask before, while and after the upstream is silent. The lever restores whatever happens here."""
    if "hang" not in instruments.faults.ways("upstream"):
        raise InstrumentFailure(
            'The lever `upstream` has no way "hang". Add it to `[levers.upstream] ways`.',
            missing="levers.upstream.ways",
        )
    patience_s = 2 * (target.objectives.answer_within_s or ANSWER_WITHIN_S)
    route = await instruments.questions.route()
    if route is None:
        return Evidence(None, patience_s, (), None, "")
    asked: list[tuple[str, Answer]] = []
    async with instruments.faults.broken("upstream", "hang"):
        instruments.say("The upstream is silent; asking new questions")
        for _ in range(ROUNDS):
            prompts = instruments.prompts.fresh(AT_ONCE)
            ask = (instruments.questions.ask(each, route=route, timeout_s=patience_s) for each in prompts)
            asked += zip(prompts, await asyncio.gather(*ask), strict=True)
            if any(_timed_out(answer.failure) for _, answer in asked):
                break  # it hangs: a second round of the same would only hold the run up
    instruments.say("The upstream is back; asking until there is an answer")
    again_s = await _answered_again_s(instruments, route)
    return Evidence(
        route=route,
        patience_s=patience_s,
        probes=tuple([await _probe(instruments, route, prompt, answer) for prompt, answer in asked]),
        answered_again_s=again_s,
        reproduce="# with the upstream silent:\ntime "
        + instruments.questions.curl(instruments.prompts.fresh(1)[0], route=route),
    )


async def _answered_again_s(instruments: Instruments, route: Route) -> float | None:
    started = monotonic()
    while monotonic() - started < RECOVERY_S:
        prompt = instruments.prompts.fresh(1)[0]
        if (await instruments.questions.ask(prompt, route=route, timeout_s=TRY_S)).good:
            return round(monotonic() - started, 2)
        await asyncio.sleep(RETRY_S)
    return None


async def _probe(instruments: Instruments, route: Route, prompt: str, answer: Answer) -> Probe:
    """What came, and what the same question gets now where it was answered during the cut."""
    again = await instruments.questions.ask(prompt, route=route) if answer.good else None
    return Probe(
        good=answer.good,
        status=answer.status,
        elapsed_s=round(answer.elapsed_ms / 1000, 3),
        failure=answer.failure.kind if answer.failure else "",
        problem=answer.problem[:200],
        text_sha256=_digest(answer.text) if answer.good else "",
        again_sha256=_digest(again.text) if again and again.good else "",
    )


def _timed_out(failure: Failure | None) -> bool:
    return failure is not None and failure.kind is FailureKind.TIMEOUT


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Hanging, crashing or a kept apology fails; then the slowest reply decides; then recovery."""
    if evidence.route is None:
        return Finding.not_assessed(
            "No declared route answers a question.", follows_from="endpoint_health.primary_route"
        )
    probes = [probe for probe in evidence.probes if probe.status != 429]
    if not probes:
        return Finding.not_assessed("Every question was rate limited (429) while the upstream was silent.")
    if all(probe.good for probe in probes) and _as_usual(probes):
        return Finding.not_assessed(
            f"The lever made no difference: {plural(len(probes), 'new question')} got their usual answers "
            "while the upstream was silent. Point `[levers.upstream]` at the connection that is in use.",
            missing="levers.upstream",
        )
    slowest_s = max(probe.elapsed_s for probe in probes)
    limit = Limit.at_most(thresholds.answer_within_s, thresholds.answer_within_s * thresholds.warn_factor)
    wrong = _wrong(evidence, probes)
    if wrong:
        return Finding.failed(
            wrong, value=slowest_s, unit="s", limit=limit, fix=FIX, reproduce=evidence.reproduce
        )
    finding = Finding.by_limit(
        slowest_s,
        "s",
        limit,
        f"While the upstream was silent every caller was told so within {show(slowest_s, 's')} "
        f"({_statuses(probes)}), limit {show(limit.pass_at, 's')}; "
        f"{show(evidence.answered_again_s or 0, 's')} after it came back there was an answer.",
        fix=FIX,
        reproduce=evidence.reproduce,
    )
    doubt = _doubt(probes)
    if doubt and finding.outcome is not Outcome.FAIL:
        return finding.but(outcome=Outcome.WARN, share=min(0.5, finding.share), reason=doubt, fix=FIX)
    return finding


FIX = "Give the upstream's client time-outs below what callers wait, and answer 504 when they strike."


def _wrong(evidence: Evidence, probes: list[Probe]) -> str:
    hanging = [probe for probe in probes if probe.failure == FailureKind.TIMEOUT]
    if hanging:
        return (
            f"{len(hanging)} of {plural(len(probes), 'question')} hang: no reply within "
            f"{show(evidence.patience_s, 's')} while the upstream was silent."
        )
    dropped = [probe for probe in probes if probe.status is None]
    if dropped:
        return (
            f"While the upstream was silent the connection was dropped without a reply: {dropped[0].problem}."
        )
    kept = [probe for probe in probes if probe.good and probe.again_sha256 == probe.text_sha256]
    if kept:
        return "A stand-in given while the upstream was silent is still the answer after it came back."
    if evidence.answered_again_s is None:
        return f"{show(RECOVERY_S, 's')} after the upstream came back, no question is answered."
    return ""


def _as_usual(probes: list[Probe]) -> bool:
    """Whether each question has an answer of its own that stays: then the upstream was never cut."""
    texts = {probe.text_sha256 for probe in probes}
    return len(texts) == len(probes) and all(probe.again_sha256 == probe.text_sha256 for probe in probes)


def _doubt(probes: list[Probe]) -> str:
    crashed = [probe for probe in probes if (probe.status or 0) >= 500 and probe.status not in CLEAN]
    if crashed:
        return (
            f"While the upstream was silent callers got {crashed[0].status}, as if the service had crashed; "
            "503 or 504 says that they may try again."
        )
    if any(probe.good for probe in probes):
        return "While the upstream was silent callers got a stand-in with status 200, like any answer."
    if any(400 <= (probe.status or 0) < 500 for probe in probes):
        return f"With the upstream silent callers were told it is their fault ({_statuses(probes)})."
    return ""


def _statuses(probes: list[Probe]) -> str:
    return ", ".join(sorted({f"status {probe.status}" for probe in probes}))
