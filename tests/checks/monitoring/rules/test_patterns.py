"""Patterns and values of label matchers: what they take, what they can take, and how long that takes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.contract.promql import Matcher
from checks.monitoring._rules.patterns import Pattern, example, pattern
from checks.monitoring._rules.values import meeting, together


def compiled(text: str) -> Pattern:
    found = pattern(text)
    assert found is not None, text
    return found


PIECES = st.sampled_from(["a", "b", "5", ".", "[a-c]", "[^a]", "[0-9]", r"\d", r"\w", r"\.", "/"])
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])
GROUPS = st.sampled_from(["(%s)", "(?:%s)", "(?P<n>%s)"])


def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map(lambda text: f"({text})"),
        st.tuples(inner, REPEATS).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


PATTERNS = st.recursive(st.tuples(PIECES, REPEATS).map("".join), wider, max_leaves=6)


@given(PATTERNS, st.lists(st.text(alphabet="ab5c./-x", max_size=6), min_size=1, max_size=6))
@settings(deadline=None)
def test_a_pattern_matches_whole_texts_as_they_are_known_to(text: str, values: list[str]) -> None:
    known = re.compile(text)
    for value in values:
        assert compiled(text).matches(value) == bool(known.fullmatch(value))


@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(PATTERNS, max_size=2))
@settings(deadline=None)
def test_an_example_is_one(positive: list[str], negative: list[str]) -> None:
    found = example([compiled(each) for each in positive], [compiled(each) for each in negative])
    if found:
        assert all(re.fullmatch(each, found) for each in positive)
        assert not any(re.fullmatch(each, found) for each in negative)


@given(st.text(alphabet="ab(|)[]{}*+?\\^$.-:P<>1,2i", max_size=12))
@settings(deadline=None, max_examples=500)
def test_no_text_is_an_exception(text: str) -> None:
    found = pattern(text)
    assert found is None or found.matches("ab") in (True, False)


@pytest.mark.parametrize(
    "text", ["(a+)+b", "(a|a)*b", "(.*a){20}", ".*.*.*.*.*b", "((a{9}){9}){9}", "(" * 300]
)
def test_nothing_is_searched_for_long(text: str) -> None:
    started = time.process_time()
    found = pattern(text)
    if found is not None:
        found.matches("a" * 200)
        example([found], [compiled(".*b.*")])
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", [r"\bx", r"\pL", r"\Qx", "a^b", "x$y", "*a"])
def test_what_is_not_understood_is_none_and_takes_all(text: str) -> None:
    assert pattern(text) is None
    assert meeting([Matcher("x", "=~", text)], ["y"], closed=False).possible


@pytest.mark.parametrize(
    ("text", "value"),
    [("(?i)error", "ERROR"), ("^5..$", "503"), ("^a|b$", "b"), ("[[:alpha:]]+", "Ab"), ("x{,3}", "x{,3}")],
)
def test_the_syntax_of_re2_is_read(text: str, value: str) -> None:
    assert compiled(text).matches(value)


@pytest.mark.parametrize(
    ("operator", "value", "values", "near"),
    [
        ("=", "5xx", ["200", "404"], "5.."),
        ("=~", "5", ["200"], "5.."),
        ("=", "503", ["2xx", "5xx", "other"], "5xx"),
        ("=", "5xx", ["2", "5"], "5"),
        ("=", "post", ["GET"], "POST"),
        ("=", "True", ["false", "true"], "true"),
        ("=", "half-open", ["closed", "half_open", "open"], "half_open"),
        ("=~", "/api", ["/api/orders"], "/api/orders"),
        ("=", "timeuot", ["timeout", "refused"], "timeout"),
        ("!~", ".*", ["200"], ""),
    ],
)
def test_a_value_of_another_form_never_comes(operator: str, value: str, values: list[str], near: str) -> None:
    found = meeting([Matcher("x", operator, value)], values, closed=False)
    assert not found.possible
    assert found.near == near


@pytest.mark.parametrize(
    ("operator", "value", "values"),
    [
        ("=~", "5..", ["200"]),
        ("=~", "[45]..", ["200", "302"]),
        ("!~", "2..", ["200"]),
        ("=~", "5..", ["2xx", "other"]),
        ("=~", "POST|PUT", ["GET"]),
        ("=~", "Unavailable|Internal", ["OK"]),
        ("=", "/api/item", ["/api/items"]),
        ("=", "mget", ["get"]),
        ("=", "0", ["200"]),
        ("=", "IO_ERROR", ["200"]),
        ("=", "SERVER_ERROR", ["SUCCESS"]),
        ("=~", ".*Exception", ["none"]),
        ("=", "db12", ["db0"]),
        ("=", "anything at all", []),
    ],
)
def test_a_value_of_the_same_form_may_come(operator: str, value: str, values: list[str]) -> None:
    assert meeting([Matcher("x", operator, value)], values, closed=False).possible


def test_a_closed_label_gets_no_other_values() -> None:
    assert meeting([Matcher("le", "=", "0.5")], ["0.5", "1.0"], closed=True).now == ("0.5",)
    assert not meeting([Matcher("le", "=", "0.3")], ["0.5", "1.0"], closed=True).possible


def test_matchers_that_exclude_each_other_match_nothing() -> None:
    assert together([Matcher("x", "=~", "5.."), Matcher("x", "!~", "[45]..")]) is None
    assert together([Matcher("x", "=~", "5.."), Matcher("x", "!~", "4..")]) is not None
    assert together([Matcher("x", "!~", ".*")]) is None
