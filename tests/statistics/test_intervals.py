from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from app.statistics.intervals import (
    PercentileInterval,
    Source,
    fewest_for,
    mean_interval,
    normal_quantile,
    order_statistics,
    percentile_intervals,
    wilson,
)
from checks.contract.numbers import wilson_interval

SIGMA = 0.5
REPEATS = 300


def alike(count: int, correlation: float, seed: int) -> NDArray[np.float64]:
    """Log-normal samples whose logarithms follow an AR(1) process."""
    random = np.random.default_rng(seed)
    shocks = random.normal(0, math.sqrt(1 - correlation**2), count)
    state = random.normal()
    states = np.empty(count)
    for number in range(count):
        state = correlation * state + shocks[number]
        states[number] = state
    return np.exp(SIGMA * states)


def source_of(values: NDArray[np.float64], pieces: int = 1) -> Source:
    times = np.arange(len(values), dtype=np.float64)
    parts = list(zip(np.array_split(times, pieces), np.array_split(values, pieces), strict=True))
    return lambda: parts


def intervals_of(source: Source, *shares: float) -> list[PercentileInterval]:
    found = percentile_intervals(source, shares)
    assert found is not None
    return found


@pytest.mark.parametrize(("share", "fewest"), [(0.5, 6), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_so_many_samples_are_needed_for_an_interval(share: float, fewest: int) -> None:
    assert fewest_for(share) == fewest
    assert order_statistics(share, fewest - 1, fewest - 1, 0.95) is None
    low, high = order_statistics(share, fewest, fewest, 0.95) or (-1, -1)
    assert 0 <= low < high == fewest - 1


def test_the_ranks_of_independent_samples_are_those_of_the_binomial_table() -> None:
    # Conover 1999, table A3: the median of 20 lies between the 6th and the 15th smallest at 95 %.
    assert order_statistics(0.5, 20, 20, 0.95) == (5, 14)


@pytest.mark.parametrize(("count", "correlation"), [(400, 0.0), (1000, 0.5), (4000, 0.9)])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(count: int, correlation: float) -> None:
    truths = [math.exp(SIGMA * NormalDist().inv_cdf(share)) for share in (0.5, 0.95)]
    held = np.zeros(3)
    for seed in range(REPEATS):
        source = source_of(alike(count, correlation, seed))
        for row, (truth, found) in enumerate(zip(truths, intervals_of(source, 0.5, 0.95), strict=True)):
            assert found.interval is not None
            held[row] += found.interval[0] <= truth <= found.interval[1]
        mean = mean_interval(source)
        assert mean is not None
        assert mean.interval is not None
        held[2] += mean.interval[0] <= math.exp(SIGMA**2 / 2) <= mean.interval[1]
    assert (held / REPEATS >= 0.925).all(), held / REPEATS  # 0.95 less two standard errors of 300 tries


def test_samples_that_are_alike_are_worth_fewer() -> None:
    apart, together = (
        intervals_of(source_of(alike(4000, correlation, 3)), 0.5)[0].effective for correlation in (0.0, 0.9)
    )
    assert 4000 >= apart > 2000
    assert together < 600


def test_a_run_of_too_few_independent_samples_has_no_interval_although_it_has_many() -> None:
    spells = np.repeat(np.random.default_rng(5).lognormal(3, 1, 20), 10)
    (found,) = intervals_of(source_of(spells), 0.95)
    assert len(spells) > fewest_for(0.95) > found.effective
    assert found.interval is None


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_pieces_give_what_the_whole_gives(pieces: int) -> None:
    values = alike(2000, 0.5, 9)
    whole, parted = source_of(values), source_of(values, pieces)
    assert intervals_of(parted, 0.5, 0.95) == intervals_of(whole, 0.5, 0.95)
    mean, again = mean_interval(whole), mean_interval(parted)
    assert mean is not None
    assert again is not None
    assert again.interval == pytest.approx(mean.interval)


def test_the_order_of_the_samples_does_not_matter_only_their_times_do() -> None:
    values = alike(2000, 0.9, 4)
    times = np.arange(2000.0)
    mixed = np.random.default_rng(1).permutation(2000)
    assert intervals_of(lambda: [(times[mixed], values[mixed])], 0.95) == intervals_of(
        source_of(values), 0.95
    )


def test_what_is_no_number_is_no_sample() -> None:
    values = alike(500, 0.0, 2)
    with_gaps = np.insert(values, [3, 100], np.nan)
    (found,) = intervals_of(source_of(with_gaps), 0.5)
    assert found.value == intervals_of(source_of(values), 0.5)[0].value


def test_without_samples_there_is_neither_figure_nor_interval() -> None:
    assert percentile_intervals(source_of(np.array([])), (0.5,)) is None
    assert mean_interval(source_of(np.array([np.nan]))) is None


def test_a_mean_of_few_has_no_interval() -> None:
    found = mean_interval(source_of(np.arange(29.0)))
    assert found is not None
    assert (found.value, found.interval) == (14.0, None)


def test_samples_that_are_all_the_same_have_an_interval_of_no_width() -> None:
    (found,) = intervals_of(source_of(np.full(100, 7.0)), 0.5)
    assert found.interval == (7.0, 7.0)


def test_wilson_is_that_of_the_checks() -> None:
    assert wilson(0.9, 50, normal_quantile(0.95)) == pytest.approx(wilson_interval(45, 50))
