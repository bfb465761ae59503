"""One reading of the metrics page, and what makes it no use. Private to this family."""

from __future__ import annotations

from dataclasses import dataclass

from checks.contract import FailureKind, Finding, Scrape


@dataclass(frozen=True)
class Page:
    """One reading of the page. ``label_values`` counts the distinct values of each label."""

    status: int | None
    content_type: str
    failure: str
    failure_kind: str
    parse_error: str
    families: int
    series: int
    label_values: dict[str, int]


def page_of(scrape: Scrape) -> Page:
    """What is kept of a scrape."""
    return Page(
        scrape.status,
        scrape.content_type[:100],
        scrape.failure.detail[:200] if scrape.failure else "",
        scrape.failure.kind if scrape.failure else "",
        scrape.parse_error[:200],
        len(scrape.families),
        scrape.series,
        {name[:80]: len(values) for name, values in sorted(scrape.labels.items())},
    )


def _proves_nothing(page: Page, url: str) -> Finding | None:
    """Why the page could not be read at all, where that is no fault of it."""
    if page.failure_kind == FailureKind.REDIRECT or (page.status is not None and 300 <= page.status < 400):
        return Finding.not_assessed(
            f"{url} redirects, which proves nothing. Declare where it leads as `[health] metrics`.",
            missing="health.metrics",
        )
    if page.status in (401, 403):
        return Finding.not_assessed(
            f"{url} asks for a credential ({page.status}). Add it as `[health] headers`.",
            missing="health.headers",
        )
    if page.status == 429:
        return Finding.not_assessed(f"{url} is rate limited (429).")
    return None


def _unreadable(page: Page) -> str:
    """What the page does instead of telling metrics, as the end of a sentence; "" where it tells them."""
    if page.failure:
        return f"gives no reply: {page.failure}"
    if page.status != 200:
        return f"answers {page.status}, there are no metrics"
    if page.parse_error:
        kind = page.content_type.partition(";")[0].strip().lower()
        if kind in ("text/html", "application/json"):
            return f"answers with {kind}, not with metrics"
        return f"cannot be parsed: {page.parse_error}"
    return ""


def unread(
    before: Page, after: Page, url: str, *, fix: str, reproduce: str, follows_from: str | None = None
) -> Finding | None:
    """Why two readings of the page tell no metrics, as a finding; None where both do."""
    unsaid = _proves_nothing(before, url)
    if unsaid:
        return unsaid
    wrong = _unreadable(before) or _unreadable(after)
    if not wrong:
        return None
    return Finding.failed(f"{url} {wrong}.", fix=fix, reproduce=reproduce, follows_from=follows_from)
