"""How a measured number is written for people: one place, so that page, report and terminal agree.

Units are short codes: ``ratio`` (0..1), ``ms``, ``s``, ``x``, ``count``, ``bytes``, ``per_s``,
``usd_month``, ``points``. A no-break space stands before a unit, a true minus before a negative number.
"""

from __future__ import annotations

from collections.abc import Callable

NBSP = "\u00a0"
MINUS = "\u2212"


def show(value: float, unit: str) -> str:
    """Write ``value`` of ``unit`` for a person: ``show(0.836, "ratio")`` is ``83.6 %``.

    Raises ValueError for a unit that has no way of being written.
    """
    writer = _WRITERS.get(unit)
    if writer is None:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(sorted(_WRITERS))}")
    text = writer(abs(value))
    return f"{MINUS}{text}" if value < 0 else text


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``plural(1, "check")`` is ``1 check``, ``plural(3, "reply", "replies")`` is ``3 replies``."""
    return f"{count:,}{NBSP}{noun if count == 1 else many or noun + 's'}"


def _trimmed(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ratio(value: float) -> str:
    return f"{_trimmed(value * 100, 1)}{NBSP}%"


def _ms(value: float) -> str:
    if value >= 1000:
        return _s(value / 1000)
    return f"{_trimmed(value, 0 if value >= 10 else 1 if value >= 1 else 2)}{NBSP}ms"


def _s(value: float) -> str:
    if value >= 60:
        minutes, seconds = divmod(round(value), 60)
        if minutes >= 60:
            return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}m"
        return f"{minutes}{NBSP}m {seconds}{NBSP}s" if seconds else f"{minutes}{NBSP}m"
    if 0 < value < 1:
        return _ms(value * 1000)
    return f"{_trimmed(value, 2 if value < 10 else 1)}{NBSP}s"


def _bytes(value: float) -> str:
    for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{_trimmed(value / size, 1)}{NBSP}{name}"
    return f"{value:.0f}{NBSP}B"


_WRITERS: dict[str, Callable[[float], str]] = {
    "ratio": _ratio,
    "ms": _ms,
    "s": _s,
    "days": lambda value: f"{_trimmed(value, 0 if abs(value) >= 10 else 1)}{NBSP}days",
    "x": lambda value: f"{_trimmed(value, 1)}x",
    "count": lambda value: _trimmed(value, 0 if value == int(value) else 1),
    "bytes": _bytes,
    "per_s": lambda value: f"{_trimmed(value, 1)}/s",
    "usd_month": lambda value: f"${_trimmed(value, 0)} a month",
    "points": lambda value: f"{value:.1f}",
}
UNITS = frozenset(_WRITERS)
