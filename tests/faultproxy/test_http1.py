"""Requests are told apart byte by byte, however they are cut up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.faultproxy.http1 import Framing, Piece


def a_request(method: str = "POST", path: str = "/v1/complete", body: bytes = b"", *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: model", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def a_chunked_request(*chunks: bytes, trailer: bytes = b"") -> bytes:
    head = a_request("PUT", "/chunked", b"", "Transfer-Encoding: chunked")
    parts = b"".join(b"%x;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + parts + b"0\r\n" + trailer + b"\r\n"


REQUESTS = [
    a_request("GET", "/health?token=s3cret"),
    a_request(body=b"{}"),
    a_request(body=b"GET / HTTP/1.1\r\n\r\n" * 3),
    a_chunked_request(b"x" * 300, b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    a_chunked_request(),
    a_chunked_request(b"a", trailer=b"Digest: x\r\n"),
]


def split(data: bytes, cuts: list[int]) -> tuple[Framing, list[Piece]]:
    framing = Framing()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(edges)]
    return framing, [piece for part in parts for piece in framing.split(part)]


@given(
    st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6), st.lists(st.integers(0, 5000), max_size=12)
)
def test_every_request_is_found_and_no_byte_is_lost_wherever_it_is_cut(requests, cuts):
    framing, pieces = split(b"".join(requests), cuts)
    found: list[bytes] = []
    for piece in pieces:
        found = [*found, b""] if piece.begins else found
        found[-1] += piece.data
    assert found == requests
    assert [piece.begins for piece in pieces].count(True) == len(requests)
    assert [piece.ends for piece in pieces].count(True) == len(requests)
    assert sum(piece.head is not None for piece in pieces) == len(requests)
    assert framing.between
    assert not framing.opaque


def test_a_byte_at_a_time_is_as_good():
    data = b"".join(REQUESTS)
    _, pieces = split(data, list(range(len(data))))
    assert sum(piece.ends for piece in pieces) == len(REQUESTS)


def test_a_head_tells_method_and_path_without_its_query_and_whether_it_closes():
    _, [piece] = split(a_request("GET", "/health?token=s3cret", b"", "connection: Close"), [])
    assert piece.head.start == ("GET", "/health")
    assert (piece.head.closes, piece.head.expects, piece.head.length) == (True, False, 0)
    _, [old] = split(b"GET / HTTP/1.0\r\n\r\n", [])
    assert old.head.closes
    _, [waits] = split(a_request("PUT", "/", b"", "Expect: 100-continue", "Content-Length: 5"), [])
    assert waits.head.expects
    assert not waits.ends


@pytest.mark.parametrize(
    "data",
    [
        b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PING\r\n",
        b"EHLO example.org\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get key\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        a_request("PUT", "/", b"", "Transfer-Encoding: chunked") + b"not hexadecimal\r\n",
        b"GET /" + b"x" * 70_000,
    ],
)
def test_what_is_no_http_1_is_opaque_and_passes_whole(data):
    for cuts in ([], [1], list(range(0, len(data), 7))):
        framing, pieces = split(data, cuts)
        assert framing.opaque
        assert b"".join(piece.data for piece in pieces) == data
