"""The scorecard on a terminal, and where there is none."""

import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from rich.cells import cell_len
from rich.console import Console

from app.cli.show import print_comparison, print_scorecard
from app.compare import compare
from app.records import Snapshot
from tests import records
from tests.reports.strategies import snapshots

FAMILIES = ("Cache", "Endpoint health", "Load scenarios", "Monitoring", "Error recovery")


def printed(snapshot: Snapshot, width: int = 80, *, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    print_scorecard(console, snapshot)
    return file.getvalue()


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_verdict_and_the_three_numbers_stand_before_everything_else():
    lines = printed(records.as_found()).split("\n")
    assert lines[4] == "✗ NOT READY"
    assert lines[5] == "36.5 · coverage 95\u00a0% · best possible 41.5 · grade F"


def test_blockers_stand_by_cause_with_reason_and_fix():
    text = printed(records.as_found(), 120)
    blocking = text.split("What blocks the release")[1].split("Categories")[0]
    assert flat(blocking).count("points") == 3
    assert "POST /api/chat answers 500 in 20 of 20 requests" in blocking
    assert "Also fails 4\u00a0load scenarios: baseline, light, medium, heavy" in blocking
    assert "Fix: Mend /api/chat" in blocking
    assert "5\u00a0P0s" in blocking


def test_every_family_category_and_check_is_there_with_icon_and_word():
    text = printed(records.as_found(), 120)
    for family in FAMILIES:
        assert f"\n{family}\n" in text
    for word in ("✓ Pass", "✗ Fail", "▲ Warn", "◌ Not assessed"):
        assert word in text
    for check in records.RUBRIC.checks:
        assert check.partition(".")[2] in text
    assert "Cost efficiency" in text


def test_a_ready_service_is_told_what_still_costs_points_and_what_comes_next():
    text = printed(records.mended())
    assert "✓ PRODUCTION READY" in text
    assert "What still costs points" in text
    assert "What blocks the release" not in text
    assert "python -m app runs export 13 --format html" in text


def test_what_to_declare_so_that_more_can_be_measured_is_said_at_the_end():
    end = flat(printed(records.as_found())).split(" Next ")[1]
    assert "5 points more can be measured once the target file has: [levers.cache]." in end
    assert "the target file has" not in printed(records.mended())


def test_an_interrupted_run_shows_its_message_and_no_score():
    text = printed(records.interrupted())
    assert "Interrupted after 8 of 17 checks." in flat(text)
    assert "coverage" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("snapshot", [records.as_found(), records.mended(), records.hostile()])
def test_no_line_is_wider_than_the_terminal(snapshot, width):
    lines = printed(snapshot, width).split("\n")
    commands = [line for line in lines if line.startswith("  python -m app")]  # to be copied, so never broken
    assert max(cell_len(line) for line in lines if line not in commands) <= width


def test_without_a_terminal_there_is_no_escape_sequence():
    assert "\x1b" not in printed(records.hostile())


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_on_a_terminal_the_only_escapes_are_our_own_colours_whatever_a_service_says(snapshot):
    text = printed(snapshot, terminal=True)
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", without_colours)


def test_markup_of_a_service_is_printed_as_it_stands():
    assert "[bold red]rich[/]" in flat(printed(records.hostile(), 300))


def test_a_comparison_names_what_changed_largest_first():
    file = io.StringIO()
    print_comparison(Console(file=file, width=80), compare(records.as_found(), records.mended()))
    text = flat(file.getvalue())
    assert "Score +60.9" in text
    assert text.index("load_scenarios.heavy") < text.index(
        "cache.hit_rate · 0\u00a0% to 83.6\u00a0%".replace("\u00a0", " ")
    )
    assert "↓ 0 worse" in text


def test_a_load_result_that_is_not_to_be_taken_as_it_stands_says_why():
    text = flat(printed(records.doubtful(), 120))
    assert "INVALID. Requests left 90 ms late." in text
    assert "Partial result. Its worker was killed after 3 of 10 s." in text
    assert "20/s" in text
