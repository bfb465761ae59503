"""Writes checks/README.md from the checks' own docstrings and the rubric, so that neither can drift."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from app import profiles
from app.rubric import Entry
from app.wording import category_title, family_title
from checks import LoadedCheck
from checks.contract import Kind

KINDS = {
    Kind.PASSIVE: "reads what is there",
    Kind.ACTIVE: "sends ordinary requests",
    Kind.LOAD: "sends many requests",
    Kind.FAULT: "breaks something on purpose and puts it back",
}
HEAD = """\
# Checks

Made by `python -m app checks docs -o checks/README.md` from the docstrings of the files here and from
`data/rubric.toml`; a test fails when it is out of date.

A check is one file, and its path is its id: `cache/hit_rate.py` is `cache.hit_rate`. In this order it holds
its docstring (the good condition, why it matters, how it is measured, how to fix it), `CHECK`, `Thresholds`,
`Evidence`, `gather` (I/O through instruments, no opinion) and `judge` (pure: evidence and thresholds to a
finding). It imports the standard library and `checks.contract`, nothing else. To add one: the file, its test,
and an entry in `data/rubric.toml`.
"""


def render(checks: Mapping[str, LoadedCheck], entries: Mapping[str, Entry]) -> str:
    """Write the page. ``entries`` are those of the rubric; a check without one is an error (KeyError)."""
    parts = [HEAD, _kinds(), _overview(list(checks.values()), entries)]
    for family, members in groupby(checks.values(), key=lambda check: check.family):
        parts.append(f"## {family_title(family)}\n")
        parts += [_check(check, entries[check.id]) for check in members]
    return "\n".join(parts)


def _kinds() -> str:
    return "\n".join([f"- **{kind}**: {words}" for kind, words in KINDS.items()]) + "\n"


def _overview(checks: Sequence[LoadedCheck], entries: Mapping[str, Entry]) -> str:
    rows = [
        [f"[`{check.id}`](#{_anchor(check.id)})", entry.severity, category_title(entry.category),
         f"{entry.points:g}", check.about.kind, _cell(check.docs["title"])]
        for check in checks
        for entry in [entries[check.id]]
    ]  # fmt: skip
    total = sum(entries[check.id].points for check in checks)
    heads = ["check", "severity", "category", "points", "kind", "good when"]
    return _table(heads, rows) + f"\n\n{len(checks)} checks, {total:g} points.\n"


def _check(check: LoadedCheck, entry: Entry) -> str:
    about = check.about
    takes_s = about.takes_in(profiles.named(profiles.DEFAULT))
    facts = (
        f"{entry.severity} · {category_title(entry.category)}, {entry.points:g} points · {about.kind}"
        f"{', hostile' if about.hostile else ''} · about {takes_s:g} s in the quick profile"
    )
    sections = (("Why it matters", "why"), ("How it is measured", "how"), ("How to fix it", "fix"))
    lines = [
        f"### {check.id}\n",
        f"**{check.docs['title']}.** When not: {about.failure_title}.\n",
        f"{facts}\n",
        f"{about.does}\n",
        *(f"*{title}*\n\n{inspect.cleandoc(check.docs[part])}\n" for title, part in sections),
        f"Needs: {', '.join(f'`{need}`' for need in about.needs) or 'nothing'}.\n",
    ]
    limits = _limits(check, entry)
    return "\n".join([*lines, limits] if limits else lines)


def _limits(check: LoadedCheck, entry: Entry) -> str:
    """The thresholds as they stand under the rubric, and which objective of a target wins over each."""
    rows = []
    for name, spec in check.thresholds.__dataclass_fields__.items():
        value = entry.thresholds.get(name, spec.default)
        stated = spec.metadata.get("objective", "")
        written = f"{value:g}" if isinstance(value, int | float) else str(value)
        rows.append([f"`{name}`", written, f"`[objectives] {stated}`" if stated else ""])
    return _table(["limit", "value", "a target may say"], rows) + "\n" if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
