"""Event streams: the first token, the declared end, and what is no answer."""

from __future__ import annotations

import asyncio
import gzip
import json

import pyarrow.parquet as pq
import pytest
import uvloop

from app.instruments.load.http1.connection import MAX_REPLY_BYTES
from tests.instruments.load.loads import STREAM, a_target, answers, load
from tests.instruments.servers import Visit, scripted

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = b'event: token\ndata: {"role": "assistant"}\n\n'
TOKEN = b'event: token\ndata: {"text": "Within"}\n\n'
DONE = b'event: done\ndata: {"from_cache": true}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def streams(*parts, end=b"0\r\n\r\n"):
    """A server that sends events, and waits where a part is a number of seconds."""

    async def talk(visit: Visit) -> None:
        await visit.write(HEAD)
        for part in parts:
            if isinstance(part, bytes):
                await visit.write(chunk(part))
            else:
                await asyncio.sleep(part)
        await visit.write(end)

    return talk


def tried(talk, *, stream=None, **plan):
    async def main():
        async with scripted(talk) as server:
            target = a_target(server.url, stream=stream or STREAM)
            return (await load(target, route="stream", **plan)).summary, server

    return uvloop.run(main())


def test_the_first_token_is_the_first_text_not_the_role_before_it():
    summary, server = tried(streams(ROLE, b"\n", b": ping\n\n", 0.15, TOKEN, 0.1, TOKEN, DONE), users=2)
    assert summary.failed == 0
    assert 140 <= summary.ttft_p50_ms <= summary.ttft_p99_ms
    assert summary.ttft_p50_ms + 90 <= summary.p50_ms
    assert summary.cached == summary.marked == summary.total_requests
    assert server.connections == 2
    assert server.visits[0].headers["accept"] == "text/event-stream"


def test_the_latency_ends_with_the_declared_end_and_the_connection_is_dropped_if_it_stays_open():
    async def main():
        async with asyncio.timeout(30), scripted(streams(TOKEN, DONE, 60)) as server:
            told = await load(a_target(server.url), route="stream", users=1, timeout_s=60)
            return told.summary, server

    summary, server = uvloop.run(main())
    assert summary.failed == 0
    assert summary.max_ms < 900
    assert server.connections == summary.total_requests


def test_a_stream_cut_after_its_declared_end_is_an_answer():
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + chunk(TOKEN + DONE))
        visit.writer.close()

    assert tried(talk)[0].failed == 0


@pytest.mark.parametrize(
    ("parts", "kind", "words"),
    [
        ((TOKEN,), "wrong_body", "before its declared end"),
        ((ROLE, DONE), "wrong_body", "without a token"),
        ((b"<html>Sorry</html>",), "wrong_body", "beginning with <html>"),
        ((b"x" * 300_000,), "too_large", "one event"),
        (tuple(TOKEN * 500 for _ in range(300)), "too_large", "the stream is larger"),
    ],
)
def test_a_stream_that_is_no_answer_says_why(parts, kind, words):
    summary, _ = tried(streams(*parts), users=1, duration_s=0.1)
    assert summary.successful == 0
    assert set(summary.failures) == {kind}
    assert words in summary.failure_examples[kind]
    assert summary.ttft_p50_ms is None


def test_a_stream_cut_before_its_end_breaks_http():
    summary, _ = tried(streams(TOKEN, end=b""), timeout_s=0.4, duration_s=0.1)
    assert set(summary.failures) == {"timeout"}

    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + chunk(TOKEN))
        visit.writer.close()

    assert set(tried(talk)[0].failures) == {"protocol"}


def test_an_error_reply_of_the_stream_route_shows_its_body():
    summary, _ = tried(answers('{"detail": "no model"}', 503))
    assert "no model" in summary.failure_examples["status"]


def test_other_ends_and_plain_text_tokens_are_understood():
    plain = {"path": "/s", "end_data": "[DONE]"}
    assert tried(streams(b"data: Hello\n\ndata: [DONE]\n\n"), stream=plain)[0].failed == 0
    by_json = {"path": "/s", "token": "text", "end_json": "stats.tokens"}
    body = b'data: {"text": "Hi"}\r\n\r\ndata: {"stats": {"tokens": 1}}\r\n\r\n'
    assert tried(streams(body), stream=by_json)[0].failed == 0
    no_end = {"path": "/s", "token": "text"}
    assert tried(streams(b'data: {"text": "Hi"}\n\n'), stream=no_end)[0].failed == 0


def test_the_marker_may_stand_in_any_event():
    def judged(*parts, **marker):
        summary, _ = tried(streams(*parts), stream=STREAM | {"cached": marker})
        assert summary.failed == 0
        return summary.cached / summary.total_requests, summary.marked / summary.total_requests

    first = b'event: start\ndata: {"from_cache": true}\n\n'
    end = b"event: done\ndata: {}\n\n"
    assert judged(first, TOKEN, end, json="from_cache", equals=True) == (1, 1)
    assert judged(TOKEN, DONE, json="from_cache", equals=False) == (0, 1)
    assert judged(TOKEN, end, json="from_cache", equals=True) == (0, 0)
    assert judged(TOKEN, end, json="from_cache", present=True) == (0, 1)
    assert judged(TOKEN, end, json="from_cache", present=False) == (1, 1)
    assert judged(TOKEN, end, header="content-type", equals="text/event-stream") == (1, 1)


def test_a_compressed_stream_is_read_and_bounded():
    def squeezed(data):
        return answers(gzip.compress(data), Content_Encoding="gzip")

    summary, _ = tried(squeezed(ROLE + TOKEN + DONE))
    assert summary.failed == 0
    assert summary.ttft_p50_ms is not None
    bomb = squeezed(TOKEN * (2 * MAX_REPLY_BYTES // len(TOKEN)))
    assert set(tried(bomb, users=1, duration_s=0.1)[0].failures) == {"too_large"}
    broken = answers(gzip.compress(TOKEN)[:10] + b"nonsense", Content_Encoding="gzip")
    assert set(tried(broken)[0].failures) == {"protocol"}


def test_deep_json_in_an_event_is_no_token():
    deep = b"event: token\ndata: " + b"[" * 50_000 + b"\n\n"
    summary, _ = tried(streams(deep, DONE), users=1, duration_s=0.1)
    assert set(summary.failures) == {"wrong_body"}
    json.dumps(summary.failure_examples)


def test_an_attempt_without_a_reply_does_not_inherit_the_times_of_the_last_stream(tmp_path):
    """The server answers one stream and then is gone."""
    events = TOKEN + DONE

    async def main():
        async def once(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            server.close()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(events), events))
            writer.close()

        server = await asyncio.start_server(once, "127.0.0.1", 0)
        target = a_target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        file = tmp_path / "tried.parquet"
        return (await load(target, route="stream", users=1, duration_s=0.4, samples_file=file)).summary

    summary = uvloop.run(main())
    assert summary.successful == 1
    assert set(summary.failures) == {"refused"}
    rows = pq.read_table(tmp_path / "tried.parquet").to_pylist()
    assert all(row["latency_ms"] >= 0 for row in rows)
    assert [row["first_token_ms"] is None for row in rows] == [False] + [True] * summary.failed
