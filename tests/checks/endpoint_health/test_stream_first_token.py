"""endpoint_health.stream_first_token against scripted streams."""

from __future__ import annotations

import pytest

from checks.contract import LEAST_SHARE, Event, Failure, FailureKind, Outcome, StreamReply, curve_share
from checks.endpoint_health import stream_first_token
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedQuestions,
    ScriptedSse,
    a_target,
    an_answer,
    judge,
    measure,
)

TARGET = a_target(
    stream={
        "path": "/live",
        "body": {"message": "{prompt}"},
        "token": "text",
        "end_event": "done",
        "cached": {"json": "from_cache", "equals": True},
    }
)


def stream(
    first_ms: float, end_ms: float | None = None, *, cached: bool = False, status: int = 200
) -> StreamReply:
    end_ms = end_ms or first_ms * 10
    events = (
        Event(1.0, "role", '{"role": "assistant"}'),
        Event(1.0, "token", '{"text": ""}'),
        Event(first_ms, "token", '{"text": "With"}'),
        Event(end_ms, "done", f'{{"from_cache": {str(cached).lower()}}}'),
    )
    return StreamReply(status, {}, events if status == 200 else (), 1.0, end_ms)


def measured(*replies: StreamReply, target=TARGET, **thresholds):
    questions = ScriptedQuestions(lambda prompt, route: an_answer())
    instruments = ScriptedInstruments(sse=ScriptedSse(replies), questions=questions)
    return measure(stream_first_token, target, instruments, **thresholds)


def test_a_stream_that_begins_soon_passes_with_its_median():
    finding = measured(stream(100), stream(300), stream(200))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 200
    assert finding.interval is not None
    assert finding.reproduce.startswith("curl") or "curl" in finding.reproduce


def test_an_empty_or_role_event_is_no_first_token():
    assert measured(stream(700)).value == 700


def test_on_the_curve():
    assert measured(stream(800)).outcome is Outcome.PASS
    assert measured(stream(800.1)).outcome is Outcome.WARN
    middle = measured(stream(2000))
    assert middle.outcome is Outcome.WARN
    assert middle.share == pytest.approx(0.5 / 0.9)


def test_the_least_share_is_where_a_warning_ends():
    limit = measured(stream(800)).limit
    assert curve_share(limit.warn_at, p10=800, median=2000) == pytest.approx(LEAST_SHARE)
    assert measured(stream(limit.warn_at)).outcome is Outcome.WARN
    assert measured(stream(limit.warn_at + 1)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("end_ms", "outcome", "words"),
    [
        (1000, Outcome.PASS, "after 300"),
        (999, Outcome.FAIL, "hardly streams"),
        (301, Outcome.FAIL, "all at once"),
    ],
)
def test_the_first_token_comes_before_thirty_percent_of_the_time(end_ms, outcome, words):
    finding = measured(stream(300, end_ms))
    assert finding.outcome is outcome
    assert words in finding.reason


def tokens(*times_ms: float, end_ms: float = 1000.0) -> StreamReply:
    events = [Event(at_ms, "token", '{"text": "word "}') for at_ms in times_ms]
    return StreamReply(200, {}, (*events, Event(end_ms, "done", "{}")), times_ms[0], end_ms)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (tokens(100, *[980] * 20), Outcome.FAIL),
        (tokens(100, *[980] * 4), Outcome.FAIL),
        (tokens(100, *[980] * 3), Outcome.PASS),
        (tokens(100, *[600] * 20), Outcome.PASS),
        (tokens(100, *range(700, 1000, 10)), Outcome.PASS),
        (tokens(100, *range(140, 1000, 40)), Outcome.PASS),
    ],
    ids=["sent ahead", "five tokens", "too few to tell", "pause of a half", "pause for a tool", "steady"],
)
def test_a_first_token_that_was_sent_ahead_of_the_rest_is_no_stream(reply, outcome):
    finding = measured(reply)
    assert finding.outcome is outcome
    if outcome is Outcome.FAIL:
        assert "only looks like a stream" in finding.reason
        assert finding.share == 0


def test_objectives_win_even_where_only_one_is_stated():
    slow = TARGET.model_copy(
        update={"objectives": a_target(objectives={"first_token_p10_ms": 3000}).objectives}
    )
    assert measured(stream(3000), target=slow).outcome is Outcome.PASS
    assert measured(stream(3001), target=slow).outcome is Outcome.WARN


def test_no_token_fails_and_says_where_it_was_looked_for():
    other = TARGET.model_copy(update={"stream": TARGET.stream.model_copy(update={"token": "delta"})})
    finding = measured(stream(100), target=other)
    assert finding.outcome is Outcome.FAIL
    assert "`delta`" in finding.reason


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (stream(1, status=503), "/live answers 503"),
        (
            StreamReply(
                None, {}, (), None, 20_000.0, "", Failure(FailureKind.TIMEOUT, "no reply within 20 s")
            ),
            "20 s",
        ),
        (StreamReply(200, {}, (), None, 5.0), "no event"),
    ],
    ids=["status", "silence", "empty"],
)
def test_a_stream_that_fails_is_given_up_soon(reply, words):
    finding = measured(reply)
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason


def test_one_failed_stream_among_good_ones_warns():
    finding = measured(stream(1, status=500), stream(100))
    assert finding.outcome is Outcome.WARN
    assert "1 of 10" in finding.reason.replace("\u00a0", " ")


def test_cached_streams_do_not_count():
    assert measured(stream(2, cached=True), stream(500)).value == 500
    only_cached = measured(stream(2, cached=True))
    assert only_cached.outcome is Outcome.NOT_ASSESSED
    assert "cache" in only_cached.reason


def test_a_rate_limit_says_nothing():
    evidence = stream_first_token.Evidence("/live", "text", (), "")
    limited = stream_first_token.Stream(429, None, None, None, 0, 1.0, 0, None, "")
    found = stream_first_token.Evidence("/live", "text", (limited,), "")
    assert judge(stream_first_token, found).outcome is Outcome.NOT_ASSESSED
    assert judge(stream_first_token, evidence).outcome is Outcome.NOT_ASSESSED
