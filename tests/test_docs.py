"""The documentation that is generated from the checks."""

import re
from pathlib import Path

import checks
from app import docs, rubric
from checks import all_checks


def page() -> str:
    return docs.render(all_checks(), rubric.load(checks=all_checks()).checks)


def test_the_committed_page_is_up_to_date():
    committed = (Path(checks.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m app checks docs -o checks/README.md"


def test_every_check_has_its_section_with_title_points_and_remedy():
    text = page()
    entries = rubric.load(checks=all_checks()).checks
    for name, check in all_checks().items():
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert check.docs["title"] in section
        assert check.about.failure_title in section
        assert f"{entries[name].points:g} points" in section
        assert "*How to fix it*\n\n" in section


def test_every_link_of_the_overview_leads_to_a_heading():
    text = page()
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", text)) == anchors


def test_the_points_of_the_page_add_up_to_a_hundred():
    assert f"{len(all_checks())} checks, 100 points." in page()
