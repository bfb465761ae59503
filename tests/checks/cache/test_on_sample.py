"""The cache checks with the real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

from tests.checks.sample import Sample


def test_meter_marker_and_redis_count_the_same_hits(sample: Sample):
    found = sample.with_defects().gather("cache.hit_rate")
    mix, before, after = found.mix, found.redis_before, found.redis_after
    assert mix.answered == mix.asked == mix.marked
    assert mix.meter_hits == mix.cached == after.keyspace_hits - before.keyspace_hits
    assert mix.first_asked == mix.first_calls == after.keyspace_misses - before.keyspace_misses
    assert mix.repeat_calls == 0


def test_repeats_are_not_paid_again_after_an_outage(sample: Sample):
    sample.with_defects().gather("cache.outage_fallback")
    mix = sample.gather("cache.cost_saving").mix
    assert mix.repeat_calls == 0


def test_levers_are_restored_after_an_outage(sample: Sample):
    sample.events.clear()
    found = sample.with_defects().gather("cache.outage_fallback")
    assert sample.events == [
        "broken cache refuse",
        "restored cache refuse",
        "broken cache hang",
        "restored cache hang",
    ]
    assert found.commands[""] >= len(found.cold)
    assert found.commands["refuse"] == 0


def test_a_silent_cache_without_a_time_out_is_named_as_silent(sample: Sample):
    finding = sample.with_defects("cache_hang_no_timeout").measure("cache.outage_fallback")
    assert "a cache that is silent" in finding.reason
    assert "no reply" in finding.reason


def test_a_marker_that_lies_is_overruled_by_the_meter(sample: Sample):
    finding = sample.with_defects("cache_marker_lies").measure("cache.hit_rate")
    assert finding.value == 0
    assert "the meter decides" in finding.reason


def test_a_route_that_fails_explains_a_scenario_and_leaves_the_cache_to_the_stream(sample: Sample):
    sample.with_defects("primary_route_500")
    assert sample.measure("load_scenarios.light").follows_from == "endpoint_health.primary_route"
    assert sample.gather("cache.hit_rate").mix.route == "stream"
