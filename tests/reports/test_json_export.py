"""The JSON export: its keys, its schema, what it reads and what it refuses."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.records import SCHEMA_VERSION, Snapshot
from app.reports import FORMATS, json_export
from app.reports.json_export import SnapshotError, parse, render
from checks.contract.findings import Outcome
from tests import records
from tests.reports.strategies import snapshots

V1 = Path(__file__).parent.parent / "evidence" / "export-v1.json"
RUN_KEYS = [
    "schema_version",
    "run_id",
    "target",
    "profile",
    "started_by",
    "started_at",
    "finished_at",
    "state",
    "score",
    "grade",
    "verdict",
    "coverage",
    "best_possible",
    "capped_by",
    "categories",
    "findings",
    "claims",
    "waivers",
    "load_results",
    "rubric",
]
FINDING_KEYS = [
    "check",
    "title",
    "outcome",
    "severity",
    "category",
    "points",
    "earned",
    "value",
    "unit",
    "limit",
    "interval",
    "reason",
    "fix",
    "reproduce",
    "follows_from",
    "evidence",
    "seconds",
]


@pytest.mark.parametrize("snapshot", [records.as_found(), records.mended(), records.hostile()])
def test_the_keys_that_programs_rely_on_are_all_there(snapshot):
    document = json.loads(render(snapshot))
    assert not [key for key in RUN_KEYS if key not in document]
    for finding in document["findings"]:
        assert not [key for key in FINDING_KEYS if key not in finding]
    assert all({"name", "earned", "applicable", "out_of_ten"} <= set(item) for item in document["categories"])
    assert {"name", "version", "sha256"} <= set(document["rubric"])


def test_the_numbers_are_those_of_the_scorecard():
    snapshot = records.as_found()
    document = json.loads(render(snapshot))
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["score"] == snapshot.scorecard.score == 36.5
    assert document["verdict"] == "NOT READY"
    assert document["state"] == "finished"
    assert document["capped_by"][0] == "endpoint_health.primary_route"
    hit_rate = next(item for item in document["findings"] if item["check"] == "cache.hit_rate")
    assert hit_rate["limit"] == {"pass_at": 0.7, "warn_at": 0.5, "better": "higher", "low": 0.0, "high": 1.0}
    assert hit_rate["interval"] == [0.0, 0.02]


def test_an_interrupted_run_is_exported_without_a_score():
    document = json.loads(render(records.interrupted()))
    assert document["state"] == "interrupted"
    assert document["scored"] is False
    assert document["score"] is None
    assert document["findings"] == []


@pytest.mark.parametrize(
    "snapshot", [records.as_found(), records.mended(), records.interrupted(), records.hostile()]
)
def test_an_export_reads_back_as_the_same_run(snapshot):
    assert parse(render(snapshot)) == snapshot


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_any_run_survives_the_round_trip(snapshot: Snapshot):
    text = render(snapshot)
    assert parse(text) == snapshot
    assert render(parse(text)) == text


def test_the_order_of_keys_is_always_the_same():
    assert list(json.loads(render(records.as_found()))) == list(json.loads(render(records.interrupted())))


def test_nan_and_half_surrogates_in_evidence_become_strict_json():
    finding = records.finding(
        "cache.reachable", evidence={"p95": math.nan, "max": [math.inf], "odd": "\ud800"}
    )
    snapshot = records.as_found().model_copy(update={"scorecard": records.card(finding)})
    document = json.loads(render(snapshot), parse_constant=lambda name: pytest.fail(f"{name} in strict JSON"))
    assert document["findings"][0]["evidence"] == {"p95": None, "max": [None], "odd": "?"}


def test_the_published_schema_is_up_to_date():
    published = Path(json_export.__file__).with_name("schema.json").read_text(encoding="utf-8")
    assert published == json_export.schema(), (
        "write app.reports.json_export.schema() to app/reports/schema.json"
    )


def test_a_stored_export_of_version_1_still_loads_with_its_meaning():
    snapshot = parse(V1.read_text(encoding="utf-8"), str(V1))
    assert (snapshot.run.run_id, snapshot.run.target_name) == (4, "Support chat API")
    assert (snapshot.scorecard.score, snapshot.scorecard.best_possible) == (36.5, 41.5)
    outcomes = {finding.check: finding.outcome for finding in snapshot.scorecard.findings}
    assert outcomes["endpoint_health.primary_route"] is Outcome.FAIL
    assert outcomes["cache.outage_fallback"] is Outcome.NOT_ASSESSED
    assert [result.scenario for result in snapshot.load_results] == ["baseline", "light", "medium", "heavy"]
    assert [claim.verdict for claim in snapshot.scorecard.claims].count("refuted") == 3


def changed(**changes: object) -> str:
    return json.dumps(json.loads(render(records.as_found())) | changes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("\x00\x01", "not JSON"),
        ("<html>", "not JSON"),
        ("[]", "schema_version: missing"),
        ("{}", "schema_version: missing"),
        ('{"schema_version": true}', "schema_version: missing"),
        ('{"schema_version": 1}', "run_id: Field required"),
        (changed(schema_version=2), "schema_version: 2 is newer than 1. Update Greenlight"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        (changed(findings=[], extra=json.loads("[" * 70 + "]" * 70)), "nested deeper than 64 levels"),
        (changed(score="NaN"), "score"),
        (changed(score=1e300), "score: Input should be less than or equal to 100"),
        (changed(run_id=2**64), "run_id"),
        (changed(started_at="2026-11-18T14:21:00"), "started_at: Input should have timezone info"),
        (changed(verdict=None), "verdict is null"),
        (changed(verdict="FINE"), "verdict"),
        (changed(score=1).replace('"score": 1', '"score": NaN'), "NaN is not a JSON number"),
        (changed(score=1).replace('"score": 1', '"score": 1e999'), "too large a number"),
        (changed(score=1).replace('"unit": "ms"', '"unit": "furlong"'), "unknown unit 'furlong'"),
        (changed(score=1).replace('00Z"', '00"'), "timezone"),
        (changed(score=1).replace('"outcome": "pass"', '"outcome": "splendid"'), "findings.0.outcome"),
    ],
)  # fmt: skip
def test_what_is_not_an_export_is_refused_with_file_key_and_remedy(text, says):
    with pytest.raises(SnapshotError) as refused:
        parse(text, "somewhere.json")
    message = str(refused.value)
    assert message.startswith("somewhere.json: ")
    assert says in message
    assert "\n" not in message


@settings(max_examples=200)
@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_refused_and_nothing_else_happens(text):
    with pytest.raises(SnapshotError):
        parse(text)


@settings(max_examples=60)
@given(st.sampled_from(RUN_KEYS), st.none() | st.floats() | st.text() | st.lists(st.none()) | st.integers())
def test_a_spoilt_key_is_read_or_refused_but_never_crashes(key, value):
    try:
        snapshot = parse(changed(**{key: value}))
    except SnapshotError:
        return
    assert isinstance(snapshot, Snapshot)


def test_the_file_name_holds_nothing_that_a_shell_or_a_path_would_heed():
    snapshot = records.hostile()
    for offered in FORMATS.values():
        name = offered.filename(snapshot)
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
        assert name.endswith(f"-run-5.{offered.extension}")
