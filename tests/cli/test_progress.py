"""A live run, shown as it goes."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from app.cli.progress import Progress, load_line
from app.records import RunEvent

LOAD = {
    "scenario": "heavy",
    "second": 5,
    "duration_s": 6.0,
    "users": 20,
    "answered": 35,
    "failed": 1,
    "p95_ms": 2530.0,
}


def event(kind: str, text: str, check: str | None = None, **data: Any) -> RunEvent:
    return RunEvent(seq=1, at=datetime.now(UTC), kind=kind, check=check, text=text, data=data)


EVENTS = (
    event("run", "Support chat API, quick profile, 2 checks", checks=2, typical_s=7.5),
    event("check", "The cache answers", "cache.reachable", began=True, does="Pings it.", typical_s=1),
    event("check", "The cache answers", "cache.reachable", outcome="pass", reason="0.4 ms.", seconds=0.3),
    event("check", "Twenty users", "load_scenarios.heavy", began=True, does="Asks for 6 s.", typical_s=6.5),
    event("load", "heavy", **LOAD),
    event("load", "heavy", **(LOAD | {"second": 6})),
    event("lever", "cache broken", lever="cache", what="broken", detail="curl to restore it by hand"),
    event("check", "20 users are not served", "load_scenarios.heavy", outcome="fail", seconds=6.4,
          reason="0 % of [bold]20[/]\x1b[2J."),
)  # fmt: skip


def shown(*, terminal: bool) -> str:
    file = io.StringIO()
    with Progress(Console(file=file, width=100, force_terminal=terminal)) as progress:
        for one in EVENTS:
            progress(one)
    return file.getvalue()


def test_without_a_terminal_each_ended_check_is_a_plain_line_and_a_bad_one_says_why():
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert [line.rstrip() for line in text.splitlines()] == [
        "Support chat API, quick profile, 2 checks, about 7.5\u00a0s",
        " 1 of 2  ✓ Pass          The cache answers · 300\u00a0ms",
        "  heavy: 5 of 6 s · 20\u00a0users · 35/s answered · p95 2.53\u00a0s · 1 failed",
        "  cache broken",
        " 2 of 2  ✗ Fail          20 users are not served · 6.4\u00a0s",
        "         0 % of [bold]20[/].",
    ]


def test_on_a_terminal_the_moving_line_has_time_left_rate_and_p95_and_is_gone_at_the_end():
    written = shown(terminal=True)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert " 1 of 2  ✓ Pass" in text
    assert (
        "about 6\u00a0s left · heavy: 6 of 6 s · 20\u00a0users · 35/s answered · p95 2.53\u00a0s · 1 failed"
        in text
    )
    assert written.rindex("\x1b[2K") > written.rindex("heavy: 6 of 6 s")


def test_the_time_left_falls_as_checks_end_and_is_unknown_before_the_run_says():
    progress = Progress(Console(file=io.StringIO()))
    left = [progress.seconds_left()]
    for one in EVENTS:
        progress(one)
        left.append(progress.seconds_left())
    assert left == [None, 7.5, 7.5, 6.5, 6.5, 6.5, 6.5, 6.5, 0.0]


@pytest.mark.parametrize("p95", [None, 2530.0])
def test_a_second_in_which_nothing_was_answered_has_a_dash(p95):
    line = load_line(LOAD | {"p95_ms": p95})
    assert ("p95 –" in line) is (p95 is None)


def test_a_quiet_console_says_nothing():
    file = io.StringIO()
    with Progress(Console(file=file, quiet=True)) as progress:
        for one in EVENTS:
            progress(one)
    assert file.getvalue() == ""


def test_an_open_scenario_tells_what_is_due_and_not_how_many_may_be_under_way() -> None:
    second = LOAD | {"model": "open", "users": 2000, "offered": 80, "dropped": 3}
    assert "80/s due, 3 dropped · 35/s answered" in load_line(second)
    assert "dropped" not in load_line(second | {"dropped": 0})


def test_of_checks_that_run_side_by_side_each_takes_its_own_time_off_what_is_left():
    one = event("check", "One", "cache.reachable", began=True, typical_s=1)
    other = event("check", "Other", "cache.latency", began=True, typical_s=4)
    ended = event("check", "One", "cache.reachable", outcome="pass", seconds=0.9)
    with Progress(Console(file=io.StringIO())) as progress:
        for each in (event("run", "A run", checks=2, typical_s=5), one, other, ended):
            progress(each)
    assert progress.seconds_left() == 4
