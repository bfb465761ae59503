"""PromQL into the trees of the contract, through the promql-parser wheel.

The parser is native code and recursive: what is long, deep or has very many operators never gets there, for
its time grows with the square of them and the depth is on its stack.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Literal

import promql_parser as parser

from checks.contract.instruments.promql import Parsed
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
    number_text,
)

LONGEST = 20_000
DEEPEST = 60
MOST_OPERATORS = 300
# Strings first, so that nothing in them counts; then what nests and what makes a tree deep.
TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)|\#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?P<operator>[-+*/%^]|[=!]=|[<>]=?|\b(?:and|or|unless|atan2)\b)""",
    re.IGNORECASE,
)
OPERATORS = (  # pairs, for the parser's enumerations cannot be keys
    (parser.MatchOp.Equal, "="),
    (parser.MatchOp.NotEqual, "!="),
    (parser.MatchOp.Re, "=~"),
    (parser.MatchOp.NotRe, "!~"),
)
SIDES: tuple[tuple[object, Literal["left", "right"]], ...] = (
    (parser.VectorMatchCardinality.ManyToOne, "left"),
    (parser.VectorMatchCardinality.OneToMany, "right"),
)
# Gone from Prometheus 3, and from this parser with it.
OLDER = parser.Function(
    "holt_winters",
    [parser.ValueType.Matrix, parser.ValueType.Scalar, parser.ValueType.Scalar],
    parser.ValueType.Vector,
)
parser.register_extra_functions([OLDER])


class PromqlParser:
    """Implements ``checks.contract.instruments.promql.PromQL``."""

    def parse(self, expression: str) -> Parsed:
        """The tree of ``expression``, or why there is none."""
        problem = _too_much(expression)
        if problem:
            return Parsed(None, problem)
        try:
            return Parsed(_node(parser.parse(_plainly_quoted(expression)), 0))
        except RecursionError:
            return Parsed(None, "it is nested too deeply")
        except (ValueError, OverflowError) as error:
            return Parsed(None, (str(error).splitlines() or ["it cannot be read"])[0][:300])


def _too_much(expression: str) -> str:
    if len(expression) > LONGEST:
        return f"it has {len(expression):,} characters, more than {LONGEST:,}"
    depth = operators = 0
    for token in TOKEN.finditer(expression):
        depth += bool(token["open"]) - bool(token["close"])
        operators += bool(token["operator"])
        if depth > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
    if operators > MOST_OPERATORS:
        return f"it has {operators:,} operators, more than {MOST_OPERATORS}"
    return ""


def _plainly_quoted(expression: str) -> str:
    """``expression`` with raw strings quoted: this parser takes their backslashes for escapes."""

    def quoted(token: re.Match[str]) -> str:
        string = token["string"] or ""
        return json.dumps(string[1:-1], ensure_ascii=False) if string.startswith("`") else token[0]

    return TOKEN.sub(quoted, expression)


def _node(expr: object, depth: int) -> Node:  # noqa: PLR0911 - one for each kind of node
    if depth > MOST_OPERATORS + DEEPEST:
        raise RecursionError
    match expr:
        case parser.ParenExpr():
            return _node(expr.expr, depth + 1)
        case parser.NumberLiteral():
            return Number(expr.val)
        case parser.StringLiteral():
            return Text(expr.val)
        case parser.VectorSelector():
            return _selector(expr, None)
        case parser.MatrixSelector():
            return _selector(expr.vector_selector, expr.range)
        case parser.Call():
            return Call(expr.func.name, tuple(_node(each, depth + 1) for each in expr.args))
        case parser.AggregateExpr():
            return _aggregation(expr, depth)
        case parser.BinaryExpr():
            return _binary(expr, depth)
        case parser.UnaryExpr():
            of = _node(expr.expr, depth + 1)
            return Number(-of.value) if isinstance(of, Number) else Negative(of)
        case parser.SubqueryExpr():
            return Subquery(
                _node(expr.expr, depth + 1),
                _seconds(expr.range) or 0.0,
                _seconds(expr.step),
                _seconds(expr.offset) or 0.0,
                _at(expr.at),
            )
        case _:
            raise ValueError(f"it has a part of an unknown kind ({type(expr).__name__})")


def _selector(expr: parser.VectorSelector, window: timedelta | None) -> Selector:
    if expr.matchers.or_matchers:
        raise ValueError("matchers joined by `or` are no PromQL of Prometheus")
    matchers = [Matcher(each.name, _operator(each.op), each.value) for each in expr.matchers.matchers]
    names = [each for each in matchers if each.label == "__name__" and each.operator == "="]
    name = expr.name or (names[0].value if len(names) == 1 else "")
    if not expr.name and name:
        matchers.remove(names[0])
    return Selector(name, tuple(matchers), _seconds(window), _seconds(expr.offset) or 0.0, _at(expr.at))


def _operator(of: parser.MatchOp) -> str:
    return next(text for operator, text in OPERATORS if operator == of)


def _aggregation(expr: parser.AggregateExpr, depth: int) -> Aggregation:
    modifier = expr.modifier
    return Aggregation(
        str(expr.op),
        _node(expr.expr, depth + 1),
        tuple(modifier.labels) if modifier else (),
        modifier is not None and modifier.type == parser.AggModifierType.Without,
        None if expr.param is None else _node(expr.param, depth + 1),
    )


def _binary(expr: parser.BinaryExpr, depth: int) -> Binary:
    modifier = expr.modifier
    left, right = _node(expr.lhs, depth + 1), _node(expr.rhs, depth + 1)
    if modifier is None:
        return Binary(str(expr.op), left, right)
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise ValueError("`fill` is newer than what is understood here")
    matching = modifier.matching
    return Binary(
        str(expr.op),
        left,
        right,
        matching is not None and matching.type == parser.LabelModifierType.Include,
        tuple(matching.labels) if matching else (),
        next((side for card, side in SIDES if modifier.card == card), ""),
        tuple(modifier.group_labels or ()),
        modifier.return_bool,
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _at(at: parser.AtModifier | None) -> str:
    if at is None:
        return ""
    if at.type == parser.AtModifierType.At:
        return number_text(at.at.timestamp()) if at.at else ""
    return "start()" if at.type == parser.AtModifierType.Start else "end()"
