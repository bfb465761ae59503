"""Bounds hold: no number that an expression can have is outside of what is said of it."""

from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from checks.monitoring._rules.bounds import NOW, Bounds, compared, computed, exactly, filtered, negated

ENDS = st.sampled_from([-math.inf, -1e9, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 100.0, 1e9, math.inf])
OPERATORS = {"+": float.__add__, "-": float.__sub__, "*": float.__mul__}
COMPARED = {
    ">": float.__gt__, "<": float.__lt__, ">=": float.__ge__, "<=": float.__le__, "==": float.__eq__,
    "!=": float.__ne__,
}  # fmt: skip


@st.composite
def bounded(draw: st.DrawFn) -> tuple[Bounds, float]:
    """Bounds, and a finite number within them."""
    low, high = sorted((draw(ENDS), draw(ENDS)))
    assume(low < math.inf and high > -math.inf)
    value = draw(st.floats(max(low, -1e12), min(high, 1e12), allow_nan=False))
    return Bounds(low, high), value


@given(bounded(), bounded(), st.sampled_from(["+", "-", "*", "/", "%"]))
def test_arithmetic_stays_within_its_bounds(
    one: tuple[Bounds, float], two: tuple[Bounds, float], operator: str
):
    (left, a), (right, b) = one, two
    if operator in OPERATORS:
        result = OPERATORS[operator](a, b)
    elif not b:
        result = math.nan if not a or operator == "%" else math.copysign(math.inf, a) * math.copysign(1, b)
    else:
        result = a / b if operator == "/" else math.fmod(a, b)
    found = computed(operator, left, right)
    if not math.isnan(result):
        near = 1e-9 * max(1.0, abs(result)) if math.isfinite(result) else 0
        assert found.low - near <= result <= found.high + near, (left, a, operator, right, b, result, found)


@given(bounded(), bounded(), st.sampled_from(sorted(COMPARED)))
def test_a_comparison_is_only_certain_where_it_is(
    one: tuple[Bounds, float], two: tuple[Bounds, float], operator: str
):
    (left, a), (right, b) = one, two
    says = compared(operator, left, right)
    assert says is None or says == COMPARED[operator](a, b)


@given(bounded(), bounded(), st.sampled_from(sorted(COMPARED)))
def test_what_a_comparison_leaves_is_within_what_is_said(
    one: tuple[Bounds, float], two: tuple[Bounds, float], operator: str
):
    (left, a), (right, b) = one, two
    if COMPARED[operator](a, b):
        found = filtered(operator, left, right)
        assert found.low <= a <= found.high


@given(bounded())
def test_a_sign_turns_bounds(one: tuple[Bounds, float]):
    of, value = one
    assert negated(of).low <= -value <= negated(of).high


def test_times_are_known_to_be_times():
    age = computed("-", NOW, NOW)
    assert age.number == 0
    assert compared(">", NOW, exactly(86_400)) is True
    assert compared(">", computed("-", NOW, Bounds(0, math.inf)), exactly(86_400)) is None
    assert compared(">", computed("-", NOW, computed("-", NOW, exactly(300))), exactly(86_400)) is False
