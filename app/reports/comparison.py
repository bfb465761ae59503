"""Two runs compared, as JSON for programs: ``compare --json``. A key may be added, never renamed."""

from __future__ import annotations

import json
from typing import Any

from app.compare import Change, Comparison
from app.records import ScoredFinding

LISTS = ("better", "worse", "noise", "other", "added", "removed")


def render(comparison: Comparison) -> str:
    """Write the comparison: strict JSON with one trailing line break."""
    document: dict[str, Any] = {
        "score_change": comparison.score_change,
        "rubric_changed": comparison.rubric_changed,
        "categories": [
            {"name": item.name, "before": item.before, "after": item.after, "change": item.change}
            for item in comparison.categories
        ],
        **{name: [_change(change) for change in getattr(comparison, name)] for name in LISTS},
        "unchanged": comparison.unchanged,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _change(change: Change) -> dict[str, Any]:
    return {
        "check": change.check,
        "title": change.title,
        "points": round(change.points, 6),
        "before": _finding(change.before),
        "after": _finding(change.after),
    }


def _finding(finding: ScoredFinding | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    fields = ("outcome", "severity", "value", "unit", "interval", "earned")
    return {name: getattr(finding, name) for name in fields}
