"""Whatever a service says, what is written is a target file, and the same target once it is read."""

from __future__ import annotations

import json
import math
import tomllib
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app import targets
from app.discovery import Discovery, as_toml, candidates, cleaning, reading, writing
from app.instruments.openapi import operations_of
from checks.contract import Event, Reply, StreamReply, Target
from checks.contract.target.auth import REFERENCE

TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["${HOME}", "{prompt}", '"""\n[redis]', "\ud800", "\x7f", "\u202e", "\r\n", "😀", "a.b", "", "\\", "'''"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
URL = "http://127.0.0.1:1"


def read(text: str) -> Target:
    return targets.validated(tomllib.loads(text), source="found.toml", key="service")


def again(tables: dict[str, Any], why: dict[str, str] | None = None, aside: tuple[str, ...] = ()) -> str:
    """The file of these tables, once it is certain that it reads as they do."""
    target = targets.validated({"url": URL, **tables}, source=URL, key="service")
    text = as_toml(Discovery(target, why or {}, aside))
    assert read(text) == target
    return text


@given(JSON, TEXTS)
@example({"message": "x", "deep": [[[None]]]}, "message")
@settings(deadline=None)
def test_any_example_of_a_body_comes_back_as_it_was(body: Any, prompt_field: str) -> None:
    cleaned = cleaning.body(candidates.templated(body, prompt_field))
    if cleaned is None:
        return
    text = again({"ask": {"path": "/ask", "body": cleaned}})
    assert not REFERENCE.search(text.partition("# What cannot be seen")[0])


@given(st.dictionaries(TEXTS, JSON, max_size=4))
@settings(deadline=None)
def test_any_form_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    again(
        {
            "ask": {
                "path": "/ask",
                "headers": {"Content-Type": candidates.FORM},
                "body": candidates.form(fields),
            }
        }
    )


@given(JSON, JSON, st.dictionaries(TEXTS, TEXTS, max_size=3))
@settings(deadline=None)
def test_any_two_replies_are_read_into_a_valid_table(first: Any, other: Any, headers: dict[str, str]) -> None:
    table: dict[str, Any] = {"path": "/ask"}
    if path := reading.answer_path(first):
        table["answer"] = path
    lower = {f"x-cache{name.lower()}": value for name, value in headers.items()}
    if found := reading.cache_marker((lower, first), (lower, other)):
        table["cached"] = found[0]
    again({"ask": table})


@given(st.lists(st.tuples(TEXTS, JSON), min_size=1, max_size=4))
@settings(deadline=None)
def test_any_events_are_read_into_a_valid_table(pairs: list[tuple[str, Any]]) -> None:
    events = tuple(Event(1.0, name, json.dumps(document)) for name, document in pairs)
    reply = StreamReply(200, {}, events, 1.0, 2.0)
    again({"stream": {"path": "/stream", **reading.stream_reading(reply, reply)}})


@given(JSON)
def test_any_error_reply_names_fields_or_none(document: Any) -> None:
    named = reading.fields_named(Reply(URL, 422, body=json.dumps(document).encode("utf-8", "replace")))
    for name in candidates.likely_fields(named):
        again({"ask": {"path": "/ask", "body": candidates.usual_body(name, named)}})


@given(TEXTS, TEXTS)
def test_remarks_stay_comments(why: str, aside: str) -> None:
    text = again({"ask": {"path": "/a"}}, {"ask": why, "ask.path": aside}, (aside, why))
    assert all(line.isprintable() for line in text.split("\n"))


@given(JSON.filter(lambda value: isinstance(value, dict)))
@settings(deadline=None)
def test_any_openapi_example_is_a_call_or_none(example_body: Any) -> None:
    media = {"application/json": {"example": example_body}}
    paths = {"/chat": {"post": {"requestBody": {"content": media}}}}
    for operation in operations_of({"openapi": "3.1.0", "paths": paths}):
        table = candidates.call_table(operation)
        if table is not None:
            again({"ask": table})


@given(JSON)
def test_model_names_are_texts(document: Any) -> None:
    for name in reading.model_names({"data": [{"id": document}]}):
        again(candidates.openai_tables("/v1/chat/completions", name))


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_as_they_are(number: float) -> None:
    found = tomllib.loads(f"x = {writing.value(number)}")["x"]
    assert found == number or math.isclose(found, number)


def test_what_is_missing_is_valid_once_the_remark_signs_are_taken_away() -> None:
    text = again({"health": {"metrics": "/internal/metrics"}})
    start, _, rest = text.partition("# What cannot be seen")
    uncommented = [
        line.removeprefix("# ") for line in rest.splitlines()[2:] if not line.startswith("# Further")
    ]
    target = read("allow_faults = true\n" + start + "\n".join(uncommented))
    assert target.redis is not None
    assert target.upstream is not None
    assert target.upstream.calls.url == "/internal/metrics"
    assert "cache" in target.levers
    assert target.prompts.context is not None
    assert target.auth is not None
    assert target.objectives.rate_limit is not None


def test_a_body_too_deep_to_be_sent_is_left_out() -> None:
    deep: Any = "x"
    for _ in range(cleaning.MAX_DEPTH + 1):
        deep = [deep]
    assert cleaning.body(deep) is None


def test_the_template_is_a_target_file() -> None:
    assert targets.validated(candidates.template(), source="openai.toml", key="openai").stream is not None
