"""A silent upstream becomes a clean error within the caller's patience.

Why it matters
    An upstream that accepts a call and never answers is worse than one that is down: without a time-out every
    caller waits, connections and workers fill up, and one slow dependency takes the whole service with it.

How it is measured
    The lever makes the upstream silent. Four questions that were never asked before are put at once, on the
    declared routes in turn, twice, so that a time-out of the first round and whatever protects later ones are
    both seen. Each must end within
    the target's `[objectives] answer_within_s` (30 s where it says nothing): with 502, 503 or 504, with a
    stream that ends in an error, or with a stand-in that is not kept as the answer. Twice the time is waited
    before a question counts as hanging. Then the upstream is restored, and every route must answer a
    new question within thirty seconds.

How to fix it
    1. Give the upstream's client a connect, a read and a total time-out, all below what callers wait.
    2. Answer 504 with a problem document when it strikes, and do not repeat a call that may be paid already.
    3. After some time-outs stop asking for a few seconds (a circuit breaker), and try again by yourself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from checks.contract import (
    Check,
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
from checks.error_recovery._callers import (
    CLEAN,
    NO_ROUTE,
    RECOVERY_S,
    Told,
    answered_again_s,
    asked_again,
    routes_of,
    statuses,
    timed_out,
    told,
)

CHECK = Check(
    failure_title="Callers hang when the upstream is silent",
    kind=Kind.FAULT,
    does="Makes the upstream silent, asks eight new questions meanwhile, and restores it.",
    measures="for the slowest reply while the upstream was silent",
    needs=("questions", "faults", "target.levers.upstream"),
    deadline_s=200,
    typical_s=6,
)
ROUNDS = 2
AT_ONCE = 4  # on the declared routes in turn
ANSWER_WITHIN_S = 30.0  # the brief: most answers within 30 s


@dataclass(frozen=True)
class Thresholds:
    """What the brief's callers wait; twice that still warns (catalogue)."""

    answer_within_s: float = objective(ANSWER_WITHIN_S, "answer_within_s")
    warn_factor: float = 2.0


@dataclass(frozen=True)
class Evidence:
    """What callers got, in order; ``answered_again_s`` is None where a route did not within RECOVERY_S."""

    routes: tuple[Route, ...]
    patience_s: float
    callers: tuple[Told, ...]
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
    routes, _ = await routes_of(target, instruments)
    if not routes:
        return Evidence((), patience_s, (), None, "")
    asked: list[tuple[str, Told]] = []
    async with instruments.faults.broken("upstream", "hang"):
        instruments.say("The upstream is silent; asking new questions")
        for _ in range(ROUNDS):
            asked += await _round(instruments, routes, patience_s)
            if timed_out(caller for _, caller in asked):
                break  # it hangs: a second round of the same would only hold the run up
    instruments.say("The upstream is back; asking until there is an answer")
    again_s = await answered_again_s(instruments, routes)
    return Evidence(
        routes=routes,
        patience_s=patience_s,
        callers=tuple([await asked_again(instruments, prompt, caller) for prompt, caller in asked]),
        answered_again_s=again_s,
        reproduce="# with the upstream silent:\ntime "
        + instruments.questions.curl(instruments.prompts.fresh(1)[0], route=routes[0]),
    )


async def _round(
    instruments: Instruments, routes: Sequence[Route], patience_s: float
) -> list[tuple[str, Told]]:
    prompts = instruments.prompts.fresh(AT_ONCE)
    ask = (
        instruments.questions.ask(prompt, route=route, timeout_s=patience_s)
        for prompt, route in zip(prompts, cycle(routes), strict=False)
    )
    return list(zip(prompts, map(told, await asyncio.gather(*ask)), strict=True))


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """Hanging, crashing or a kept apology fails; then the slowest reply decides; then recovery."""
    if not evidence.routes:
        return Finding.not_assessed(NO_ROUTE, follows_from="endpoint_health.primary_route")
    callers = [caller for caller in evidence.callers if not caller.limited]
    if not callers:
        return Finding.not_assessed("Every question was rate limited (429) while the upstream was silent.")
    if all(caller.good for caller in callers) and _as_usual(callers):
        return Finding.not_assessed(
            f"The lever made no difference: {plural(len(callers), 'new question')} got their usual answers "
            "while the upstream was silent. Point `[levers.upstream]` at the connection that is in use.",
            missing="levers.upstream",
        )
    slowest_s = max(caller.elapsed_s for caller in callers)
    limit = Limit.at_most(thresholds.answer_within_s, thresholds.answer_within_s * thresholds.warn_factor)
    wrong = _wrong(evidence, callers)
    if wrong:
        return Finding.failed(
            wrong, value=slowest_s, unit="s", limit=limit, fix=FIX, reproduce=evidence.reproduce
        )
    finding = Finding.by_limit(
        slowest_s,
        "s",
        limit,
        f"While the upstream was silent every caller was told so within {show(slowest_s, 's')} "
        f"({statuses(callers)}), limit {show(limit.pass_at, 's')}; "
        f"{show(evidence.answered_again_s or 0, 's')} after it came back there was an answer.",
        fix=FIX,
        reproduce=evidence.reproduce,
    )
    doubt = _doubt(callers)
    if doubt and finding.outcome is not Outcome.FAIL:
        return finding.but(outcome=Outcome.WARN, share=min(0.5, finding.share), reason=doubt, fix=FIX)
    return finding


FIX = "Give the upstream's client time-outs below what callers wait, and answer 504 when they strike."


def _wrong(evidence: Evidence, callers: list[Told]) -> str:
    hanging = [caller for caller in callers if timed_out([caller])]
    if hanging:
        on = {caller.route for caller in hanging}
        where = f" of the {on.pop()} route" if len(on) == 1 < len(evidence.routes) else ""
        of = [caller for caller in callers if not where or caller.route == hanging[0].route]
        return (
            f"{len(hanging)} of {plural(len(of), 'question')}{where} hang: no reply within "
            f"{show(evidence.patience_s, 's')} while the upstream was silent."
        )
    dropped = [caller for caller in callers if caller.status is None]
    if dropped:
        return (
            f"While the upstream was silent the connection was dropped without a reply: {dropped[0].problem}."
        )
    if any(caller.good and caller.again_sha256 == caller.text_sha256 for caller in callers):
        return "A stand-in given while the upstream was silent is still the answer after it came back."
    if evidence.answered_again_s is None:
        return f"{show(RECOVERY_S, 's')} after the upstream came back, no question is answered."
    return ""


def _as_usual(callers: list[Told]) -> bool:
    """Whether each question has an answer of its own that stays: then the upstream was never cut."""
    texts = {caller.text_sha256 for caller in callers}
    return len(texts) == len(callers) and all(caller.again_sha256 == caller.text_sha256 for caller in callers)


def _doubt(callers: list[Told]) -> str:
    crashed = [caller for caller in callers if (caller.status or 0) >= 500 and caller.status not in CLEAN]
    if crashed:
        return (
            f"While the upstream was silent callers got {crashed[0].status}, as if the service had crashed; "
            "503 or 504 says that they may try again."
        )
    if any(caller.good for caller in callers):
        return "While the upstream was silent callers got a stand-in with status 200, like any answer."
    if any(400 <= (caller.status or 0) < 500 for caller in callers):
        return f"With the upstream silent callers were told it is their fault ({statuses(callers)})."
    return ""
