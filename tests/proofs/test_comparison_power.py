"""How often two runs of one service are said to differ, and how often a slow-down by a tenth is shown.

Quick-profile runs (6 s, 20 users, 100 ms think time) of simulated services, most of which are alike from one
moment to the next. The tables that this prints are the figures of the comparison.
"""

from __future__ import annotations

import os

import pytest

from app.statistics.comparing import NOT_SHOWN, compare_loads
from checks.contract.numbers import wilson_interval
from tests.statistics.services import RESTLESS, SERVICES, Service, run

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]
PAIRS = int(os.environ.get("GREENLIGHT_PROVE_PAIRS", "400"))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_two_runs_agree_and_a_slow_down_by_a_tenth_is_shown(service: Service) -> None:
    alike = rows_alike = shown = requests = 0
    for pair in range(PAIRS):
        before = run(service, 3 * pair)
        same = compare_loads(before, run(service, 3 * pair + 1))
        slower = compare_loads(before, run(service, 3 * pair + 2, slower=1.1))
        alike += same.verdict == NOT_SHOWN
        rows_alike += all(figure.verdict == NOT_SHOWN for figure in same.figures)
        shown += slower.verdict == "slower"
        requests += len(before.start_s)
    low, high = wilson_interval(shown, PAIRS)
    print(
        f"\n{service.name}: {requests // PAIRS} requests a run, {PAIRS} pairs: no difference in "
        f"{alike / PAIRS:.1%} (in every row {rows_alike / PAIRS:.1%}), 10 % slower shown in "
        f"{shown / PAIRS:.1%} ({low:.1%} to {high:.1%})",
        flush=True,
    )
    assert rows_alike >= 0.95 * PAIRS
    assert alike >= 0.95 * PAIRS
    assert shown >= 0.8 * PAIRS


@pytest.mark.parametrize("slower", [1.02, 1.05, 1.07, 1.1, 1.15, 1.2])
def test_the_larger_a_slow_down_the_likelier_it_is_shown(slower: float) -> None:
    service = SERVICES[3]
    pairs = max(PAIRS // 4, 20)
    found = [
        compare_loads(run(service, 2 * pair), run(service, 2 * pair + 1, slower=slower))
        for pair in range(pairs)
    ]
    shown = sum(comparison.verdict == "slower" for comparison in found) / pairs
    covered = 0
    for comparison in found:
        interval = comparison.figures[0].interval
        assert interval is not None
        covered += interval[0] <= slower <= interval[1]
    print(
        f"\n{service.name}, {slower:.2f}x: shown in {shown:.0%}, interval holds in {covered / pairs:.1%}",
        flush=True,
    )
    assert covered >= 0.95 * pairs
    assert shown >= 0.8 or slower < 1.1


def test_repeated_runs_keep_a_restless_service_from_false_alarms() -> None:
    alone = told = 0
    for pair in range(PAIRS):
        first, second, *repeats = (run(RESTLESS, 5 * pair + number) for number in range(5))
        alone += compare_loads(first, second).verdict == NOT_SHOWN
        told += compare_loads(first, second, repeats).verdict == NOT_SHOWN
    print(f"\n{RESTLESS.name}: no difference in {alone / PAIRS:.1%}, with three repeats {told / PAIRS:.1%}")
    assert told > alone
    assert told >= 0.9 * PAIRS  # one estimate of a deviation from three runs is a rough one
