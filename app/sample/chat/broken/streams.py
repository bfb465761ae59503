"""Defects of the stream route: its frames, its last event, and what becomes of it when the reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import APIRouter

from app.sample.chat import routes
from app.sample.chat.routes import EventStream, Given
from app.sample.chat.shapes import ChatRequest
from app.sample.chat.strict import StrictJsonRoute

BLOCK_BYTES = 16

Frames = Callable[[AsyncIterator[Any]], AsyncIterator[str]]


def router(defects: AbstractSet[str]) -> APIRouter:
    """The stream route that stands before the healthy one, if any."""
    found = APIRouter(include_in_schema=False)
    changes: dict[str, Frames] = {
        "stream_line_breaks_raw": _unescaped,
        "stream_characters_split": _decoded_by_blocks,
        "stream_cached_without_end": _without_end_of_cached,
        "stream_goes_on": _made_by_a_task,
        "stream_first_word_ahead": _first_ahead,
        "stream_opens_empty": _opened_empty,
    }
    chosen = [change for name, change in changes.items() if name in defects]
    kind = "text/plain; charset=utf-8" if "stream_no_content_type" in defects else EventStream.media_type
    if chosen or kind != EventStream.media_type:
        found.add_api_route(
            "/api/v1/chat/stream", _Reframed(chosen, kind), methods=["POST"],
            route_class_override=StrictJsonRoute, response_model=None,
        )  # fmt: skip
    return found


class _Reframed:
    """The healthy stream with its frames changed on their way, under a content type."""

    def __init__(self, changes: list[Frames], kind: str) -> None:
        self._changes = changes
        self._kind = kind

    async def __call__(self, question: ChatRequest, parts: Given) -> EventStream:
        """Answer a question as a stream."""
        reply = await routes.chat_stream(question, parts)
        reply.headers["content-type"] = self._kind
        for change in self._changes:
            reply.body_iterator = change(aiter(reply.body_iterator))
        return reply


async def _unescaped(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """JSON put together by hand: a line break in the answer is one in the frame."""
    async for frame in frames:
        yield str(frame).replace("\\n", "\n")


async def _decoded_by_blocks(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """Text decoded block by block, also where a block ends within a character."""
    async for frame in frames:
        whole = str(frame).encode()
        blocks = (whole[start : start + BLOCK_BYTES] for start in range(0, len(whole), BLOCK_BYTES))
        yield "".join(block.decode("utf-8", "replace") for block in blocks)


async def _without_end_of_cached(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """A cached answer has another way out, on which nobody thought of the last event."""
    async for frame in frames:
        if '"from_cache": true' not in frame:
            yield frame


async def _made_by_a_task(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """The answer is made beside the request, and goes on whether somebody reads it or not."""
    made: asyncio.Queue[str | None] = asyncio.Queue()

    async def make() -> None:
        try:
            async for frame in frames:
                made.put_nowait(frame)
        finally:
            made.put_nowait(None)

    task = asyncio.create_task(make())
    while (frame := await made.get()) is not None:
        yield frame
    await task


async def _first_ahead(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """A buffer that is flushed after its first frame, which is all that a glance at the first token sees."""
    yield await anext(frames)
    for frame in [frame async for frame in frames]:
        yield frame


async def _opened_empty(frames: AsyncIterator[Any]) -> AsyncIterator[str]:
    """An empty token at once, and every token that holds something when the answer is complete."""
    yield routes.event("token", {"text": ""})
    for frame in [frame async for frame in frames]:
        yield frame
