"""Server-sent events as the WHATWG standard defines them, and when they came."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.events import MAX_EVENT_CHARS, EventParser, TooLargeError
from app.instruments.sse import BODY_START_CHARS, SseReader
from checks.contract import FailureKind, InstrumentFailure, Request, Target
from checks.contract.target.calls import Count
from tests.instruments.servers import Visit, scripted, wire_to

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def parsed(*pieces: bytes) -> list[tuple[str, str]]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [("message", "one"), ("message", "two")]),
        (b"data: a\ndata: b\ndata\n\n", [("message", "a\nb\n")]),
        (b"data:  two spaces\n\n", [("message", " two spaces")]),
        (b"data:none\n\n", [("message", "none")]),
        (b"data: a:b: c\n\n", [("message", "a:b: c")]),
        (b"data\n\n", [("message", "")]),
        (b"event: token\ndata: x\n\n", [("token", "x")]),
        (b"event: lost\n\ndata: x\n\n", [("message", "x")]),
        (b": comment\ndata: x\n:another\n\n", [("message", "x")]),
        (b"id: 7\nretry: 10\nnonsense: y\ndata: x\n\n", [("message", "x")]),
        (
            b"data: crlf\r\n\r\ndata: cr\r\rdata: lf\n\n",
            [("message", "crlf"), ("message", "cr"), ("message", "lf")],
        ),
        (b"\xef\xbb\xbfdata: bom\n\n", [("message", "bom")]),
        (b"data: \xef\xbb\xbfkept\n\n", [("message", "\ufeffkept")]),
        (b"data: bad \xff byte\n\n", [("message", "bad \ufffd byte")]),
        ("data: a\u2028b\u0085c\x0bd\n\n".encode(), [("message", "a\u2028b\u0085c\x0bd")]),
        (b"data: never ended", []),
        (b"data: never ended\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_parsed_as_the_standard_says(stream, events):
    assert parsed(stream) == events


def test_a_crlf_cut_in_the_middle_is_one_line_end():
    assert parsed(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [("message", "a\nb")]


def test_a_character_cut_in_the_middle_is_whole():
    whole = "data: é€😀\n\n".encode()
    assert parsed(*(bytes([byte]) for byte in whole)) == [("message", "é€😀")]


LINES = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data",
        b"event: token",
        b"event:",
        b": note",
        b"id: 1",
        b"",
        b"",
        "data: é😀".encode(),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.one_of(
    st.lists(st.tuples(LINES, ENDS), max_size=30).map(
        lambda pairs: b"".join(line + end for line, end in pairs)
    ),
    st.binary(max_size=200),
    st.text(alphabet="data: event\r\n\ufeffé", max_size=200).map(str.encode),
)


@settings(max_examples=400)
@given(stream=STREAMS, cuts=st.lists(st.integers(0, 400), max_size=20))
def test_how_the_bytes_are_cut_does_not_matter(stream, cuts):
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert parsed(*pieces) == parsed(stream)


@given(data=st.lists(st.text(max_size=50), min_size=1, max_size=5), end=ENDS)
def test_what_a_server_frames_comes_out_again(data, end):
    lines = [line for text in data for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    stream = b"".join(b"data: " + line.encode() + end for line in lines) + end
    assert parsed(stream) == [("message", "\n".join(lines))]


def test_an_event_of_the_limit_is_read_and_a_larger_one_is_not():
    largest = "y" * (MAX_EVENT_CHARS - len("data: "))
    assert parsed(b"data: " + largest.encode() + b"\n\n") == [("message", largest)]
    with pytest.raises(TooLargeError):
        parsed(b"data: " + largest.encode() + b"y\n\n")


def test_comments_do_not_fill_an_event_up():
    keep_alive = b":" + b"y" * 1000 + b"\n"
    assert parsed(b"data: x\n", *[keep_alive] * 400, b"\n") == [("message", "x")]


async def test_events_carry_the_time_at_which_they_came():
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + b"event: token\ndata: a\n\n")
        await asyncio.sleep(0.2)
        await visit.write(b"event: done\ndata: b\n\n")
        visit.writer.close()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reply = await SseReader(wire).read(Request())
    first, second = reply.events
    assert [(event.name, event.data) for event in reply.events] == [("token", "a"), ("done", "b")]
    assert reply.first_byte_ms is not None
    assert 0 < reply.first_byte_ms <= first.at_ms
    assert second.at_ms - first.at_ms >= 150
    assert reply.end_ms >= second.at_ms
    assert (reply.status, reply.failure) == (200, None)
    assert reply.body_start.startswith("event: token")


async def test_the_declared_end_ends_the_reading_though_the_connection_stays_open():
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + b"data: a\n\ndata: [DONE]\n\n")
        await asyncio.Event().wait()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reader = SseReader(wire, lambda _name, data: data == "[DONE]")
        reply = await reader.read(Request(), timeout_s=30)
    assert [event.data for event in reply.events] == ["a", "[DONE]"]
    assert reply.failure is None


async def test_a_stream_that_does_not_end_in_time_keeps_its_events_beside_the_failure():
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + b"data: a\n\n")
        await asyncio.Event().wait()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reply = await SseReader(wire).read(Request(), timeout_s=0.3)
    assert [event.data for event in reply.events] == ["a"]
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.TIMEOUT


async def test_a_reply_that_is_no_stream_shows_how_its_body_starts():
    async def talk(visit: Visit) -> None:
        await visit.reply("<html>" + "é" * 5000, 500, Content_Type="text/html")

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reply = await SseReader(wire).read(Request())
    assert (reply.status, reply.events) == (500, ())
    assert reply.body_start.startswith("<html>éé")
    assert len(reply.body_start) == BODY_START_CHARS


async def test_a_refused_connection_has_neither_status_nor_first_byte():
    async with wire_to(Target(url="http://127.0.0.1:1")) as wire:
        reply = await SseReader(wire).read(Request())
    assert (reply.status, reply.first_byte_ms, reply.events) == (None, None, ())
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.REFUSED


async def test_how_a_stream_was_framed_is_seen_beside_its_events():
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + b"data: one\ntwo\n\nevent: done\n\n")
        visit.writer.close()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reply = await SseReader(wire).read(Request())
    assert [event.data for event in reply.events] == ["one"]
    assert (reply.frames.strays, reply.frames.dataless) == (("two",), ("done",))


async def eventually(holds) -> None:
    """Until it holds; 5 s are more than enough."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a reader tells nobody what it notes
            await asyncio.sleep(0.01)


async def test_a_stream_is_read_until_its_block_ends_and_then_its_connection_closes():
    gone = asyncio.Event()

    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + b"data: a\n\n")
        await visit.reader.read()
        gone.set()
        visit.writer.close()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        async with SseReader(wire).opened(Request()) as stream:
            await eventually(lambda: stream.events)
            assert (stream.status, stream.over, stream.failure) == (200, False, None)
            assert stream.port == server.visits[0].writer.get_extra_info("peername")[1]
            assert not gone.is_set()
        await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize(
    ("head", "fails"),
    [(HEAD, False), (HEAD[:-2] + b"Content-Length: 99\r\n\r\n", True)],
    ids=["ends", "breaks off"],
)
async def test_an_open_stream_tells_when_it_is_over(head, fails):
    async def talk(visit: Visit) -> None:
        await visit.write(head + b"data: a\n\n")
        visit.writer.close()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        async with SseReader(wire).opened(Request()) as stream:
            await eventually(lambda: stream.over)
        assert (stream.failure is not None) is fails


async def test_a_request_that_may_not_be_sent_is_told_when_the_block_ends():
    async with wire_to(Target(url="http://127.0.0.1:1"), reading=True) as wire:
        opened = SseReader(wire).opened(Request("POST"))
        stream = await opened.__aenter__()
        await eventually(lambda: stream.over)
        with pytest.raises(InstrumentFailure, match="only read"):
            await opened.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ({"json": "streams.open"}, b'{"streams": {"open": 3}}'),
        ({"metric": "open_streams"}, b'open_streams{worker="1"} 1\nopen_streams{worker="2"} 2\n'),
    ],
    ids=["json", "metric"],
)
async def test_the_declared_gauge_is_read(place, body):
    async def talk(visit: Visit) -> None:
        kind = "application/json" if body[:1] == b"{" else "text/plain; version=0.0.4"
        await visit.reply(body, Content_Type=kind)

    async with scripted(talk) as elsewhere:
        stream = {"path": "/live", "open": {"url": f"{elsewhere.url}/gauge", **place}}
        target = Target.model_validate({"url": "http://127.0.0.1:1", "stream": stream})
        async with wire_to(target) as wire:
            assert await SseReader(wire, gauge=target.stream.open).open_streams() == 3
    assert elsewhere.visits[0].path == "/gauge"


async def test_a_gauge_that_is_not_declared_or_shows_no_number_names_its_key():
    async def talk(visit: Visit) -> None:
        await visit.reply(b'{"open": "three"}')

    async with scripted(talk) as server:
        gauge = Count.model_validate({"url": server.url, "json": "open"})
        async with wire_to(Target(url=server.url)) as wire:
            for reader in (SseReader(wire), SseReader(wire, gauge=gauge)):
                with pytest.raises(InstrumentFailure) as caught:
                    await reader.open_streams()
                assert caught.value.missing == "stream.open"
