from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import theilslopes

from app.statistics.for_checks import RunStatistics
from app.statistics.trends import _alike, _kendall_deviation, line_through
from checks.contract.load import Trend

RUNS = 20


def trend_of(values: NDArray[np.float64], every_s: float = 1.0) -> Trend:
    found = RunStatistics().trend([(number * every_s, float(value)) for number, value in enumerate(values)])
    assert found is not None
    return found


def rises(found: Trend) -> bool:
    return found.interval[0] > 0


def test_a_clean_line_is_found_with_its_slope_ends_and_span() -> None:
    found = trend_of(100 + 0.5 * np.arange(20.0), every_s=2.0)
    assert found.per_hour == pytest.approx(0.25 * 3600)
    assert (found.start, found.end) == (pytest.approx(100.0), pytest.approx(109.5))
    assert (found.span_s, found.points) == (38.0, 20)


def test_fewer_than_ten_points_are_no_trend() -> None:
    assert RunStatistics().trend([(float(number), 1.0) for number in range(9)]) is None


def test_points_at_one_time_are_no_trend() -> None:
    assert RunStatistics().trend([(1.0, float(number)) for number in range(20)]) is None


def test_points_that_are_no_numbers_are_left_out() -> None:
    points = [(float(number), float(number)) for number in range(12)]
    found = RunStatistics().trend([*points, (5.0, float("nan")), (float("inf"), 1.0)])
    assert found is not None
    assert found.points == 12


def test_outliers_do_not_move_the_line() -> None:
    values = 0.1 * np.arange(100.0)
    values[[5, 50, 95]] = 1e6
    assert trend_of(values).per_hour == pytest.approx(360, rel=0.02)


def test_a_flat_noise_seldom_counts_as_a_trend() -> None:
    moved = 0
    for seed in range(RUNS * 5):
        found = trend_of(np.random.default_rng(seed).normal(100, 1, 120))
        moved += not found.interval[0] <= 0 <= found.interval[1]
    assert moved <= 0.1 * RUNS * 5


@pytest.mark.parametrize("count", [20, 60, 200, 2000])
def test_one_step_of_memory_is_no_leak(count: int) -> None:
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        step = np.arange(count) > count * random.uniform(0.2, 0.8)
        assert not rises(trend_of(100 + 10 * step + random.normal(0, 0.1, count)))


@pytest.mark.parametrize("count", [20, 60, 200, 2000])
def test_a_leak_in_many_steps_is_one(count: int) -> None:
    for steps in (5, 10):
        assert rises(trend_of(100 + 10 * np.floor(np.arange(count) / (count / steps))))


@pytest.mark.parametrize("count", [60, 200, 2000])
def test_a_leak_under_noise_is_found_and_its_slope_lies_in_the_interval(count: int) -> None:
    held = 0
    for seed in range(RUNS):
        found = trend_of(
            100 + 20 * np.arange(count) / count + np.random.default_rng(seed).normal(0, 3, count)
        )
        assert rises(found)
        held += found.interval[0] <= 20 / count * 3600 <= found.interval[1]
    assert held >= 0.85 * RUNS


def test_memory_that_is_freed_again_and_again_is_no_leak() -> None:
    sawtooth = np.arange(300.0) % 50
    assert not rises(trend_of(100 + sawtooth + np.random.default_rng(1).normal(0, 0.5, 300)))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e9, 1e9)), min_size=10, max_size=120))
def test_the_slope_lies_in_its_interval_whatever_the_points(points: list[tuple[float, float]]) -> None:
    found = RunStatistics().trend(points)
    if found is not None:
        assert found.interval[0] <= found.per_hour <= found.interval[1]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-20, 20)), min_size=3, max_size=40).filter(
        lambda points: len({time for time, _ in points}) > 1
    )
)
def test_a_slope_and_its_interval_are_those_of_scipy_where_points_are_not_alike(points):
    times, values = (np.array(column, float) for column in zip(*points, strict=True))
    with np.errstate(invalid="ignore"):
        oracle = theilslopes(values, times)
    assume(_kendall_deviation(times, values) > 0)  # where all are ties SciPy has no interval
    found = line_through(times, values)
    assert found.slope == pytest.approx(oracle.slope)
    if _alike(values - oracle.slope * times) == 0:
        assert found.interval == pytest.approx((oracle.low_slope, oracle.high_slope))
    else:
        assert found.interval[0] <= oracle.low_slope + 1e-9
        assert found.interval[1] >= oracle.high_slope - 1e-9
