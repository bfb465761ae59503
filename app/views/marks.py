"""Marks made of HTML: icon, badge, ring, rail, strip, sparkline, bars, scale.

Each function takes plain text and numbers and returns HTML for ``st.html``; all text is escaped here, so what
a service sends is shown and never run. Shapes and colours are in static/greenlight.css: a status is always a
shape and a word as well as a colour, and what was not measured is hatched.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from app import wording
from app.records import RubricRef, ScoredFinding, Verdict
from app.wording import ABSENT
from checks.contract.findings import Limit, Outcome
from checks.contract.wording import NBSP, show

OUTCOME_ICONS = {
    Outcome.PASS: "pass",
    Outcome.WARN: "warn",
    Outcome.FAIL: "fail",
    Outcome.ERROR: "error",
    Outcome.NOT_ASSESSED: "none",
    Outcome.NOT_APPLICABLE: "na",
}
VERDICT_ICONS = {
    Verdict.NOT_READY: "fail",
    Verdict.MVP: "warn",
    Verdict.CONDITIONS: "cond",
    Verdict.PRODUCTION: "pass",
}
COUNT_WORDS = {
    Outcome.PASS: "pass",
    Outcome.WARN: "warn",
    Outcome.FAIL: "fail",
    Outcome.ERROR: "error",
    Outcome.NOT_ASSESSED: "not assessed",
    Outcome.NOT_APPLICABLE: "not applicable",
}
Zone = tuple[float, float, Outcome]
MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII punctuation: what a backslash takes the meaning of
CODE = re.compile(r"`([^`<>]+)`")
LONG_VERDICT = 12
RING_GAP = 1.2  # percent of the circle kept free on both sides of the dashed part


def text(words: str, limit: int = 400) -> str:
    """Words from anywhere as one safe line of HTML."""
    return escape(wording.one_line(words, limit))


def prose(words: str, limit: int = 600) -> str:
    """Words from anywhere as one safe line of HTML in which `code` in backticks is set as code."""
    return CODE.sub(r"<code>\1</code>", text(words, limit))


def label(words: str, limit: int = 120) -> str:
    """Words from anywhere as the label of a link, button or option, which Streamlit reads as Markdown.

    Unescaped, an image in a finding's title would be fetched, and a link would lead away.
    """
    return MARKDOWN.sub(r"\\\1", wording.one_line(words, limit))


def icon(name: str, tone: str = "") -> str:
    """A shape. It carries no words of its own: a word always stands beside it."""
    toned = f" gl-{tone}" if tone else ""
    return f'<span class="gl-i gl-i-{name}{toned}" aria-hidden="true"></span>'


def outcome_icon(outcome: Outcome) -> str:
    """The shape of an outcome in its colour."""
    return icon(OUTCOME_ICONS[outcome], wording.OUTCOME_TONES[outcome])


def badge(words: str, icon_name: str, tone: str) -> str:
    """A status: icon and word on its tint."""
    return f'<span class="gl-badge gl-{tone}">{icon(icon_name)}{text(words)}</span>'


def outcome_badge(outcome: Outcome) -> str:
    """The badge of an outcome."""
    return badge(wording.OUTCOME_WORDS[outcome], OUTCOME_ICONS[outcome], wording.OUTCOME_TONES[outcome])


def verdict_badge(verdict: Verdict) -> str:
    """The badge of a verdict."""
    return badge(wording.VERDICT_TITLES[verdict], VERDICT_ICONS[verdict], wording.VERDICT_TONES[verdict])


def heading(title: str, note: str = "", *, count: int | None = None) -> str:
    """The head of a card: its title, a count, and a note at the right."""
    counted = f'<span class="gl-count">{count}</span>' if count is not None else ""
    noted = f'<p class="gl-note">{text(note)}</p>' if note else ""
    return f'<div class="gl-h"><h2>{text(title)}{counted}</h2>{noted}</div>'


def facts(pairs: Iterable[tuple[str, str]], kind: str = "gl-kv") -> str:
    """Labels with their values, as a description list. Values are HTML."""
    inner = "".join(f"<div><dt>{text(label)}</dt><dd>{value}</dd></div>" for label, value in pairs)
    return f'<dl class="{kind}">{inner}</dl>'


def ring(score: float | None, grade: str, best_possible: float | None, tone: str) -> str:
    """The score as a ring: filled to the score, dashed on to the best possible."""
    if score is None:
        label, number, below = "No score yet", ABSENT, ""
    else:
        label = f"Score {score:.1f} of 100, grade {grade}, best possible {wording.score_text(best_possible)}"
        number, below = f"{score:.1f}", f"Grade {grade}"
    layers = [f'<span class="t" style="--m:{_arc(100)}"></span>']
    if score is not None and best_possible is not None and best_possible - score > 2 * RING_GAP:
        layers.append(f'<span class="b" style="--m:{_arc(0, dashes=_dashes(score, best_possible))}"></span>')
    if score:
        layers.append(f'<span class="s" style="--m:{_arc(min(score, 99.9))}"></span>')
    centre = f"<div><strong>{number}</strong>" + (f"<small>{text(below)}</small>" if below else "") + "</div>"
    inside = "".join(layers) + centre
    return f'<div class="gl-ring gl-{tone}" role="img" aria-label="{escape(label)}">{inside}</div>'


def _dashes(start: float, end: float) -> str:
    dashes, at = [0.0, start + RING_GAP], start + RING_GAP
    while at + 1.0 <= end:
        dashes += [1.0, 1.1]
        at += 2.1
    return " ".join(f"{part:g}" for part in (*dashes[:-1], 200))


def _arc(share: float, *, dashes: str = "") -> str:
    """The mask of one ring layer; its colour comes from the style sheet."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120"><circle cx="60" cy="60" r="54.5" '
        'fill="none" stroke="#000" stroke-width="9" pathLength="100" '
        f'stroke-dasharray="{dashes or f"{share:g} 200"}" stroke-linecap="{"butt" if dashes else "round"}" '
        'transform="rotate(-90 60 60)"/></svg>'
    )
    return _mask(svg)


def _mask(svg: str) -> str:
    return f"url(&quot;data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}&quot;)"


def rail(
    score: float, best_possible: float | None, rubric: RubricRef, tone: str, claimed: float | None = None
) -> str:
    """The score on 0 to 100 with the bands, hatched on to the best possible; the claim is a small mark."""
    best = max(score, best_possible or score)
    bands = [band for band in rubric.bands if band.from_score > 0]
    cuts = "".join(f'<i class="cut" style="left:{band.from_score:g}%"></i>' for band in bands)
    names = "".join(
        f'<span class="at{" last" if band is bands[-1] else ""}" style="left:{band.from_score:g}%">'
        f"<b>{band.from_score:g}</b> <span>{text(wording.BAND_NAMES[band.verdict])}</span></span>"
        for band in bands
    )
    mark = ""
    label = f"{score:.1f} of 100, best possible {best:.1f}; bands begin at " + ", ".join(
        f"{band.from_score:g}" for band in bands
    )
    if claimed is not None:
        mark = f'<span class="claim" style="left:{min(max(claimed, 6), 94):g}%">claimed {claimed:g}</span>'
        label += f"; claimed {claimed:g}"
    return (
        f'<div class="gl-rail gl-{tone}{" claimed" if mark else ""}" role="img" aria-label="{escape(label)}">'
        f'{mark}<div class="bar"><i class="fill" style="width:{score:g}%"></i>'
        f'<i class="best" style="left:{score:g}%;width:{best - score:g}%"></i>{cuts}</div>{names}</div>'
    )


def counts(outcomes: Sequence[Outcome], waiting: int | None = None) -> str:
    """How many of each outcome, worst word never without its shape."""
    tally = Counter(outcomes)
    parts = [
        f"<span>{outcome_icon(outcome)}<b>{tally[outcome]}</b> {COUNT_WORDS[outcome]}</span>"
        for outcome in COUNT_WORDS
        if tally[outcome]
    ]
    if waiting is not None:
        parts.append(f"<span>{icon('waiting', 'none')}<b>{waiting}</b> waiting</span>")
    return f'<div class="gl-counts">{"".join(parts)}</div>'


def strip(
    checks: Sequence[str], outcomes: dict[str, Outcome], *, now: Iterable[str] = (), big: bool = False
) -> str:
    """One cell a check, by family; cells rise with severity, so that the strip reads without colour."""
    families: dict[str, list[str]] = {}
    for check in checks:
        families.setdefault(check.partition(".")[0], []).append(check)
    running = set(now)
    blocks = []
    for family, inside in families.items():
        cells = "".join(_cell(check, outcomes.get(check), check in running) for check in inside)
        blocks.append(
            f'<div class="fam" style="flex-grow:{len(inside)}"><div class="cells">{cells}</div>'
            f'<div class="name">{text(wording.family_title(family))}</div></div>'
        )
    tally = Counter(COUNT_WORDS[outcome] for outcome in outcomes.values())
    label = ", ".join(f"{number} {word}" for word, number in tally.items()) or "nothing finished yet"
    size = " big" if big else ""
    spoken = f"Checks by family: {escape(label)}"
    return f'<div class="gl-strip{size}" role="img" aria-label="{spoken}">{"".join(blocks)}</div>'


def _cell(check: str, outcome: Outcome | None, running: bool) -> str:
    if running:
        return f'<span class="gl-cell now" title="{text(check)}: running"></span>'
    if outcome is None:
        return f'<span class="gl-cell wait" title="{text(check)}: waiting"></span>'
    tone = wording.OUTCOME_TONES[outcome]
    return (
        f'<span class="gl-cell gl-{tone} o-{outcome.value}" '
        f'title="{text(check)}: {wording.OUTCOME_WORDS[outcome].lower()}"></span>'
    )


def spark(values: Sequence[float], top: float) -> str:
    """A line of past values, 0 to ``top``, its last point a disc."""
    if not values:
        return '<div class="gl-spark"></div>'
    shown = list(values)
    step = 100 / max(1, len(shown) - 1)
    heights = [92 - 84 * min(1.0, max(0.0, value / top)) for value in shown]
    points = " ".join(f"{index * step:.1f},{height:.1f}" for index, height in enumerate(heights))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<polyline points="{points}" fill="none" stroke="#000" stroke-width="1.5" '
        'vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>'
    )
    return (
        f'<div class="gl-spark" aria-hidden="true"><span style="--m:{_mask(svg)}"></span>'
        f'<i style="top:{heights[-1]:.1f}%"></i></div>'
    )


def bar(share: float, tone: str = "none") -> str:
    """A thin bar; a number stands beside it."""
    width = 100 * min(1.0, max(0.0, share))
    return f'<div class="gl-bar gl-{tone}" aria-hidden="true"><i style="width:{width:.1f}%"></i></div>'


def step_bar(before: float, after: float, goals: Sequence[float]) -> str:
    """From one score to the next on 0 to 100, with the goals as ticks."""
    ticks = "".join(f'<u style="left:{goal:g}%"></u>' for goal in goals)
    return (
        f'<div class="gl-stepbar" aria-hidden="true"><i style="left:0;width:{before:g}%"></i>'
        f'<i class="new" style="left:{before:g}%;width:{max(0.0, after - before):g}%"></i>{ticks}</div>'
    )


def scale(finding: ScoredFinding) -> str:
    """The value against its limits: zones, a pointer, the interval as a bar across it."""
    limit, value, unit = finding.limit, finding.value, finding.unit
    if limit is None or value is None or unit is None:
        return ""
    low, high = _ends(limit, value)
    inside = zones(limit, low, high)
    span = high - low

    def at(number: float) -> float:
        return 100 * min(1.0, max(0.0, (number - low) / span))

    parts = "".join(
        f'<i class="gl-{wording.OUTCOME_TONES[outcome]}" style="flex:{end - start:g} 1 0">'
        + (
            f"<em>{outcome_icon(outcome)}{wording.OUTCOME_WORDS[outcome]}</em>"
            if (end - start) / span > 0.12
            else ""
        )
        + "</i>"
        for start, end, outcome in inside
    )
    edges = sorted({inside[0][0], *(zone[1] for zone in inside)})
    ticks = "".join(
        f'<span class="tick{_edge(number, low, high)}" style="left:{at(number):.2f}%">'
        f"{text(show(number, unit))}</span>"
        for number in _apart(edges, span)
    )
    interval = ""
    if finding.interval is not None:
        start, end = at(finding.interval[0]), at(finding.interval[1])
        interval = f'<span class="span" style="left:{start:.2f}%;width:{max(end - start, 0.5):.2f}%"></span>'
    label = f"{show(value, unit)}; passes {wording.limit_text(limit, unit)}; {finding.outcome.value}"
    return (
        f'<div class="gl-scale" role="img" aria-label="{text(label)}"><div class="zones">{parts}</div>'
        f'{interval}<span class="pointer" style="left:{at(value):.2f}%"></span>{ticks}</div>'
    )


def _ends(limit: Limit, value: float) -> tuple[float, float]:
    top = limit.high if limit.high is not None else 1.25 * max(limit.pass_at, limit.warn_at, value)
    high = max(top, value, limit.pass_at, limit.warn_at)
    if value == int(value) and limit.pass_at == int(limit.pass_at):  # a scale of whole things ends at one
        high = math.ceil(high)
    low = min(limit.low, value)
    return low, high if high > low else low + 1


def zones(limit: Limit, low: float, high: float) -> list[Zone]:
    """What fails, warns and passes between ``low`` and ``high``; empty stretches are left out."""
    near, far = sorted((limit.pass_at, limit.warn_at))
    order = (Outcome.FAIL, Outcome.WARN, Outcome.PASS)
    kinds = order if limit.better == "higher" else order[::-1]
    found = zip((low, near, far), (near, far, high), kinds, strict=True)
    return [zone for zone in found if zone[1] > zone[0]]


def _apart(edges: Sequence[float], span: float) -> list[float]:
    """Edges far enough apart for their labels: the ends and the inner ones that fit between."""
    kept = [edges[0]]
    for edge in edges[1:-1]:
        if edge - kept[-1] > 0.09 * span and edges[-1] - edge > 0.09 * span:
            kept.append(edge)
    return [*kept, edges[-1]]


def _edge(number: float, low: float, high: float) -> str:
    if number == low:
        return " first"
    return " last" if number == high else ""


def table(
    columns: Sequence[tuple[str, str]],
    rows: Iterable[Sequence[str]],
    *,
    label: str,
    empty: str = "",
    headless: bool = False,
) -> str:
    """A table to read. ``columns``: heading and class; cells are HTML.

    Class ``n`` is for numbers, ``r`` for such as may need two lines. The first cell heads its row.
    ``headless`` keeps the headings for screen readers only.
    """
    head = "".join(
        f'<th scope="col" class="{kind}">{text(name) if name else empty_heading(kind)}</th>'
        for name, kind in columns
    )
    body = []
    for row in rows:
        cells = f'<th scope="row" class="{columns[0][1]}">{row[0]}</th>' + "".join(
            f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(row[1:], columns[1:], strict=True)
        )
        body.append(f"<tr>{cells}</tr>")
    if not body:
        return f'<p class="gl-quiet">{text(empty)}</p>'
    hidden = ' class="gl-vh"' if headless else ""
    return (
        f'<table class="gl-table"><caption class="gl-vh">{text(label)}</caption>'
        f"<thead{hidden}><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def empty_heading(kind: str) -> str:
    """Words for a column that needs none to the eye."""
    return f'<span class="gl-vh">{"Chart" if "opt" in kind else "Status"}</span>'


def empty_state(first: str, then: str, *, with_ring: bool = False) -> str:
    """What to say where there is nothing to show: a bold fact and what to do about it."""
    circle = ring(None, "", None, "none") if with_ring else ""
    return f'<div class="gl-empty">{circle}<strong>{text(first)}</strong><p>{text(then)}</p></div>'


def banner(html: str, icon_name: str = "", tone: str = "none") -> str:
    """A line above a page. ``html`` is made of escaped parts."""
    shape = icon(icon_name, tone) if icon_name else ""
    return f'<div class="gl-banner">{shape}<span>{html}</span></div>'


def limit_words(finding: ScoredFinding) -> list[tuple[str, str]]:
    """``Passes from`` and ``Warns from`` with their values."""
    limit, unit = finding.limit, finding.unit
    if limit is None or unit is None:
        return []
    way = "from" if limit.better == "higher" else "up to"
    pairs = [(f"Passes {way}", text(show(limit.pass_at, unit)))]
    if limit.warn_at != limit.pass_at:
        pairs.append((f"Warns {way}", text(show(limit.warn_at, unit))))
    return pairs


def seconds(value: float) -> str:
    """A span of seconds for people."""
    return wording.duration(value).replace(" ", NBSP)
