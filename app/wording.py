"""How outcomes, verdicts, families, times and scores are written: one place for pages, reports and terminals.

How a measured number is written is in ``checks.contract.wording`` (``show``). Everything here is pure.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from app.records import Breakage, ClaimState, LoadResult, RunState, Scorecard, ScoredFinding, Verdict
from checks.contract.findings import Limit, Outcome
from checks.contract.wording import MINUS, NBSP, plural, show

ABSENT = "–"
DOT = " · "
Tone = Literal["pass", "cond", "warn", "fail", "error", "none"]

OUTCOME_WORDS = {
    Outcome.PASS: "Pass",
    Outcome.WARN: "Warn",
    Outcome.FAIL: "Fail",
    Outcome.ERROR: "Error",
    Outcome.NOT_ASSESSED: "Not assessed",
    Outcome.NOT_APPLICABLE: "Not applicable",
}
# Text signs of one cell each, different in shape, for where no picture can stand.
OUTCOME_ICONS = {
    Outcome.PASS: "✓",
    Outcome.WARN: "▲",
    Outcome.FAIL: "✗",
    Outcome.ERROR: "◆",
    Outcome.NOT_ASSESSED: "◌",
    Outcome.NOT_APPLICABLE: "–",
}
OUTCOME_TONES: dict[Outcome, Tone] = {
    Outcome.PASS: "pass",
    Outcome.WARN: "warn",
    Outcome.FAIL: "fail",
    Outcome.ERROR: "error",
    Outcome.NOT_ASSESSED: "none",
    Outcome.NOT_APPLICABLE: "none",
}
VERDICT_TITLES = {
    Verdict.NOT_READY: "Not ready",
    Verdict.MVP: "Acceptable for MVP",
    Verdict.CONDITIONS: "Ready with conditions",
    Verdict.PRODUCTION: "Production ready",
}
VERDICT_ICONS = {
    Verdict.NOT_READY: "✗",
    Verdict.MVP: "▲",
    Verdict.CONDITIONS: "○",
    Verdict.PRODUCTION: "✓",
}
VERDICT_TONES: dict[Verdict, Tone] = {
    Verdict.NOT_READY: "fail",
    Verdict.MVP: "warn",
    Verdict.CONDITIONS: "cond",
    Verdict.PRODUCTION: "pass",
}
BAND_NAMES = {
    Verdict.NOT_READY: "Not ready",
    Verdict.MVP: "MVP",
    Verdict.CONDITIONS: "Conditions",
    Verdict.PRODUCTION: "Production",
}
STATE_WORDS = {
    RunState.WAITING: "Waiting",
    RunState.RUNNING: "Running",
    RunState.FINISHED: "Finished",
    RunState.INTERRUPTED: "Interrupted",
    RunState.CANCELLED: "Cancelled",
    RunState.BROKEN: "Broken",
}
CLAIM_WORDS = {"verified": "Verified", "refuted": "Refuted", "not measured": "Not measured"}
CLAIM_OUTCOMES = {
    "verified": Outcome.PASS,
    "refuted": Outcome.FAIL,
    "not measured": Outcome.NOT_ASSESSED,
}
_TITLES = {"cost": "Cost efficiency"}

# C0 and C1 controls, line and paragraph separators, and the marks that turn the direction of text around.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")

_ESCAPE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]")  # a terminal's own: colours, cursor


def family_title(family: str) -> str:
    """``endpoint_health`` is ``Endpoint health``; a plug-in's family likewise."""
    return _TITLES.get(family) or family.replace("_", " ").strip().capitalize()


category_title = family_title


def one_line(text: str, limit: int = 400) -> str:
    """Text from a service as one line of at most ``limit`` characters.

    Nothing in it moves a cursor, breaks the line or turns the direction of writing.
    """
    flat = re.sub(r" {2,}", " ", _without_controls(text[: 4 * limit])).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def many_lines(text: str, limit: int = 4000) -> str:
    """The same for text whose line breaks matter (commands, evidence)."""
    kept = [_without_controls(line) for line in text[:limit].splitlines()]
    return "\n".join(kept) + ("…" if len(text) > limit else "")


def _without_controls(text: str) -> str:
    return _UNSAFE.sub(" ", _ESCAPE.sub("", text))


def score_text(score: float | None) -> str:
    """A score with its one decimal, or a dash."""
    return ABSENT if score is None else f"{score:.1f}"


def percent(ratio: float | None) -> str:
    """A coverage in whole percent, rounded down, so that 99.6 % never reads as all."""
    return ABSENT if ratio is None else f"{math.floor(ratio * 100 + 1e-9)}{NBSP}%"


def score_line(score: float | None, coverage: float | None, best_possible: float | None) -> str:
    """The three that always stand together: ``37.5 · coverage 93 % · best possible 44.6``."""
    return DOT.join(
        (score_text(score), f"coverage {percent(coverage)}", f"best possible {score_text(best_possible)}")
    )


def signed(points: float) -> str:
    """Points with a sign and one decimal: ``+55.5``, ``−2.0``; what rounds to nothing is ``0.0``."""
    if abs(points) < 0.05:
        return "0.0"
    return f"{'+' if points > 0 else MINUS}{abs(points):.1f}"


def duration(seconds: float) -> str:
    """A span for people: ``340 ms``, ``6.4 s``, and from 10 s on in whole seconds: ``6 m 41 s``."""
    return show(round(seconds) if seconds >= 10 else round(seconds, 1) if seconds >= 1 else seconds, "s")


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def moment(when: datetime, now: datetime | None = None) -> str:
    """``18 Nov 14:21``; the year is added where it is not that of ``now``."""
    year = f" {when.year}" if now is None or now.year != when.year else ""
    return f"{when.day} {when:%b}{year} {when:%H:%M}"


def ago(when: datetime, now: datetime) -> str:
    """``just now``, ``12 min ago``, ``3 h ago``; from a day on the date."""
    if now - when >= timedelta(days=1):
        return moment(when, now)
    age = _age(now - when)
    return f"{age} ago" if age else "just now"


def old(when: datetime, now: datetime) -> str:
    """How old evidence is: ``12 min old``, ``9 days old``."""
    age = _age(now - when)
    return f"{age} old" if age else "new"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return ""
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    if minutes < 24 * 60:
        return f"{minutes // 60}{NBSP}h"
    return plural(minutes // (24 * 60), "day")


def load_text(result: LoadResult) -> str:
    """What stands under Users: ``20``; of an open run its arrival rate, ``20/s`` or ``5 to 60/s``."""
    if result.model == "closed":
        return str(result.users)
    rates = [step.offered_per_s for step in result.steps]
    if rates and min(rates) != max(rates):
        return f"{min(rates):,.4g} to {show(max(rates), 'per_s')}"
    rate = rates[0] if rates else result.rate_per_s
    return ABSENT if rate is None else show(rate, "per_s")


def load_doubts(result: LoadResult) -> list[str]:
    """Why the figures of a scenario are not to be taken as they stand; text of a driver's, not escaped."""
    doubts = []
    if result.validity != "valid":
        doubts.append(" ".join([f"{result.validity.upper()}.", *result.validity_reasons]))
    if result.partial:
        doubts.append(f"Partial result. {result.partial}")
    return doubts


def value_text(finding: ScoredFinding) -> str:
    """The measured value with its unit, or a dash where there is none."""
    if finding.value is None or finding.unit is None:
        return ABSENT
    return show(finding.value, finding.unit)


def interval_text(finding: ScoredFinding) -> str:
    """The 95 % interval, ``1.75 s to 1.93 s``, or nothing."""
    if finding.interval is None or finding.unit is None:
        return ""
    low, high = (show(end, finding.unit) for end in finding.interval)
    return f"{low} to {high}"


def limit_text(limit: Limit | None, unit: str | None) -> str:
    """What passes: ``≥ 70 %``, ``≤ 5 ms``, or a dash where there is no limit."""
    if limit is None or unit is None:
        return ABSENT
    return f"{'≥' if limit.better == 'higher' else '≤'}{NBSP}{show(limit.pass_at, unit)}"


def claim_texts(claim: ClaimState) -> tuple[str, str]:
    """Claimed and measured. A claimed score stands as it was written: nobody claims a tenth of a point."""
    plain = claim.unit in ("", "points")
    claimed = f"{claim.claimed:g}" if plain else show(claim.claimed, claim.unit)
    measured = ABSENT if claim.measured is None else show(claim.measured, claim.unit or "count")
    return f"at most {claimed}" if claim.better == "lower" else claimed, measured


WAYS = {
    "refuse": "refused connections",
    "hang": "was silent",
    "errors": "answered with errors",
    "few_errors": "answered with a few errors",
    "slow": "was slow",
    "reset": "reset connections",
    "kill": "was killed",
    "pause": "stood still",
    "term": "was told to end",
}


def broken_text(breakages: Sequence[Breakage]) -> str:
    """What was broken, and how: ``cache refused connections, cache was silent (2 times)``."""
    told = Counter(
        f"{one_line(each.lever, 60)} {WAYS.get(each.way) or one_line(each.way, 20)}" for each in breakages
    )
    return ", ".join(words if times == 1 else f"{words} ({times} times)" for words, times in told.items())


def restored_text(breakages: Sequence[Breakage]) -> str:
    """How it was put back, and after how long."""
    for each in breakages:
        if each.problem:
            return f"{one_line(each.lever, 60)} not restored: {one_line(each.problem, 200)}"
        if not each.restored:
            return f"{one_line(each.lever, 60)} not restored in this run"
    longest_s = max((each.seconds or 0.0 for each in breakages), default=0.0)
    return f"restored after {'at most ' if len(breakages) > 1 else ''}{show(longest_s, 's')}"


def verdict_sentence(card: Scorecard) -> str:
    """Why the verdict is what it is, in one or two sentences."""
    open_p0 = [finding for finding in card.findings if finding.blocks]
    unmeasured = [
        item
        for item in card.findings
        if item.points and item.outcome in (Outcome.NOT_ASSESSED, Outcome.ERROR)
    ]
    if open_p0:
        verb = "blocks" if len(open_p0) == 1 else "block"
        first = f"{plural(len(open_p0), 'open P0 check')} {verb} the release."
        if card.band is not card.verdict:
            first += f" The score alone says {VERDICT_TITLES[card.band]}."
    elif card.lowered_by:
        first = f"Lowered: {card.lowered_by}."
    elif card.capped_by:
        first = f"{plural(len(card.capped_by), 'P0 check was', 'P0 checks were')} not measured."
    elif not unmeasured:
        return "No P0 is open, and every check was measured."
    else:
        first = "No P0 is open."
    if not unmeasured:
        return first
    return f"{first} If everything unmeasured passed, the score would be {score_text(card.best_possible)}."
