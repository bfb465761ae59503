"""The HTML report: one page, complete, small, and with nothing in it that a service could have put there."""

import itertools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings

from app.reports import FORMATS
from app.reports.html import render
from tests import records
from tests.reports.strategies import snapshots

VOID = {"meta", "br", "circle", "path", "use", "rect", "line", "polyline", "img", "link", "input"}
ADDRESSES = {"href", "src", "action", "formaction", "srcset", "data", "poster", "xlink:href"}


class Page(HTMLParser):
    """What a page holds, and whether every element that was opened is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def named(self, *tags):
        return [(tag, attributes) for tag, attributes in self.elements if tag in tags]

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def assert_harmless(text: str) -> Page:
    page = Page(text)
    assert page.unbalanced == []
    assert page.open == []
    assert not page.named("script", "iframe", "object", "embed", "img", "link", "a", "form", "base")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ADDRESSES & set(attributes):
            assert re.fullmatch(r"#[\w-]+", attributes[name] or ""), (tag, attributes)
    assert "<script" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", text)
    return page


EVERY = [records.as_found(), records.mended(), records.interrupted(), records.hostile()]


@pytest.mark.parametrize("snapshot", EVERY)
def test_the_page_is_well_formed_and_holds_no_script_no_link_and_no_handler(snapshot):
    assert_harmless(render(snapshot, records.history()))


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(snapshots())
def test_no_text_of_a_service_becomes_markup(snapshot):
    assert_harmless(render(snapshot))


def test_hostile_text_is_shown_as_it_stands():
    page = Page(render(records.hostile()))
    assert "<script>alert(1)</script> [link](javascript:alert(2))" in page.words
    assert "{{ 7*7 }}" in page.words


def test_the_page_fetches_nothing_and_says_so_to_the_browser():
    text = render(records.as_found(), records.history())
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text)


def test_the_page_is_small_even_with_long_evidence_in_every_check():
    assert len(render(records.as_found(), records.history()).encode()) < 60_000
    long = {"lines": ["x" * 200 for _ in range(500)]}
    findings = [
        records.finding(
            check, evidence=long, reason="r" * 500, fix="f" * 5000, reproduce="c" * 5000, title="t" * 999
        )
        for check in records.RUBRIC.checks
    ]
    snapshot = records.as_found().model_copy(update={"scorecard": records.card(*findings)})
    assert len(render(snapshot).encode()) < 150_000


def test_verdict_score_coverage_and_best_possible_stand_first():
    words = Page(render(records.as_found())).words
    assert re.search(
        r"36\.5 ?Grade F ?NOT READY.*Coverage ?95\u00a0?.%.*Best possible ?41\.5.*Open P0 ?7", words
    )
    assert words.index("NOT READY") < words.index("What blocks the release") < words.index("Findings")


def test_blockers_stand_by_cause_and_every_check_has_its_row():
    snapshot = records.as_found()
    page = Page(render(snapshot))
    assert (
        "Also fails 4\u00a0load scenarios: baseline, light, medium, heavy".replace("\u00a0", " ")
        in page.words
    )
    for finding in snapshot.scorecard.findings:
        assert finding.check in page.words
        assert finding.reason.replace("\u00a0", " ") in page.words
    assert "What still costs points" not in page.words
    assert "What still costs points" in Page(render(records.mended())).words


def test_an_interrupted_run_has_a_message_and_no_score():
    words = Page(render(records.interrupted())).words
    assert "Interrupted: this run has no score" in words
    assert "Interrupted after 8 of 17 checks." in words
    assert "Best possible" not in words


def test_the_title_of_the_document_names_service_verdict_and_score():
    assert "<title>Support chat API: not ready, 36.5 · Greenlight</title>" in render(records.as_found())


@pytest.mark.parametrize("snapshot", [records.as_found(), records.mended(), records.interrupted()])
def test_headings_scopes_names_and_ids_are_as_assistive_technology_needs_them(snapshot):
    page = Page(render(snapshot, records.history()))
    levels = [int(tag[1]) for tag, _ in page.named("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert all(attributes.get("scope") in ("col", "row") for _, attributes in page.named("th"))
    pictures = [attributes for _, attributes in page.elements if attributes.get("role") == "img"]
    assert all(attributes.get("aria-label") for attributes in pictures)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {
        attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes
    }
    used = {(attributes["href"] or "")[1:] for _, attributes in page.named("use")}
    assert named | used <= set(ids)


def test_the_score_over_time_breaks_at_an_interrupted_run_and_marks_the_change_of_rubric():
    text = render(records.mended(), records.history())
    wide = text.split('class="trend wide"')[1].split("</svg>")[0]
    assert wide.count("<polyline") == 4  # score and best possible, each in two parts
    assert wide.count(">interrupted<") == 1
    assert wide.count(">rubric 2<") == 1
    assert 'aria-label="Score of 12 runs, from 34.2 to 97.4"' in text


def test_among_the_formats_only_the_page_shows_the_history():
    snapshot, history = records.mended(), records.history()
    for name, offered in FORMATS.items():
        assert (offered.render(snapshot, history) != offered.render(snapshot)) is (name == "html")


def test_without_a_history_there_is_no_empty_chart():
    assert "Score over time" not in render(records.mended())
    assert "Score over time" not in render(records.mended(), records.history()[-1:])


def test_a_load_result_that_is_not_to_be_taken_as_it_stands_says_why():
    text = render(records.doubtful())
    assert "INVALID. Requests left 90 ms late." in text
    assert "Partial result. Its worker was killed after 3 of 10 s." in text
    assert ">20/s<" in text


def test_what_was_broken_on_purpose_stands_with_what_came_of_it_and_how_to_put_it_back():
    text = " ".join(Page(render(records.broken())).text)
    assert "cache was silent" in text
    assert "restored after 5.2\u00a0s" in text
    assert "stock not restored: connection refused" in text
    assert "systemctl start stock" in text
    assert "By hand" not in render(records.mended())
