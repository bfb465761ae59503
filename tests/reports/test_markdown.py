"""The Markdown report, read back by a Markdown parser with tables and bare links on, as GitHub has them."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.reports.markdown import escape, render
from checks.contract.findings import Outcome
from tests import records
from tests.reports.strategies import snapshots, texts

READER = MarkdownIt("commonmark", {"linkify": True}).enable(["table", "linkify", "strikethrough"])
HARMLESS = {"text", "code_inline", "softbreak", "hardbreak", "strong_open", "strong_close"}


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or [])]


def shown(tokens: list[Token]) -> str:
    return "".join(token.content for token in inline(tokens))


def tables(tokens: list[Token]) -> list[list[int]]:
    """How many cells each row of each table has."""
    found: list[list[int]] = []
    for token in tokens:
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in ("th_open", "td_open"):
            found[-1][-1] += 1
    return found


def assert_harmless(text: str) -> list[Token]:
    tokens = READER.parse(text)
    strange = {token.type for token in inline(tokens)} - HARMLESS - {"html_inline"}
    assert not strange, strange
    assert {token.content for token in inline(tokens) if token.type == "html_inline"} <= {"<br>"}
    blocks = {token.type for token in tokens}
    assert not blocks & {
        "html_block",
        "blockquote_open",
        "bullet_list_open",
        "ordered_list_open",
        "hr",
        "code_block",
    }
    return tokens


def test_the_first_line_is_the_verdict_with_the_three_numbers_that_stand_together():
    assert render(records.as_found()).splitlines()[0] == (
        "## ✗ NOT READY · 36.5 · coverage 95\u00a0% · best possible 41.5"
    )


def test_blockers_stand_by_cause_with_points_reason_fix_and_a_line_to_reproduce():
    text = render(records.as_found())
    assert "#### ✗ The primary route answers with an error · −33.0 points, 5\u00a0P0s" in text
    assert "Also fails 4\u00a0load scenarios: baseline, light, medium, heavy." in text
    assert "```sh\ncurl -sS -X POST http://127.0.0.1:8003/api/chat" in text
    assert "What still costs points" not in text


def test_when_nothing_blocks_it_says_what_still_costs_points():
    text = render(records.mended())
    assert "### What still costs points" in text
    assert "▲ The cache helps little · −2.5 points, P1" in text


def test_every_check_category_scenario_and_claim_has_a_row():
    snapshot = records.as_found()
    rows = [len(table) - 1 for table in tables(READER.parse(render(snapshot)))]
    assert rows == [5, 6, 17, 4, 4]


def test_what_was_broken_on_purpose_stands_with_what_came_of_it_and_how_to_put_it_back():
    text = render(records.broken())
    assert "| cache was silent | `cache.outage_fallback` | ✓ " in text
    assert "| restored after 5.2\u00a0s |" in text
    assert "| stock not restored: connection refused |" in text
    assert "```sh\ncurl -X POST http://127.0.0.1:8474/proxies/cache\nsystemctl start stock\n```" in text
    assert "### Recovery" not in render(records.mended())


def test_an_interrupted_run_says_so_and_shows_no_score():
    text = render(records.interrupted())
    assert text.startswith("## Run 10: interrupted\n")
    assert "Interrupted after 8 of 17 checks." in text
    assert "coverage" not in text


@pytest.mark.parametrize("snapshot", [records.hostile(), records.as_found(), records.mended()])
def test_no_text_of_a_service_makes_markup_links_or_cells(snapshot):
    tokens = assert_harmless(render(snapshot))
    for table in tables(tokens):
        assert len(set(table)) == 1


def test_mentions_and_numbers_do_not_become_references():
    assert not re.search(r"[@#][\w]", READER.renderInline(escape("@everyone see #12")))


def test_a_command_that_holds_a_fence_stays_inside_its_own():
    finding = records.finding("endpoint_health.liveness", Outcome.FAIL, reproduce="echo '```'\n```\n# out")
    snapshot = records.as_found().model_copy(update={"scorecard": records.card(finding)})
    (fence,) = [token for token in READER.parse(render(snapshot)) if token.type == "fence"]
    assert fence.content == "echo '```'\n```\n# out\n"


@settings(max_examples=300)
@given(st.text(max_size=80) | texts | st.text("\\`|*_[]()<>&@#~$:/.w \n-+=1", max_size=30))
@example("mailto:a@b.example")
@example("http://a.example www.a.example ftp://x.example")
@example("\\|")
def test_escaped_text_keeps_the_columns_and_reads_as_it_was(text):
    escaped = escape(text)
    tokens = assert_harmless(f"| a | b |\n| :-- | --: |\n| {escaped} | {escaped} |\n\nText: {escaped}")
    assert tables(tokens) == [[2, 2]]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", escaped)
    visible = shown(READER.parse(f"Text: {escaped}")).replace("\u200b", "")
    assert visible.split() == f"Text: {text}".replace("\u200b", "").split() or re.search(r"[^ -~]", text)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_any_run_gives_tables_of_even_rows_and_nothing_but_text(snapshot):
    for table in tables(assert_harmless(render(snapshot))):
        assert len(set(table)) == 1


def test_a_load_result_that_is_not_to_be_taken_as_it_stands_says_why():
    text = render(records.doubtful())
    assert "INVALID. Requests left 90 ms late." in text
    assert "Partial result. Its worker was killed after 3 of 10 s." in text
    assert "20/s" in text
