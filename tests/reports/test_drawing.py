"""The geometry of the HTML report's drawings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.reports.drawing import ring_dashes, scale, trend
from checks.contract.findings import Limit, Outcome
from tests.records import finding, history
from tests.reports.strategies import findings


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_hatching_of_the_ring_lies_between_score_and_best_possible(score, best):
    lengths = [float(length) for length in ring_dashes(score, best).split()]
    drawn, at = 0.0, 0.0
    for number, length in enumerate(lengths[:-2]):
        if number % 2 == 0 and length:
            assert score <= at
            assert at + length <= best + 1e-3
            drawn += length
        at += length
    assert drawn <= max(0.0, best - score)
    assert len(lengths) % 2 == 0


@pytest.mark.parametrize(
    ("limit", "tones"),
    [
        (Limit(0.7, 0.5, "higher", 0, 1), ["fail", "warn", "pass"]),
        (Limit(5, 50, "lower", 0, 60), ["pass", "warn", "fail"]),
        (Limit(1, 1, "higher", 0, 2), ["fail", "pass"]),
    ],
)
def test_the_zones_stand_in_the_order_of_the_scale(limit, tones):
    drawn = scale(finding("cache.hit_rate", value=0.6, limit=limit, interval=None))
    assert [zone.tone for zone in drawn.zones] == tones
    assert sum(zone.width for zone in drawn.zones) == pytest.approx(100)


def test_the_pointer_stands_at_the_value_and_the_interval_around_it():
    drawn = scale(finding("cache.hit_rate", value=0.6, interval=(0.55, 0.65)))
    assert drawn.pointer == pytest.approx(60)
    assert drawn.interval == pytest.approx((55, 10))


def test_without_a_number_or_a_limit_there_is_no_scale():
    assert scale(finding("cache.hit_rate", Outcome.NOT_ASSESSED)) is None
    assert scale(finding("monitoring.metrics_exposed")) is None
    assert (
        scale(finding("cache.hit_rate", value=0.0, limit=Limit(0, 0, "lower", 0, 0), interval=None)) is None
    )


@settings(max_examples=200)
@given(findings("cache.hit_rate"))
def test_everything_drawn_lies_within_the_scale(one):
    drawn = scale(one)
    if drawn is None:
        return
    assert 0 <= drawn.pointer <= 100
    for zone in drawn.zones:
        assert -1e-6 <= zone.start <= zone.start + zone.width <= 100 + 1e-6
    if drawn.interval:
        assert 0 <= drawn.interval[0] <= drawn.interval[0] + drawn.interval[1] <= 100 + 1e-6


@pytest.mark.parametrize(("width", "labels"), [(1000, 6), (340, 3)])
def test_the_history_stays_within_its_frame_with_few_labels(width, labels):
    drawn = trend(history(), width, labels)
    assert all(34 <= point.x <= drawn.right and 14 <= point.y <= 200 for point in drawn.points)
    assert 1 < sum(point.shown for point in drawn.points) <= labels
    assert drawn.points[-1].shown
    assert [name for name, *_ in drawn.bands] == ["Not ready", "MVP", "Conditions", "Production"]


def test_one_run_makes_no_history():
    assert trend(history()[:1], 1000, 6) is None
