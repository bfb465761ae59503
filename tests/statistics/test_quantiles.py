from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.statistics import quantiles
from app.statistics.quantiles import exact_percentiles, index_of, percentile_with_failures, percentiles

SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
LATENCIES = st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=300)


@given(LATENCIES)
def test_a_percentile_is_numpys_higher(values: list[float]) -> None:
    array = np.array(values)
    assert (
        percentiles(array, SHARES)
        == np.percentile(array, [100 * q for q in SHARES], method="higher").tolist()
    )


@given(LATENCIES, st.integers(1, 7))
def test_counting_by_leading_bits_finds_the_same_as_sorting(values: list[float], pieces: int) -> None:
    array = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "GATHERED", 3)  # so that few samples are already many
        found = exact_percentiles(lambda: np.array_split(array, pieces), SHARES)
    assert found == [float(np.sort(array)[index_of(share, len(array))]) for share in SHARES]


def test_ten_equal_values_are_found_however_few_may_be_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "GATHERED", 3)
    assert percentiles(np.full(10, -0.25), (0.5,)) == [-0.25]


def test_a_million_samples_in_pieces_give_the_exact_percentiles() -> None:
    whole = np.random.default_rng(1).lognormal(3, 1, 1_500_000)
    found = exact_percentiles(lambda: np.array_split(whole, 40), SHARES)
    assert found == np.percentile(whole, [100 * q for q in SHARES], method="higher").tolist()


def test_what_is_no_number_is_no_sample() -> None:
    assert percentiles(np.array([np.nan, 2.0, np.nan, 1.0]), (0.0, 1.0)) == [1.0, 2.0]


def test_without_a_sample_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentiles(np.array([np.nan]), (0.5,))


def test_a_share_outside_of_nought_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no percentile 95 of 10 samples"):
        percentiles(np.arange(10.0), (95,))


def test_failures_count_as_requests_that_never_ended() -> None:
    answered = np.arange(98.0)
    assert percentile_with_failures(lambda: [answered], 2, 0.95) == 95.0
    assert percentile_with_failures(lambda: [answered], 2, 0.99) is None


def test_a_percentile_is_never_between_the_last_answer_and_infinity() -> None:
    assert percentile_with_failures(lambda: [np.arange(99.0)], 1, 0.985) == 98.0


def test_with_failures_only_every_percentile_is_unbounded() -> None:
    assert percentile_with_failures(lambda: [np.array([])], 5, 0.5) is None
