"""The stream route."""

from __future__ import annotations

import pytest

from tests.sample.client import HANG, Client, new_question


def test_tokens_come_one_by_one_and_a_done_event_ends_them(sample: Client):
    events = sample.stream()
    names = [name for _, name, _ in events]
    assert names == ["token"] * (len(events) - 1) + ["done"]
    assert len(events) > 15
    first_s, last_s = events[0][0], events[-1][0]
    assert first_s < last_s / 2


def test_the_stream_and_the_whole_answer_are_the_same_and_share_the_cache(sample: Client):
    question = new_question()
    streamed = "".join(data.get("text", "") for _, _, data in sample.stream(question))
    whole = sample.chat(question).json()
    assert whole["answer"] == streamed
    assert whole["metadata"]["from_cache"] is True


def test_a_cached_stream_keeps_the_same_events_and_says_so(sample: Client):
    question = new_question()
    sample.chat(question)
    events = sample.stream(question)
    assert {name for _, name, _ in events} == {"token", "done"}
    assert events[-1][2]["metadata"]["from_cache"] is True


def test_text_that_is_not_ascii_and_has_line_breaks_survives(sample: Client):
    question = "Wo ist mein Päckchen\nmit dem Geschenk für Zoë?"
    streamed = "".join(data.get("text", "") for _, _, data in sample.stream(question))
    assert "päckchen" in streamed
    assert streamed == sample.chat(question).json()["answer"]


@pytest.mark.parametrize(("toxics", "status"), [(HANG, 504), (None, 503)], ids=["silent", "refused"])
def test_a_model_that_fails_before_the_first_token_is_an_error_status(sample: Client, toxics, status: int):
    cut = sample.poisoned("upstream", toxics) if toxics else sample.refused("upstream")
    with cut:
        reply = sample.http.post("/api/v1/chat/stream", json={"message": new_question(), "session_id": "s"})
    assert reply.status_code == status


def test_a_model_that_fails_midway_ends_the_stream_with_an_error_event(sample: Client):
    names = []
    question = {"message": new_question(), "session_id": "s"}
    with sample.http.stream("POST", "/api/v1/chat/stream", json=question) as reply:
        for line in reply.iter_lines():
            if line.startswith("event: "):
                names.append(line[7:])
            if len(names) == 1:
                sample.faults.post("/proxies/upstream", json={"enabled": False})
    assert names[0] == "token"
    assert names[-1] == "error"
    sample.faults.post("/reset")
    assert sample.chat(question["message"]).json()["metadata"]["from_cache"] is False
