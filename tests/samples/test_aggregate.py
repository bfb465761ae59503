"""Samples as charts need them: buckets over time, and a histogram; nothing is lost and nothing made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.samples.aggregate import (
    MOST_BUCKETS,
    Aggregate,
    aggregate,
    bucket_width_s,
    over_time,
    spread,
)
from app.samples.reading import SamplesError, open_samples
from app.samples.writing import part_of
from tests.views import loads

LATENCIES = st.lists(st.floats(0.001, 1e8), min_size=1, max_size=200)


def read(path: Path) -> Aggregate:
    found = aggregate(open_samples(path))
    assert found is not None
    return found


def test_every_answer_and_every_failure_is_in_one_bucket(tmp_path):
    rows = loads.requests(failing=0.1)
    found = read(loads.write(tmp_path / "heavy.parquet", rows)).over_time
    widths = np.diff(np.append(0, np.cumsum(np.full(len(found.at_s), found.step_s))))
    widths[-1] = found.span_s - found.step_s * (len(found.at_s) - 1)
    failed = sum(kind is not None for kind in rows["failure"])
    assert found.failed == failed
    assert round(float((found.failed_per_s * widths).sum())) == failed
    assert round(float((found.answered_per_s * widths).sum())) == len(rows["failure"]) - failed


def test_a_stall_stands_where_it_was(tmp_path):
    rows = loads.requests(seconds=60, stall_s=(30, 36))
    found = read(loads.write(tmp_path / "heavy.parquet", rows)).over_time
    assert 29 < found.at_s[int(np.nanargmax(found.p95_ms))] < 37
    assert found.worst_ms == pytest.approx(found.max_ms[~np.isnan(found.max_ms)].max())


def test_the_percentiles_of_a_bucket_are_those_of_its_requests():
    start, took = np.zeros(101), np.arange(101.0)
    found = over_time(start, took, np.ones(101, dtype=bool))
    assert (found.p50_ms[0], found.p95_ms[0], found.p99_ms[0], found.max_ms[0]) == (50, 95, 99, 100)


def test_a_stretch_in_which_nothing_began_is_a_gap_and_no_zero():
    start = np.concatenate([np.linspace(0, 10, 400), np.linspace(30, 40, 400)])
    found = over_time(start, np.full(800, 50.0), np.ones(800, dtype=bool))
    quiet = (found.at_s > 16) & (found.at_s < 28)
    assert quiet.sum() >= 3
    assert np.isnan(found.p95_ms[quiet]).all()
    assert (found.answered_per_s[quiet] == 0).all()


def test_failures_alone_make_no_latency():
    found = over_time(np.linspace(0, 6, 240), np.full(240, 5.0), np.zeros(240, dtype=bool))
    assert np.isnan(found.p95_ms).all()
    assert found.worst_ms is None
    assert found.failed == 240


@given(span=st.floats(0.1, 1e6), answers=st.integers(0, 10_000_000))
def test_there_are_never_more_buckets_than_a_chart_can_show(span, answers):
    assert span / bucket_width_s(span, answers) <= MOST_BUCKETS + 1


def test_few_answers_get_wide_buckets():
    assert bucket_width_s(6, 240) > bucket_width_s(6, 24_000)
    assert 6 / bucket_width_s(6, 240) >= 6


@given(LATENCIES)
def test_the_shares_of_a_histogram_are_all_the_answers(latencies):
    values = np.array(latencies)
    found = spread([("Answers", values)], 2 * len(values))
    [group] = found.groups
    assert group.shares.sum() == pytest.approx(0.5)
    assert len(found.edges_ms) == len(group.shares) + 1
    assert group.p50_ms <= group.p95_ms
    assert {group.p50_ms, group.p95_ms} <= set(values)


def test_hits_and_misses_are_told_apart_where_replies_are_marked(tmp_path):
    found = read(loads.write(tmp_path / "heavy.parquet", loads.requests())).latency
    hits, misses = found.groups
    assert (hits.name, misses.name) == ("Hits", "Misses")
    assert hits.p50_ms == pytest.approx(59, rel=0.1)
    assert misses.p50_ms == pytest.approx(1480, rel=0.15)
    assert hits.shares.sum() + misses.shares.sum() <= 1


def test_without_a_marker_there_is_one_distribution(tmp_path):
    rows = loads.unmarked(loads.requests())
    found = read(loads.write(tmp_path / "heavy.parquet", rows))
    assert [group.name for group in found.latency.groups] == ["Answers"]
    assert found.first_token is None
    assert found.gaps is None


def test_gaps_are_within_a_stream_and_never_between_two(tmp_path):
    rows = loads.unmarked(loads.requests(seconds=2, failing=0))
    count = len(rows["start_s"])
    rows |= {"first_token_ms": np.full(count, 400.0), "chunk_ms": [[400.0, 500.0, 600.0]] * count}
    gaps = read(loads.write(tmp_path / "stream.parquet", rows)).gaps
    assert gaps is not None
    [group] = gaps.groups
    assert group.count == 2 * count
    assert (group.p50_ms, group.p95_ms) == (100.0, 100.0)


def test_a_scenario_that_was_killed_is_read_as_far_as_it_came(tmp_path):
    path = loads.write(tmp_path / "heavy.parquet", loads.requests(), finished=False)
    assert part_of(path).exists()
    assert read(path).requests == len(loads.requests()["start_s"])


def test_an_empty_file_has_nothing_to_show(tmp_path):
    rows = {name: values[:0] for name, values in loads.requests().items()}
    assert aggregate(open_samples(loads.write(tmp_path / "none.parquet", rows))) is None


def test_a_file_of_something_else_says_so(tmp_path):
    path = tmp_path / "heavy.parquet"
    path.write_bytes(b"PAR1 this is none")
    with pytest.raises(SamplesError, match=r"heavy\.parquet cannot be read"):
        read(path)
