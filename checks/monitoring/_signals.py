"""Which signal of the service an alert tells of. Private to this family.

``signals_of`` answers it for one alert, recordings followed, from its parsed expression and what Prometheus
has of the service. ``REQUIRED`` are the signals that loaded rules must cover.
"""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What an alert tells of."""

    LATENCY = "latency"
    ERRORS = "error rate"
    CACHE = "cache hit rate"
    DOWN = "instance down"


REQUIRED = tuple(Signal)
