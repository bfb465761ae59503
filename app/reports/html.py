"""The HTML report: one page that needs nothing else. No script, no fetch, readable on paper and on a phone.

The look is that of the dashboard. Everything is escaped by Jinja2; control characters and marks that turn the
direction of writing never reach the page.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from app import wording
from app.breakages import by_check
from app.causes import causes, costs, lost, next_fixes
from app.records import RunInfo, Scorecard, ScoredFinding, Snapshot
from app.reports import drawing
from app.wording import ABSENT, OUTCOME_WORDS
from checks.contract.findings import Outcome
from checks.contract.wording import plural, show

SHOWN = 5
MAX_TEXT = 4000
EVIDENCE_BUDGET = 48_000  # characters on the whole page; the JSON export has all of it
TREND_SIZES = {"wide": (1000, 6), "phone": (340, 3)}  # width and labels; the page shows one of them


def render(snapshot: Snapshot, history: Sequence[RunInfo] = ()) -> str:
    """Write the page. ``history``, the service's runs with the oldest first, adds the score over time."""
    card = snapshot.scorecard
    page: dict[str, Any] = {"run": snapshot.run, "facts": _facts(snapshot), "card": card}
    page["title"] = _title(snapshot)
    page["load_results"] = snapshot.load_results
    found = {finding.check: finding for finding in snapshot.findings}
    page["recovery"] = [(each, found.get(check)) for check, each in by_check(snapshot.breakages).items()]
    page["by_hand"] = list(dict.fromkeys(each.by_hand for each in snapshot.breakages if each.by_hand))
    page["trends"] = [(name, drawing.trend(history, *size)) for name, size in TREND_SIZES.items()]
    if card is not None:
        page |= _verdict(card) | _lists(card)
    return _environment().get_template("run.html").render(page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = wording.one_line
    environment.globals.update(
        wording=wording, show=show, plural=plural, lost=lost, scale=drawing.scale, ABSENT=ABSENT
    )
    return environment


def _harmless(value: object) -> object:
    """What the template is about to print: text loses its control characters, markup of our own stays."""
    return wording.many_lines(value, MAX_TEXT) if type(value) is str else value


def _title(snapshot: Snapshot) -> str:
    name, card = wording.one_line(snapshot.run.target_name, 80), snapshot.scorecard
    if card is None:
        return f"{name}: no score · Greenlight"
    verdict = wording.VERDICT_TITLES[card.verdict]
    return f"{name}: {verdict[0].lower()}{verdict[1:]}, {wording.score_text(card.score)} · Greenlight"


def _facts(snapshot: Snapshot) -> list[str]:
    run = snapshot.run
    profile = f"{run.profile.capitalize()} profile"
    if run.started_at and run.finished_at:
        profile += f", {wording.duration((run.finished_at - run.started_at).total_seconds())}"
    facts = [f"Run #{run.number}, {_moment(run.started_at or run.created_at)}", profile]
    if run.rubric:
        facts.append(f"Rubric {run.rubric.version}")
    return [wording.one_line(fact, 120) for fact in (*facts, f"Started by {run.started_by}")]


def _moment(when: datetime) -> str:
    return f"{wording.moment(when.astimezone(UTC))} UTC"


def _verdict(card: Scorecard) -> dict[str, Any]:
    counts = Counter(finding.outcome for finding in card.findings)
    score, best = card.score or 0.0, card.best_possible or 0.0
    claimed = next((claim.claimed for claim in card.claims if claim.check == "score"), None)
    measured = [finding.measured_at for finding in card.findings if finding.measured_at]
    return {
        "tone": wording.VERDICT_TONES[card.verdict],
        "sentence": wording.verdict_sentence(card),
        "dashes": drawing.ring_dashes(score, best),
        "open_p0": sum(finding.blocks for finding in card.findings),
        "measured_at": _moment(max(measured)) if measured else ABSENT,
        "claimed": claimed if claimed is not None and 0 <= claimed <= 100 else None,
        "counts": [(outcome, counts[outcome]) for outcome in Outcome if counts[outcome]],
        "families": _families(card),
    }


def _families(card: Scorecard) -> list[tuple[str, list[ScoredFinding], str]]:
    """Each family's title, findings, and what its strip says in words."""
    groups: dict[str, list[ScoredFinding]] = {}
    for finding in card.findings:
        groups.setdefault(finding.family, []).append(finding)
    found = []
    for family, findings in groups.items():
        counts = Counter(OUTCOME_WORDS[finding.outcome].lower() for finding in findings)
        said = ", ".join(f"{count} {word}" for word, count in counts.items())
        found.append((wording.family_title(family), findings, said))
    return found


def _lists(card: Scorecard) -> dict[str, Any]:
    blocking, everything = causes(card), costs(card)
    plan = next_fixes(card)
    return {
        "blocking": bool(blocking),
        "causes": blocking or everything[:SHOWN],
        "more": [] if blocking else everything[SHOWN:],
        "plan": plan,
        "steps": plan.fixes[:SHOWN],
        "claims": [
            (claim, *wording.claim_texts(claim), wording.CLAIM_OUTCOMES[claim.verdict])
            for claim in card.claims
        ],
        "evidence": _evidence(card.findings),
    }


def _evidence(findings: Sequence[ScoredFinding]) -> dict[str, str]:
    """The evidence of each check as indented JSON, cut so that the page stays small."""
    each = EVIDENCE_BUDGET // max(1, len(findings))
    texts = {}
    for finding in findings:
        if finding.evidence:
            text = json.dumps(finding.evidence, indent=2, ensure_ascii=False, default=str)
            texts[finding.check] = wording.many_lines(text, min(each, MAX_TEXT - 1))
    return texts
