"""The statistics that judges share, against values worked out elsewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.contract import percentile, ratio_of_medians, wilson_interval


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.95, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (range(1, 101), 0.95, 95),
        (range(1, 31), 0.95, 29),
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(list(values), share) == expected


@pytest.mark.parametrize(("hits", "total"), [(84, 96), (50, 100), (1, 7)])
def test_the_ends_of_a_wilson_interval_are_where_the_score_test_turns(hits, total):
    for end in wilson_interval(hits, total):
        score = abs(hits / total - end) / math.sqrt(end * (1 - end) / total)
        assert score == pytest.approx(1.959964, abs=1e-6)


def test_a_wilson_interval_of_none_and_of_all_has_its_closed_form():
    assert wilson_interval(0, 32) == pytest.approx((0, 3.841459 / (32 + 3.841459)))
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + 3.841459), 1))


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="not a ratio"):
        wilson_interval(0, 0)
    with pytest.raises(ValueError, match="not a ratio"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="no pairs"):
        ratio_of_medians([])


@given(st.integers(0, 2000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_a_wilson_interval_holds_its_ratio(numbers):
    hits, total = numbers
    if total:
        low, high = wilson_interval(hits, total)
        assert 0 <= low <= hits / total <= high <= 1


def test_a_ratio_of_medians_lies_in_its_interval_and_is_the_same_each_time():
    pairs = [(300.0 + 10 * n, 5.0 + n % 3) for n in range(20)]
    ratio, (low, high) = ratio_of_medians(pairs)
    assert ratio == pytest.approx(395 / 6)
    assert low < ratio < high
    assert ratio_of_medians(pairs) == (ratio, (low, high))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=12))
def test_a_ratio_of_medians_is_finite_even_for_no_time_at_all(pairs):
    ratio, (low, high) = ratio_of_medians(pairs)
    assert 0 <= low <= high < float("inf")
    assert 0 <= ratio < float("inf")
