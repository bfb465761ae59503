from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.statistics.for_checks import RunStatistics
from app.statistics.scalability import universal_scalability
from checks.contract.load import Knee, LoadStep

RATES = (10, 20, 30, 40, 60, 80, 120, 160)
NBSP = "\u00a0"
knee = RunStatistics().knee


def a_step(
    offered: float, served: float, *, seed: int | None = None, duration_s: float = 10.0, **changes
) -> LoadStep:
    """A step in which ``served`` a second were answered and the rest shed; with a seed by chance."""
    scheduled, share = round(offered * duration_s), min(1.0, served / offered)
    answered = round(scheduled * share)
    if seed is not None:
        random = np.random.default_rng([seed, round(offered)])
        scheduled = max(int(random.poisson(offered * duration_s)), 1)
        answered = int(random.binomial(scheduled, share))
    failed = scheduled - answered
    fields = {
        "start_s": 0.0,
        "duration_s": duration_s,
        "offered_per_s": offered,
        "scheduled": scheduled,
        "dropped": 0,
        "answered": answered,
        "failed": failed,
        "shed": failed,
        "timed_out": 0,
        "answered_per_s": answered / duration_s,
        "p50_ms": 50.0,
        "p95_ms": 80.0,
    }
    return LoadStep(**fields | changes)


def steps(served: Callable[[float], float], **changes) -> list[LoadStep]:
    return [a_step(rate, served(rate), **changes) for rate in RATES]


def hanging(offered: float, served: float) -> LoadStep:
    step = a_step(offered, served)
    return a_step(offered, served, shed=0, timed_out=step.failed)


def test_a_service_that_sheds_what_is_too_much_breaks_at_what_it_can_do() -> None:
    found = knee(steps(lambda rate: 46))
    assert found.per_s == pytest.approx(46, abs=0.5)
    assert found.interval is not None
    assert 40 < found.interval[0] < 46 < found.interval[1] < 50
    assert (found.at_least_per_s, found.resolved, found.monotone) == (40, True, True)
    assert found.words == (
        "Answers keep up to 46 requests a second; "
        f"past it 56{NBSP}% are shed with 429 or 503 and nothing hangs."
    )


def test_the_interval_holds_the_knee_in_ninety_five_runs_of_a_hundred() -> None:
    held = 0
    for seed in range(40):
        interval = knee(steps(lambda rate: 46, seed=seed)).interval
        assert interval is not None
        held += interval[0] <= 46 <= interval[1]
    assert held >= 36


def test_the_order_of_the_steps_does_not_matter() -> None:
    up = steps(lambda rate: 46)
    assert knee(up[::-1]) == knee(up)


def test_steps_at_one_rate_are_put_together() -> None:
    once = [a_step(10, 10), a_step(80, 46, duration_s=20)]
    assert knee([a_step(10, 10), a_step(80, 46), a_step(80, 46)]).interval == knee(once).interval


def test_a_service_that_never_breaks_held_the_highest_rate() -> None:
    found = knee(steps(lambda rate: rate))
    assert (found.per_s, found.interval, found.at_least_per_s, found.resolved) == (None, None, 160, True)
    assert found.words == "Answers keep up to 160 requests a second, the highest rate that was tried."


def test_a_service_that_collapses_broke_somewhere_between_two_steps() -> None:
    found = knee([a_step(rate, rate) if rate < 50 else hanging(rate, 3) for rate in RATES])
    assert (found.per_s, found.interval, found.resolved) == (40, (40, 60), True)
    assert found.words == f"Answers keep up to 40 requests a second; past it 97{NBSP}% get no answer in time."


def test_a_service_that_breaks_at_once_held_nothing() -> None:
    found = knee(steps(lambda rate: 5))
    assert found.at_least_per_s == 0
    assert found.per_s == pytest.approx(5, abs=0.3)
    assert found.words.startswith("Answers do not keep up with 10 requests a second, the lowest rate; ")


def test_without_an_answer_the_knee_lies_below_the_lowest_rate() -> None:
    found = knee([hanging(rate, 0) for rate in RATES])
    assert (found.per_s, found.interval, found.at_least_per_s) == (0, (0, 10), 0)
    assert f"100{NBSP}% get no answer in time" in found.words


def test_without_a_request_there_is_no_knee() -> None:
    nothing = Knee(
        None, None, 0.0, resolved=False, monotone=True, usl=None, words="No request was scheduled."
    )
    assert knee([]) == nothing
    assert knee([a_step(10, 10, scheduled=0, answered=0, failed=0, shed=0)]) == nothing


def test_one_step_that_held_and_one_that_did_not_are_enough() -> None:
    assert knee([a_step(10, 10)]).at_least_per_s == 10
    assert knee([a_step(10, 5)]).per_s == pytest.approx(5, abs=0.3)
    assert knee([a_step(10, 10), a_step(80, 46)]).per_s == pytest.approx(46, abs=0.5)


def test_seventy_two_answers_of_as_many_do_not_resolve_a_step_and_seventy_three_do() -> None:
    assert not knee([a_step(7.2, 7.2)]).resolved
    assert knee([a_step(7.3, 7.3)]).resolved


def test_a_step_about_at_the_limit_is_not_resolved() -> None:
    assert not knee([a_step(20, 20), a_step(30, 28), a_step(60, 28)]).resolved


def test_what_falls_and_rises_again_is_not_monotone_and_the_sentence_says_so() -> None:
    found = knee([a_step(rate, 5 if rate == 40 else 90) for rate in RATES])
    assert not found.monotone
    assert found.per_s == 30
    assert found.words.endswith("At a higher rate they kept up again, so this knee is uncertain.")


def test_a_fall_by_chance_is_still_monotone() -> None:
    assert all(knee(steps(lambda rate: 46, seed=seed)).monotone for seed in range(10))


def test_what_becomes_of_the_rest_is_told_by_kind() -> None:
    past = a_step(100, 40, shed=300, timed_out=200, dropped=0)
    found = knee([a_step(40, 40), past])
    assert found.words.endswith(
        f"past it 30{NBSP}% are shed with 429 or 503, "
        f"20{NBSP}% get no answer in time and 10{NBSP}% fail otherwise."
    )


def test_arrivals_that_found_no_place_are_told_and_nothing_is_said_of_hanging() -> None:
    found = knee([a_step(40, 40), a_step(100, 40, failed=0, shed=0, dropped=600)])
    assert found.words.endswith(f"past it 60{NBSP}% are not sent, as too many are under way.")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=8))
def test_a_knee_lies_in_its_interval_and_above_what_was_held(drawn: list[tuple[float, int, float]]) -> None:
    known = [
        a_step(
            rate,
            rate,
            scheduled=scheduled,
            answered=int(share * scheduled),
            failed=scheduled - int(share * scheduled),
        )
        for rate, scheduled, share in drawn
    ]
    found = knee(known)
    if found.per_s is not None:
        assert found.interval is not None
        assert found.interval[0] - 1e-9 <= found.per_s <= found.interval[1] + 1e-9
        assert found.at_least_per_s <= found.per_s + 1e-9


def law(under_way: float, one: float, contention: float, coherency: float) -> LoadStep:
    per_s = one * under_way / (1 + contention * (under_way - 1) + coherency * under_way * (under_way - 1))
    return a_step(per_s, per_s, answered_per_s=per_s, p50_ms=1000 * under_way / per_s)


def test_the_law_is_found_from_throughput_and_latency() -> None:
    found = universal_scalability([law(n, 20, 0.05, 0.002) for n in (1, 2, 4, 8, 12, 16, 24, 32)])
    assert found is not None
    assert found.per_s_of_one == pytest.approx(20)
    assert (found.contention, found.coherency) == (pytest.approx(0.05), pytest.approx(0.002))
    assert found.peak_per_s == pytest.approx(
        20 * 21.79 / (1 + 0.05 * 20.79 + 0.002 * 21.79 * 20.79), rel=1e-3
    )
    assert found.r_squared == pytest.approx(1)


def test_a_law_without_coherency_has_no_peak() -> None:
    found = universal_scalability([law(n, 20, 0.1, 0) for n in (1, 2, 4, 8)])
    assert found is not None
    assert found.peak_per_s is None


def test_there_is_no_law_where_it_does_not_fit_or_too_little_is_known() -> None:
    fits = [law(n, 20, 0.05, 0.002) for n in (1, 2, 4, 8)]
    assert universal_scalability(fits) is not None
    assert universal_scalability(fits[:3]) is None
    assert universal_scalability([law(n, 20, 0.05, 0.002) for n in (0.1, 0.2, 0.4, 0.8)]) is None
    wild = [
        a_step(10, 10, answered_per_s=per_s, p50_ms=p50)
        for per_s, p50 in ((10, 900), (50, 30), (11, 40), (45, 999))
    ]
    assert universal_scalability(wild) is None


def test_steps_in_which_requests_hang_say_nothing_of_the_law() -> None:
    fits = [law(n, 20, 0.05, 0.002) for n in (1, 2, 4, 8)]
    assert universal_scalability([*fits, hanging(200, 1)]) == universal_scalability(fits)
