"""endpoint_health.stream_protocol against scripted streams."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from checks.contract import Event, Failure, FailureKind, Frames, InstrumentFailure, Outcome, StreamReply
from checks.endpoint_health import _streams, stream_protocol
from checks.endpoint_health._leaving import Leaving
from tests.checks.scripted import (
    ScriptedInstruments,
    ScriptedProcesses,
    ScriptedSse,
    a_target,
    gather,
    judge,
)

TARGET = a_target(
    stream={
        "path": "/live",
        "body": {"message": "{prompt}"},
        "token": "text",
        "end_event": "done",
        "cached": {"json": "from_cache", "equals": True},
        "open": {"url": "/metrics", "metric": "open_streams"},
    }
)
OPENAI = a_target(
    stream={
        "path": "/v1",
        "body": {"q": "{prompt}"},
        "token": "choices.0.delta.content",
        "end_data": "[DONE]",
    }
)
KIND = {"content-type": "text/event-stream; charset=utf-8"}
TEXT = "Grüße\naus 東京"


def events(*parts: tuple[str, object]) -> tuple[Event, ...]:
    """Events by name and data, which is made JSON where it is no text."""
    return tuple(
        Event(float(at), name, data if isinstance(data, str) else json.dumps(data))
        for at, (name, data) in enumerate(parts)
    )


def stream(*parts: tuple[str, object], headers=KIND, status=200, **more) -> StreamReply:
    return StreamReply(status, headers, events(*parts), 1.0, 9.0, **more)


def good(text: str = TEXT, *, cached: bool = False, **more) -> StreamReply:
    tokens = [("token", {"text": piece}) for piece in (text[:3], text[3:])]
    return stream(*tokens, ("done", {"from_cache": cached}), **more)


@dataclass
class Open:
    """A stream under way."""

    events: list[Event] = field(default_factory=lambda: list(events(("token", {"text": "With"}))))
    status: int | None = 200
    failure: Failure | None = None
    port: int | None = 5000
    over: bool = False


class Leavable(ScriptedSse):
    """Streams that can be left. ``frees``: leaving lowers the gauge; ``gauge`` None is none declared."""

    def __init__(self, *replies, frees=True, gauge: float | None = 3.0, begun=Open):
        super().__init__(replies)
        self.frees = frees
        self.gauge = gauge
        self.begun = begun
        self.left: list[Open] = []

    @asynccontextmanager
    async def opened(self, request):
        self.sent.append(request)
        opened = self.begun()
        self.gauge = None if self.gauge is None else self.gauge + 1
        yield opened
        self.left.append(opened)
        if self.frees and self.gauge is not None:
            self.gauge -= 1

    async def open_streams(self):
        if self.gauge is None:
            raise InstrumentFailure("No gauge of open streams is declared.", missing="stream.open")
        return self.gauge


class Here(ScriptedProcesses):
    """Processes of this host that let go of a connection at once, or are not seen."""

    def __init__(self, *, seen: bool = True):
        super().__init__({})
        self.holds = iter([True, False] if seen else [])

    def holds_connection(self, port, peer_port):
        return next(self.holds, None)


def evidence(*replies, target=TARGET, here=None, **options):
    sse = Leavable(*(replies or (good(), good(cached=True))), **options)
    instruments = ScriptedInstruments(sse=sse, processes=here or Here())
    return gather(stream_protocol, target, instruments)


FREED = Leaving(gauge=(3, 5), freed_s=0.1, held=True, closed_s=0.1, outlived=True)


def heard_as(first, again=None, *, target=TARGET, leaving=FREED):
    """The evidence of these streams, without the waiting."""
    heard = _streams.heard(target.stream, first)
    repeated = _streams.heard(target.stream, again or first)
    return stream_protocol.Evidence(
        "/live", False, heard, repeated, leaving, "curl -iN", "curl -m 2 /metrics"
    )


def measured(*replies, target=TARGET, **options):
    """The finding: through ``gather`` where it is about leaving, else of what was heard."""
    found = evidence(*replies, target=target, **options) if options else heard_as(*replies, target=target)
    return judge(stream_protocol, found, target)


def test_a_good_stream_that_is_freed_passes_with_its_time():
    found = evidence()
    finding = judge(stream_protocol, found)
    assert finding.outcome is Outcome.PASS
    assert finding.unit == "s"
    assert finding.value is not None
    assert finding.value < 1
    assert finding.limit.pass_at == 5
    assert "cached or not" in finding.reason
    assert finding.reproduce.startswith("for i in 1 2; do curl -sS -iN -X POST")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (good(headers={"content-type": "text/plain"}), "sent as text/plain"),
        (good(headers={}), "sent as no content type"),
        (good(headers={"content-type": "text/event-stream; charset=latin1"}), "charset=latin1"),
        (good(frames=Frames(not_utf8=2)), "no UTF-8, in 2"),
        (good(frames=Frames(strays=('b"}',), stray_count=1)), "no field of an event"),
        (stream(("token", {"text": "a"}), ("token", '{"text": "b'), ("done", {})), "no JSON"),
        (good("Gr\ufffd\ufffde"), "U+FFFD"),
        (stream(("token", {"text": "a"}), frames=Frames(unfinished=True)), "within an event"),
        (stream(("token", {"text": "a"})), "cannot tell a whole answer"),
        (stream(("token", {"text": "a"}), ("error", {"detail": "x"})), "cannot tell a whole answer"),
        (stream(("token", {"text": "a"}), frames=Frames(dataless=("done",))), "`done` without a data line"),
        (
            stream(("token", {"text": "a"}), failure=Failure(FailureKind.RESET, "connection reset")),
            "breaks off: connection reset",
        ),
    ],
)
def test_a_stream_that_is_framed_or_ended_wrongly_fails(reply, words):
    finding = measured(reply)
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert finding.fix
    assert finding.reproduce


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (stream(("token", {"text": TEXT})), "repeated, lacks the last event, `done`"),
        (stream(("chunk", {"text": TEXT}), ("done", {"from_cache": True})), "names its tokens `chunk`"),
        (stream(("token", {"t": TEXT}), ("done", {"from_cache": True})), "no token at the declared place"),
        (stream(("token", {"text": TEXT}), ("done", {"from_cache": True})), "lacks `n` in its events"),
        (stream(("token", {"text": TEXT, "n": 1}), ("done", {"from_cache": True})), "lacks `usage`"),
        (good(TEXT.replace("\n", " "), cached=True), "white space"),
        (good(cached=True, headers={}), "A cached stream of /live is sent as no content type"),
        (good(status=500), "repeated, gives no stream: status 500"),
    ],
)
def test_a_repeat_must_keep_what_clients_rely_on(again, words):
    first = good()
    if "`n`" in words or "`usage`" in words:
        first = stream(("token", {"text": TEXT, "n": 1}), ("done", {"from_cache": False, "usage": {"t": 1}}))
    finding = measured(first, again)
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason


def test_a_repeat_may_say_more_or_something_else():
    more = stream(("token", {"text": TEXT, "cached_at": 1}), ("done", {"from_cache": True, "age": 2}))
    assert measured(good(), more).outcome is Outcome.PASS
    assert measured(good(), good("Something else altogether")).outcome is Outcome.PASS


def test_a_repeat_that_was_not_cached_is_not_called_cached():
    finding = measured(good(), good())
    assert finding.outcome is Outcome.PASS
    assert "as its repeat does" in finding.reason


def test_what_the_answer_did_not_hold_is_said():
    assert "no answer held a line break or text that is not ASCII" in measured(good("plain text")).reason


def test_halves_of_a_character_in_two_tokens_are_one_again():
    halves = stream(("token", '{"text": "\\ud83d"}'), ("token", '{"text": "\\ude42"}'), ("done", {}))
    assert measured(halves).outcome is Outcome.PASS


def chunk(delta: dict[str, str], finish: str | None = None) -> tuple[str, object]:
    return "message", {"id": "1", "choices": [{"delta": delta, "finish_reason": finish}]}


CHUNKS = (chunk({"role": "assistant"}), chunk({"content": "Grü"}), chunk({"content": "ße"}))


def test_streams_of_an_openai_compatible_api_count_as_well():
    whole = stream(*CHUNKS, chunk({}, "stop"), ("message", "[DONE]"))
    assert measured(whole, target=OPENAI).outcome is Outcome.PASS
    cut = stream(*CHUNKS, chunk({}, "stop"))
    assert measured(cut, target=OPENAI).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (("message", "[DONE]"), Outcome.PASS),
        (("done", {}), Outcome.PASS),
        (chunk({}, "stop"), Outcome.PASS),
        (("message", {"type": "message_stop"}), Outcome.PASS),
        (("message", {"choices": []}), Outcome.FAIL),
    ],
)
def test_where_no_end_is_declared_a_usual_one_is_looked_for(last, outcome):
    declared = OPENAI.model_copy(update={"stream": OPENAI.stream.model_copy(update={"end_data": None})})
    assert measured(stream(*CHUNKS, last), target=declared).outcome is outcome


def test_plain_text_tokens_need_no_json():
    target = a_target(stream={"path": "/live", "body": "{prompt}", "end_event": "done"})
    reply = stream(("message", "With"), ("done", "-"))
    assert measured(reply, target=target).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [
        (5.0, Outcome.PASS),
        (5.1, Outcome.WARN),
        (30.0, Outcome.WARN),
        (30.1, Outcome.FAIL),
        (None, Outcome.FAIL),
    ],
)
def test_on_the_limit_is_within_it(seconds, outcome):
    leaving = Leaving(gauge=(0, 2), freed_s=seconds, held=True, closed_s=0.1, outlived=True)
    finding = judge(stream_protocol, heard_as(good(), good(cached=True), leaving=leaving))
    assert finding.outcome is outcome
    if outcome is not Outcome.PASS:
        assert "left" in finding.reason or "leaves" in finding.reason
        assert "-m 2" in finding.reproduce
        assert finding.reproduce.endswith("/metrics")
        assert finding.fix


def test_a_connection_that_is_held_counts_though_the_gauge_is_back():
    leaving = Leaving(gauge=(0, 2), freed_s=0.1, held=True, closed_s=None)
    finding = judge(stream_protocol, heard_as(good(), good(cached=True), leaving=leaving))
    assert finding.outcome is Outcome.FAIL
    assert "its end of the connection is held" in finding.reason


def test_by_the_connection_alone_the_finding_says_what_it_did_not_see():
    finding = measured(gauge=None)
    assert finding.outcome is Outcome.PASS
    assert "No gauge of open streams is declared" in finding.reason


def test_where_nothing_shows_it_leaving_is_said_to_be_unmeasured():
    finding = measured(gauge=None, here=Here(seen=False))
    assert finding.outcome is Outcome.PASS
    assert finding.value is None
    assert "was not measured: No gauge of open streams is declared" in finding.reason


def test_a_gauge_that_does_not_count_streams_proves_nothing():
    class Still(Leavable):
        async def open_streams(self):
            return 7.0

    instruments = ScriptedInstruments(sse=Still(good(), good()), processes=Here(seen=False))
    finding = judge(stream_protocol, gather(stream_protocol, TARGET, instruments))
    assert finding.outcome is Outcome.PASS
    assert "said 7 before, and 7 with two more streams open" in finding.reason


def test_answers_that_end_by_themselves_show_nothing():
    finding = measured(begun=lambda: Open(over=True))
    assert "its answers end at once" in finding.reason
    leaving = Leaving(gauge=(0, 2), freed_s=2.0, outlived=False)
    doubtful = judge(stream_protocol, heard_as(good(), good(cached=True), leaving=leaving))
    assert doubtful.outcome is Outcome.PASS
    assert "leaving showed nothing" in doubtful.reason


def test_a_long_answer_that_does_not_begin_is_not_left():
    finding = measured(begun=lambda: Open(events=[], over=True, status=503))
    assert finding.outcome is Outcome.PASS
    assert "did not begin" in finding.reason
    assert "status 503" in finding.reason


def test_a_question_that_is_refused_for_its_letters_is_asked_plainly():
    sse = Leavable(stream(status=422), good("plain"), good("plain"))
    found = gather(stream_protocol, TARGET, ScriptedInstruments(sse=sse, processes=Here()))
    assert found.plain
    assert "東京" in sse.sent[0].body.decode()
    assert "東京" not in sse.sent[1].body.decode()
    assert judge(stream_protocol, found).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("reply", "follows"),
    [
        (stream(status=503), "endpoint_health.stream_first_token"),
        (
            StreamReply(None, {}, (), None, 1.0, "", Failure(FailureKind.REFUSED, "refused")),
            "endpoint_health.stream_first_token",
        ),
        (stream(status=429), None),
    ],
)
def test_without_a_stream_there_is_nothing_to_judge(reply, follows):
    finding = measured(reply)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == follows


def test_a_repeat_that_is_rate_limited_is_not_assessed():
    assert measured(good(), stream(status=429)).outcome is Outcome.NOT_ASSESSED


def test_hostile_streams_are_bounded_and_printable():
    wild = "\x1b[31m" + "x" * 5_000
    reply = stream(
        *(
            (wild + str(number), {"text": wild, **{wild + str(key): 1 for key in range(50)}})
            for number in range(12)
        ),
        headers={"content-type": wild},
        frames=Frames(strays=(wild,) * 5, stray_count=5, dataless=(wild,) * 5),
    )
    found = heard_as(reply)
    assert len(repr(found)) < 100_000
    finding = judge(stream_protocol, found)
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.isprintable()
    assert len(finding.reason) < 500
