"""The business route answers real requests.

Why it matters
    This is what the service is for. While its one route fails, load tests, caches and alerts measure nothing.

How it is measured
    Twenty different questions are asked through the declared `[ask]` (or `[stream]`, where that is all there
    is), one after the other, or a few at a time where the service is slow. Each must get a good status, the
    declared shape and a text that is not empty, and they may not all get the same text, which would be an
    apology or a placeholder. Where more than one fails, the check looks for a way that works: the declared
    stream, then every operation of the service's OpenAPI that takes a question, with a body built from its
    schema. What works is printed as a change of the target file.

How to fix it
    1. Read the service's log for the failing request; the curl line repeats it.
    2. If another route is the right one, put the printed tables into the target file.
    3. Keep this request as a test of each deployment.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from hashlib import sha256

from checks.contract import (
    Answer,
    Check,
    Finding,
    Instruments,
    Kind,
    Limit,
    Outcome,
    Route,
    Target,
    plural,
    wilson_interval,
)
from checks.endpoint_health._diagnosis import Tried, try_others
from checks.endpoint_health._pacing import patiently

CHECK = Check(
    failure_title="The business route does not answer",
    kind=Kind.ACTIVE,
    does="Asks twenty different questions; if they fail, tries other routes that take a question.",
    measures="of twenty questions were answered",
    needs=("questions", "http", "sse", "openapi?"),
    deadline_s=160,
    typical_s=7,
    beside=True,
)
QUESTIONS = 20
MAX_TOGETHER = 5
BUDGET_MS = 8_000
TIMEOUT_S = 20.0
ALIKE_BY_CHANCE = 5  # so many questions may well have one answer
GIVE_UP = 3  # with so many bad answers the outcome is certain


@dataclass(frozen=True)
class Thresholds:
    """20 of 20 pass, 19 of 20 warn (catalogue)."""

    pass_good_ratio: float = 1.0
    warn_good_ratio: float = 0.95


@dataclass(frozen=True)
class Asked:
    """One question: whether the answer was good, what was wrong, and a digest of its text."""

    good: bool
    status: int | None
    elapsed_ms: float
    problem: str
    text_sha256: str = ""


@dataclass(frozen=True)
class Evidence:
    """Each question in order, and the other routes that were tried when they failed."""

    route: Route
    path: str
    asked: tuple[Asked, ...]
    tried: tuple[Tried, ...]
    reproduce: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Ask until all are asked or the outcome is certain; then look for what works."""
    route: Route = "ask" if target.ask else "stream"
    call = target.ask or target.stream
    questions = instruments.prompts.fresh(QUESTIONS)

    async def ask(prompt: str) -> Answer:
        return await patiently(lambda: instruments.questions.ask(prompt, route=route, timeout_s=TIMEOUT_S))

    answers = [await ask(questions[0])]
    together = min(MAX_TOGETHER, max(1, math.ceil(answers[0].elapsed_ms * QUESTIONS / BUDGET_MS)))
    while len(answers) < QUESTIONS and sum(not answer.good for answer in answers) < GIVE_UP:
        batch = questions[len(answers) : len(answers) + together]
        answers += await asyncio.gather(*(ask(prompt) for prompt in batch))
    tried: tuple[Tried, ...] = ()
    if sum(not answer.good and answer.status != 429 for answer in answers) > 1:
        instruments.say("The business route fails; looking for one that works")
        tried = await try_others(target, instruments, route)
    return Evidence(
        route=route,
        path=call.path if call else "",
        asked=tuple(
            Asked(
                answer.good,
                answer.status,
                round(answer.elapsed_ms, 1),
                answer.problem[:200],
                sha256(answer.text.encode("utf-8", "replace")).hexdigest()[:16],
            )
            for answer in answers
        ),
        tried=tried,
        reproduce=instruments.questions.curl(target.prompts.repeat[0], route=route),
    )


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """The share of good answers; answers that were rate limited say nothing."""
    counted = [asked for asked in evidence.asked if asked.status != 429]
    bad = [asked for asked in counted if not asked.good]
    limited = len(evidence.asked) - len(counted)
    if not bad and limited:
        return Finding.not_assessed(
            f"{evidence.path} was rate limited (429) after {len(counted)} of {QUESTIONS} questions, asked "
            "one after the other."
        )
    good = len(counted) - len(bad)
    limit = Limit.at_least(thresholds.pass_good_ratio, thresholds.warn_good_ratio, high=1.0)
    finding = Finding.by_limit(
        good / len(counted),
        "ratio",
        limit,
        _reason(evidence, bad, good, len(counted)),
        interval=wilson_interval(good, len(counted)),
        fix=_fix(evidence),
        reproduce=evidence.reproduce,
    )
    if finding.outcome is Outcome.PASS and _one_answer_for_all(counted):
        reason = f"{evidence.path} gave {len(counted)} different questions one and the same answer."
        return finding.but(outcome=Outcome.WARN, share=0.5, reason=reason, fix=CANNED)
    return finding


CANNED = (
    "Answer what was asked, and send an error with an error status: 503 where the model cannot be reached."
)


def _one_answer_for_all(counted: list[Asked]) -> bool:
    digests = {asked.text_sha256 for asked in counted}
    return len(counted) > ALIKE_BY_CHANCE and len(digests) == 1 and digests != {""}


def _reason(evidence: Evidence, bad: list[Asked], good: int, asked: int) -> str:
    if not bad:
        return f"{evidence.path} answered {good} of {plural(asked, 'question')}."
    first = bad[0]
    said = (
        f"{evidence.path} answers {first.status}"
        if _says_status(first)
        else f"{evidence.path}: {first.problem}"
    )
    how_often = "" if not good else f" to {len(bad)} of {plural(asked, 'question')}"
    working = [tried for tried in evidence.tried if tried.works]
    if working:
        what = "the body of its OpenAPI" if working[0].path == evidence.path else working[0].path
        return f"{said}{how_often}; {what} works."
    looked = f"; none of {plural(len(evidence.tried), 'other route')} tried works" if evidence.tried else ""
    return f"{said}{how_often}{looked}."


def _says_status(asked: Asked) -> bool:
    return asked.status is not None and not 200 <= asked.status < 300


def _fix(evidence: Evidence) -> str:
    repair = "Read the service's log for this request and mend it."
    working = next((tried for tried in evidence.tried if tried.works), None)
    if working is None:
        return repair
    return (
        f"{repair} If {working.path} is the route that users need, put this into the target file in place of "
        f"`[{evidence.route}]`:\n\n{working.target_change}"
    )
