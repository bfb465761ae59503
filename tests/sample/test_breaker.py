"""The breaker before the model: when it opens, whom it lets through, and when it closes."""

from __future__ import annotations

import pytest

from app.sample.chat.breaker import Breaker, BreakerOpenError


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures=3, pause_s=1, longest_pause_s=4, now_s=clock)
    for _ in range(3):
        assert breaker.admit() is False
        breaker.failed(trial=False)
    return breaker


def refuses(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except BreakerOpenError:
        return True
    return False


def test_it_opens_after_failures_in_a_row_and_not_after_as_many_in_all(clock):
    breaker = Breaker(failures=3, now_s=clock)
    for _ in range(5):
        breaker.failed(trial=breaker.admit())
        breaker.failed(trial=breaker.admit())
        breaker.succeeded()
    assert not refuses(breaker)
    assert refuses(opened(clock))


def test_after_its_pause_one_call_at_a_time_tries(clock):
    breaker = opened(clock)
    clock.now_s += 0.99
    assert refuses(breaker)
    clock.now_s += 0.01
    assert breaker.admit() is True
    assert refuses(breaker)
    breaker.succeeded()
    assert breaker.admit() is False


def test_pauses_grow_to_a_bound_and_start_anew_after_a_success(clock):
    breaker = opened(clock)
    for pause_s in (1, 2, 4, 4):
        clock.now_s += pause_s - 0.01
        assert refuses(breaker)
        clock.now_s += 0.01
        breaker.failed(trial=breaker.admit())
    clock.now_s += 4
    assert breaker.admit() is True
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(trial=breaker.admit())
    clock.now_s += 1
    assert breaker.admit() is True


def test_calls_that_were_under_way_when_it_opened_change_no_pause(clock):
    breaker = opened(clock)
    for _ in range(10):
        breaker.failed(trial=False)
    clock.now_s += 1
    assert breaker.admit() is True


def test_a_trial_whose_caller_leaves_lets_the_next_one_try(clock):
    breaker = opened(clock)
    clock.now_s += 1
    breaker.abandoned(trial=breaker.admit())
    assert breaker.admit() is True
