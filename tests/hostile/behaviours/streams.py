"""Misbehaviour of event streams; each answers every route so."""

from __future__ import annotations

import asyncio

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.texts import ODD
from tests.hostile.visits import Visit, behaves

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@behaves()
async def never_ends_its_events(visit: Visit) -> None:
    await visit.write(EVENTS)
    while True:
        await visit.write(b'data: {"text": "again"}\n\n' * 100)


@behaves("stream")
async def never_ends_its_events_slowly(visit: Visit) -> None:
    await visit.write(EVENTS)
    while True:
        await visit.write(b'data: {"text": "again"}\n\n')
        await asyncio.sleep(0.2)


@behaves("stream")
async def never_ends_an_event(visit: Visit) -> None:
    await visit.write(EVENTS)
    while True:
        await visit.write(b"data: again\n" * 4000)


@behaves("stream")
async def never_ends_a_line(visit: Visit) -> None:
    await visit.write(EVENTS + b"data: ")
    while True:
        await visit.write(b"y" * 65_536)


@behaves("stream")
async def never_ends_its_comments(visit: Visit) -> None:
    await visit.write(EVENTS)
    while True:
        await visit.write(b": still here\n\n" * 100)
        await asyncio.sleep(0.001)


@behaves("stream")
async def streams_without_line_ends(visit: Visit) -> None:
    await visit.write(EVENTS + b'event: token data: {"text": "All"} event: done data: {}')
    visit.writer.close()


@behaves("stream")
async def streams_garbage(visit: Visit) -> None:
    lines = f'event: {ODD}\ndata: {{"text": "{ODD}"}}\nid: \x00\nretry: -1e999\ndata\n:::\n\n'
    await visit.write(EVENTS + lines.encode("utf-8", "surrogatepass") * 20 + b"\xff\xfe\n\n")
    visit.writer.close()


@behaves("stream")
async def streams_tokens_of_every_type(visit: Visit) -> None:
    values = (b"null", b"1e999", b"[]", b"{}", b'"\\ud800"', b"[" * 9000, b"true", b'{"text": 5}')
    await visit.write(EVENTS + b"".join(b'data: %s\n\ndata: {"text": %s}\n\n' % (v, v) for v in values))
    await visit.write(b"event: done\ndata: {}\n\n")
    visit.writer.close()


@behaves("stream")
async def hangs_before_its_first_event(visit: Visit) -> None:
    await visit.write(EVENTS)
    await for_ever().wait()


@behaves("stream")
async def hangs_after_its_first_event(visit: Visit) -> None:
    await visit.write(EVENTS + b'data: {"text": "All"}\n\n')
    await for_ever().wait()


@behaves("stream")
async def resets_after_its_first_event(visit: Visit) -> None:
    await visit.write(EVENTS + b'data: {"text": "All"}\n\n')
    visit.reset()


@behaves("stream")
async def goes_on_after_its_last_event(visit: Visit) -> None:
    await visit.write(EVENTS + b'data: {"text": "All"}\n\nevent: done\ndata: {}\n\n')
    while True:
        await visit.write(b'data: {"text": "again"}\n\n')
        await asyncio.sleep(0.05)
