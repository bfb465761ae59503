"""History: every run with its verdict, two of them compared, the pair in the address."""

from __future__ import annotations

from app.history.store import Store
from tests.views import story


def test_every_run_is_in_the_table_with_its_verdict(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("history", target="sample")
    [table] = page.app.dataframe
    assert list(table.value["Run"]) == [f"#{number}" for number in range(13, 0, -1)]
    assert [verdict[0] for verdict in table.value["Verdict"]][:4] == [
        "Production ready",
        "Production ready",
        "Not ready",
        "Interrupted",
    ]
    assert "13\u00a0runs since" in page.text


def test_the_pair_in_the_address_is_compared(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("history", target="sample", a="4", b="13")
    assert "Run #4 to run #13" in page.text
    assert "By category" in page.text
    assert page.query == {"target": "sample", "a": "4", "b": "13"}
    assert len(page.app.get("plotly_chart")) == 2


def test_a_run_without_a_score_cannot_be_compared_and_says_so(dashboard, store: Store):
    story.tell(store)
    text = dashboard.open("history", target="sample", a="10", b="13").text
    assert "Run #10 has no score, so it cannot be compared." in text


def test_one_selected_run_asks_for_a_second(dashboard, store: Store):
    story.tell(store)
    text = dashboard.open("history", target="sample", a="4").text
    assert "Pick a second run to compare with run #4." in text


def test_a_filter_leaves_only_its_runs(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("history", target="sample")
    page.app.button_group(key="filter_by").set_value("ci").run()
    assert set(page.app.dataframe[0].value["Started by"]) == {"ci"}


def test_without_a_run_it_says_what_a_run_would_add(dashboard, declared):
    assert "No run yet." in dashboard.open("history", target="sample").text


def test_nonsense_in_the_address_selects_nothing(dashboard, store: Store):
    story.tell(store)
    page = dashboard.open("history", target="sample", a="<script>", b="99")
    assert "Run #" not in page.text.split("Pick two to compare")[-1]
