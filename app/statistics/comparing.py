"""Two runs of one scenario compared: faster, slower, or no difference shown. Pure.

*What decides.* Latency has five rows: Typical, p50, p95, p99 and Mean. "Slower" where one of them is shown to
be longer; "faster" where one is shown to be shorter and none longer: a gate must not pass a service whose
tail got worse because its middle got better. First token, Throughput and Errors are told beside it and never
decide. Latencies are of answered requests, so a service that fails at once may well be faster: the sentence
says both.

*False alarms.* Each row has its part of the 5 % by which all rows together may be wrong (``ERROR_PARTS``,
Bonferroni), and its interval is at its own level. So the intervals hold together, a row speaks exactly where
its interval leaves 1 out, and two runs of one service agree in every row at least 95 times in 100. Two thirds
of the 5 % go to Typical, which shows most from few samples.

*Typical* is the Hodges-Lehmann shift of log latency (``shifts``): how many times longer a request of one run
is than one of the other, in the middle of all pairs. From 900 requests, nine in ten of them cache hits that
are sixty times as fast as the rest, it shows that everything takes a tenth longer; p95 and p99 rest on a few
dozen misses and cannot. It hardly sees a change of fewer than a third of the requests, such as one of the
tail alone: that is what p95, p99 and Mean are for, and these need more samples or a larger change
(``smallest_shown``).

*Autocorrelation.* Every variance is by batch means (``batches``): an interval is wider where a slow moment
slows all of its requests. What lasts a sixth of the run or longer cannot be told from a slower service: where
latencies wander by 5 % with a time constant of 1 s, two runs of 6 s are said to differ 13 times in 100.

*Between runs* a machine is never the same. Each run is taken to be off by ``BETWEEN_RUNS``, which no run can
tell by itself, or by what repeated runs of one service show, where some are given. A row then speaks only
where it moved by more than any two of those differ (``noise``). In the example above three repeated runs
bring the 13 down to 7.

Nothing here is random: the same samples compare alike at any time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.statistics.batches import WINDOWS, Floats, MeanSpread, spread_of, window_of
from app.statistics.contrasts import (
    Contrast,
    contrast_of_mean,
    contrast_of_percentile,
    contrast_of_rate,
    contrast_of_share,
    contrast_of_shift,
)
from app.statistics.intervals import Interval
from app.statistics.shifts import Sorted
from app.statistics.telling import sentence

if TYPE_CHECKING:
    from app.samples.reading import SampleFile

NOT_SHOWN: Literal["no difference shown"] = "no difference shown"
TOO_FEW = "too few samples"
ERROR_PARTS: Mapping[str, float] = {
    "Typical": 0.034,
    "p50": 0.001,
    "p95": 0.005,
    "p99": 0.005,
    "Mean": 0.002,
    "First token": 0.002,
    "Throughput": 0.0005,
    "Errors": 0.0005,
}
LATENCY_ROWS = ("Typical", "p50", "p95", "p99", "Mean")
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
UNITS = {"Typical": "x", "Throughput": "per_s", "Errors": "ratio"}
BETWEEN_RUNS = 0.01  # standard deviation of a run's logarithm that is the machine's and not the service's
FEWEST = 30  # answers (or first tokens) of a run, below which nothing is said of it
POWER_Z = 0.8416  # normal quantile of 0.8: the smallest change shown is one that is shown 8 times in 10


@dataclass(frozen=True, slots=True)
class LoadSamples:
    """The requests of one run: a row each, in any order. ``first_token_ms`` is NaN where nothing streamed.

    ``ok`` is False for a failed request, whose latency does not count. ``start_s`` is from the start of the
    measurement, which lasted ``duration_s``.
    """

    name: str
    start_s: Floats
    latency_ms: Floats
    ok: NDArray[np.bool_]
    first_token_ms: Floats
    duration_s: float

    @classmethod
    def of(cls, file: SampleFile, name: str) -> LoadSamples:
        """The samples in ``file``. Raises SamplesError where it cannot be read.

        A file of a scenario that was killed does not say how long it lasted; then it is until its last
        answer.
        """
        pieces: list[tuple[NDArray[Any], ...]] = [
            (piece["start_s"], piece["latency_ms"], piece["failure"] == "", piece["first_token_ms"])
            for piece in file.batches("start_s", "latency_ms", "failure", "first_token_ms")
        ]
        start_s, latency_ms, ok, first_token_ms = (
            np.concatenate(column) if pieces else np.empty(0)
            for column in (zip(*pieces, strict=True) if pieces else ((),) * 4)
        )
        last_s = float((start_s + latency_ms / 1000).max()) if len(start_s) else 0.0
        duration_s = float(file.about.get("duration_s", last_s))
        return cls(name, start_s, latency_ms, ok.astype(bool), first_token_ms.astype(float), duration_s)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: a figure of both runs and what its change amounts to.

    ``ratio`` is after / before with ``interval`` (all rows' intervals hold together at 95 %); None where
    there is nothing before, or too few samples. Typical has a ratio only: it is one of pairs.
    ``smallest_shown`` is the smallest ratio that would have been shown 8 times in 10 (1.1: a tenth more; as
    much less is shown as well), ``noise`` the band in which repeated runs of one service lie. ``unit`` is one
    of ``checks.contract.wording``.
    """

    name: str
    unit: str
    before: float | None
    after: float | None
    ratio: float | None
    interval: Interval | None
    verdict: Literal["better", "worse", "no difference shown"]
    words: str
    smallest_shown: float | None
    noise: Interval | None


@dataclass(frozen=True, slots=True)
class LoadComparison:
    """Two runs, by name, with the verdict on latency, its sentence and all rows."""

    before: str
    after: str
    verdict: Literal["faster", "slower", "no difference shown"]
    words: str
    figures: tuple[Figure, ...]


def compare_loads(
    before: LoadSamples, after: LoadSamples, repeats: Sequence[LoadSamples] = ()
) -> LoadComparison:
    """Compare two runs of one scenario. ``repeats`` are two or more runs of one unchanged service."""
    rows = _contrasts(_Run.of(before), _Run.of(after))
    noise = _noise([_Run.of(run) for run in repeats])
    figures = tuple(_figure(name, contrast, noise.get(name)) for name, contrast in rows.items())
    verdict = _verdict(figures)
    return LoadComparison(before.name, after.name, verdict, sentence(verdict, figures), figures)


@dataclass(frozen=True)
class _Run:
    """What the rows of one run need."""

    latencies: Sorted
    first_tokens: Sorted
    answers: NDArray[np.int64]
    duration_s: float
    failed: MeanSpread | None

    @classmethod
    def of(cls, run: LoadSamples) -> _Run:
        times = run.start_s
        end_s = max(run.duration_s, float(times.max()) if len(times) else 0.0)
        windows = window_of(times, 0.0, end_s)
        ok = run.ok & ~np.isnan(run.latency_ms)
        streamed = ok & ~np.isnan(run.first_token_ms)
        return cls(
            Sorted.of(run.latency_ms[ok], windows[ok]),
            Sorted.of(run.first_token_ms[streamed], windows[streamed]),
            np.bincount(windows[ok], minlength=WINDOWS),
            end_s,
            spread_of((~ok).astype(np.float64), windows) if len(times) else None,
        )


def _contrasts(before: _Run, after: _Run) -> dict[str, Contrast | None]:
    """Every row by its name; None where there are too few samples. First token only where both streamed."""
    level = {name: 1 - part for name, part in ERROR_PARTS.items()}
    rows: dict[str, Contrast | None] = dict.fromkeys((*LATENCY_ROWS, "Throughput"))
    a, b = before.latencies, after.latencies
    if min(len(a.values_ms), len(b.values_ms)) >= FEWEST:
        rows["Typical"] = contrast_of_shift(a, b, level["Typical"])
        rows |= {name: contrast_of_percentile(a, b, share, level[name]) for name, share in SHARES.items()}
        rows["Mean"] = contrast_of_mean(a, b, level["Mean"])
        a, b = before.first_tokens, after.first_tokens
        if min(len(a.values_ms), len(b.values_ms)) >= FEWEST:
            rows["First token"] = contrast_of_percentile(a, b, 0.5, level["First token"])
        if min(before.duration_s, after.duration_s) > 0:
            rows["Throughput"] = contrast_of_rate(
                before.answers, before.duration_s, after.answers, after.duration_s, level["Throughput"]
            )
    rows["Errors"] = None
    if before.failed and after.failed:
        rows["Errors"] = contrast_of_share(before.failed, after.failed, level["Errors"])
    return {name: rows[name] for name in ERROR_PARTS if name in rows}


@dataclass(frozen=True, slots=True)
class _Noise:
    """What repeated runs of one service differ by in a row: the largest log ratio, and a run's deviation."""

    largest: float
    between_runs: float


def _noise(repeats: Sequence[_Run]) -> dict[str, _Noise]:
    """By row, from all pairs of repeated runs.

    The variance of two runs' difference beyond what each shows by itself is that between runs, twice (method
    of moments, as DerSimonian and Laird 1986).
    """
    pairs: dict[str, list[Contrast]] = {}
    for first, second in combinations(repeats, 2):
        for name, contrast in _contrasts(first, second).items():
            if contrast and contrast.log_ratio is not None and contrast.interval is not None:
                pairs.setdefault(name, []).append(contrast)
    return {name: _noise_of(contrasts) for name, contrasts in pairs.items()}


def _noise_of(contrasts: Sequence[Contrast]) -> _Noise:
    ratios = np.array([contrast.log_ratio for contrast in contrasts], np.float64)
    excess = ratios**2 - np.array([contrast.standard_error**2 for contrast in contrasts])
    return _Noise(float(np.abs(ratios).max()), math.sqrt(max(float(excess.mean()), 0.0) / 2))


def _figure(name: str, contrast: Contrast | None, noise: _Noise | None) -> Figure:
    unit = UNITS.get(name, "ms")
    band = (math.exp(-noise.largest), math.exp(noise.largest)) if noise else None
    if contrast is None:
        return Figure(name, unit, None, None, None, None, NOT_SHOWN, TOO_FEW, None, band)
    if name != "Errors":
        contrast = contrast.widened(max(BETWEEN_RUNS, noise.between_runs if noise else 0.0))
    verdict, words = _moved(name, contrast, noise.largest if noise else 0.0)
    ratio = None if contrast.log_ratio is None else math.exp(contrast.log_ratio)
    interval = smallest = None
    if contrast.interval is not None:
        interval = math.exp(contrast.interval[0]), math.exp(contrast.interval[1])
        shown = contrast.standard_error * (contrast.t + POWER_Z)
        smallest = math.exp(max(shown, noise.largest if noise else 0.0))
    return Figure(
        name, unit, contrast.before, contrast.after, ratio, interval, verdict, words, smallest, band
    )


def _moved(
    name: str, contrast: Contrast, noise: float
) -> tuple[Literal["better", "worse", "no difference shown"], str]:
    if contrast.log_ratio is not None and contrast.interval is None:
        return NOT_SHOWN, TOO_FEW
    within_noise = contrast.log_ratio is not None and abs(contrast.log_ratio) <= noise
    if not contrast.differs or within_noise:
        return NOT_SHOWN, NOT_SHOWN
    rose = contrast.log_ratio > 0 if contrast.log_ratio is not None else _grew(contrast)
    if name in ("Throughput", "Errors"):
        return "better" if rose is (name == "Throughput") else "worse", "more" if rose else "fewer"
    return ("worse", "slower") if rose else ("better", "faster")


def _grew(contrast: Contrast) -> bool:
    return (contrast.after or 0.0) > (contrast.before or 0.0)


def _verdict(figures: Sequence[Figure]) -> Literal["faster", "slower", "no difference shown"]:
    verdicts = {figure.verdict for figure in figures if figure.name in LATENCY_ROWS}
    if "worse" in verdicts:
        return "slower"
    return "faster" if "better" in verdicts else NOT_SHOWN
