"""Large JSON is read in little memory, and says the same."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from app.instruments.openapi.json_text import SMALL_BYTES, read_json

OPERATION = {"responses": {"200": {"description": "fine"}}, "requestBody": {"content": {"a": {"b": {}}}}}


def test_a_large_document_is_read_as_it_stands():
    document = {
        "numbers": [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}, {"a": "1"}],
        "lists": [{"a": [1]}, {"a": [1]}, {"a": {"b": [True]}}, {"a": {"b": [1]}}],
        "alike": [{"a": {"b": {"c": number % 3}}} for number in range(9)],
        "padding": "x" * SMALL_BYTES,
    }
    assert repr(read_json(json.dumps(document).encode())) == repr(document)
    assert read_json(b'{"a": 1, "a": 2, "padding": "%s"}' % (b"x" * SMALL_BYTES))["a"] == 2


def test_what_is_said_again_and_again_takes_little_memory():
    paths = ",".join(f'"/{number}": {json.dumps(OPERATION)}' for number in range(20_000))
    body = f'{{"paths": {{{paths}}}}}'.encode()
    tracemalloc.start()
    document = read_json(body)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(document["paths"]) == 20_000
    assert peak_bytes < 4 * len(body)  # and twelve times as much otherwise


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b'{"a": "%s' % (b"x" * SMALL_BYTES), b"\xff"])
def test_what_is_no_json_is_a_value_error(body):
    with pytest.raises(ValueError):
        read_json(body)
