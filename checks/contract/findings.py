"""What a check says: an outcome with its value, limit, reason, remedy and reproduce line."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist
from typing import Literal, TypedDict, Unpack

from checks.contract.texts import printable
from checks.contract.wording import NBSP, UNITS, show


class Outcome(StrEnum):
    """The six answers a check can give. There is no sentinel number and no "0 means no data"."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    NOT_ASSESSED = "not_assessed"
    ERROR = "error"

    @property
    def measured(self) -> bool:
        """Whether the service was measured and judged."""
        return self in (Outcome.PASS, Outcome.WARN, Outcome.FAIL)


@dataclass(frozen=True, slots=True)
class Limit:
    """The two limits of a number: it passes at ``pass_at`` or better, warns at ``warn_at`` or better.

    ``better`` says which way is good. ``low`` and ``high`` bound the scale that a page draws.
    """

    pass_at: float
    warn_at: float
    better: Literal["higher", "lower"]
    low: float = 0.0
    high: float | None = None

    @classmethod
    def at_least(cls, pass_at: float, warn_at: float, *, high: float | None = None) -> Limit:
        """More is better. A team's own ``pass_at`` may be below ``warn_at``; there is then no warning."""
        return cls(pass_at, min(warn_at, pass_at), "higher", high=high)

    @classmethod
    def at_most(cls, pass_at: float, warn_at: float) -> Limit:
        """Less is better. A team's own ``pass_at`` may be above ``warn_at``; there is then no warning."""
        return cls(pass_at, max(warn_at, pass_at), "lower")

    def outcome(self, value: float) -> Outcome:
        """PASS, WARN or FAIL for ``value``; a value on the limit is within it."""
        sign = 1 if self.better == "higher" else -1
        if sign * value >= sign * self.pass_at:
            return Outcome.PASS
        return Outcome.WARN if sign * value >= sign * self.warn_at else Outcome.FAIL

    def share(self, value: float) -> float:
        """The part of the points that ``value`` earns: 1 at ``pass_at``, 0 at ``warn_at``, linear between."""
        if self.pass_at == self.warn_at:
            return 1.0 if self.outcome(value) is Outcome.PASS else 0.0
        return min(1.0, max(0.0, (value - self.warn_at) / (self.pass_at - self.warn_at)))

    def close_call(self, interval: tuple[float, float], unit: str) -> str:
        """A sentence that says so where ``interval`` reaches over a limit, else ""; begins with a space."""
        low, high = interval
        if not any(low < at < high for at in (self.pass_at, self.warn_at)):
            return ""
        return f" Too close to be sure: the 95{NBSP}% interval is {show(low, unit)} to {show(high, unit)}."


def curve_share(value: float, *, p10: float, median: float) -> float:
    """The part of the points on a log-normal curve: 1 up to ``p10``, 0.5/0.9 at ``median``, towards 0 beyond.

    Lighthouse's score curve (``computeLogNormalScore``): the share of a log-normal population that is
    worse than ``value``, where ``p10`` is better than 90 % of it. Divided by 0.9 so that ``p10`` earns all.
    Raises ValueError unless ``0 < p10 < median``.
    """
    if not 0 < p10 < median:
        raise ValueError(f"a score curve needs 0 < p10 < median, not p10={p10}, median={median}")
    if value <= p10:
        return 1.0
    sigma = math.log(median / p10) / NormalDist().inv_cdf(0.9)
    worse = 1 - NormalDist().cdf(math.log(value / median) / sigma)
    return min(1.0, worse / 0.9)


LEAST_SHARE = 0.1  # a warning on a curve earns at least this; what earns less is a failure


def curve_limit(*, p10: float, median: float) -> Limit:
    """Passes at the curve's ``p10``; warns down to where it earns LEAST_SHARE (the curve's inverse)."""
    sigma = math.log(median / p10) / NormalDist().inv_cdf(0.9)
    least = median * math.exp(sigma * NormalDist().inv_cdf(1 - 0.9 * LEAST_SHARE))
    return Limit.at_most(p10, least)


class Remarks(TypedDict, total=False):
    """The optional parts of a finding that has a number judged by a limit."""

    interval: tuple[float, float] | None
    fix: str
    reproduce: str
    follows_from: str | None


class Details(Remarks, total=False):
    """The optional parts of a finding, as the named constructors take them."""

    value: float | None
    unit: str | None
    limit: Limit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check's answer. Use the named constructors; ``share`` is the part of the points earned, 0..1.

    ``reason`` is one sentence with value, limit and unit. ``value`` is in ``unit`` (a code of the contract's
    wording); ``interval`` is its 95 % interval. ``follows_from`` names the check whose failure explains this
    one. ``missing`` is the target-file key to add when nothing could be measured.
    """

    outcome: Outcome
    reason: str
    share: float = 0.0
    value: float | None = None
    unit: str | None = None
    limit: Limit | None = None
    interval: tuple[float, float] | None = None
    fix: str = ""
    reproduce: str = ""
    follows_from: str | None = None
    missing: str | None = None

    def __post_init__(self) -> None:
        """Refuse nonsense, so that a broken judge becomes an ERROR and never a point. Raises ValueError.

        Names of routes, fields and rules come from the service: what would move a cursor is taken out.
        """
        if not isinstance(self.outcome, Outcome):
            raise ValueError(f"outcome is {self.outcome!r}, not an Outcome")  # noqa: TRY004 - one kind of nonsense
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ValueError("a finding needs a reason")
        harmless = NBSP.join(printable(part) for part in self.reason.split(NBSP))
        object.__setattr__(self, "reason", harmless)  # frozen for everybody else
        numbers = {"share": self.share, "value": self.value}
        numbers |= {"interval": self.interval[0], "interval end": self.interval[1]} if self.interval else {}
        for name, number in numbers.items():
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number}, not a finite number")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}, outside 0..1")
        if self.share and self.outcome not in (Outcome.PASS, Outcome.WARN):
            raise ValueError(f"{self.outcome} earns nothing, yet share is {self.share}")
        if self.value is not None and self.unit not in UNITS:
            raise ValueError(f"value without a known unit: {self.unit!r}")

    @classmethod
    def passed(cls, reason: str, **details: Unpack[Details]) -> Finding:
        """The good condition holds; earns all points."""
        return cls(outcome=Outcome.PASS, reason=reason, share=1.0, **details)

    @classmethod
    def warned(cls, reason: str, *, share: float = 0.5, **details: Unpack[Details]) -> Finding:
        """Between the limits; earns ``share`` of the points."""
        return cls(outcome=Outcome.WARN, reason=reason, share=share, **details)

    @classmethod
    def failed(cls, reason: str, **details: Unpack[Details]) -> Finding:
        """The good condition does not hold; earns nothing."""
        return cls(outcome=Outcome.FAIL, reason=reason, **details)

    @classmethod
    def not_applicable(cls, reason: str) -> Finding:
        """Proven absence of the thing (the proof is in the evidence); leaves the score."""
        return cls(outcome=Outcome.NOT_APPLICABLE, reason=reason)

    @classmethod
    def not_assessed(
        cls, reason: str, *, missing: str | None = None, follows_from: str | None = None
    ) -> Finding:
        """Could not be measured; earns nothing and stays in the denominator."""
        return cls(outcome=Outcome.NOT_ASSESSED, reason=reason, missing=missing, follows_from=follows_from)

    @classmethod
    def errored(cls, reason: str) -> Finding:
        """The check itself broke. Only the engine says so."""
        return cls(outcome=Outcome.ERROR, reason=reason)

    @classmethod
    def by_limit(
        cls, value: float, unit: str, limit: Limit, reason: str, **remarks: Unpack[Remarks]
    ) -> Finding:
        """PASS, WARN (points in proportion) or FAIL, as ``limit`` says of ``value``."""
        outcome = limit.outcome(value)
        share = {Outcome.PASS: 1.0, Outcome.WARN: limit.share(value)}.get(outcome, 0.0)
        if outcome is Outcome.PASS:
            remarks["fix"], remarks["follows_from"] = "", None
        return cls(
            outcome=outcome, reason=reason, share=share, value=value, unit=unit, limit=limit, **remarks
        )

    def but(self, **changes: object) -> Finding:
        """The same finding with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # checked by __post_init__
