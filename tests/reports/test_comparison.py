"""A comparison as JSON."""

import json

from hypothesis import HealthCheck, given, settings

from app.compare import compare
from app.reports.comparison import LISTS, render
from tests.records import as_found, mended
from tests.reports.strategies import snapshots


def test_programs_get_points_outcomes_and_values_of_what_changed():
    document = json.loads(render(compare(as_found(), mended())))
    assert document["score_change"] == 60.9
    assert document["rubric_changed"] is False
    assert document["unchanged"] == 4
    heavy = document["better"][0]
    assert heavy["check"] == "load_scenarios.heavy"
    assert heavy["points"] == 15.0
    assert heavy["before"] == {
        "outcome": "fail",
        "severity": "P0",
        "value": 0.0,
        "unit": "ratio",
        "interval": None,
        "earned": 0.0,
    }
    assert heavy["after"]["outcome"] == "pass"
    assert {"name": "cost", "before": 0.0, "after": 10.0, "change": 10.0} in document["categories"]


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(snapshots(), snapshots())
def test_any_comparison_is_strict_json_that_names_every_change(before, after):
    if before.scorecard.score is None or after.scorecard.score is None:
        return
    comparison = compare(before, after)
    document = json.loads(render(comparison))
    for name in LISTS:
        assert [item["check"] for item in document[name]] == [
            change.check for change in getattr(comparison, name)
        ]
