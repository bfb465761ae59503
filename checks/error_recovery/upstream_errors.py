"""An upstream that errs now and then is asked again, a few times, after growing random pauses.

Why it matters
    An upstream that is busy for a moment refuses a call or two. Who never asks again hands every such moment
    to a user. Who asks at once, or after the same pause as everybody else, or many times, or in two layers
    that multiply, keeps the upstream down that was about to recover. And when it does stay down, users need
    an error that says so, not a stack trace.

How it is measured
    The fault proxy before the upstream answers the next two calls with 503, then passes calls on: a new
    question is put, five times over, on the declared routes in turn. Then it answers every call with 503, and
    three more are put. The proxy tells when each call came. A question may take three, and the
    pauses between them must differ: the shortest is at least 5 % below the usual one. The error that callers
    get in the end must be a 502, 503 or 504 without a trace. More than five calls are a storm. A service that
    never asks again spares the upstream, and hands its users every hiccup: that warns. Afterwards every route
    must answer within thirty seconds.

How to fix it
    1. Try a call that was refused (429, 502, 503) at most three times; pause 0.1 s, then twice as long, each
       time times a random factor between 0.5 and 1.5.
    2. Repeat in one layer only: switch off the retries of the client library, or your own.
    3. Answer 503 with a problem document when they are used up, and log the exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from checks.contract import Check, Finding, Instruments, Kind, Limit, Route, Target, plural, show
from checks.error_recovery._callers import (
    NO_ROUTE,
    RECOVERY_S,
    Told,
    answered_again_s,
    require_errors,
    routes_of,
    statuses,
    timed_out,
)
from checks.error_recovery._calls import ADD_PROXY, UpstreamCalls, uncounted, unseen
from checks.error_recovery._erring import Attempt, Erring, gaps_by_turn, jitter

CHECK = Check(
    failure_title="An upstream that errs is stormed, or its errors reach callers raw",
    kind=Kind.FAULT,
    does="Lets the upstream answer 503 twice, several times over, then always, and asks new questions.",
    measures="calls at most for one question while the upstream erred",
    needs=("questions", "http", "sse", "faults", "upstream?", "target.levers.upstream"),
    deadline_s=240,
    typical_s=9,
)
PATIENCE_S = 30.0
AT_ONCE_S = 0.01
BOUND = "Try a refused call at most three times, in one layer only."
TELL = "Answer 503 with a problem document when the upstream fails; the exception belongs in the log."
AGAIN = "Try a refused call up to three times, after 0.1 s, then 0.2 s, each times a random 0.5 to 1.5."


@dataclass(frozen=True)
class Thresholds:
    """Three tries are the catalogue's; five are some libraries' default. The jitter is of the usual pause."""

    pass_tries: float = 3
    warn_tries: float = 5
    min_jitter_ratio: float = 0.05


@dataclass(frozen=True)
class Evidence:
    """``few``: with two errors each; ``always``: with errors only. ``usual`` is calls a question before.

    ``timed`` is whether the moments of calls are known: a meter only counts.
    """

    routes: tuple[Route, ...]
    usual: float
    timed: bool
    few: tuple[Attempt, ...]
    always: tuple[Attempt, ...]
    answered_again_s: float | None
    reproduce: str

    @property
    def callers(self) -> tuple[Told, ...]:
        """What callers got while there were errors only."""
        return tuple(attempt.told for attempt in self.always)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All questions while the upstream erred."""
        return (*self.few, *self.always)


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask before, during and after errors. The lever restores whatever happens here."""
    require_errors(instruments)
    calls = UpstreamCalls(instruments)
    await calls.start()
    routes, asked = await routes_of(target, instruments)
    usual = await calls.learn(asked)
    if not routes:
        return Evidence((), usual, calls.timed, (), (), None, "")
    erring = Erring(instruments, target, routes, calls, 2 * (target.objectives.answer_within_s or PATIENCE_S))
    few = tuple(await erring.few()) if usual else ()
    always = tuple(await erring.always()) if usual else ()
    return Evidence(
        routes=routes,
        usual=usual,
        timed=calls.timed,
        few=few,
        always=always,
        answered_again_s=await answered_again_s(instruments, routes),
        reproduce="# with the upstream answering 503, and its calls counted:\n"
        + instruments.questions.curl(instruments.prompts.fresh(1)[0], route=routes[0]),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """A storm, a trace or no answer afterwards fails; then what is less than it should be warns."""
    unsaid = _no_basis(evidence)
    if unsaid:
        return unsaid
    tries = max(attempt.tries for attempt in evidence.attempts)
    limit = Limit.at_most(thresholds.pass_tries, thresholds.warn_tries)
    got = statuses(evidence.callers)
    for reason, fix in _wrong(evidence, tries, thresholds):
        return Finding.failed(
            reason, value=tries, unit="count", limit=limit, fix=fix, reproduce=evidence.reproduce
        )
    if not evidence.timed:
        return Finding.not_assessed(
            f"A question takes {show(tries, 'count')} calls at most, and callers got {got}; the pauses "
            f"between calls are seen at a fault proxy only. {ADD_PROXY}",
            missing="levers.upstream.kind",
        )
    for reason, fix in _doubts(evidence, tries, thresholds):
        return Finding.warned(
            reason, value=tries, unit="count", limit=limit, fix=fix, reproduce=evidence.reproduce
        )
    return Finding.passed(
        f"A question takes {show(tries, 'count')} calls at most while the upstream errs, limit "
        f"{show(limit.pass_at, 'count')}, {_random_pauses(evidence)}. {_outcome(evidence)} With "
        f"errors only, callers got {got}.",
        value=tries,
        unit="count",
        limit=limit,
        reproduce=evidence.reproduce,
    )


def _no_basis(evidence: Evidence) -> Finding | None:
    if not evidence.routes:
        return Finding.not_assessed(NO_ROUTE, follows_from="endpoint_health.primary_route")
    if not evidence.usual:
        return unseen(timed=evidence.timed)
    callers = evidence.callers
    if all(caller.limited for caller in callers):
        return Finding.not_assessed("Every question was rate limited (429) while the upstream erred.")
    unharmed = all(caller.good and caller.again_sha256 == caller.text_sha256 for caller in callers)
    if not evidence.timed and unharmed:
        return Finding.not_assessed(
            "The lever made no difference: new questions got their usual answers.", missing="levers.upstream"
        )
    if not evidence.timed and not any(attempt.tries for attempt in evidence.attempts):
        return uncounted()
    return None


def _wrong(evidence: Evidence, tries: float, thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """What fails, and what to do, the worst first."""
    callers = evidence.callers
    if timed_out([*callers, *(attempt.told for attempt in evidence.few)]):
        yield "A caller waits in vain while the upstream answers calls with 503.", BOUND
    for caller in callers:
        if caller.status is None:
            yield f"While the upstream erred a connection was dropped: {caller.problem}.", TELL
    for caller in callers:
        if caller.leaks:
            shown = " and ".join(caller.leaks)
            yield (
                f"While the upstream errs, the {caller.route} route answers {caller.status} with {shown}.",
                TELL,
            )
    if tries > thresholds.warn_tries:
        times = f"{show(tries, 'count')} times, limit {show(thresholds.pass_tries, 'count')}"
        yield f"One question called the failing upstream {times}: that keeps down what is down.", BOUND
    if any(caller.again_sha256 == caller.text_sha256 for caller in _canned(callers)):
        yield "A stand-in given while the upstream erred is still the answer after it came back.", TELL
    if evidence.answered_again_s is None:
        yield f"{show(RECOVERY_S, 's')} after the upstream came back, not every route answers.", BOUND


def _doubts(evidence: Evidence, tries: float, thresholds: Thresholds) -> Iterator[tuple[str, str]]:
    """What warns, and what to do, the worst first."""
    callers = evidence.callers
    odd = [caller for caller in callers if not (caller.good or caller.clean or caller.limited)]
    if odd:
        got = f"{statuses(odd)}; 503 says whose fault it is, and that they may try again"
        yield f"While the upstream erred callers got {got}.", TELL
    if _canned(callers):
        yield "While the upstream erred callers got a stand-in with a good status, like any answer.", TELL
    if tries > thresholds.pass_tries:
        most = show(thresholds.pass_tries, "count")
        yield f"One question called the failing upstream {show(tries, 'count')} times, limit {most}.", BOUND
    if tries <= 1:
        yield f"A call that fails is not tried again: each hiccup is the users'. {_outcome(evidence)}", AGAIN
        return
    gaps = gaps_by_turn(evidence.attempts)
    spread = jitter(gaps)
    if gaps[0] and median(gaps[0]) < AT_ONCE_S:
        yield f"A call that failed is repeated without a pause ({_pauses(evidence)} later).", AGAIN
    elif spread is not None and spread < thresholds.min_jitter_ratio:
        why = "callers that were refused together come back together"
        yield f"Calls are repeated after {_pauses(evidence)}, the same each time: {why}.", AGAIN


def _canned(callers: Sequence[Told]) -> list[Told]:
    """Those who got one and the same answer to different questions."""
    texts = [caller.text_sha256 for caller in callers if caller.good]
    return [caller for caller in callers if caller.good and texts.count(caller.text_sha256) > 1]


def _outcome(evidence: Evidence) -> str:
    few = [attempt.told for attempt in evidence.few]
    if not few:
        return "What two errors do was not tried."
    answered = sum(caller.good for caller in few)
    return f"Where the upstream refused two calls, {answered} of {plural(len(few), 'caller')} got an answer."


def _pauses(evidence: Evidence) -> str:
    return " and ".join(show(round(median(gaps), 3), "s") for gaps in gaps_by_turn(evidence.attempts)[:2])


def _random_pauses(evidence: Evidence) -> str:
    several = "several of them for each question, so that pauses cannot be told apart"
    return (
        f"after random pauses of about {_pauses(evidence)}" if gaps_by_turn(evidence.attempts)[0] else several
    )
