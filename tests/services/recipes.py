"""A service over GET alone: a question in the address, plain text out, and Starlette without OpenAPI.

Health has no body, errors are lines of text, answers are kept in a SQLite file on the disk, and what had to
be thought of is counted in a JSON page of its own. ``python recipes.py PORT`` runs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import sys
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

COOKING_S = 0.2
MAX_QUESTION_CHARS = 2_000


class Kitchen:
    """Thinks of an answer once, also for many who ask at once, and keeps it on the disk."""

    def __init__(self, file: str) -> None:
        self.disk = sqlite3.connect(file)
        self.disk.execute("CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answer TEXT)")
        self.cooking: dict[str, asyncio.Task[str]] = {}
        self.calls = 0

    async def answer(self, question: str) -> tuple[str, str]:
        """The answer, and where it came from."""
        row = self.disk.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        if row:
            return row[0], "disk"
        if question not in self.cooking:
            self.cooking[question] = asyncio.create_task(self._cook(question))
            self.cooking[question].add_done_callback(lambda _: self.cooking.pop(question))
        return await asyncio.shield(self.cooking[question]), "kitchen"

    async def _cook(self, question: str) -> str:
        self.calls += 1
        await asyncio.sleep(COOKING_S)
        page = int(hashlib.sha256(question.encode()).hexdigest()[:6], 16)
        text = f"See page {page} of the book: let it rest, season it well, and serve it warm."
        with self.disk:
            self.disk.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (question, text))
        return text


async def answer(request: Request) -> Response:
    query = request.scope["query_string"].decode("ascii", "replace")
    try:
        fields = parse_qs(query, strict_parsing=True, errors="strict", max_num_fields=5)
    except ValueError as error:
        raise HTTPException(400, "the query cannot be read") from error
    questions = fields.get("q", [])
    if len(questions) != 1 or not questions[0].strip() or len(questions[0]) > MAX_QUESTION_CHARS:
        raise HTTPException(422, "give one q")
    if not all(character.isprintable() for character in questions[0]):
        raise HTTPException(422, "q is no text")
    text, place = await request.app.state.kitchen.answer(questions[0])
    return PlainTextResponse(text, headers={"X-Answer-From": place})


async def alive(_: Request) -> Response:
    return Response(status_code=204)


async def ready(request: Request) -> Response:
    request.app.state.kitchen.disk.execute("SELECT 1").fetchone()
    return JSONResponse({"ready": True, "checks": [{"name": "disk", "ok": True}]})


async def stats(request: Request) -> Response:
    return JSONResponse({"kitchen": {"calls": request.app.state.kitchen.calls}})


async def refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"error {error.status_code}: {error.detail}\n", error.status_code, error.headers)


def application(file: str) -> Starlette:
    app = Starlette(
        routes=[
            Route("/v1/answer", answer),
            Route("/alive", alive),
            Route("/ready", ready),
            Route("/stats", stats),
        ],
        exception_handlers={HTTPException: refused},
    )
    app.state.kitchen = Kitchen(file)
    return app


if __name__ == "__main__":
    uvicorn.run(application("recipes.db"), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
