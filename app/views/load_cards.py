"""The cards of the load page that hold charts. Figures are made once for a file, a scenario and a theme.

What is cached is keyed by a sample file's path and the time it was last written: a finished run's never is
again. Cached figures are read only, and Plotly has validated them: that is most of what a chart costs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from app.records import LoadResult, RunInfo
from app.samples.aggregate import Aggregate, OverTime, Spread, aggregate
from app.samples.reading import SamplesError, open_samples
from app.samples.writing import part_of
from app.views import frame, marks
from app.views.charts.load_knee import knee_chart
from app.views.charts.load_pair import ratios
from app.views.charts.load_spread import histogram
from app.views.charts.load_time import Schedule, over_time
from app.views.charts.look import CONFIG
from app.views.load_figures import load_of, streaming_table
from app.wording import ABSENT, family_title
from checks.contract.load import Knee, LoadStep
from checks.contract.wording import plural, show

if TYPE_CHECKING:
    from app.statistics.comparing import LoadComparison

SATURATION = "saturation"
SENTENCE = re.compile(r"([.;]) ")
Stamp = tuple[str, int]  # a file and when it was last written


@dataclass(frozen=True)
class Samples:
    """The samples of a scenario as charts need them, or why there are none."""

    stamp: Stamp | None
    found: Aggregate | None
    why_not: str


def samples_of(result: LoadResult) -> Samples:
    """Read and aggregate the samples of ``result``, once."""
    if result.samples_file is None:
        return Samples(None, None, "The samples of this scenario were not kept, so there is no chart.")
    try:
        stamp = _stamp(Path(result.samples_file))
        found = _aggregate(*stamp)
    except SamplesError as error:
        return Samples(None, None, f"{error} The figures above are those that the run kept.")
    if found is None:
        return Samples(stamp, None, "The sample file holds no request.")
    return Samples(stamp, found, "")


def _stamp(path: Path) -> Stamp:
    for file in (path, part_of(path)):
        if file.is_file():
            return str(path), file.stat().st_mtime_ns
    return str(path), 0  # opening it says what is wrong


@st.cache_resource(show_spinner=False, max_entries=64)
def _aggregate(path: str, written_ns: int) -> Aggregate | None:
    del written_ns  # part of the cache's key only
    return aggregate(open_samples(Path(path)))


def over_time_card(result: LoadResult, samples: Samples) -> None:
    """Latency, answers and errors over time."""
    note = (
        f"{load_of(result)}, all the time" if result.model == "closed" else "Latency from when each was due"
    )
    st.html(marks.heading("Over time", note))
    if samples.found is None or samples.stamp is None:
        _no_chart(samples.why_not)
        return
    steady = result.steady
    settled_s = steady.from_s if steady is not None and steady.found else None
    dark = frame.is_dark()
    found = samples.found.over_time
    figure = _over_time(samples.stamp, _schedule(result), settled_s, dark, found)
    p95, worst = result.p95_latency_ms, found.worst_ms
    told = f"p95 {_ms(p95)}, longest {_ms(worst)}, {plural(result.failed, 'request')} failed"
    _plot(figure, f"time_{result.scenario}_{dark}", f"{family_title(result.scenario)} over time: {told}")


@st.cache_resource(show_spinner=False, max_entries=128)
def _over_time(
    stamp: Stamp, schedule: Schedule, settled_s: float | None, dark: bool, _found: OverTime
) -> go.Figure:
    del stamp  # stands for _found in the cache's key
    return go.Figure(over_time(_found, schedule, settled_s, dark=dark))


def _schedule(result: LoadResult) -> Schedule:
    if result.steps:
        return tuple(
            (step.start_s, step.start_s + step.duration_s, step.offered_per_s) for step in result.steps
        )
    if result.rate_per_s is None:
        return ()
    return ((0.0, result.total_time_seconds, result.rate_per_s),)


def spread_card(result: LoadResult, samples: Samples) -> None:
    """Latencies as a histogram: hits against misses where replies are marked."""
    names = [group.name for group in samples.found.latency.groups] if samples.found else []
    title = "How latency is spread" if names == ["Answers"] or not names else "Cache hits and misses"
    st.html(marks.heading(title, "Share of all requests" if names else ""))
    if samples.found is None or samples.stamp is None:
        _no_chart(samples.why_not)
        return
    spread = samples.found.latency
    dark = frame.is_dark()
    told = ", ".join(f"{group.name.lower()} p50 {_ms(group.p50_ms)}" for group in spread.groups)
    figure = _histogram(samples.stamp, "latency", dark, spread)
    _plot(figure, f"spread_{result.scenario}_{dark}", f"Latency: {told}")
    st.html(_spread_table(spread))
    if names == ["Answers"]:
        st.html('<p class="gl-quiet">No reply says whether it came from the cache.</p>')


@st.cache_resource(show_spinner=False, max_entries=128)
def _histogram(stamp: Stamp, which: str, dark: bool, _spread: Spread) -> go.Figure:
    del stamp  # stands for _spread in the cache's key
    return go.Figure(histogram(_spread, dark=dark, height=290 if which == "latency" else 240))


def _spread_table(spread: Spread) -> str:
    columns = [("", ""), ("Requests", "n"), ("p50", "n"), ("p95", "n")]
    rows = [[group.name, f"{group.count:,}", _ms(group.p50_ms), _ms(group.p95_ms)] for group in spread.groups]
    return marks.table(columns, rows, label="Answers by whether they came from the cache")


def streams(result: LoadResult, samples: Samples) -> None:
    """First tokens and gaps of a streaming scenario; draws nothing where nothing was streamed."""
    if result.streaming is None:
        return
    with frame.card("streams"):
        rate = f"{show(result.streaming.tokens_per_s, 'per_s')} tokens, over streams that did not fail"
        st.html(marks.heading("Streams", rate))
        left, *charts = st.columns(3, gap="medium")
        left.html(streaming_table(result.streaming))
        if samples.found is None or samples.stamp is None:
            with charts[0]:
                _no_chart(samples.why_not)
            return
        dark = frame.is_dark()
        kinds = (("first_token", "First token"), ("gaps", "Gaps between tokens"))
        for column, (which, name) in zip(charts, kinds, strict=True):
            spread: Spread | None = getattr(samples.found, which)
            if spread is not None:
                with column:
                    st.html(f'<h3 class="gl-panel">{name}</h3>')
                    told = ", ".join(
                        f"{group.name.lower()} p50 {_ms(group.p50_ms)}" for group in spread.groups
                    )
                    figure = _histogram(samples.stamp, which, dark, spread)
                    _plot(figure, f"{which}_{result.scenario}_{dark}", f"{name}: {told}")


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    run: RunInfo
    result: LoadResult


def against_card(before: Side | None, after: Side, why_not: str) -> None:
    """The scenario in two runs of the service; ``why_not`` is said where there is no other."""
    if before is None:
        st.html(marks.heading("Against another run") + f'<p class="gl-quiet">{marks.text(why_not)}</p>')
        return
    title = f"Run #{after.run.number} against run #{before.run.number}"
    st.html(marks.heading(title, "95 % intervals"))
    files = [side.result.samples_file for side in (before, after)]
    if None in files:
        _no_chart("The samples of one of the two runs were not kept, so they cannot be compared.")
        return
    dark = frame.is_dark()
    try:
        stamps = [_stamp(Path(str(file))) for file in files]
        labels = (f"Run #{before.run.number}", f"Run #{after.run.number}")
        found, figure = _compared(stamps[0], stamps[1], labels, dark)
    except SamplesError as error:
        _no_chart(str(error))
        return
    key = f"against_{before.run.number}_{after.run.number}_{after.result.scenario}_{dark}"
    _plot(figure, key, f"{title}: {found.words}")
    st.html(f'<p class="gl-conclude">{_bold_first(found.words)}</p>')


@st.cache_resource(show_spinner=False, max_entries=64)
def _compared(
    before: Stamp, after: Stamp, labels: tuple[str, str], dark: bool
) -> tuple[LoadComparison, go.Figure]:
    from app.statistics.comparing import LoadSamples, compare_loads  # noqa: PLC0415 - SciPy takes a second

    earlier, later = (
        LoadSamples.of(open_samples(Path(stamp[0])), label)
        for stamp, label in zip((before, after), labels, strict=True)
    )
    found = compare_loads(earlier, later)
    return found, go.Figure(ratios(found.figures, dark=dark))


def knee_card(result: LoadResult, results: dict[str, LoadResult]) -> None:
    """Where the service breaks: this scenario's own steps, or those of the run's saturation scenario."""
    shown = result if result.steps else results.get(SATURATION)
    if shown is None or not shown.steps:
        words = "The saturation scenario steps the arrival rate up until answers no longer keep up with it."
        says = f'<p class="gl-quiet"><b>This run has not measured it.</b> {words}</p>'
        st.html(marks.heading("Where it breaks") + says)
        return
    each = f"{show(shown.steps[0].duration_s, 's')} a step"
    own = shown.scenario == result.scenario
    note = f"Arrival rate stepped, {each}" if own else f"{family_title(shown.scenario)}, {each}"
    st.html(marks.heading("Where it breaks", note))
    dark = frame.is_dark()
    words = shown.knee.words if shown.knee else "No knee was looked for in these steps."
    figure = _knee(shown.steps, shown.knee, shown.peak_per_s, dark)
    _plot(figure, f"knee_{shown.scenario}_{dark}", f"Answered against offered: {words}")
    st.html(f'<p class="gl-conclude">{_bold_first(words)}</p>')


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs={LoadStep: repr, Knee: repr})
def _knee(steps: tuple[LoadStep, ...], knee: Knee | None, peak_per_s: float | None, dark: bool) -> go.Figure:
    return go.Figure(knee_chart(steps, knee, peak_per_s, dark=dark))


def _bold_first(words: str) -> str:
    """What comes before the first full stop or semicolon bold."""
    first, stop, rest = SENTENCE.split(words, maxsplit=1) if SENTENCE.search(words) else (words, "", "")
    return f"<b>{marks.text(first + stop, 300)}</b> {marks.text(rest, 600)}"


def _no_chart(why: str) -> None:
    st.html(f'<p class="gl-quiet"><b>No chart.</b> {marks.text(why, 600)}</p>')


def _plot(figure: go.Figure, key: str, alt: str) -> None:
    st.plotly_chart(figure, theme=None, config=CONFIG, width="stretch", key=key, alt=alt)


def _ms(value: float | None) -> str:
    return ABSENT if value is None else show(value, "ms")
