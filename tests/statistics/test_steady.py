from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.statistics import steady
from app.statistics.intervals import Source
from app.statistics.steady import steady_state
from checks.contract.load import Steady

RUNS = 30
Floats = NDArray[np.float64]


def a_run(seed: int, count: int = 1500, end_s: float = 12.0) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0, end_s, count)), 50 * np.exp(random.normal(0, 0.35, count))


def steady_of(times: Floats, values: Floats, pieces: int = 1) -> Steady:
    parts = list(zip(np.array_split(times, pieces), np.array_split(values, pieces), strict=True))
    found = steady_state(lambda: parts)
    assert found is not None
    return found


def test_too_few_answers_are_no_steady_state() -> None:
    source: Source = lambda: [a_run(1, count=99)]  # noqa: E731 - a source is any callable
    assert steady_state(source) is None


def test_a_run_without_warm_up_is_kept_whole_or_nearly() -> None:
    found = [steady_of(*a_run(seed)) for seed in range(RUNS)]
    assert all(each.found for each in found)
    assert np.quantile([each.from_s for each in found], 0.9) < 1.5
    assert sum(each.drifts for each in found) <= 0.2 * RUNS


def test_a_warm_up_is_cut_off() -> None:
    for seed in range(RUNS):
        times, values = a_run(seed)
        found = steady_of(times, values * (1 + 2 * np.exp(-times / 0.7)))
        assert found.found
        assert 0.7 < found.from_s < 5
        assert found.mean_ms < 50 * 1.25


def test_a_drift_is_told_with_its_size() -> None:
    found = [steady_of(times, values * (1 + times / 24)) for times, values in map(a_run, range(RUNS))]
    assert sum(each.drifts for each in found) >= 0.9 * RUNS
    assert np.median([each.drift_ratio for each in found]) == pytest.approx(0.45, abs=0.12)


def test_a_run_that_only_ever_settles_never_settled() -> None:
    times = np.linspace(0, 10, 2000)
    found = steady_of(times, 1000 * np.exp(-times / 3))
    assert not found.found
    assert found.from_s == pytest.approx(5.0)
    assert found.drifts
    assert found.requests == 1000


def test_one_slow_request_near_the_middle_does_not_move_the_cut() -> None:
    times, values = a_run(3)
    before = steady_of(times, values).from_s
    values[700] = 30_000
    assert steady_of(times, values).from_s == before


def test_the_figures_are_exact_over_what_is_left() -> None:
    times, values = a_run(8)
    found = steady_of(times, values * np.where(times < 2, 3, 1))
    left = values[times >= found.from_s]
    assert found.requests == len(left)
    assert found.mean_ms == pytest.approx(left.mean())
    expected = np.percentile(left, [50, 95, 99], method="higher").tolist()
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == expected


def test_a_sample_of_the_samples_finds_the_same_cut_in_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    times, values = a_run(4, count=60_000)
    values *= 1 + 2 * np.exp(-times / 0.7)
    whole = steady_of(times, values, pieces=20)
    monkeypatch.setattr(steady, "LOOKED_AT", 6_000)
    some = steady_of(times, values, pieces=20)
    assert some.found
    assert some.from_s == pytest.approx(whole.from_s, abs=2.0)
    assert some.requests == np.count_nonzero(times >= some.from_s)
