"""The figures of one load on a terminal: whether they can be trusted first, then what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.show import STYLES
from app.records import LoadResult
from app.wording import ABSENT, DOT, Tone, duration, one_line
from checks.contract.load import Interval, LoadPlan, LoadStep, Streaming
from checks.contract.target import Target
from checks.contract.wording import plural, show

VALIDITY: dict[str, tuple[Tone, str, str]] = {
    "valid": ("pass", "✓ VALID", "the figures are the service's"),
    "suspect": ("warn", "▲ SUSPECT", "read the figures with care"),
    "invalid": ("fail", "✗ INVALID", "the figures are not the service's"),
}
MAX_STEPS = 30
FOR_P999 = 1_000  # answers; of fewer, the p99.9 is the longest


def what_is_asked(target: Target, plan: LoadPlan) -> str:
    """The load in one line, before it begins: what is asked where, in which model, for how long."""
    call = target.stream if plan.route == "stream" else target.ask
    what = f"{call.method} {target.absolute(call.path)}" if call else f"{plan.route} at {target.url}"
    if plan.stages:
        low, high = (_rates(plan, pick) for pick in (min, max))
        rate = show(high, "per_s") if low == high else f"{show(low, 'per_s')} to {show(high, 'per_s')}"
        model = f"open model, {rate}, {plan.spacing}"
    else:
        model = f"closed model, {plural(plan.users, 'user')}"
    warmup = f" after {duration(plan.warmup_s)} of warm-up" if plan.warmup_s else ""
    return DOT.join((one_line(what, 200), model, f"{duration(plan.duration_s)}{warmup}"))


def _rates(plan: LoadPlan, pick: Callable[[Iterable[float]], float]) -> float:
    return pick(rate for stage in plan.stages for rate in (stage.from_per_s, stage.to_per_s))


def print_load(console: Console, result: LoadResult, plan: LoadPlan) -> None:
    """Print what a load measured."""
    _validity(console, result)
    _counts(console, result, plan)
    _latencies(console, result)
    if plan.stages:
        _three_latencies(console, result)
    if result.steps and len(plan.stages) > 1:
        _steps(console, result.steps)
    if result.streaming:
        _streaming(console, result.streaming)
    if result.failures:
        _failures(console, result)
    _more(console, result)
    if result.samples_file:
        console.print(Text(f"\nSamples: {one_line(result.samples_file)}", style="dim"), soft_wrap=True)


def _validity(console: Console, result: LoadResult) -> None:
    tone, word, meaning = VALIDITY[result.validity]
    console.print()
    line = Text(word, style=f"bold {STYLES[tone]}")
    console.print(line.append(f"{DOT}{meaning}", style="default not bold"))
    for reason in result.validity_reasons:
        console.print(Text(f"  {one_line(reason)}"))
    if result.partial:
        console.print(Text(f"  Not the whole of what was planned: {one_line(result.partial)}"))


def _counts(console: Console, result: LoadResult, plan: LoadPlan) -> None:
    _heading(console, plural(result.total_requests, "request"))
    parts = [
        f"{show(result.requests_per_second, 'per_s')} over {duration(result.total_time_seconds)}",
        f"{show(result.success_rate, 'ratio')} answered" if result.total_requests else "nothing was sent",
        show(result.bytes, "bytes"),
    ]
    if result.cache_hit_rate is not None:
        parts.append(f"{show(result.cache_hit_rate, 'ratio')} from the cache")
    if plan.warmup_s:
        parts.append(f"{plural(result.warmup_requests, 'request')} in the warm-up, left out")
    console.print(Text(DOT.join(parts)))
    if result.arrivals:
        told = result.arrivals
        line = f"{told.scheduled:,} scheduled = {told.sent:,} sent + {told.dropped:,} dropped"
        console.print(
            Text(line if told.scheduled == told.sent + told.dropped else f"{line}: does not add up")
        )


def _latencies(console: Console, result: LoadResult) -> None:
    if result.median_latency_ms is None:
        return
    grid = _grid(console, "Latency over answers", "right", "left")
    for name, value in (
        ("mean", result.avg_latency_ms),
        ("p50", result.median_latency_ms),
        ("p90", result.p90_latency_ms),
        ("p95", result.p95_latency_ms),
        ("p99", result.p99_latency_ms),
        ("p99.9", result.p999_latency_ms if result.successful >= FOR_P999 else None),
    ):
        if value is None:
            continue
        key = f"{name.replace('.', '')}_ms"
        grid.add_row(name, _ms(value), Text(_interval(result.intervals.get(key)), style="dim"))
    grid.add_row("range", _ms(result.min_latency_ms), f"to {_ms(result.max_latency_ms)}")
    console.print(grid)
    if result.failed:
        console.print(Text(f"\n{with_failures(result)}"))


def with_failures(result: LoadResult) -> str:
    """The percentile over answers beside the one that counts failures as requests that never ended."""
    unbounded = result.p99_with_failures_ms is None
    other = "unbounded" if unbounded else _ms(result.p99_with_failures_ms)
    failed = show(1 - result.success_rate, "ratio")
    return f"p99 over answers {_ms(result.p99_latency_ms)}; with failures {other}, {failed} failed"


def _three_latencies(console: Console, result: LoadResult) -> None:
    grid = _grid(console, "Three latencies", "right", "right", "left", heads=("p50", "p99", ""))
    scheduled = (result.median_latency_ms, result.p99_latency_ms, "from when it was meant to be sent")
    service = (result.service_p50_ms, result.service_p99_ms, "from when it was sent")
    delay = (result.dispatch_delay_p50_ms, result.dispatch_delay_p99_ms, "how late it was sent")
    for name, (p50, p99, meaning) in (("scheduled", scheduled), ("service", service), ("delay", delay)):
        grid.add_row(name, _ms(p50), _ms(p99), Text(meaning, style="dim"))
    console.print(grid)


def _steps(console: Console, steps: tuple[LoadStep, ...]) -> None:
    heads = ("offered", "answered", "failed", "dropped", "p50", "p95")
    grid = _grid(console, "Steps", *["right"] * len(heads), heads=heads)
    for step in steps[:MAX_STEPS]:
        grid.add_row(
            f"from {duration(step.start_s)}",
            show(step.offered_per_s, "per_s"),
            show(step.answered_per_s, "per_s"),
            f"{step.failed:,}",
            f"{step.dropped:,}",
            _ms(step.p50_ms),
            _ms(step.p95_ms),
        )
    console.print(grid)
    if len(steps) > MAX_STEPS:
        console.print(Text(f"and {plural(len(steps) - MAX_STEPS, 'more step')}", style="dim"))


def _streaming(console: Console, told: Streaming) -> None:
    heads = ("p50", "p95", "p99")
    grid = _grid(console, "Streams", *["right"] * len(heads), heads=heads)
    for name, p50, p95, p99 in (
        ("first event", told.first_event_p50_ms, None, None),
        ("first token", told.first_token_p50_ms, told.first_token_p95_ms, told.first_token_p99_ms),
        ("first answer token", told.first_answer_p50_ms, None, None),
        ("gap between chunks", told.gap_p50_ms, told.gap_p95_ms, told.gap_p99_ms),
        ("time per token", told.tpot_p50_ms, None, told.tpot_p99_ms),
        ("end / tokens", told.normalised_p50_ms, None, None),
    ):
        if p50 is not None:
            grid.add_row(name, _ms(p50), *("" if value is None else _ms(value) for value in (p95, p99)))
    console.print(grid)
    console.print(Text(f"{plural(told.tokens, 'token')}, {show(told.tokens_per_s, 'per_s')}"))


def _failures(console: Console, result: LoadResult) -> None:
    grid = _grid(console, plural(result.failed, "failure"), "right", "left")
    for kind, count in sorted(result.failures.items(), key=lambda item: -item[1]):
        example = one_line(result.failure_examples.get(kind, ""), 200)
        grid.add_row(Text(kind.replace("_", " ")), f"{count:,}", Text(example, style="dim"))
    console.print(grid)


def _more(console: Console, result: LoadResult) -> None:
    lines = [*_steady_words(result)]
    if result.goodput_ratio is not None:
        lines.append(f"Goodput: {show(result.goodput_ratio, 'ratio')} of the requests met every goal.")
    if lines:
        console.print()
    for line in lines:
        console.print(Text(line))


def _steady_words(result: LoadResult) -> Iterator[str]:
    steady = result.steady
    if steady is None:
        return
    figures = f"p50 {_ms(steady.p50_ms)}, p95 {_ms(steady.p95_ms)}, p99 {_ms(steady.p99_ms)}"
    if steady.found:
        yield f"Steady from {duration(steady.from_s)} on: {figures}."
    else:
        yield f"It never settled. Over the second half: {figures}."
    if steady.drifts:
        yield f"Latency drifted by {show(steady.drift_ratio, 'ratio')} from start to end."


def _heading(console: Console, words: str) -> None:
    console.print()
    console.print(Text(words, style="bold"))


def _grid(console: Console, title: str, *align: str, heads: tuple[str, ...] = ()) -> Table:
    """A table without lines under a title: names, then a column for each of ``align``."""
    _heading(console, title)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    for side in align:
        grid.add_column(justify="right" if side == "right" else "left", no_wrap=side == "right")
    if heads:
        grid.add_row("", *(Text(head, style="dim") for head in heads))
    return grid


def _ms(value: float | None) -> str:
    return ABSENT if value is None else show(value, "ms")


def _interval(interval: Interval | None) -> str:
    return f"95\u00a0%: {_ms(interval[0])} to {_ms(interval[1])}" if interval else ""
