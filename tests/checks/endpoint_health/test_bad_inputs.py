"""The bad inputs that are made from a good request, whatever its shape."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.contract import BodyField, Request
from checks.endpoint_health._bad_inputs import DEPTH, bad_inputs

PROMPT = "How do I return a lamp?"
JSON = {"Content-Type": "application/json"}
CHAT = {
    "model": "m",
    "temperature": 0.5,
    "stream": False,
    "messages": [{"role": "user", "content": PROMPT}],
}


def cases(body, headers=JSON, *, fields=None, url="/ask", method="POST", taken=frozenset()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = list(bad_inputs(lambda: Request(method, url, headers, data), PROMPT, fields or {}, taken))
    assert len({case.name for case in made}) == len(made)
    return {case.name: case for case in made}


def test_every_kind_of_the_catalogue_is_there():
    made = cases(CHAT)
    for name in (
        "JSON cut short",
        "a bare 1 as body",
        "a bare null as body",
        "a bare [] as body",
        "an object as `messages.0.content`",
        "text as `messages`",
        "no `messages`",
        "null as `messages.0.content`",
        "null inside the list `messages`",
        "a number of 400 digits as `temperature`",
        "NaN as `temperature`",
        "a lone surrogate as `messages.0.content`",
        "invalid UTF-8 as `messages.0.content`",
        f"{DEPTH} nested lists as body",
        "method GET",
        "the right body called text/plain",
    ):
        assert name in made, sorted(made)


def test_no_case_is_the_good_request():
    good = Request("POST", "/ask", JSON, json.dumps(CHAT).encode())
    assert all(case.request != good for case in cases(CHAT).values())


def test_bodies_are_what_their_names_say():
    made = cases({"q": PROMPT, "limit": 3})
    assert made["1e999 as `limit`"].request.body == b'{"q": "How do I return a lamp?", "limit": 1e999}'
    assert made["a lone surrogate as `q`"].request.body == b'{"q": "\\ud800", "limit": 3}'
    assert b"\xff\xfe" in made["invalid UTF-8 as `q`"].request.body
    assert json.loads(made["no `limit`"].request.body) == {"q": PROMPT}
    assert made[f"{DEPTH} nested lists as `q`"].request.body.count(b"[") == DEPTH


def test_without_a_schema_only_the_question_is_known_to_be_needed():
    made = cases({"q": PROMPT, "lang": "en"})
    assert made["no `q`"].invalid
    assert made["null as `q`"].invalid
    assert made["an object as `q`"].invalid
    assert not made["a number as `q`"].invalid, "a framework may make text of it"
    assert not made["no `lang`"].invalid
    assert not made["an object as `lang`"].invalid


def test_a_schema_says_what_may_be_left_out_or_null():
    fields = {
        "q": BodyField("string", True, False),
        "lang": BodyField("string", False, True),
        "top": BodyField("integer", False, False),
    }
    made = cases({"q": PROMPT, "lang": "en"}, fields=fields)
    assert made["a number as `q`"].invalid
    assert not made["no `lang`"].invalid
    assert not made["null as `lang`"].invalid
    assert made["an object as `lang`"].invalid
    assert made["text as `top`"].invalid
    assert json.loads(made["text as `top`"].request.body)["top"] == "many"


def test_values_just_outside_a_schema_are_wrong():
    fields = {
        "q": BodyField("string", True, False, {"minLength": 1, "maxLength": 40}),
        "lang": BodyField("string", True, False, {"enum": True}),
        "top": BodyField("integer", False, False, {"minimum": 1, "maximum": 20}),
        "heat": BodyField(
            "number", False, False, {"exclusiveMinimum": 0, "maximum": 2, "exclusiveMaximum": True}
        ),
        "tags": BodyField("array", False, False, {"minItems": 1, "maxItems": 2}),
    }
    made = cases({"q": PROMPT, "lang": "en", "top": 3, "tags": ["a"]}, fields=fields)
    for name, place, value in (
        ("41 characters as `q`", "q", "x" * 41),
        ("too short a text as `q`", "q", ""),
        ("a text that is no choice as `lang`", "lang", "no-such-choice"),
        ("0, outside minimum as `top`", "top", 0),
        ("21, outside maximum as `top`", "top", 21),
        ("0, outside exclusiveMinimum as `heat`", "heat", 0),
        ("2, outside maximum as `heat`", "heat", 2),
        ("3 items as `tags`", "tags", ["a"] * 3),
        ("too few items as `tags`", "tags", []),
    ):
        assert made[name].invalid, name
        assert json.loads(made[name].request.body)[place] == value


def test_without_limits_extremes_may_be_taken_but_must_not_crash():
    made = cases({"q": PROMPT, "user": "u", "options": {"limit": 3}})
    for name in ("10,000 characters as `user`", "-1 as `options.limit`", "10 to the 18th as `options.limit`"):
        assert not made[name].invalid
    assert "10,000 characters as `q`" not in made, "a long question may be a dear one"


def test_text_that_cannot_be_written_again_is_sent_in_each_field():
    made = cases({"q": PROMPT, "meta": {"session": "s"}})
    assert b'"session": "\\ud800"' in made["a lone surrogate as `meta.session`"].request.body
    assert b'"session": "\xff\xfe\xfa"' in made["invalid UTF-8 as `meta.session`"].request.body


def test_limits_that_are_nonsense_do_no_harm():
    bounds = {
        "minLength": -5,
        "maxLength": -1,
        "minimum": True,
        "exclusiveMaximum": False,
        "maxItems": 10**14,
    }
    huge = {"minLength": 10**12, "minItems": 10**12}
    for kind, value in (("string", "x"), ("integer", 1), ("array", ["x"])):
        for limits in (bounds, huge):
            assert cases({"q": PROMPT, "x": value}, fields={"x": BodyField(kind, True, False, limits)})


def test_a_form_gets_what_applies_to_forms():
    form = {"content-type": "application/x-www-form-urlencoded"}
    made = cases(b"q=How+do+I+return+a+lamp%3F&lang=en", headers=form)
    assert made["no `q`"].request.body == b"lang=en"
    assert made["no `q`"].invalid
    assert not made["no `lang`"].invalid
    assert made["invalid UTF-8 as `q`"].request.body == b"lang=en&q=%FF%FE"
    assert not any("nested" in name for name in made)


def test_a_query_gets_what_applies_to_queries():
    made = cases(b"", headers={}, url="/ask?q=How%20do%20I%20return%20a%20lamp%3F", method="GET")
    assert set(made) == {
        "method PATCH",
        "no question in the path",
        "invalid UTF-8 in the path",
        "a NUL character in the path",
    }
    assert made["no question in the path"].request.url == "/ask?q="


def test_a_plain_text_question_gets_what_applies_to_text():
    assert set(cases(PROMPT.encode(), headers={"Content-Type": "text/plain"})) == {
        "method GET", "method PATCH", "an empty body", "invalid UTF-8",
    }  # fmt: skip


def test_methods_that_are_operations_of_their_own_are_left_alone():
    assert "method GET" not in cases(CHAT, taken=frozenset(("GET", "POST")))


def test_the_heavy_ones_come_last_and_tell_how_to_make_them():
    made = list(cases(CHAT).values())
    assert [case.heavy for case in made] == sorted(case.heavy for case in made)
    assert all(case.stdin.startswith("python3 -c ") for case in made if case.heavy)


@pytest.mark.parametrize("name", [f"{DEPTH} nested lists as `q`", f"{DEPTH} nested objects as body"])
def test_the_command_prints_the_very_body(name):
    case = cases({"q": PROMPT})[name]
    printed = subprocess.run(["sh", "-c", case.stdin], capture_output=True, check=True).stdout
    assert printed == case.request.body


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.just(PROMPT)
)
documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ),
    max_size=5,
)


@given(documents)
def test_any_document_can_be_changed_and_stays_bounded(document):
    data = json.dumps(document).encode()
    made = list(bad_inputs(lambda: Request("POST", "/ask", JSON, data), PROMPT, {}))
    assert 8 <= len(made) <= 200
    assert all(isinstance(case.request.body, bytes) for case in made)
