"""An alert's expression for each signal, made of the metrics that a service has. Pure, private here."""

from __future__ import annotations

from collections.abc import Sequence

from checks.monitoring._signals import Signal
from checks.monitoring._subjects import Subject, base, subject_of

FAILING = 'status=~"5.."'


def example_of(signal: Signal, selector: str, metrics: Sequence[str]) -> str:
    """An expression that tells of ``signal`` for the series of ``selector``, with its own metrics."""
    inner = selector.strip("{}")
    if signal is Signal.LATENCY:
        name = _first(metrics, Subject.DURATION, "_bucket") or "http_request_duration_seconds_bucket"
        return f"histogram_quantile(0.95, sum by (le) (rate({name}{{{inner}}}[5m]))) > 1"
    if signal is Signal.ERRORS:
        name = _first(metrics, Subject.REQUESTS, "_total") or _first(metrics, Subject.REQUESTS, "_count")
        name = name or "http_requests_total"
        failing = f"sum(rate({name}{{{_joined(inner, FAILING)}}}[5m]))"
        return f"{failing} / sum(rate({name}{{{inner}}}[5m])) > 0.05"
    if signal is Signal.CACHE:
        hits = _first(metrics, Subject.CACHE_HITS, "") or "cache_hits_total"
        misses = _first(metrics, Subject.CACHE_MISSES, "") or "cache_misses_total"
        of_hits, of_misses = (f"sum(rate({name}{{{inner}}}[5m]))" for name in (hits, misses))
        return f"{of_hits} / ({of_hits} + {of_misses}) < 0.5"
    return f"up{{{inner}}} == 0 or absent(up{{{inner}}})"


def _joined(*matchers: str) -> str:
    return ", ".join(filter(None, matchers))


def _first(metrics: Sequence[str], subject: Subject, ending: str) -> str:
    """The metric of this subject whose name is shortest, so the most general one; "" where there is none."""
    fitting = [name for name in metrics if name.endswith(ending) and subject_of(name) is subject]
    return min(fitting, key=lambda name: (len(base(name)), name), default="")
