"""What to do when an alert arrives: the pages that the alerts' ``runbook_url`` lead to."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from app import paths
from app.sample.chat.problems import ProblemError


def router() -> APIRouter:
    """``/runbooks/NAME``, each page as the Markdown that it is."""
    folder = paths.monitoring_folder() / "runbooks"
    pages = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.md"))}
    found = APIRouter(prefix="/runbooks", include_in_schema=False, default_response_class=PlainTextResponse)

    @found.get("/")
    async def index() -> str:
        return "\n".join(f"/runbooks/{name}" for name in pages)

    @found.get("/{name}")
    async def page(name: str) -> str:
        if name not in pages:
            raise ProblemError(404)
        return pages[name]

    return found
