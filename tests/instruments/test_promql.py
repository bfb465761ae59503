"""The promql instrument: expressions become trees, whatever is in them, and never an exception."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.instruments.promql import DEEPEST, LONGEST, MOST_OPERATORS, PromqlParser
from checks.contract.promql import (
    Aggregation,
    Binary,
    Call,
    Matcher,
    Negative,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
    packed,
    replaced,
    selectors,
    unpacked,
    walked,
    written,
)

PARSER = PromqlParser()


def parsed(expression: str) -> Node:
    result = PARSER.parse(expression)
    assert result.node is not None, result.problem
    return result.node


def test_a_selector_keeps_name_matchers_range_and_offset() -> None:
    node = parsed('http_requests_total{job="chat", status=~"5.."}[5m] offset 1h')
    matchers = (Matcher("job", "=", "chat"), Matcher("status", "=~", "5.."))
    assert node == Selector("http_requests_total", matchers, range_s=300, offset_s=3600)


def test_a_name_in_a_matcher_is_a_name() -> None:
    assert parsed('{__name__="a:b", x!="1"}') == Selector("a:b", (Matcher("x", "!=", "1"),))
    assert parsed('{__name__=~"a.*"}') == Selector("", (Matcher("__name__", "=~", "a.*"),))


def test_times_that_a_selector_stands_at_are_kept() -> None:
    assert parsed("x @ 1609746000.5") == Selector("x", at="1609746000.5")
    assert parsed("rate(x[5m] @ end())") == Call("rate", (Selector("x", range_s=300, at="end()"),))
    assert parsed("x offset -5m") == Selector("x", offset_s=-300)


def test_parentheses_are_gone_and_the_tree_says_what_they_said() -> None:
    x, y, z = Selector("x"), Selector("y"), Selector("z")
    assert parsed("((x) - (y - z))") == Binary("-", x, Binary("-", y, z))
    assert parsed("x - y - z") == Binary("-", Binary("-", x, y), z)
    assert parsed("x or vector(0) > 5") == Binary(
        "or", x, Binary(">", Call("vector", (Number(0),)), Number(5))
    )


def test_matching_of_a_binary_operator_is_kept() -> None:
    node = parsed("a / on(job) group_left(version) b")
    assert node == Binary("/", Selector("a"), Selector("b"), True, ("job",), "left", ("version",))
    assert parsed("a * ignoring(le) group_right b") == Binary(
        "*", Selector("a"), Selector("b"), False, ("le",), "right"
    )
    assert parsed("a == bool 1") == Binary("==", Selector("a"), Number(1), returns_bool=True)
    assert parsed("a and on() b") == Binary("and", Selector("a"), Selector("b"), on=True)


def test_aggregations_keep_grouping_and_parameter() -> None:
    x = Selector("x")
    assert parsed("sum(x) by (a, b)") == Aggregation("sum", x, ("a", "b"))
    assert parsed("sum without () (x)") == Aggregation("sum", x, (), without=True)
    assert parsed("topk(3, x)") == Aggregation("topk", x, parameter=Number(3))
    assert parsed('count_values("version", x)') == Aggregation("count_values", x, parameter=Text("version"))


def test_subqueries_and_signs() -> None:
    assert parsed("max_over_time(x[1h:5m] offset 1d)") == Call(
        "max_over_time", (Subquery(Selector("x"), 3600, 300, 86_400),)
    )
    assert parsed("-x") == Negative(Selector("x"))
    assert parsed("-1") == Number(-1)
    assert parsed("-1 ^ 2") == Negative(Binary("^", Number(1), Number(2)))


def test_numbers_in_all_spellings() -> None:
    assert [parsed(text) for text in ("0x1F", "1e3", "Inf", "-inf")] == [
        Number(31),
        Number(1000),
        Number(math.inf),
        Number(-math.inf),
    ]
    nan = parsed("NaN")
    assert isinstance(nan, Number)
    assert math.isnan(nan.value)


def test_raw_strings_keep_their_backslashes_and_quotes() -> None:
    assert parsed(r"""x{path=~`/api/\d+"`}""") == Selector("x", (Matcher("path", "=~", r'/api/\d+"'),))
    assert parsed(r"""x{path=~"/api/\\d+"}""") == Selector("x", (Matcher("path", "=~", r"/api/\d+"),))


def test_comments_and_line_ends_are_nothing() -> None:
    assert parsed("x # ((( and so on\n  + y") == Binary("+", Selector("x"), Selector("y"))


def test_functions_that_newer_servers_dropped_are_still_read() -> None:
    assert parsed("holt_winters(x[1h], 0.5, 0.5)") == Call(
        "holt_winters", (Selector("x", range_s=3600), Number(0.5), Number(0.5))
    )


@pytest.mark.parametrize(
    "expression",
    ["", "   ", "(((", "x{", "rate(x)", "sum(x[5m])", "x{a=~'('}", "{}", "'\ud800'", "x[99999999999y]", "\0"],
)
def test_what_cannot_be_read_is_a_value_with_words(expression: str) -> None:
    result = PARSER.parse(expression)
    assert result.node is None
    assert result.problem
    assert "\n" not in result.problem


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("x" * (LONGEST + 1), "characters"),
        ("(" * (DEEPEST + 1) + "x" + ")" * (DEEPEST + 1), "nested"),
        ("x" + "+x" * (MOST_OPERATORS + 1), "operators"),
        ("-" * 10_000 + "x", "operators"),
        ("x" + " or x" * 2_000, "operators"),
        ("sum(" * 3_000 + "x" + ")" * 3_000, "nested"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused_at_once(expression: str, problem: str) -> None:
    started = time.process_time()
    result = PARSER.parse(expression)
    assert result.node is None
    assert problem in result.problem
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "expression",
    [
        "(" * DEEPEST + "x" + ")" * DEEPEST,
        "x" + "+x" * MOST_OPERATORS,
        "x" + "^x" * MOST_OPERATORS,
        "-" * MOST_OPERATORS + "x",
    ],
)
def test_what_is_just_within_the_bounds_is_read_and_written(expression: str) -> None:
    node = parsed(expression)
    assert parsed_or_too_much(written(node)) in (node, None)
    assert unpacked(packed(node)) == node


def parsed_or_too_much(expression: str) -> Node | None:
    return PARSER.parse(expression).node


def test_the_bounds_hold_also_where_the_stack_is_nearly_used_up() -> None:
    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            result = PARSER.parse("x" + "+x" * MOST_OPERATORS)
            assert result.node is not None or result.problem

    deeper(sys.getrecursionlimit() - 200)


def test_a_part_can_be_replaced_and_found() -> None:
    node = parsed("sum(rate(old_total[5m])) / sum(rate(old_total[5m])) > 0.5")
    old = selectors(node)[0]
    mended = replaced(node, old, replace(old, name="new_total"))
    assert written(mended) == "sum(rate(new_total[5m])) / sum(rate(new_total[5m])) > 0.5"
    assert sum(isinstance(each, Aggregation) for each in walked(node)) == 2


LABELS = st.sampled_from(["job", "status", "le", "instance"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
MATCHERS = st.builds(Matcher, LABELS, st.sampled_from(["=", "!="]), TEXTS)
NAMES = st.sampled_from(["up", "http_requests_total", "job:errors:ratio_rate5m"])
SECONDS = st.sampled_from([1.0, 0.25, 60.0, 5_400.0, 90_061.0, 604_800.0, 31_536_000.0])
OFFSETS = st.one_of(st.just(0.0), SECONDS, SECONDS.map(float.__neg__))
INSTANT = st.builds(
    Selector,
    NAMES,
    st.lists(MATCHERS, max_size=3).map(tuple),
    st.none(),
    OFFSETS,
    st.sampled_from(["", "start()", "end()", "1609746000"]),
)
RANGES = st.builds(Selector, NAMES, st.lists(MATCHERS, max_size=2).map(tuple), SECONDS, OFFSETS)


def larger(vectors: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    grouping = st.lists(LABELS, max_size=2, unique=True).map(tuple)
    arithmetic = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2", ">", "<=", "=="])
    return st.one_of(
        st.builds(Negative, vectors),
        st.builds(lambda of: Call("abs", (of,)), vectors),
        st.builds(lambda of: Call("rate", (of,)), RANGES),
        st.builds(lambda of, s: Call("max_over_time", (Subquery(of, s, 60.0),)), vectors, SECONDS),
        st.builds(Aggregation, st.sampled_from(["sum", "count"]), vectors, grouping, st.booleans()),
        st.builds(lambda of: Aggregation("topk", of, parameter=Number(3.0)), vectors),
        st.builds(Binary, arithmetic, vectors, vectors, st.booleans(), grouping),
        st.builds(
            Binary, st.sampled_from(["and", "or", "unless"]), vectors, vectors, st.just(True), grouping
        ),
        st.builds(
            lambda left, right: Binary("*", left, right, True, ("job",), "left", ("le",)), vectors, vectors
        ),
        st.builds(lambda left: Binary(">", left, Number(-0.5), returns_bool=True), vectors),
    )


@given(st.recursive(INSTANT, larger, max_leaves=12))
@settings(deadline=None)
def test_what_is_written_is_read_as_the_same(node: Node) -> None:
    assert parsed(written(node)) == node
    assert unpacked(packed(node)) == node


@given(st.one_of(st.text(), st.text(alphabet="x1({[)}]\"'`\\,+-*/^=!~<>: \n#andorbyoffset@", max_size=60)))
@example("x{a='\\")
@example('"\\')
@example("`")
@settings(deadline=None, max_examples=500)
def test_no_text_is_an_exception(text: str) -> None:
    result = PARSER.parse(text)
    assert (result.node is None) == bool(result.problem)
    if result.node is not None:
        assert unpacked(packed(result.node)) == result.node or "nan" in text.lower()
        assert PARSER.parse(written(result.node)).node is not None


@given(st.recursive(st.one_of(st.none(), st.integers(), st.text(max_size=3)), st.lists, max_leaves=10))
def test_other_lists_are_no_expression(lists: object) -> None:
    try:
        unpacked([lists])
    except (ValueError, TypeError):
        pass
    else:
        raise AssertionError("unpacked something")
