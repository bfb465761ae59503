"""Between which numbers the value of an expression can be, whatever the service does. Pure, private."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

INF = math.inf
NOW_S = (1.5e9, 2e10)  # what time() returns: from 2017 on


@dataclass(frozen=True)
class Bounds:
    """From ``low`` to ``high``, plus ``nows`` times the time of now. ``whole``: only whole numbers.

    A ``low`` above ``high`` is no number at all: NaN.
    """

    low: float = -INF
    high: float = INF
    whole: bool = False
    nows: float = 0.0

    @property
    def number(self) -> float | None:
        """The one number that it is, if it is one."""
        return self.low if self.low == self.high and not self.nows else None

    @property
    def is_nan(self) -> bool:
        """Whether it is never a number."""
        return self.low > self.high

    @property
    def at_least_0(self) -> bool:
        """Whether it is never negative."""
        return self.plain.low >= 0

    @property
    def plain(self) -> Bounds:
        """Without times of now."""
        if not self.nows:
            return self
        low, high = sorted((self.nows * NOW_S[0], self.nows * NOW_S[1]))
        return Bounds(self.low + low, self.high + high)

    def within(self, low: float, high: float) -> Bounds:
        """The part between ``low`` and ``high``."""
        plain = self.plain
        low, high = max(plain.low, low), min(plain.high, high)
        if plain.whole:
            low = float(math.ceil(low)) if math.isfinite(low) else low
            high = float(math.floor(high)) if math.isfinite(high) else high
        return replace(plain, low=low, high=high)

    def joined(self, other: Bounds) -> Bounds:
        """Either this or ``other``."""
        if self.is_nan or other.is_nan:
            return other if self.is_nan else self
        if self.nows == other.nows:
            return Bounds(
                min(self.low, other.low),
                max(self.high, other.high),
                self.whole and other.whole,
                self.nows,
            )
        one, two = self.plain, other.plain
        return Bounds(min(one.low, two.low), max(one.high, two.high))


ANY = Bounds()
AT_LEAST_0 = Bounds(0, INF)
COUNTS = Bounds(1, INF, whole=True)
SHARE = Bounds(0, 1)
ZERO_OR_ONE = Bounds(0, 1, whole=True)
ONE = Bounds(1, 1, whole=True)
ZERO = Bounds(0, 0, whole=True)
NAN = Bounds(1, -1)
NOW = Bounds(0, 0, nows=1)


def exactly(value: float) -> Bounds:
    """One number."""
    return (
        NAN
        if math.isnan(value)
        else Bounds(value, value, whole=value == math.floor(value) if math.isfinite(value) else False)
    )


def negated(of: Bounds) -> Bounds:
    """Minus ``of``."""
    return of if of.is_nan else Bounds(-of.high, -of.low, of.whole, -of.nows)


def computed(  # noqa: PLR0911 - one for each operator
    operator: str, left: Bounds, right: Bounds
) -> Bounds:
    """The bounds of an arithmetic operation of any number of ``left`` with any of ``right``."""
    if left.is_nan or right.is_nan:
        return NAN
    if operator in ("+", "-"):
        other = right if operator == "+" else negated(right)
        return Bounds(
            _sum(left.low, other.low, -INF),
            _sum(left.high, other.high, INF),
            left.whole and other.whole,
            left.nows + other.nows,
        )
    if operator == "*":
        for one, two in ((left, right), (right, left)):
            if one.nows and two.number is not None and math.isfinite(two.number):
                ends = sorted((one.low * two.number, one.high * two.number))
                return Bounds(ends[0], ends[1], nows=one.nows * two.number)
        return _product(left.plain, right.plain)
    if operator == "/":
        if left.nows and right.number:
            ends = sorted((left.low / right.number, left.high / right.number))
            return Bounds(ends[0], ends[1], nows=left.nows / right.number)
        return _quotient(left.plain, right.plain)
    if operator == "%":
        return _remainder(left.plain, right.plain)
    if operator == "^" and left.plain.low >= 0:
        return AT_LEAST_0
    return Bounds(-math.pi, math.pi) if operator == "atan2" else ANY


def compared(operator: str, left: Bounds, right: Bounds) -> bool | None:
    """Whether a comparison is always true or always false; None where it depends. NaN is left aside."""
    if left.is_nan or right.is_nan:
        return operator == "!="
    if left.nows == right.nows:
        left, right = replace(left, nows=0), replace(right, nows=0)
    left, right = left.plain, right.plain
    if operator in ("<", "<="):
        operator, left, right = {"<": ">", "<=": ">="}[operator], right, left
    if operator == ">":
        return True if left.low > right.high else False if left.high <= right.low else None
    if operator == ">=":
        return True if left.low >= right.high else False if left.high < right.low else None
    apart = left.high < right.low or right.high < left.low
    for one, two in ((left, right), (right, left)):
        apart = apart or (one.whole and two.number is not None and two.number != math.floor(two.number))
    same = left.number is not None and left.number == right.number
    if apart or same:
        return same == (operator == "==")
    return None


def filtered(operator: str, left: Bounds, right: Bounds) -> Bounds:
    """What is left of ``left`` after a comparison with ``right`` that holds."""
    if left.is_nan or right.is_nan or left.nows or right.nows:
        return left
    if operator == "==":
        return left.within(right.low, right.high)
    if operator in (">", ">="):
        return left.within(math.nextafter(right.low, INF) if operator == ">" else right.low, INF)
    if operator in ("<", "<="):
        return left.within(-INF, math.nextafter(right.high, -INF) if operator == "<" else right.high)
    return left


def _sum(one: float, two: float, unsure: float) -> float:
    return unsure if math.isnan(one + two) else one + two


def _times(one: float, two: float) -> float:
    return 0.0 if not one or not two else one * two


def _product(left: Bounds, right: Bounds) -> Bounds:
    ends = [_times(one, two) for one in (left.low, left.high) for two in (right.low, right.high)]
    return Bounds(min(ends), max(ends), left.whole and right.whole)


def _quotient(left: Bounds, right: Bounds) -> Bounds:
    if right.number == 0:
        return Bounds(INF, INF) if left.low > 0 else NAN if left.number == 0 else ANY
    if right.low < 0 < right.high:
        return ANY
    if right.low >= 0 or right.high <= 0:
        low = 1 / right.high if right.high else -INF
        high = 1 / right.low if right.low else INF
        return replace(_product(left, Bounds(low, high)), whole=False)
    return ANY


def _remainder(left: Bounds, right: Bounds) -> Bounds:
    size = max(abs(right.low), abs(right.high))
    low = 0.0 if left.low >= 0 else -size
    high = 0.0 if left.high <= 0 else size
    return Bounds(
        low, math.nextafter(high, -INF) if high and math.isfinite(high) else high, left.whole and right.whole
    )
