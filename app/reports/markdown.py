"""The Markdown report, made for a CI job summary: the verdict first, then what blocks, then everything else.

GitHub's Markdown. All text from outside goes through ``escape``: it cannot make markup, a link, a mention or
a table cell, wherever it stands inside a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC

from app.breakages import by_check
from app.causes import Cause, causes, costs, next_fixes
from app.records import ClaimState, LoadResult, RunInfo, Scorecard, ScoredFinding, Snapshot
from app.wording import (
    ABSENT,
    CLAIM_OUTCOMES,
    CLAIM_WORDS,
    DOT,
    OUTCOME_ICONS,
    OUTCOME_WORDS,
    STATE_WORDS,
    VERDICT_ICONS,
    broken_text,
    category_title,
    claim_texts,
    duration,
    interval_text,
    limit_text,
    load_doubts,
    load_text,
    many_lines,
    moment,
    one_line,
    restored_text,
    score_line,
    score_text,
    signed,
    value_text,
    verdict_sentence,
)
from checks.contract.findings import Outcome
from checks.contract.wording import plural, show

SHOWN_CAUSES = 5
# Entities, since they can never open markup. Two characters get a zero-width space behind them, because
# GitHub turns mentions and numbers into links after it has read the Markdown.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;", "`": "&#96;"}
_ENTITIES |= {"@": "@&#8203;", "#": "&#35;&#8203;"}
_SPECIAL = re.compile(r"[&<>|\\`@#]|[*_\[\]~$]|://|(?i:www\.)")


def escape(text: str, limit: int = 400) -> str:
    """``text`` as one line that reads as it is and means nothing to Markdown."""
    return _SPECIAL.sub(_escaped, one_line(text, limit))


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "://":
        return "&#58;//"
    if len(found) > 1:
        return found[:-1] + "&#46;"
    return _ENTITIES.get(found) or f"\\{found}"


def code(text: str, limit: int = 120) -> str:
    """A check id or another short name as code; what holds more than name characters stays plain text."""
    return f"`{text}`" if re.fullmatch(r"[\w./-]+", text, re.ASCII) else escape(text, limit)


def render(snapshot: Snapshot) -> str:
    """Write the report."""
    run, card = snapshot.run, snapshot.scorecard
    parts = [_headline(run, card), _facts(run, card)]
    if card is None:
        parts.append(f"This run has no score. {escape(run.message)}".strip())
    else:
        parts += [
            escape(verdict_sentence(card)),
            _blocking(card),
            _next(card),
            _categories(card),
            _findings(card),
        ]
        parts += [_load(snapshot.load_results), _recovery(snapshot), _claims(card.claims), _waivers(card)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(run: RunInfo, card: Scorecard | None) -> str:
    if card is None:
        return f"## Run {run.number}: {STATE_WORDS[run.state].lower()}"
    line = score_line(card.score, card.coverage, card.best_possible)
    return f"## {VERDICT_ICONS[card.verdict]} {card.verdict}{DOT}{line}"


def _facts(run: RunInfo, card: Scorecard | None) -> str:
    facts = [f"**{escape(run.target_name, 80)}**", escape(run.url, 200), f"run {run.number}"]
    begun = run.started_at or run.created_at
    facts.append(f"{moment(begun.astimezone(UTC))} UTC")
    facts.append(f"{escape(run.profile, 40)} profile")
    if run.started_at and run.finished_at:
        facts[-1] += f", {duration((run.finished_at - run.started_at).total_seconds())}"
    if card is not None:
        facts += [
            f"grade {escape(card.grade, 8)}",
            f"rubric {escape(card.rubric.name, 40)} {card.rubric.version}",
        ]
    return DOT.join(facts)


def _blocking(card: Scorecard) -> str:
    blocking = causes(card)
    shown = blocking or costs(card)[:SHOWN_CAUSES]
    if not shown:
        return ""
    title = "What blocks the release" if blocking else "What still costs points"
    rest = costs(card)[SHOWN_CAUSES:] if not blocking else []
    lines = [f"### {title}", *(_cause(cause) for cause in shown)]
    if rest:
        together = sum(cause.points for cause in rest)
        lines.append(f"{len(rest)} more cost {together:.1f} points together.")
    return "\n\n".join(lines)


def _cause(cause: Cause) -> str:
    root = cause.root
    counted = plural(len(cause.blockers), "P0") if cause.blockers else root.severity
    title = f"{OUTCOME_ICONS[root.outcome]} {escape(root.title, 120)}"
    head = f"#### {title}{DOT}{signed(-cause.points)} points, {counted}"
    lines = [f"Measured by {code(root.check)}: {escape(root.reason)}"]
    if cause.also:
        lines.append(f"{escape(cause.also)}.")
    if root.fix:
        lines.append(f"Fix: {escape(root.fix, 600)}")
    parts = [head, "<br>\n".join(lines)]
    if root.reproduce:
        parts.append(_fenced(root.reproduce))
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    body = many_lines(text, 2000)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{body}\n{fence}"


def _next(card: Scorecard) -> str:
    plan = next_fixes(card)
    if plan.goal is None or not plan.fixes:
        return ""
    rows = [
        [
            escape(fix.cause.root.title, 120),
            str(fix.closes or ""),
            signed(fix.cause.points),
            score_text(fix.score_after),
        ]
        for fix in plan.fixes[:SHOWN_CAUSES]
    ]
    table = _table(["Fix", "Closes P0", "Points", "Score after"], "lrrr", rows)
    title = f"### What comes next: {escape(plan.goal.title, 40)}, from {plan.goal.needs}"
    return f"{title}\n\n{table}\n\n{escape(plan.summary)}"


def _categories(card: Scorecard) -> str:
    rows = [
        [escape(category_title(item.name), 60), f"{score_text(item.out_of_ten)} / 10",
         f"{item.earned:.1f} of {item.applicable:g}"]
        for item in card.categories
    ]  # fmt: skip
    return "### Categories\n\n" + _table(["Category", "Out of ten", "Points"], "lrr", rows)


def _findings(card: Scorecard) -> str:
    rows = [_finding(finding) for finding in card.findings]
    heads = ["Result", "Check", "Measured", "Needs", "Points", "Reason"]
    return "### Findings\n\n" + _table(heads, "llrrrl", rows)


def _finding(finding: ScoredFinding) -> list[str]:
    result = f"{OUTCOME_ICONS[finding.outcome]} {OUTCOME_WORDS[finding.outcome]}"
    if finding.waived_until:
        result += f", waived until {escape(finding.waived_until, 20)}"
    value = value_text(finding)
    interval = interval_text(finding)
    points = (
        ABSENT if finding.outcome is Outcome.NOT_APPLICABLE else f"{finding.earned:.1f} / {finding.points:g}"
    )
    return [
        result,
        f"{code(finding.check)} {finding.severity}",
        f"{value} ({interval})" if interval else value,
        limit_text(finding.limit, finding.unit),
        points,
        escape(finding.reason),
    ]


def _load(results: Sequence[LoadResult]) -> str:
    if not results:
        return ""
    rows = [_scenario(result) for result in results]
    heads = ["Scenario", "Users", "Requests", "Succeeded", "Cache hits", "Mean", "p50", "p95", "p99", "Rate"]
    notes = [
        f"{escape(item.scenario, 60)}: {escape(doubt)}" for item in results for doubt in load_doubts(item)
    ]
    return "\n\n".join(["### Load", _table(heads, "lrrrrrrrrr", rows), *notes])


def _scenario(result: LoadResult) -> list[str]:
    latencies = (
        result.avg_latency_ms,
        result.median_latency_ms,
        result.p95_latency_ms,
        result.p99_latency_ms,
    )
    return [
        escape(result.scenario, 60),
        load_text(result),
        f"{result.total_requests:,}",
        show(result.success_rate, "ratio"),
        ABSENT if result.cache_hit_rate is None else show(result.cache_hit_rate, "ratio"),
        *(ABSENT if latency is None else show(latency, "ms") for latency in latencies),
        show(result.requests_per_second, "per_s"),
    ]


def _recovery(snapshot: Snapshot) -> str:
    """What was broken on purpose, what came of it, and how to put it back by hand."""
    if not snapshot.breakages:
        return ""
    found = {finding.check: finding for finding in snapshot.findings}
    rows = []
    for check, each in by_check(snapshot.breakages).items():
        finding = found.get(check)
        came = f"{OUTCOME_ICONS[finding.outcome]} {escape(finding.reason, 240)}" if finding else ABSENT
        rows.append([escape(broken_text(each)), code(check), came, escape(restored_text(each))])
    lines = list(dict.fromkeys(each.by_hand for each in snapshot.breakages if each.by_hand))
    by_hand = "By hand, should it be needed:\n\n" + _fenced("\n".join(lines)) if lines else ""
    table = _table(["What was broken", "For", "What happened", "Put back"], "llll", rows)
    return "\n\n".join(filter(None, ("### Recovery: what was broken on purpose", table, by_hand)))


def _claims(claims: Sequence[ClaimState]) -> str:
    if not claims:
        return ""
    rows = []
    for claim in claims:
        verdict = f"{OUTCOME_ICONS[CLAIM_OUTCOMES[claim.verdict]]} {CLAIM_WORDS[claim.verdict]}"
        rows.append([escape(claim.text, 120), *claim_texts(claim), verdict])
    return "### Claimed beside measured\n\n" + _table(
        ["Claim", "Claimed", "Measured", "Verdict"], "lrrl", rows
    )


def _waivers(card: Scorecard) -> str:
    if not card.waivers:
        return ""
    rows = []
    for waiver in card.waivers:
        people = escape(waiver.owner, 60), escape(waiver.approver, 60)
        state = "in force" if waiver.in_force else escape(waiver.note, 120)
        rows.append(
            [code(waiver.check), escape(waiver.reason, 200), *people, escape(waiver.until, 20), state]
        )
    return "### Waivers\n\n" + _table(
        ["Check", "Reason", "Owner", "Approver", "Until", "State"], "llllll", rows
    )


def _table(heads: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    rule = ["--:" if side == "r" else ":--" for side in align]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))
