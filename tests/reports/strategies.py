"""Any snapshot that could be: hostile text, missing numbers, every outcome."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from hypothesis import strategies as st

from app import scoring
from app.records import Breakage, ScoredFinding, Snapshot
from checks.contract.findings import Limit, Outcome
from checks.contract.target.team import Claim, Waiver
from checks.contract.wording import UNITS
from tests.records import HOSTILE, RUBRIC, load_result, run_info

texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [HOSTILE, "", "|", "`", "\\|", "<b>", "\x1b[2J", "a\r\nb", "[bold]", "]]>", "&amp;", "\\"]
    ),
)
numbers = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)
shares = st.sampled_from([0.0, 0.25, 1.0])


@st.composite
def limits(draw: Any) -> Limit:
    better = draw(st.sampled_from(["higher", "lower"]))
    high = draw(st.none() | numbers)
    return Limit(draw(numbers), draw(numbers), better, draw(numbers), high)


@st.composite
def findings(draw: Any, check: str) -> ScoredFinding:
    outcome = draw(st.sampled_from(Outcome))
    entry = RUBRIC.checks[check]
    earned = entry.points if outcome is Outcome.PASS else 0.0
    if outcome is Outcome.WARN:
        earned = entry.points * draw(shares)
    value = draw(st.none() | numbers)
    return ScoredFinding(
        check=check,
        title=draw(texts),
        outcome=outcome,
        severity=entry.severity,
        category=entry.category,
        points=entry.points,
        earned=earned,
        value=value,
        unit=draw(st.sampled_from(sorted(UNITS))) if value is not None else None,
        limit=draw(st.none() | limits()),
        interval=draw(st.none() | st.tuples(numbers, numbers)) if value is not None else None,
        reason=draw(texts),
        fix=draw(texts),
        reproduce=draw(texts),
        follows_from=draw(st.none() | st.sampled_from(sorted(RUBRIC.checks))),
        evidence=draw(st.dictionaries(texts, st.none() | st.booleans() | numbers | texts, max_size=3)),
        seconds=draw(st.floats(min_value=0, max_value=1e4)),
    )


@st.composite
def snapshots(draw: Any) -> Snapshot:
    found = [draw(findings(check)) for check in RUBRIC.checks]
    waivers = [Waiver(check=found[0].check, reason=draw(texts), owner=draw(texts), approver=draw(texts),
                      until=draw(st.sampled_from(["2027-01-01", "2020-01-01", "soon"])))]  # fmt: skip
    claims = [
        Claim(text=draw(texts), check=draw(st.sampled_from(["score", *RUBRIC.checks])), value=draw(numbers))
    ]
    card = scoring.score(found, RUBRIC, waivers=waivers, claims=claims, today=date(2026, 11, 18))
    scenario = load_result(draw(texts), errors=[draw(texts)], passed=draw(st.none() | st.booleans()),
                           avg_latency_ms=draw(st.none() | st.floats(0, 1e6)))  # fmt: skip
    run = run_info(4, card, target_name=draw(texts), started_by=draw(texts), message=draw(texts))
    broken = Breakage(check=found[0].check, lever=draw(texts), way=draw(texts), began_at=run.created_at,
                      seconds=draw(st.none() | st.floats(0, 1e4)), restored=draw(st.booleans()),
                      problem=draw(texts), by_hand=draw(texts))  # fmt: skip
    return Snapshot(run=run, scorecard=card, load_results=(scenario,), breakages=(broken,))


def is_close(one: float, other: float) -> bool:
    """Equal but for the rounding of sums in another order."""
    return math.isclose(one, other, abs_tol=1e-6)
