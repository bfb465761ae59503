"""Samples, percentiles and validity: exact, and the same on disk."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.load.figures.selfwatch import SelfReport
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.figures.validity import Judged, validity
from app.instruments.load.recording import Recording
from app.instruments.load.samples import CHUNK_ROWS, FAILURE_CODES, NOTHING, Cached
from app.samples.columns import SCHEMA
from app.samples.reading import open_samples
from checks.contract import Arrivals, FailureKind, Goal, Stage
from tests.instruments.load.loads import a_plan, a_target, answers, load
from tests.instruments.servers import scripted

CALM = SelfReport(lag_p99_ms=0.1, cpu_ratio=0.1, wait_ratio=0.0, slowest_callback_ms=0.0)
CODES = st.sampled_from([0, 0, 0, *FAILURE_CODES.values()])
TIMES = st.floats(0, 1e6, allow_nan=False)
ROWS = st.lists(st.tuples(TIMES, CODES, st.sampled_from(list(Cached)), st.booleans()), max_size=300)
KIND = {code: kind and str(kind) for kind, code in FAILURE_CODES.items()}


def recorded(path, rows, *, finish=True, plan=None, **more):
    """A file with these requests, a tenth of a second apart, and what there is to sum up."""
    recording = Recording(path, {"scenario": "tried"}, measured_from=perf_counter())
    for number, (latency_ms, code, cached, streamed) in enumerate(rows):
        ok, status = code == 0, 200 if code == 0 else 0
        token_ms = latency_ms / 3 if streamed else NOTHING
        byte_ms = latency_ms / 2 if ok else NOTHING
        if streamed is not None:
            recording.samples.add_text_times([latency_ms / 3, latency_ms] if streamed else [])
        times = (number / 10, 0.0, latency_ms, byte_ms, token_ms, token_ms, token_ms)
        recording.samples.add(*times, 100, 2 if streamed else 0, number % 7, status, code, cached)
        if number % 100 == 99:
            recording.flush()
    recording.finish({}) if finish else recording.close()
    return Recorded(plan or a_plan(route="stream"), open_samples(path), CALM, {}, 10.0, **more)


@settings(max_examples=60)
@given(ROWS)
def test_the_figures_are_numpys_over_the_answered_requests(tmp_path_factory, rows):
    summary = summarize(recorded(tmp_path_factory.mktemp("s") / "tried.parquet", rows))
    latencies = [latency_ms for latency_ms, code, _, _ in rows if code == 0]
    tokens = [latency_ms / 3 for latency_ms, code, _, streamed in rows if code == 0 and streamed]
    assert summary.total_requests == len(rows)
    assert summary.successful == len(latencies)
    assert summary.failed == sum(summary.failures.values()) == len(rows) - len(latencies)
    assert summary.received_bytes == 100 * len(rows)
    assert summary.requests_per_second == len(rows) / summary.duration_s
    for share, value in (
        (50, summary.p50_ms),
        (90, summary.p90_ms),
        (95, summary.p95_ms),
        (99, summary.p99_ms),
        (99.9, summary.p999_ms),
    ):
        assert value == (np.percentile(latencies, share, method="higher") if latencies else None)
    assert summary.mean_ms == pytest.approx(np.mean(latencies) if latencies else None)
    assert (summary.min_ms, summary.max_ms) == (
        (min(latencies), max(latencies)) if latencies else (None, None)
    )
    assert summary.ttft_p99_ms == (np.percentile(tokens, 99, method="higher") if tokens else None)
    everyone = [*latencies, *[np.inf] * (len(rows) - len(latencies))]
    worst = np.percentile(everyone, 99, method="higher") if latencies else np.inf
    assert summary.p99_with_failures_ms == (None if worst == np.inf else worst)
    seen = {cached for _, code, cached, _ in rows if code == 0}
    assert summary.marked == (len(latencies) if {Cached.NO, Cached.YES} & seen else 0)


@settings(max_examples=30)
@given(ROWS, st.booleans())
def test_a_file_has_the_same_requests_whether_its_scenario_ended_or_not(tmp_path_factory, rows, ended):
    path = tmp_path_factory.mktemp("samples") / "tried.parquet"
    file = recorded(path, rows, finish=ended).samples
    assert file.partial is not ended
    assert file.about["scenario"] == "tried"
    assert [each.name for each in path.parent.iterdir()] == [
        "tried.parquet" if ended else "tried.parquet.part"
    ]
    found = file.columns(*SCHEMA.names)
    assert list(found["latency_ms"]) == [row[0] for row in rows]
    assert list(found["failure"]) == [KIND[row[1]] or "" for row in rows]
    same = {"equal_nan": True}
    status = [200 if row[1] == 0 else np.nan for row in rows]
    assert np.array_equal(np.asarray(found["status"], float), np.array(status, float), **same)
    words = {Cached.NO: 0, Cached.YES: 1}
    assert list(found["cached"]) == [words.get(row[2], -1) for row in rows]
    tokens = [row[0] / 3 if row[3] else np.nan for row in rows]
    assert np.array_equal(np.asarray(found["first_token_ms"], float), np.array(tokens, float), **same)
    for times, (latency_ms, _, _, streamed) in zip(found["chunk_ms"], rows, strict=True):
        assert list(times) == ([np.float32(latency_ms / 3), np.float32(latency_ms)] if streamed else [])
    if ended and rows:
        table = pq.read_table(path)
        assert table["failure"].to_pylist() == [KIND[row[1]] for row in rows]
        assert table["cached"].to_pylist() == [
            {Cached.NO: False, Cached.YES: True}.get(row[2]) for row in rows
        ]


def test_many_samples_in_one_second_are_kept_and_stand_in_row_groups(tmp_path):
    count = CHUNK_ROWS * 5 + 10
    recording = Recording(tmp_path / "new" / "many.parquet", {}, measured_from=perf_counter())
    for number in range(count):
        recording.samples.add(0.0, 0.0, float(number), *[NOTHING] * 4, 1, 0, 0, 200, 0, Cached.NO)
    assert recording.samples.waiting == count
    assert len(recording.flush().rows) == count
    recording.finish({})
    file = pq.ParquetFile(tmp_path / "new" / "many.parquet")
    assert file.read()["latency_ms"].to_pylist() == [float(number) for number in range(count)]


@settings(max_examples=20)
@given(st.integers(0, 3000))
def test_a_part_that_was_cut_off_anywhere_gives_the_batches_before_the_cut(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "tried.parquet"
    recorded(path, [(float(number), 0, Cached.NO, None) for number in range(300)], finish=False)
    part = path.with_name("tried.parquet.part")
    whole = part.read_bytes()
    header = len(whole) - 3 * (len(whole) // 5)
    part.write_bytes(whole[: max(header, len(whole) - cut)])
    latencies = open_samples(path).columns("latency_ms")["latency_ms"]
    assert list(latencies) == [float(number) for number in range(len(latencies))]
    assert len(latencies) % 100 == 0


def test_a_scenario_says_what_share_of_answers_met_every_goal(tmp_path):
    rows = (
        [(100.0, 0, Cached.NO, True)] * 6
        + [(300.0, 0, Cached.NO, True)] * 2
        + [(1.0, 3, Cached.NO, True)] * 2
    )
    goals = {Goal(latency_ms=100.0): 0.6, Goal(first_token_ms=100.0): 0.8, Goal(latency_ms=50.0): 0.0}
    for number, (goal, ratio) in enumerate(goals.items()):
        plan = a_plan(route="stream", goal=goal)
        assert summarize(recorded(tmp_path / str(number), rows, plan=plan)).goodput_ratio == ratio


def test_a_step_has_the_requests_that_were_meant_to_be_sent_in_it(tmp_path):
    plan = a_plan(stages=(Stage(1.0, 10, 10), Stage(2.0, 10, 30)), duration_s=3.0)
    rows = [(20.0, 0, Cached.NO, None)] * 10 + [(90.0, 0, Cached.NO, None)] * 20
    summary = summarize(recorded(tmp_path / "steps", rows, plan=plan, drops_s=(0.5, 2.5, 2.6)))
    first, second = summary.steps
    assert (first.offered_per_s, first.scheduled, first.dropped, first.answered) == (10, 11, 1, 10)
    assert (second.offered_per_s, second.scheduled, second.dropped, second.answered) == (20, 22, 2, 20)
    assert (first.p95_ms, second.p95_ms) == (20.0, 90.0)
    assert second.answered_per_s == 10.0
    assert summary.rate_per_s == pytest.approx(50 / 3)


def test_a_load_that_changes_has_nothing_to_settle_to(tmp_path):
    rows = [(20.0, 0, Cached.NO, None)] * 200
    level, ramp = (Stage(20.0, 10, 10),), (Stage(20.0, 5, 15),)
    found = [
        summarize(recorded(tmp_path / str(number), rows, plan=a_plan(stages=stages, duration_s=20.0)))
        for number, stages in enumerate((level, ramp))
    ]
    assert found[0].steady is not None
    assert found[1].steady is None


def test_the_file_of_a_run_gives_the_percentiles_of_its_summary(tmp_path):
    async def main():
        async with scripted(answers()) as server:
            return await load(a_target(server.url), samples_file=tmp_path / "tried.parquet", users=5)

    summary = uvloop.run(main()).summary
    table = pq.read_table(tmp_path / "tried.parquet")
    latencies = table["latency_ms"].to_numpy()
    assert len(latencies) == summary.total_requests
    for q, value in ((50, summary.p50_ms), (95, summary.p95_ms), (99, summary.p99_ms)):
        assert np.percentile(latencies, q, method="higher") == value
    assert table["first_byte_ms"].null_count == 0
    assert table["first_token_ms"].null_count == len(latencies)
    assert min(table["start_s"].to_pylist()) >= 0
    assert sum(table["bytes"].to_pylist()) == summary.received_bytes


def busy(lag_ms=0.1, cpu=0.1, wait=0.0, callback_ms=0.0):
    return SelfReport(lag_ms, cpu, wait, callback_ms)


@pytest.mark.parametrize(
    ("report", "samples", "median_ms", "expected", "words"),
    [
        (CALM, 100, 50.0, "valid", ""),
        (CALM, 100, None, "valid", ""),
        (busy(20.0), 100, 1.0, "valid", ""),
        (busy(90.0), 100, 300.0, "valid", ""),
        (busy(30.0), 100, 20.0, "suspect", "late by 30 ms"),
        (busy(300.0), 100, 200.0, "invalid", "late by 300 ms"),
        (busy(300.0, callback_ms=250.0), 100, 200.0, "invalid", "reporting progress took up to 250 ms"),
        (busy(cpu=0.7), 100, 50.0, "valid", ""),
        (busy(cpu=0.8), 100, 50.0, "suspect", "nearly the bottleneck: it used 80 % of a core"),
        (busy(cpu=0.95), 100, 50.0, "invalid", "was the bottleneck: it used 95 % of a core"),
        (busy(cpu=0.5, wait=0.48), 100, 50.0, "invalid", "waited for one 48 % of the time"),
        (CALM, 19, 50.0, "suspect", "Only 19\u00a0requests"),
        (CALM, 29, 50.0, "suspect", "at least 30"),
    ],
)
def test_a_driver_that_was_the_bottleneck_says_so(report, samples, median_ms, expected, words):
    judged = Judged(samples, 30 if samples == 29 else 0, median_ms)
    state, reasons = validity(report, judged)
    assert state == expected
    assert words in " ".join(reasons)
    assert bool(reasons) is (state != "valid")


@pytest.mark.parametrize(
    ("p50_ms", "p99_ms", "median_ms", "expected"),
    [
        (0.5, 1.2, 20.0, "valid"),
        (0.5, 1.2, 1.0, "suspect"),
        (0.5, 8.0, 12.0, "suspect"),
        (0.5, 15.0, 300.0, "valid"),
        (0.5, 30.0, 20.0, "invalid"),
        (0.5, 12.0, 1.0, "invalid"),
    ],
)
def test_requests_that_were_sent_late_speak_against_the_measurement(p50_ms, p99_ms, median_ms, expected):
    state, reasons = validity(CALM, Judged(100, 0, median_ms, p50_ms, p99_ms))
    assert state == expected
    assert ("late" in " ".join(reasons)) is (expected != "valid")


@pytest.mark.parametrize(
    ("arrivals", "samples", "expected", "words"),
    [
        (Arrivals(1000, 1000, 0), 1000, "valid", ""),
        (Arrivals(1000, 995, 5), 995, "suspect", "5 of 1,000\u00a0arrivals were dropped"),
        (Arrivals(1000, 900, 100), 900, "invalid", "100 of 1,000\u00a0arrivals were dropped"),
        (Arrivals(1000, 990, 0), 990, "invalid", "do not add up"),
        (Arrivals(1000, 1000, 0), 999, "invalid", "do not add up"),
    ],
)
def test_every_arrival_is_accounted_for(arrivals, samples, expected, words):
    state, reasons = validity(CALM, Judged(samples, 0, 20.0, 0.5, 1.0, arrivals))
    assert state == expected
    assert words in " ".join(reasons)


def test_what_is_partial_is_never_valid():
    assert validity(CALM, Judged(100, 0, 20.0), partial=True)[0] == "suspect"


def test_every_kind_of_failure_has_a_code_of_its_own():
    assert len(set(FAILURE_CODES.values())) == len(FailureKind) + 1


def test_a_closed_run_is_summed_up_in_the_parts_that_its_plan_asks_for(tmp_path):
    rows = [(10.0 * (number // 25 + 1), 0, Cached.NO, None) for number in range(100)]  # one each 0.1 s
    timed_out = FAILURE_CODES[FailureKind.TIMEOUT]
    rows[99] = (5.0, timed_out, Cached.NO, None)
    parts = summarize(recorded(tmp_path / "tried.parquet", rows, plan=a_plan(parts=4))).steps
    assert [(step.start_s, step.duration_s) for step in parts] == [(0, 2.5), (2.5, 2.5), (5, 2.5), (7.5, 2.5)]
    assert [step.scheduled for step in parts] == [25, 25, 25, 25]
    assert [step.offered_per_s for step in parts] == [10, 10, 10, 10]
    assert [step.p95_ms for step in parts] == [10, 20, 30, 40]
    assert (parts[3].answered, parts[3].failed, parts[3].timed_out) == (24, 1, 1)


def test_a_closed_run_whose_plan_asks_for_no_parts_has_none(tmp_path):
    assert summarize(recorded(tmp_path / "tried.parquet", [(5.0, 0, Cached.NO, None)])).steps == ()
