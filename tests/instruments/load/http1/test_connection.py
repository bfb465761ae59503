"""The parser's view: where a reply is cut into segments makes no difference."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.instruments.load.http1.connection import Connection
from app.instruments.load.http1.replies import AnswerReader, StreamReader
from checks.contract.target.service import Ask, Stream
from tests.instruments.load.loads import ASK, STREAM

ANSWER = json.dumps({"answer": "Zwölf Tage — 12", "from_cache": True}, ensure_ascii=False).encode()
EVENTS = (
    'event: token\r\ndata: {"role": "assistant"}\r\n\r\n: ping\n\n'
    'event: token\rdata: {"text":\rdata: "é"}\r\r'
    'event: done\ndata: {"from_cache": true}\n\n'
).encode()


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


REPLIES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunked(ANSWER, 7),
    b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nOops",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}x",
]
STREAMS = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(EVENTS, 5),
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(EVENTS), EVENTS),
]


class Sink:
    """A transport that takes what is written, and can be aborted."""

    def write(self, data: bytes) -> None:
        self.written = data

    def abort(self) -> None:
        self.aborted = True


async def outcome(reader, pieces):
    ended = []
    connection = Connection(reader, ended.append)
    connection.connection_made(Sink())
    connection.send(b"GET / HTTP/1.1\r\n\r\n", now=0.0, timeout_s=1e18)
    for piece in pieces:
        if not ended:
            connection.data_received(piece)
    assert ended == [None]
    verdict = None if connection.failure else reader.verdict(connection.status, connection.headers)
    return connection.status, connection.failure, verdict, connection.open, bool(reader.first_token_at)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@pytest.mark.parametrize("how", ["closed", "reset", "spoken on"])
def test_a_connection_that_is_lost_before_the_request_is_a_reset_at_once(how):
    ended = []
    connection = Connection(AnswerReader(Ask.model_validate(ASK)), ended.append)
    connection.connection_made(Sink())
    if how == "spoken on":
        connection.data_received(b"SSH-2.0-OpenSSH_9.2\r\n")
    else:
        connection.connection_lost(ConnectionResetError() if how == "reset" else None)
    assert ended == []
    connection.send(b"GET / HTTP/1.1\r\n\r\n", now=0.0, timeout_s=1e18)
    assert ended == [None]
    assert connection.failure.kind == "reset"
    assert "before the request was sent" in connection.failure.detail


PLACES = st.lists(st.integers(0, 10_000), max_size=20)


@given(st.sampled_from(REPLIES), PLACES)
def test_where_a_reply_is_cut_makes_no_difference(reply, places):
    whole = asyncio.run(outcome(AnswerReader(Ask.model_validate(ASK)), [reply]))
    parts = asyncio.run(outcome(AnswerReader(Ask.model_validate(ASK)), cut(reply, places)))
    assert parts == whole


@given(st.sampled_from(STREAMS), PLACES)
def test_where_a_stream_is_cut_makes_no_difference(reply, places):
    whole = asyncio.run(outcome(StreamReader(Stream.model_validate(STREAM)), [reply]))
    assert whole[2].failure is None
    assert whole[2].cached == 1
    parts = asyncio.run(outcome(StreamReader(Stream.model_validate(STREAM)), cut(reply, places)))
    assert parts == whole


@given(st.binary(max_size=400))
def test_no_bytes_raise(data):
    async def main():
        ended = []
        connection = Connection(AnswerReader(Ask.model_validate(ASK)), ended.append)
        connection.connection_made(Sink())
        connection.send(b"", now=0.0, timeout_s=1e18)
        if data:
            connection.data_received(data)
        if not ended:
            connection.connection_lost(None)
        assert ended == [None]
        assert connection.failure is not None or connection.status

    asyncio.run(main())
