"""The figures of one load on a terminal, and as JSON."""

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from app.cli.load_progress import LoadProgress, second_line
from app.cli.load_show import print_load, what_is_asked, with_failures
from app.records import LoadResult
from app.reports import load_report
from checks.contract.load import Arrivals, LoadPlan, LoadStep, Stage, Steady, Streaming
from checks.contract.target import Target

CLOSED = LoadPlan("load", 20, 10.0, ("One?",), warmup_s=2.0, think_time_ms=0)
OPEN = LoadPlan(
    "load", 1000, 10.0, ("One?",), stages=(Stage(5.0, 10.0, 10.0), Stage(5.0, 10.0, 90.0)), spacing="even"
)
FIGURES: dict[str, Any] = {
    "scenario": "load",
    "total_requests": 300,
    "successful": 294,
    "failed": 6,
    "success_rate": 0.98,
    "cached_responses": 200,
    "cache_hit_rate": 0.68,
    "total_time_seconds": 10.2,
    "requests_per_second": 29.4,
    "avg_latency_ms": 120.0,
    "median_latency_ms": 100.0,
    "p90_latency_ms": 300.0,
    "p95_latency_ms": 900.0,
    "p99_latency_ms": 1900.0,
    "p999_latency_ms": 2000.0,
    "min_latency_ms": 10.0,
    "max_latency_ms": 2100.0,
    "errors": ["refused: connection refused"],
    "failures": {"refused": 5, "wrong_body": 1},
    "failure_examples": {"refused": "connection refused", "wrong_body": "\x1b[31m[bold]<html>\u202e"},
    "users": 20,
    "bytes": 123_456,
    "intervals": {"p50_ms": (95.0, 105.0)},
    "samples_file": "data/samples/load.parquet",
}
OF_OPEN: dict[str, Any] = {
    "model": "open",
    "rate_per_s": 30.0,
    "service_p50_ms": 99.0,
    "service_p99_ms": 1800.0,
    "dispatch_delay_p50_ms": 0.1,
    "dispatch_delay_p99_ms": 2.0,
    "arrivals": Arrivals(310, 300, 10),
    "steps": (
        LoadStep(0.0, 5.0, 10.0, 50, 0, 50, 0, 0, 0, 10.0, 90.0, 200.0),
        LoadStep(5.0, 5.0, 50.0, 260, 10, 244, 6, 0, 0, 48.8, 110.0, 950.0),
    ),
    "streaming": Streaming(5.0, 50.0, 80.0, 90.0, 60.0, 10.0, 20.0, 30.0, 12.0, 15.0, 20.0, 4000, 400.0),
    "steady": Steady(True, 3.0, 200, 101.0, 100.0, 800.0, 1500.0, 0.2, True),
    "goodput_ratio": 0.9,
}


def result(**changes: Any) -> LoadResult:
    return LoadResult(**(FIGURES | changes))


def shown(told: LoadResult, plan: LoadPlan = CLOSED, width: int = 100) -> str:
    file = io.StringIO()
    print_load(Console(file=file, width=width), told, plan)
    return re.sub(r"[ \u00a0]+", " ", file.getvalue())


def test_whether_the_figures_can_be_trusted_stands_first_with_its_reasons():
    lines = shown(result(validity="invalid", validity_reasons=("The load driver was late by 140 ms.",)))
    assert lines.split("\n")[1:3] == [
        "✗ INVALID · the figures are not the service's",
        " The load driver was late by 140 ms.",
    ]


def test_a_percentile_over_answers_stands_beside_the_one_that_counts_failures():
    assert "p99 over answers 1.9 s; with failures unbounded, 2 % failed" in shown(result())
    assert with_failures(result(p99_with_failures_ms=2050.0)).replace("\u00a0", " ") == (
        "p99 over answers 1.9 s; with failures 2.05 s, 2 % failed"
    )
    without = shown(result(failed=0, success_rate=1.0, failures={}))
    assert "with failures" not in without


def test_figures_have_their_intervals_and_failures_an_example_that_steers_no_terminal():
    text = shown(result())
    assert "p50 100 ms 95 %: 95 ms to 105 ms" in text
    assert "refused 5 connection refused" in text
    assert "wrong body 1 [bold]<html>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "Samples: data/samples/load.parquet" in text


def test_an_open_run_shows_three_latencies_arrivals_and_its_steps():
    text = shown(result(**OF_OPEN), OPEN)
    assert "310 scheduled = 300 sent + 10 dropped\n" in text
    assert "scheduled 100 ms 1.9 s from when it was meant to be sent" in text
    assert "service 99 ms 1.8 s from when it was sent" in text
    assert "delay 0.1 ms 2 ms how late it was sent" in text
    assert "from 5 s 50/s 48.8/s 6 10 110 ms 950 ms" in text


def test_streams_steady_state_drift_and_goodput_are_told():
    text = shown(result(**OF_OPEN), OPEN)
    assert "first token 50 ms 80 ms 90 ms" in text
    assert "gap between chunks 10 ms 20 ms 30 ms" in text
    assert "Steady from 3 s on: p50 100 ms, p95 800 ms, p99 1.5 s." in text
    assert "Latency drifted by 20 % from start to end." in text
    assert "Goodput: 90 % of the requests met every goal." in text


def test_arrivals_that_do_not_add_up_are_called_so():
    assert "1 dropped: does not add up" in shown(result(arrivals=Arrivals(9, 7, 1)), OPEN)


def test_a_run_without_an_answer_has_no_latencies_and_says_what_failed():
    nothing = {name: None for name in FIGURES if name.endswith("_latency_ms")}
    text = shown(result(**nothing, successful=0, failed=300, success_rate=0.0, failures={"refused": 300}))
    assert "Latency" not in text
    assert "0 % answered" in text
    assert "refused 300 connection refused" in text


def test_a_run_that_sent_nothing_says_so():
    assert "nothing was sent" in shown(result(total_requests=0, successful=0, failed=0, failures={}))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_figure_is_there_at_any_width(width):
    text = re.sub(r"\s+", " ", shown(result(**OF_OPEN, partial="cancelled after 3 s"), OPEN, width))
    for words in (
        "1.9 s",
        "Not the whole of what was planned: cancelled after 3 s",
        "with failures unbounded",
    ):
        assert words in text


def test_what_is_asked_is_one_line():
    target = Target.model_validate({"url": "http://127.0.0.1:1", "ask": {"path": "/ask"}})
    say = lambda plan: what_is_asked(target, plan).replace("\u00a0", " ")  # noqa: E731
    assert say(CLOSED) == "POST http://127.0.0.1:1/ask · closed model, 20 users · 10 s after 2 s of warm-up"
    assert say(OPEN) == "POST http://127.0.0.1:1/ask · open model, 10/s to 90/s, even · 10 s"


def test_json_has_the_keys_of_the_brief_and_those_that_programs_rely_on():
    told = json.loads(load_report.render(result(), CLOSED, 1))
    for key in (
        "scenario",
        "total_requests",
        "successful",
        "failed",
        "success_rate",
        "cached_responses",
        "cache_hit_rate",
        "total_time_seconds",
        "requests_per_second",
        "avg_latency_ms",
        "median_latency_ms",
        "p95_latency_ms",
        "p99_latency_ms",
        "min_latency_ms",
        "max_latency_ms",
        "errors",
        "model",
        "users",
        "duration_s",
        "warmup_s",
        "p50_latency_ms",
        "p90_latency_ms",
        "p999_latency_ms",
        "ttft_p50_ms",
        "ttft_p99_ms",
        "dispatch_delay_p99_ms",
        "bytes",
        "failures",
        "arrivals",
        "validity",
        "validity_reasons",
        "p99_with_failures_ms",
        "workers",
        "partial",
        "samples_file",
    ):
        assert key in told
    assert told["failures"]["refused"] == {"count": 5, "example": "connection refused"}
    assert (told["model"], told["users"], told["duration_s"], told["warmup_s"]) == ("closed", 20, 10.0, 2.0)
    assert told["p99_with_failures_ms"] is None
    assert "rate" not in told


def test_json_of_an_open_run_has_its_rate_and_arrivals():
    told = json.loads(load_report.render(result(**OF_OPEN), OPEN, 2))
    assert (told["model"], told["rate"], told["max_in_flight"], told["workers"]) == ("open", 30.0, 1000, 2)
    assert told["arrivals"] == {"scheduled": 310, "sent": 300, "dropped": 10}
    assert told["steps"][1]["offered_per_s"] == 50.0
    assert told["streaming"]["tokens"] == 4000
    assert "users" not in told


SECOND = {"second": 5, "answered": 35, "failed": 1, "p50_ms": 90.0, "p95_ms": 2530.0, "p99_ms": None}


def test_a_second_is_one_line_with_failures_and_drops_since_the_start():
    plain = second_line(SECOND, 4, 0).replace("\u00a0", " ")
    assert plain == "35/s · p50 90 ms · p95 2.53 s · p99 – · 4 failed"
    of_open = SECOND | {"offered": 40, "dropped": 2, "dispatch_p99_ms": 1.5, "bound": True}
    assert second_line(of_open, 4, 7).replace("\u00a0", " ") == (
        "35/s · p50 ≤ 90 ms · p95 ≤ 2.53 s · p99 – · 4 failed"
        " · offered 40/s, sent 38/s · 7 dropped · lag ≤ 1.5 ms"
    )


def test_without_a_terminal_there_is_a_plain_line_every_five_seconds():
    file = io.StringIO()
    with LoadProgress(Console(file=file, width=60), CLOSED) as progress:
        for second in range(1, 13):
            progress(SECOND | {"second": second})
    lines = file.getvalue().replace("\u00a0", " ").splitlines()
    assert [line.partition(" · ")[0] for line in lines] == ["5 s left", "waiting for the last answers"]
    assert lines[1].endswith("10 failed")


def test_on_a_terminal_the_moving_line_is_gone_at_the_end():
    file = io.StringIO()
    with LoadProgress(Console(file=file, width=100, force_terminal=True), CLOSED) as progress:
        progress(SECOND)
    written = file.getvalue()
    assert "p95 2.53" in written
    assert written.rindex("\x1b[2K") > written.rindex("p95 2.53")
