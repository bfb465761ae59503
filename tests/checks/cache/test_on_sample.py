"""The cache checks with the real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

from checks.contract import Outcome
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


def test_each_route_leaves_a_key_for_each_new_question(sample: Sample):
    found = sample.with_defects().gather("cache.ttl_coverage")
    assert [(keys.left_by, keys.number, keys.expiring) for keys in found.left] == [
        ("ask", 20, 20),
        ("stream", 20, 20),
    ]
    assert found.complete


def test_a_path_that_gives_no_end_is_named_and_not_hidden_by_older_answers(sample: Sample):
    sample.with_defects("cache_stream_never_expires").gather("cache.speedup")
    finding = sample.measure("cache.ttl_coverage")
    assert finding.value == 0
    assert "streamed answers" in finding.reason


def test_a_command_that_holds_everybody_up_is_named(sample: Sample):
    finding = sample.with_defects("cache_slow_command").measure("cache.latency")
    assert "EVAL" in finding.reason
    assert finding.outcome is Outcome.WARN


def test_answers_without_an_end_do_not_outlive_their_defect(sample: Sample):
    sample.with_defects("cache_frees_nothing").gather("cache.speedup")
    found = sample.with_defects().gather("cache.ttl_coverage")
    assert found.every.number == found.every.expiring
