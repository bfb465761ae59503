"""What a run broke on purpose, told from its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.breakages import breakages
from app.records import RunEvent

BEGAN = datetime(2026, 11, 18, 12, tzinfo=UTC)


def events(*told: dict[str, Any]) -> list[RunEvent]:
    """One a second."""
    return [
        RunEvent(seq=number, at=BEGAN + timedelta(seconds=number), text="", **one)
        for number, one in enumerate(told)
    ]


def check(name: str, **data: Any) -> dict[str, Any]:
    return {"kind": "check", "check": name, "data": data}


def lever(name: str, what: str, detail: str = "", way: str = "refuse") -> dict[str, Any]:
    return {"kind": "lever", "data": {"lever": name, "way": way, "what": what, "detail": detail}}


def test_a_breakage_has_its_check_how_long_it_lasted_and_how_to_end_it_by_hand():
    [found] = breakages(
        events(
            check("cache.outage_fallback", began=True),
            lever("cache", "broken", "curl -X POST ..."),
            {"kind": "say"},
            lever("cache", "restored"),
            check("cache.outage_fallback", outcome="pass"),
        )
    )
    assert (found.check, found.lever, found.way) == ("cache.outage_fallback", "cache", "refuse")
    assert (found.seconds, found.restored, found.by_hand) == (2.0, True, "curl -X POST ...")


def test_what_was_never_restored_says_so_and_what_failed_says_why():
    killed, failed = breakages(
        events(
            check("a.b", began=True),
            lever("cache", "broken", "one line"),
            lever("stock", "broken", "another line"),
            lever("stock", "failed", "connection refused"),
        )
    )
    assert (killed.seconds, killed.restored, killed.problem) == (None, False, "")
    assert (failed.seconds, failed.restored, failed.problem) == (1.0, False, "connection refused")


def test_levers_that_are_broken_at_once_end_each_by_itself():
    outer, inner = breakages(
        events(
            check("a.b", began=True),
            lever("stock", "broken"),
            lever("drafts", "broken", way="hang"),
            lever("drafts", "restored"),
            lever("stock", "restored"),
        )
    )
    assert (outer.lever, outer.seconds) == ("stock", 3.0)
    assert (inner.lever, inner.way, inner.seconds) == ("drafts", "hang", 1.0)


def test_what_an_earlier_run_left_broken_is_no_breakage_of_this_one():
    assert breakages(events(lever("cache", "restored"))) == ()
