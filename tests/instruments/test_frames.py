"""What a parser of server-sent events passes over in silence is seen in the bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.frames import MAX_CHARS, MAX_KEPT, FrameWatch
from checks.contract import Frames


def watched(*pieces: bytes) -> Frames:
    watch = FrameWatch()
    for piece in pieces:
        watch.feed(piece)
    return watch.seen()


@pytest.mark.parametrize(
    "stream",
    [
        b"data: one\n\nevent: done\ndata: {}\n\n",
        b"data: a\ndata: b\ndata\n\n",
        b"event: token\r\ndata: x\r\n\r\n",
        b"data: cr\r\r",
        b"\xef\xbb\xbfdata: bom\n\n",
        b": comment\nid: 7\nretry: 10\ndata: x\n\n",
        "data: Grüße aus 東京 🙂\n\n".encode(),
        b"",
    ],
)
def test_a_well_framed_stream_has_nothing_to_say(stream):
    assert watched(stream) == Frames()


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (
            b'data: {"text": "one\ntwo"}\n\n',
            Frames(strays=('two"}',), stray_count=1),
        ),
        (b"Data: x\n\n", Frames(strays=("Data: x",), stray_count=1)),
        (b'{"text": "x"}\n', Frames(strays=('{"text": "x"}',), stray_count=1)),
        (b"data: Gr\xc3\n\ndata: \xbc\xc3e\n\n", Frames(not_utf8=2)),
        (b"data: Gr\xfc\xdfe\n\n", Frames(not_utf8=1)),
        (b"event: done\n\n", Frames(dataless=("done",))),
        (b"event: token\ndata: x\n\nevent: done\n\n", Frames(dataless=("done",))),
        (b"data: cut of", Frames(unfinished=True)),
        (b"data: cut off\n", Frames(unfinished=True)),
        (b"data: x\n\n\n", Frames()),
    ],
)
def test_what_clients_drop_is_told(stream, frames):
    assert watched(stream) == frames


def test_what_is_quoted_is_bounded_printable_and_without_secrets():
    watch = FrameWatch()
    watch.feed(b"".join(b"key \x1b[31m%d " % number + b"x" * 500 + b"\n" for number in range(50)))
    seen = watch.seen(lambda text: text.replace("key", "***"))
    assert seen.stray_count == 50
    assert len(seen.strays) == MAX_KEPT
    assert all(
        line.isprintable() and len(line) <= MAX_CHARS and line.startswith("***") for line in seen.strays
    )


@settings(max_examples=300, deadline=None)
@given(
    stream=st.one_of(
        st.binary(max_size=120),
        st.text(alphabet="dat: evn\r\n\ufeffé🙂", max_size=120).map(str.encode),
    ),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_how_the_bytes_are_cut_does_not_matter(stream, cuts):
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert watched(*(stream[start:end] for start, end in itertools.pairwise(places))) == watched(stream)
