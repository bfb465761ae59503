"""A scorecard, a comparison and a live run on a terminal; plain lines where the output is no terminal.

Text from a service only ever goes into ``Text`` objects, which Rich takes as it is, with everything that
could move a cursor taken out.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.causes import Cause, causes, costs, next_fixes
from app.compare import Change, Comparison
from app.records import ClaimState, LoadResult, Scorecard, ScoredFinding, Snapshot
from app.wording import (
    ABSENT,
    BAND_NAMES,
    CLAIM_OUTCOMES,
    CLAIM_WORDS,
    DOT,
    OUTCOME_ICONS,
    OUTCOME_TONES,
    OUTCOME_WORDS,
    STATE_WORDS,
    VERDICT_ICONS,
    VERDICT_TONES,
    Tone,
    category_title,
    claim_texts,
    duration,
    family_title,
    limit_text,
    load_doubts,
    load_text,
    one_line,
    score_line,
    score_text,
    signed,
    value_text,
    verdict_sentence,
)
from checks.contract.findings import Outcome
from checks.contract.wording import plural, show

# Okabe-Ito hues at a lightness that keeps a contrast of 3 or more on white and on black.
STYLES: dict[Tone, str] = {
    "pass": "#2E93D1",
    "cond": "#2E93D1",
    "warn": "#B97D00",
    "fail": "#E0600A",
    "error": "#B9659A",
    "none": "dim",
}
NARROW, WIDE = 64, 100  # columns: below the first no values, from the second on the ids beside the titles
SHOWN = 5
TEN = 20  # cells of a bar that stands for ten points


def print_scorecard(console: Console, snapshot: Snapshot) -> None:
    """Print a run: the verdict first, then what blocks, categories, findings, times, and the next step."""
    card = snapshot.scorecard
    _facts(console, snapshot)
    if card is None:
        console.print(
            _text(snapshot.run.message or f"{STATE_WORDS[snapshot.run.state]}, without a score.", 400)
        )
        return
    _verdict(console, card)
    _blocking(console, card)
    _categories(console, card)
    _findings(console, card)
    _load(console, snapshot.load_results)
    _claims(console, card.claims)
    _times(console, card)
    _next_step(console, snapshot.run.run_id, card)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print what changed between two runs, largest first."""
    _heading(console, f"Score {signed(comparison.score_change)}")
    if comparison.rubric_changed:
        console.print("The rubric changed between these runs, so the two scores do not mean the same.")
    grid = _grid("left", "right", "left", "right", "right")
    for category in comparison.categories:
        change = "" if category.change is None else signed(category.change)
        numbers = score_text(category.before), "to", score_text(category.after)
        grid.add_row(_text(category_title(category.name)), *numbers, change)
    console.print(grid)
    for word, sign, changes in (
        ("better", "↑", comparison.better),
        ("worse", "↓", comparison.worse),
        ("within noise", "~", comparison.noise),
        ("other", "·", comparison.other),
        ("new", "+", comparison.added),
        ("gone", "-", comparison.removed),
    ):
        if changes or word in ("better", "worse"):
            _changes(console, f"{sign} {len(changes)} {word}", changes)
    console.print(f"\n{plural(comparison.unchanged, 'check')} unchanged.")


def _changes(console: Console, title: str, changes: Sequence[Change]) -> None:
    _heading(console, title)
    grid = _grid("left", "right", stretch=0)
    for change in changes:
        words = _text(change.title, 120)
        words.append(f"\n{change.check}{DOT}{change.text}", style="dim")
        grid.add_row(words, signed(change.points) if change.points else "")
    if changes:
        console.print(grid)


def _facts(console: Console, snapshot: Snapshot) -> None:
    run = snapshot.run
    facts = [one_line(run.url, 120), f"run #{run.number}", f"{one_line(run.profile, 40)} profile"]
    if run.started_at and run.finished_at:
        facts[-1] += f", {duration((run.finished_at - run.started_at).total_seconds())}"
    if snapshot.scorecard:
        facts.append(f"rubric {snapshot.scorecard.rubric.version}")
    console.print()
    console.print(_text(run.target_name, 80, style="bold"))
    console.print(Text(DOT.join(facts), style="dim"))
    console.print()


def _verdict(console: Console, card: Scorecard) -> None:
    style = STYLES[VERDICT_TONES[card.verdict]]
    line = Text(f"{VERDICT_ICONS[card.verdict]} {card.verdict}", style=f"bold {style}")
    console.print(line)
    numbers = Text(score_line(card.score, card.coverage, card.best_possible), style="bold")
    console.print(numbers.append(f"{DOT}grade {one_line(card.grade, 8)}", style="not bold"))
    _rail(console, card, style)
    console.print(_text(verdict_sentence(card)))


def _rail(console: Console, card: Scorecard, style: str) -> None:
    """The scale of the score: earned, then what the unmeasured checks could still earn, and the bands."""
    width = min(90, console.width - 2)
    earned = round(width * (card.score or 0.0) / 100)
    possible = max(0, round(width * (card.best_possible or 0.0) / 100) - earned)
    rail = Text().append("█" * earned, style=style)
    rail.append("▒" * possible, style="dim").append("░" * (width - earned - possible), style="dim")
    console.print(rail)
    console.print(Text(_band_marks(card, width), style="dim"))


def _band_marks(card: Scorecard, width: int) -> str:
    """Where the bands begin, named where the names fit."""
    marks = [(round(width * band.from_score / 100), band) for band in card.rubric.bands[1:]]
    for names in (True, False):
        line = ""
        for start, band in marks:
            fits = len(line) <= start
            name = f" {BAND_NAMES[band.verdict]}" if names else ""
            line = f"{line.ljust(start)}{band.from_score:g}{name} " if fits else "x" * (width + 1)
        if len(line.rstrip()) <= width:
            return line.rstrip()
    return ""


def _blocking(console: Console, card: Scorecard) -> None:
    blocking = causes(card)
    everything = costs(card)
    shown = blocking or everything[:SHOWN]
    if not shown:
        return
    _heading(console, "What blocks the release" if blocking else "What still costs points")
    grid = _grid("left", "left", "right", stretch=1)
    for cause in shown:
        grid.add_row(*_cause(cause))
    console.print(grid)
    rest = everything[SHOWN:] if not blocking else []
    if rest:
        lost = sum(cause.points for cause in rest)
        console.print(Text(f"  {len(rest)} more cost {lost:.1f} points together.", style="dim"))


def _cause(cause: Cause) -> tuple[Text, Text, Text]:
    root = cause.root
    words = _text(root.title, 120, style="bold")
    words.append(f"\n{one_line(root.reason)}", style="not bold")
    if cause.also:
        words.append(f"\n{one_line(cause.also)}", style="not bold dim")
    if root.fix:
        words.append(f"\nFix: {one_line(root.fix)}", style="not bold")
    counted = plural(len(cause.blockers), "P0") if cause.blockers else root.severity
    points = Text(f"{signed(-cause.points)} points", style="bold").append(
        f"\n{counted}", style="not bold dim"
    )
    return _sign(root.outcome), words, points


def _categories(console: Console, card: Scorecard) -> None:
    _heading(console, "Categories, out of ten")
    grid = _grid("left", "right", "left", "right")
    for category in card.categories:
        cells = round(TEN * (category.out_of_ten or 0.0) / 10)
        bar = Text().append("━" * cells, style="bold").append("─" * (TEN - cells), style="dim")
        points = Text(f"{category.earned:.1f} of {category.applicable:g} points", style="dim")
        grid.add_row(_text(category_title(category.name), 40), score_text(category.out_of_ten), bar, points)
    console.print(grid)


def _findings(console: Console, card: Scorecard) -> None:
    told = {cause.root.check for cause in causes(card)}
    families: dict[str, list[list[Text]]] = {}
    for finding in card.findings:
        families.setdefault(finding.family, []).append(_finding(finding, told, console.width))
    columns = zip(*(row for rows in families.values() for row in rows), strict=True)
    widths = [max(cell.cell_len for cell in column) for column in columns]  # the same in every family
    numbers = 1 if console.width < NARROW else 3
    for family, rows in families.items():
        _heading(console, family_title(family))
        align = ["left"] * (len(widths) - numbers) + ["right"] * numbers
        grid = _grid(*align, stretch=1, widths=widths)
        for row in rows:
            grid.add_row(*row)
        console.print(grid)


def _finding(finding: ScoredFinding, told: set[str], width: int) -> list[Text]:
    """One row; ``told`` are the checks whose reason stands above, among what blocks."""
    status = _sign(finding.outcome).append(f" {OUTCOME_WORDS[finding.outcome]}", style="not bold")
    words = _text(finding.title, 120)
    if finding.outcome is not Outcome.PASS:
        words.append(f"\n{one_line(DOT.join(_remarks(finding, told, width)), 600)}", style="dim")
    cells = [status, words]
    if width >= WIDE:
        cells.append(_text(finding.check.partition(".")[2], 40, style="dim"))
    if width >= NARROW:
        cells += [Text(value_text(finding)), Text(limit_text(finding.limit, finding.unit))]
    return [*cells, Text(_points(finding))]


def _remarks(finding: ScoredFinding, told: set[str], width: int) -> list[str]:
    remarks: list[str] = [finding.severity] if width >= WIDE else [finding.check, finding.severity]
    if finding.waived_until:
        remarks.append(f"waived until {finding.waived_until}")
    if finding.follows_from:
        remarks.append(f"follows from {finding.follows_from}")
    elif finding.check not in told:
        remarks.append(finding.reason)
    return remarks


def _points(finding: ScoredFinding) -> str:
    if finding.outcome is Outcome.NOT_APPLICABLE:
        return ABSENT
    return f"{finding.earned:.1f} of {finding.points:g}"


def _load(console: Console, results: Sequence[LoadResult]) -> None:
    if not results:
        return
    _heading(console, "Load")
    grid = _grid("left", *["right"] * 7)
    heads = ("scenario", "users", "requests", "succeeded", "hits", "p50", "p95", "rate")
    grid.add_row(*(Text(head, style="dim") for head in heads))
    for result in results:
        hits = ABSENT if result.cache_hit_rate is None else show(result.cache_hit_rate, "ratio")
        times = (result.median_latency_ms, result.p95_latency_ms)
        grid.add_row(
            _text(result.scenario, 40),
            load_text(result),
            f"{result.total_requests:,}",
            show(result.success_rate, "ratio"),
            hits,
            *(ABSENT if time is None else show(time, "ms") for time in times),
            show(result.requests_per_second, "per_s"),
        )
    console.print(grid)
    for result in results:
        for doubt in load_doubts(result):
            console.print(_text(f"{one_line(result.scenario, 40)}: {doubt}", 600, style="dim"))


def _claims(console: Console, claims: Sequence[ClaimState]) -> None:
    if not claims:
        return
    _heading(console, "Claimed beside measured")
    grid = _grid("left", "right", "right", "left")
    for claim in claims:
        verdict = _sign(CLAIM_OUTCOMES[claim.verdict]).append(
            f" {CLAIM_WORDS[claim.verdict]}", style="not bold"
        )
        grid.add_row(_text(claim.text, 80), *claim_texts(claim), verdict)
    console.print(grid)


def _times(console: Console, card: Scorecard) -> None:
    slowest = sorted(card.findings, key=lambda item: -item.seconds)[:SHOWN]
    total = sum(item.seconds for item in card.findings)
    if not total:
        return
    _heading(console, f"Where the time goes: {duration(total)} in {plural(len(card.findings), 'check')}")
    grid = _grid("left", "left", "right")
    for finding in slowest:
        cells = round(TEN * finding.seconds / slowest[0].seconds)
        grid.add_row(_text(finding.check, 60), Text("━" * cells, style="dim"), duration(finding.seconds))
    console.print(grid)


def _next_step(console: Console, run_id: int, card: Scorecard) -> None:
    plan = next_fixes(card)
    _heading(console, "Next")
    if plan.summary:
        console.print(_text(plan.summary))
    unmeasured = [item for item in card.findings if item.outcome is Outcome.NOT_ASSESSED and item.missing]
    points = sum(item.points for item in unmeasured)
    if points:
        keys = ", ".join(dict.fromkeys(one_line(item.missing or "", 60) for item in unmeasured))
        console.print(_text(f"{points:g} points more can be measured once the target file has: {keys}.", 600))
    commands = [f"python -m app runs export {run_id} --format html -o report.html"]
    if plan.fixes:
        commands.insert(0, f"python -m app checks show {one_line(plan.fixes[0].cause.root.check, 80)}")
    for command in commands:
        console.print(Text(f"  {command}", style="dim"), soft_wrap=True)
    console.print()


def _sign(outcome: Outcome) -> Text:
    return Text(OUTCOME_ICONS[outcome], style=f"bold {STYLES[OUTCOME_TONES[outcome]]}")


def _text(words: str, limit: int = 400, style: str = "") -> Text:
    return Text(one_line(words, limit), style=style)


def _heading(console: Console, words: str) -> None:
    console.print()
    console.print(_text(words, 120, style="bold"))


def _grid(*align: str, stretch: int | None = None, widths: Sequence[int] = ()) -> Table:
    """A table without lines; the column ``stretch`` takes the room that is left and breaks its lines."""
    grid = Table.grid(padding=(0, 2, 0, 0), expand=stretch is not None)
    for number, side in enumerate(align):
        stretches = number == stretch
        grid.add_column(
            justify="right" if side == "right" else "left",
            no_wrap=not stretches and stretch is not None,
            ratio=1 if stretches else None,
            min_width=widths[number] if widths and not stretches else None,
        )
    return grid
