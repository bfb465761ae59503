"""When the parts of a stream came, by a clock that the test winds: nothing here waits."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.instruments.load.http1.replies import MAX_STATED_TOKENS, AnswerReader, StreamReader
from checks.contract.target.service import Ask, Stream

CHAT = {
    "path": "/s",
    "token": "choices.0.delta.content",
    "reasoning": "choices.0.delta.reasoning_content",
    "token_count": "usage.completion_tokens",
    "end_data": "[DONE]",
}


def delta(**changes):
    return {"choices": [{"index": 0, "delta": changes}]}


def event(data, name=""):
    text = data if isinstance(data, str) else json.dumps(data)
    return ((f"event: {name}\n" if name else "") + f"data: {text}\n\n").encode()


@pytest.fixture
def read():
    """``read(*pieces)`` feeds each piece a second after the one before, the first at second 1."""

    def feed(*pieces, stream=CHAT):
        reader = StreamReader(Stream.model_validate(stream))
        for second, piece in enumerate(pieces, start=1):
            reader.came_at = float(second)
            reader.feed(piece)
        return reader

    return feed


def times_of(reader):
    return reader.first_event_at, reader.first_token_at, reader.first_answer_at, reader.ended_at


ROLE = event(delta(role="assistant", content=""))
DONE = event("[DONE]")


def test_a_role_and_an_empty_chunk_are_events_and_no_tokens(read):
    reader = read(b": ping\n\n", ROLE, event(delta()), event(delta(content="Within")), DONE)
    assert (reader.first_event_at, reader.first_token_at, reader.first_answer_at) == (2, 4, 4)
    assert (reader.chunk_times, reader.tokens, reader.ended_at) == ([4], 1, 5)


def test_reasoning_is_the_first_token_and_not_the_first_answer(read):
    reader = read(
        ROLE,
        event(delta(reasoning_content="Let me")),
        event(delta(reasoning_content=" see", content=None)),
        event(delta(content="Within")),
        DONE,
    )
    assert (reader.first_token_at, reader.first_answer_at) == (2, 4)
    assert (reader.chunk_times, reader.tokens) == ([2, 3, 4], 3)
    assert reader.verdict(200, {}).failure is None


def test_reasoning_without_an_answer_is_no_answer(read):
    verdict = read(event(delta(reasoning_content="Hm")), event(delta(content="\n\n")), DONE).verdict(200, {})
    assert verdict.failure.kind == "wrong_body"
    assert "without a token of the answer" in verdict.failure.detail


def test_events_of_one_piece_came_at_the_same_time(read):
    word = event(delta(content="a"))
    reader = read(ROLE + word + word, word)
    assert reader.first_event_at == reader.first_token_at == 1
    assert reader.chunk_times == [1, 1, 2]


def test_an_event_cut_in_two_came_when_its_second_half_came(read):
    whole = event(delta(content="Within"))
    assert read(whole[:30], whole[30:]).chunk_times == [2]


def test_the_stated_number_of_tokens_wins_over_the_number_of_chunks(read):
    usage = event({"choices": [], "usage": {"completion_tokens": 37}})
    reader = read(event(delta(content="Within 30")), event(delta(content=" days.")), usage, DONE)
    assert reader.tokens == 37
    assert reader.chunk_times == [1, 2]


def test_a_running_count_of_tokens_counts_with_its_last_value(read):
    chunks = [event(delta(content="a") | {"usage": {"completion_tokens": 4 * n}}) for n in (1, 2, 3)]
    assert read(*chunks, DONE).tokens == 12


def test_the_number_of_tokens_may_stand_in_the_last_event(read):
    stream = {"path": "/s", "token": "text", "end_event": "done", "token_count": "tokens"}
    reader = read(event({"text": "Hi"}, "token"), event({"text": "x", "tokens": 5}, "done"), stream=stream)
    assert (reader.tokens, reader.chunk_times, reader.ended_at) == (5, [1], 2)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, None, "9", [9], MAX_STATED_TOKENS + 1, 10**400])
def test_a_number_of_tokens_that_cannot_be_is_not_believed(read, wrong):
    usage = event({"choices": [], "usage": {"completion_tokens": wrong}})
    assert read(event(delta(content="a")), usage, event(delta(content="b"))).tokens == 2


def test_white_space_is_text_only_after_something_visible(read):
    reader = read(
        event(delta(content="\n")),
        event(delta(content="A")),
        event(delta(content="\n")),
        event(delta(content="b")),
    )
    assert reader.first_token_at == 2
    assert reader.chunk_times == [2, 3, 4]


def test_text_after_the_declared_end_is_not_part_of_the_stream(read):
    reader = read(event(delta(content="a")), DONE, event(delta(content="b")), DONE)
    assert (reader.chunk_times, reader.tokens, reader.ended_at) == ([1], 1, 2)


def test_a_compressed_stream_has_the_times_of_its_pieces(read):
    squeezed = gzip.compress(ROLE + event(delta(content="a")) + DONE)
    reader = StreamReader(Stream.model_validate(CHAT))
    reader.begin({b"Content-Encoding": b"gzip"})
    for place in range(len(squeezed)):
        reader.came_at = float(1 + place)
        reader.feed(squeezed[place : place + 1])
    assert 0 < reader.first_event_at <= reader.first_token_at <= reader.ended_at
    assert len(reader.chunk_times) == 1


def test_a_new_stream_forgets_the_times_of_the_last_and_leaves_its_list_alone(read):
    reader = read(event({"usage": {"completion_tokens": 9}}), event(delta(content="a")), DONE)
    kept = reader.chunk_times
    reader.begin({})
    assert kept == [2]
    assert (reader.first_event_at, reader.first_token_at, reader.first_answer_at, reader.ended_at) == (
        0,
        0,
        0,
        0,
    )
    assert (reader.chunk_times, reader.tokens) == ([], 0)
    reader.feed(event(delta(content="a")))
    assert reader.tokens == 1


def test_an_answer_that_is_no_stream_has_no_such_times():
    reader = AnswerReader(Ask.model_validate({"path": "/ask"}))
    reader.begin({})
    reader.feed(b"fine")
    assert (reader.first_event_at, reader.first_token_at, reader.first_answer_at, reader.ended_at) == (
        0,
        0,
        0,
        0,
    )
    assert (list(reader.chunk_times), reader.tokens) == ([], 0)


STREAMS = st.fixed_dictionaries(
    {"path": st.just("/s")},
    optional={
        "token": st.sampled_from(["", "text", "0", "a.text"]),
        "end_event": st.sampled_from(["done", "message"]),
        "end_data": st.sampled_from(["[DONE]", "1", ""]),
        "end_json": st.sampled_from(["end", "0", "a.end"]),
    },
)
TEXTS = st.text(alphabet=' {}[]":,\\ntextend1\ufeff\xa0', max_size=30)
DATA = TEXTS | st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "end", "a"]), inner),
    max_leaves=5,
).map(json.dumps)


@given(STREAMS, st.sampled_from(["message", "done", "token"]), DATA)
def test_an_event_means_what_the_target_file_says_it_means(declared, name, data):
    stream = Stream.model_validate(declared)
    data = data.replace("\n", " ")
    reader = StreamReader(stream)
    reader.came_at = 1.0
    reader.feed(f"event: {name}\ndata: {data}\n\n".encode())
    assert bool(reader.ended_at) == stream.ends(name, data)
    assert bool(reader.first_answer_at) == bool(stream.text(name, data).strip())
