from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records import ScoredFinding, Verdict
from app.rubric import Rubric
from app.scoring import score
from checks.contract.findings import Outcome
from checks.contract.target.team import Claim, Waiver

TODAY = date(2026, 11, 23)


def rubric(**points: tuple[str, float]) -> Rubric:
    """A rubric of checks named ``f.<key>`` with (severity, points), all of category performance."""
    return Rubric.model_validate(
        {
            "name": "test",
            "version": 1,
            "categories": {"performance": 100},
            "bands": [
                {"verdict": "NOT READY", "from": 0, "min_coverage": 0},
                {"verdict": "ACCEPTABLE FOR MVP", "from": 60, "min_coverage": 0.70},
                {"verdict": "READY WITH CONDITIONS", "from": 75, "min_coverage": 0.85},
                {"verdict": "PRODUCTION READY", "from": 90, "min_coverage": 0.95},
            ],
            "caps": {"p0_failed": "NOT READY", "p0_not_assessed": "READY WITH CONDITIONS"},
            "grades": {"A": 90, "D": 60, "F": 0},
            "checks": {
                f"f.{name}": {"severity": severity, "category": "performance", "points": worth}
                for name, (severity, worth) in points.items()
            },
        }
    )


def finding(
    name: str,
    outcome: Outcome,
    points: float,
    severity: str = "P1",
    share: float | None = None,
    **more: object,
):
    earned = points * (share if share is not None else 1.0 if outcome is Outcome.PASS else 0.0)
    return ScoredFinding.model_validate(
        {
            "check": f"f.{name}",
            "title": name,
            "outcome": outcome,
            "severity": severity,
            "category": "performance",
            "points": points,
            "earned": earned,
            "reason": "because",
            **more,
        }
    )


def card(*findings: ScoredFinding, **more: object):
    book = rubric(**{item.check.removeprefix("f."): (item.severity, item.points) for item in findings})
    return score(findings, book, today=TODAY, **more)


def test_everything_passed_scores_100_and_is_production_ready() -> None:
    result = card(finding("a", Outcome.PASS, 60, "P0"), finding("b", Outcome.PASS, 40))
    assert (result.score, result.grade, result.verdict) == (100.0, "A", Verdict.PRODUCTION)
    assert (result.coverage, result.best_possible, result.capped_by) == (1.0, 100.0, ())


def test_what_was_not_assessed_or_broke_earns_nothing_and_stays_in_the_denominator() -> None:
    result = card(
        finding("a", Outcome.PASS, 70),
        finding("b", Outcome.NOT_ASSESSED, 20),
        finding("c", Outcome.ERROR, 10),
    )
    assert (result.score, result.coverage, result.best_possible) == (70.0, 0.7, 100.0)


def test_what_does_not_apply_leaves_the_score() -> None:
    result = card(
        finding("a", Outcome.PASS, 30),
        finding("b", Outcome.FAIL, 20),
        finding("c", Outcome.NOT_APPLICABLE, 50),
    )
    assert result.score == 60.0
    assert result.coverage == 1.0


def test_nothing_applicable_has_no_score_and_is_not_ready() -> None:
    result = card(finding("a", Outcome.NOT_APPLICABLE, 100))
    assert (result.score, result.best_possible, result.verdict) == (None, None, Verdict.NOT_READY)
    assert result.categories[0].out_of_ten is None


@pytest.mark.parametrize(
    ("earned", "verdict"),
    [
        (59.9, Verdict.NOT_READY),
        (60, Verdict.MVP),
        (74.9, Verdict.MVP),
        (75, Verdict.CONDITIONS),
        (89.9, Verdict.CONDITIONS),
        (90, Verdict.PRODUCTION),
    ],
)
def test_bands_begin_on_their_limit(earned: float, verdict: Verdict) -> None:
    result = card(finding("a", Outcome.PASS, earned), finding("b", Outcome.FAIL, 100 - earned))
    assert result.verdict is verdict


@pytest.mark.parametrize(
    ("coverage", "verdict"),
    [(1.0, Verdict.PRODUCTION), (0.94, Verdict.CONDITIONS), (0.9, Verdict.CONDITIONS)],
)
def test_too_little_coverage_lowers_the_band_and_says_so(coverage: float, verdict: Verdict) -> None:
    unmeasured = 100 - 100 * coverage
    findings = [finding("a", Outcome.PASS, 100 - unmeasured)]
    if unmeasured:
        findings.append(finding("b", Outcome.NOT_ASSESSED, unmeasured))
    result = card(*findings)
    assert result.verdict is verdict
    assert ("needs 95 %" in result.lowered_by) is (verdict is not Verdict.PRODUCTION)


def test_a_failed_p0_caps_the_verdict_and_the_score_keeps_its_value() -> None:
    result = card(finding("a", Outcome.PASS, 95), finding("b", Outcome.FAIL, 5, "P0"))
    assert (result.score, result.band) == (95.0, Verdict.PRODUCTION)
    assert (result.verdict, result.capped_by) == (Verdict.NOT_READY, ("f.b",))


@pytest.mark.parametrize("outcome", [Outcome.NOT_ASSESSED, Outcome.ERROR])
def test_a_p0_that_was_not_measured_caps_one_band_lower_than_the_best(outcome: Outcome) -> None:
    result = card(finding("a", Outcome.PASS, 98), finding("b", outcome, 2, "P0"))
    assert (result.verdict, result.capped_by) == (Verdict.CONDITIONS, ("f.b",))


def waiver(check: str, until: str) -> Waiver:
    return Waiver(check=check, reason="known", owner="ops", approver="lead", until=until)


@pytest.mark.parametrize(
    ("until", "in_force"),
    [("2026-11-23", True), ("2026-11-22", False), ("soon", False), ("2026-13-40", False)],
)
def test_a_waiver_lifts_the_cap_while_it_lasts_and_earns_nothing(until: str, in_force: bool) -> None:
    result = card(
        finding("a", Outcome.PASS, 95), finding("b", Outcome.FAIL, 5, "P0"), waivers=[waiver("f.b", until)]
    )
    assert result.score == 95.0
    assert result.waivers[0].in_force is in_force
    assert (result.verdict is Verdict.PRODUCTION) is in_force
    assert (result.findings[1].waived_until == until) is in_force


def test_a_finding_follows_only_from_a_check_that_failed() -> None:
    follower = finding("b", Outcome.FAIL, 50, follows_from="f.a")
    assert card(finding("a", Outcome.FAIL, 50), follower).findings[1].follows_from == "f.a"
    assert card(finding("a", Outcome.PASS, 50), follower).findings[1].follows_from is None


def test_a_claim_is_verified_refuted_or_not_measured() -> None:
    claims = [
        Claim(text="60 points", check="score", value=60),
        Claim(text="5x", check="f.a", value=5),
        Claim(text="fast", check="f.a", value=3, better="lower"),
        Claim(text="cheap", check="f.b", value=1),
    ]
    result = card(
        finding("a", Outcome.PASS, 50, value=4.0, unit="x"),
        finding("b", Outcome.NOT_ASSESSED, 50),
        claims=claims,
    )
    verdicts = [(claim.verdict, claim.measured) for claim in result.claims]
    assert verdicts == [("refuted", 50.0), ("refuted", 4.0), ("refuted", 4.0), ("not measured", None)]


outcomes = st.sampled_from(list(Outcome))


@st.composite
def sets_of_findings(draw: st.DrawFn) -> list[ScoredFinding]:
    found = []
    for index in range(draw(st.integers(1, 12))):
        outcome = draw(outcomes)
        share = draw(st.floats(0, 1)) if outcome is Outcome.WARN else None
        severity = draw(st.sampled_from(["P0", "P1", "P2"]))
        found.append(finding(str(index), outcome, draw(st.floats(0.1, 50)), severity, share))
    return found


@given(sets_of_findings())
def test_score_coverage_and_best_possible_stay_in_order(found: list[ScoredFinding]) -> None:
    result = card(*found)
    assert 0 <= result.coverage <= 1 + 1e-9
    if result.score is not None and result.best_possible is not None:
        assert 0 <= result.score <= result.best_possible <= 100


@given(sets_of_findings(), st.data())
def test_a_check_that_breaks_never_raises_the_score_or_the_verdict(
    found: list[ScoredFinding], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(found) - 1))
    before = card(*found)
    if found[index].outcome in (Outcome.NOT_APPLICABLE, Outcome.FAIL):
        return  # a failure that can no longer be measured may lift a cap, never points: see the next test
    found[index] = found[index].model_copy(update={"outcome": Outcome.ERROR, "earned": 0.0})
    after = card(*found)
    assert (after.score or 0) <= (before.score or 0)
    assert list(Verdict).index(after.verdict) <= list(Verdict).index(before.verdict)


@given(sets_of_findings(), st.data())
def test_a_failure_that_turns_into_an_error_earns_nothing(
    found: list[ScoredFinding], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(found) - 1))
    found[index] = found[index].model_copy(update={"outcome": Outcome.FAIL, "earned": 0.0})
    before = card(*found)
    found[index] = found[index].model_copy(update={"outcome": Outcome.ERROR})
    assert card(*found).score == before.score
