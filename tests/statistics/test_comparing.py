from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.samples.columns import SCHEMA
from app.samples.reading import open_samples
from app.samples.writing import SampleWriter
from app.statistics.comparing import (
    ERROR_PARTS,
    NOT_SHOWN,
    Figure,
    LoadComparison,
    LoadSamples,
    compare_loads,
)
from checks.contract.wording import show
from tests.statistics.services import CACHED, PLAIN, SERVICES, Service, run

NBSP = "\u00a0"
PAIRS = 40


def figure(comparison: LoadComparison, name: str) -> Figure:
    return next(row for row in comparison.figures if row.name == name)


def a_run(seed: int, *, factor: float = 1.0, count: int = 2000, duration_s: float = 30.0) -> LoadSamples:
    """A plain run of independent log-normal latencies."""
    random = np.random.default_rng(seed)
    return LoadSamples(
        f"run {seed}",
        np.sort(random.uniform(0, duration_s, count)),
        factor * 50 * np.exp(random.normal(0, 0.35, count)),
        np.ones(count, dtype=bool),
        np.full(count, np.nan),
        duration_s,
    )


@pytest.mark.parametrize(
    "service", [PLAIN, CACHED, SERVICES[3], SERVICES[6]], ids=lambda service: service.name
)
def test_two_runs_agree_and_a_slow_down_by_a_tenth_is_shown(service: Service) -> None:
    """The proof of the same name has ten times as many pairs of twice as many services."""
    alike = shown = 0
    for pair in range(PAIRS):
        before = run(service, 3 * pair)
        alike += all(
            row.verdict == NOT_SHOWN for row in compare_loads(before, run(service, 3 * pair + 1)).figures
        )
        shown += compare_loads(before, run(service, 3 * pair + 2, slower=1.1)).verdict == "slower"
    assert alike >= 0.95 * PAIRS
    assert shown >= 0.8 * PAIRS


def test_the_rows_stand_in_their_order_and_their_error_parts_make_five_percent() -> None:
    rows = [row.name for row in compare_loads(a_run(1), a_run(2)).figures]
    assert rows == ["Typical", "p50", "p95", "p99", "Mean", "Throughput", "Errors"]
    assert sum(ERROR_PARTS.values()) == pytest.approx(0.05)


def test_a_run_compared_with_itself_shows_no_difference() -> None:
    once = a_run(1)
    found = compare_loads(once, once)
    assert found.verdict == NOT_SHOWN
    assert all(row.ratio in (1.0, None) or row.name == "Typical" for row in found.figures)
    assert figure(found, "Typical").ratio == pytest.approx(1.0, abs=1e-4)
    assert found.words.startswith("No difference shown. A typical request would have had to change by ")


def test_the_same_samples_compare_alike_at_any_time_and_in_any_order() -> None:
    before, after = run(CACHED, 1), run(CACHED, 2, slower=1.3)
    mixed = np.random.default_rng(1).permutation(len(after.start_s))
    shuffled = replace(
        after,
        start_s=after.start_s[mixed],
        latency_ms=after.latency_ms[mixed],
        ok=after.ok[mixed],
        first_token_ms=after.first_token_ms[mixed],
    )
    once, again = compare_loads(before, after), compare_loads(before, shuffled)
    assert once == compare_loads(before, after)
    assert (again.verdict, again.words) == (once.verdict, once.words)


def test_there_and_back_are_each_others_opposite() -> None:
    before, after = a_run(1), a_run(2, factor=1.2)
    there, back = compare_loads(before, after), compare_loads(after, before)
    assert (there.verdict, back.verdict) == ("slower", "faster")
    for row in ("Typical", "p50", "p95", "Mean"):
        assert figure(there, row).ratio == pytest.approx(1 / (figure(back, row).ratio or 0), rel=1e-3)


def test_the_sentence_says_what_fell_and_when_the_first_token_came() -> None:
    before, after = a_run(1, factor=50), a_run(2, factor=33)
    before = replace(before, first_token_ms=before.latency_ms / 10)
    after = replace(after, first_token_ms=after.latency_ms / 10 * 50 / 33 * 1.34)
    found = compare_loads(before, after)
    rose = (figure(found, "First token").ratio or 0) - 1
    p95 = figure(found, "p95")
    assert p95.before is not None
    assert p95.after is not None
    assert found.words == (
        f"Faster. p95 fell from {show(p95.before, 'ms')} to {show(p95.after, 'ms')}. "
        f"The first token came {rose * 100:.0f}{NBSP}% later."
    )
    assert (figure(found, "First token").verdict, figure(found, "First token").words) == ("worse", "slower")


def test_a_tail_that_grew_makes_it_slower_although_its_middle_is_faster() -> None:
    before, after = a_run(1, count=8000), a_run(2, count=8000, factor=0.7)
    tail = np.random.default_rng(3).uniform(size=8000) < 0.1
    after = replace(after, latency_ms=np.where(tail, after.latency_ms * 8, after.latency_ms))
    found = compare_loads(before, after)
    assert found.verdict == "slower"
    assert found.words.startswith("Slower. p95 rose from ")
    assert " But p50 fell from " in found.words
    assert figure(found, "Typical").verdict == "better"


def test_a_change_of_the_tail_alone_is_shown_by_p95_and_not_by_the_typical_request() -> None:
    before, after = a_run(1, count=4000), a_run(2, count=4000)
    tail = np.random.default_rng(3).uniform(size=4000) < 0.08
    found = compare_loads(before, replace(after, latency_ms=np.where(tail, 400.0, after.latency_ms)))
    assert figure(found, "p95").verdict == "worse"
    assert found.verdict == "slower"
    assert figure(found, "p50").verdict == NOT_SHOWN


def test_more_errors_are_told_and_do_not_make_a_run_slower() -> None:
    after = a_run(2)
    after = replace(after, ok=np.random.default_rng(1).uniform(size=2000) > 0.05)
    found = compare_loads(a_run(1), after)
    errors = figure(found, "Errors")
    assert (found.verdict, errors.verdict, errors.words) == (NOT_SHOWN, "worse", "more")
    assert (errors.before, errors.ratio) == (0.0, None)
    share = f"{(errors.after or 0) * 100:.1f}".removesuffix(".0")
    assert found.words.endswith(f"More requests failed: {share}{NBSP}% instead of 0{NBSP}%.")


def test_a_few_errors_more_are_no_difference() -> None:
    before, after = (
        replace(a_run(seed), ok=np.arange(2000) % every > 0) for seed, every in ((1, 200), (2, 150))
    )
    errors = figure(compare_loads(before, after), "Errors")
    assert errors.verdict == NOT_SHOWN
    assert errors.interval is not None
    assert errors.interval[0] < 1 < errors.interval[1]


def test_a_failed_request_has_no_latency() -> None:
    before = a_run(1)
    failed = np.arange(2000) % 10 == 0
    after = replace(before, ok=~failed, latency_ms=np.where(failed, 1e9, before.latency_ms))
    assert figure(compare_loads(before, after), "Mean").verdict == NOT_SHOWN


def test_more_answers_a_second_are_better() -> None:
    found = compare_loads(a_run(1), a_run(2, count=3000))
    throughput = figure(found, "Throughput")
    assert (throughput.verdict, throughput.words) == ("better", "more")
    assert (throughput.before, throughput.after) == (pytest.approx(2000 / 30), pytest.approx(100))
    assert found.words.endswith(f"50{NBSP}% more answers came a second.")


def test_too_few_samples_are_said_and_not_compared() -> None:
    found = compare_loads(a_run(1, count=29), a_run(2, count=2000, factor=9))
    assert found.verdict == NOT_SHOWN
    assert found.words == "No difference shown. There are too few answers to compare."
    assert {row.words for row in found.figures if row.name != "Errors"} == {"too few samples"}


def test_a_percentile_is_left_open_where_its_interval_needs_more_samples() -> None:
    p99 = figure(compare_loads(a_run(1, count=300), a_run(2, count=300, factor=3)), "p99")
    assert (p99.verdict, p99.words, p99.interval, p99.smallest_shown) == (
        NOT_SHOWN,
        "too few samples",
        None,
        None,
    )
    assert p99.ratio is not None


def test_runs_without_a_request_can_be_compared() -> None:
    nothing = a_run(1, count=0)
    found = compare_loads(nothing, nothing)
    assert found.verdict == NOT_SHOWN
    assert all(row.words == "too few samples" for row in found.figures)


def test_samples_without_times_are_compared_by_latency_alone() -> None:
    runs = [replace(a_run(seed, factor=seed), start_s=np.zeros(2000), duration_s=0.0) for seed in (1, 2)]
    found = compare_loads(*runs)
    assert found.verdict == "slower"
    assert figure(found, "Throughput").words == "too few samples"


def test_first_token_is_a_row_only_where_both_runs_streamed() -> None:
    plain, streamed = a_run(1), replace(a_run(2), first_token_ms=a_run(3).latency_ms)
    assert "First token" not in [row.name for row in compare_loads(plain, streamed).figures]
    assert "First token" in [row.name for row in compare_loads(streamed, streamed).figures]


def test_the_noise_of_repeated_runs_is_a_band_within_which_nothing_is_shown() -> None:
    before, after = a_run(1), a_run(2, factor=1.1)
    assert compare_loads(before, after).verdict == "slower"
    restless = [a_run(3), a_run(4, factor=1.2), a_run(5, factor=0.95)]
    found = compare_loads(before, after, restless)
    typical = figure(found, "Typical")
    assert found.verdict == NOT_SHOWN
    assert typical.noise is not None
    assert typical.noise == (pytest.approx(0.95 / 1.2, rel=0.03), pytest.approx(1.2 / 0.95, rel=0.03))
    assert (typical.smallest_shown or 0) >= typical.noise[1]


def test_a_change_beyond_the_noise_of_repeated_runs_is_shown() -> None:
    quiet = [a_run(3), a_run(4), a_run(5)]
    found = compare_loads(a_run(1), a_run(2, factor=1.2), quiet)
    assert found.verdict == "slower"
    assert all(row.noise is not None for row in found.figures if row.name in ("Typical", "p50", "p95"))


def test_without_repeats_there_is_no_noise_band() -> None:
    assert {row.noise for row in compare_loads(a_run(1), a_run(2)).figures} == {None}


def test_the_smallest_shown_change_is_shown_about_eight_times_in_ten() -> None:
    smallest = [
        figure(compare_loads(run(PLAIN, n), run(PLAIN, n + 1)), "Typical").smallest_shown for n in range(9)
    ]
    slower = math.exp(float(np.mean(np.log([each for each in smallest if each]))))
    shown = [
        compare_loads(run(PLAIN, 2 * n), run(PLAIN, 2 * n + 1, slower=slower)).verdict for n in range(PAIRS)
    ]
    assert shown.count("slower") >= 0.7 * PAIRS


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6), st.booleans()), max_size=90),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6), st.booleans()), max_size=90),
)
def test_any_two_runs_can_be_compared(
    first: list[tuple[float, float, bool]], second: list[tuple[float, float, bool]]
) -> None:
    runs = [
        LoadSamples(
            "any",
            np.array([row[0] for row in rows], np.float64),
            np.array([row[1] for row in rows], np.float64),
            np.array([row[2] for row in rows], bool),
            np.full(len(rows), np.nan),
            10.0,
        )
        for rows in (first, second)
    ]
    for row in compare_loads(*runs).figures:
        if row.interval is not None and row.ratio is not None:
            assert row.interval[0] <= row.ratio * (1 + 1e-9)
            assert row.ratio <= row.interval[1] * (1 + 1e-9)
            assert (row.verdict == NOT_SHOWN) is (row.interval[0] <= 1 <= row.interval[1])


def test_samples_are_read_from_their_file(tmp_path: Path) -> None:
    columns = {
        "start_s": [0.0, 1.0, 2.0],
        "start_unix_s": [1e9] * 3,
        "dispatch_ms": [0.0] * 3,
        "latency_ms": [10.0, 20.0, 3000.0],
        "first_token_ms": [5.0, None, None],
        "bytes": [1] * 3,
        "user": [0] * 3,
        "worker": [0] * 3,
        "failure": [None, None, "timeout"],
    }
    rows = [
        pa.array(columns.get(field.name, [None] * 3), field.type)
        if not pa.types.is_dictionary(field.type)
        else pa.array(columns[field.name], pa.string()).dictionary_encode().cast(field.type)
        for field in SCHEMA
    ]
    for about, duration_s in (({"duration_s": "6.500"}, 6.5), ({}, 5.0)):
        writer = SampleWriter(tmp_path / "heavy.parquet", about)
        writer.append(pa.RecordBatch.from_arrays(rows, schema=SCHEMA))
        found = LoadSamples.of(open_samples(writer.finish()), "run #4")
        assert (found.name, found.duration_s, found.ok.tolist()) == (
            "run #4",
            duration_s,
            [True, True, False],
        )
        assert found.latency_ms.tolist() == [10.0, 20.0, 3000.0]
        assert np.isnan(found.first_token_ms).tolist() == [False, True, True]
