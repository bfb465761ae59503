"""Whatever a service does, a probe and a stream reader end in time, bounded, with a failure or a reply."""

from __future__ import annotations

import asyncio
import gzip
import resource
import sys

import pytest

from app.instruments.http import KEPT_BYTES, HttpProbe
from app.instruments.sse import MAX_EVENTS, MAX_STREAM_BYTES, SseReader
from app.instruments.wire import MAX_HEADERS
from checks.contract import Request, Target
from tests.instruments.servers import Visit, scripted, wire_to

DEADLINE_S = 0.5
GUARD_S = 10.0  # a wide margin for a busy machine: what is tested is that there is an end at all
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


async def accept_and_hang(visit: Visit) -> None:
    await asyncio.Event().wait()


async def drip_the_body(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    while True:
        await visit.write(b":")
        await asyncio.sleep(0.02)


async def drip_the_headers(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await visit.write(b"y")
        await asyncio.sleep(0.02)


async def reset_at_once(visit: Visit) -> None:
    visit.reset()


async def reset_mid_body(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Length: 1000\r\n\r\ndata: half")
    visit.reset()


async def talk_another_protocol(visit: Visit) -> None:
    await visit.write(b"220 mail.example.com ESMTP ready\r\n" * 10)
    visit.writer.close()


async def bad_status_line(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")


async def bad_chunks(visit: Visit) -> None:
    await visit.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk\r\n")


async def contradicting_lengths(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello")


async def gzip_bomb(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)


async def broken_gzip(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\nnot gzip!!")


async def ten_gigabytes(visit: Visit) -> None:
    await visit.write(HEAD + b"Content-Length: 10000000000\r\n\r\n")
    while True:
        await visit.write(b"data: x\n" * 8000)


async def endless_continue(visit: Visit) -> None:
    while True:
        await visit.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


async def redirect_loop(visit: Visit) -> None:
    await visit.reply(b"", 307, Location=visit.path)


async def redirect_off_the_host(visit: Visit) -> None:
    await visit.reply(b"", 307, Location="http://example.com/")


async def redirect_to_nonsense(visit: Visit) -> None:
    await visit.reply(b"", 307, Location="http://[::1:x/%zz")


async def thousands_of_headers(visit: Visit) -> None:
    lines = b"".join(b"Set-Cookie: c%d=%d\r\n" % (number, number) for number in range(4000))
    await visit.write(HEAD + lines + b"Content-Length: 0\r\n\r\n")


async def endless_headers(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await visit.write(b"X-More: %s\r\n" % (b"y" * 1000))


async def endless_events(visit: Visit) -> None:
    await visit.write(HEAD + b"\r\n")
    while True:
        await visit.write(b"data: again\n\n" * 100)


async def endless_line(visit: Visit) -> None:
    await visit.write(HEAD + b"\r\ndata: ")
    while True:
        await visit.write(b"y" * 65_536)


async def endless_comments(visit: Visit) -> None:
    await visit.write(HEAD + b"\r\n")
    while True:
        await visit.write(b": still here\n\n" * 100)


async def control_characters(visit: Visit) -> None:
    await visit.write(
        HEAD + b"X-Odd: a\x07\x1b[31mb\x00c\r\nContent-Length: 9\r\n\r\n\x00\x1b[2J\r\n\xff\xfe"
    )


BOMB = gzip.compress(b"\0" * (200 << 20), compresslevel=9)
BEHAVIOURS = [value for name, value in list(globals().items()) if asyncio.iscoroutinefunction(value)]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
async def test_a_probe_ends_in_time_with_a_failure_or_a_bounded_reply(behaviour):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with scripted(behaviour) as server, wire_to(Target(url=server.url)) as wire:
        async with asyncio.timeout(DEADLINE_S + GUARD_S):
            reply = await HttpProbe(wire).send(Request(), timeout_s=DEADLINE_S)
    assert reply.failure is not None or reply.status is not None
    assert len(reply.body) <= KEPT_BYTES
    assert len(reply.headers) <= MAX_HEADERS
    assert reply.failure is None or "\x1b" not in reply.failure.detail
    assert _grown_mb(before) < 100


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
async def test_a_stream_reader_ends_in_time_with_a_failure_or_a_bounded_reply(behaviour):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with scripted(behaviour) as server, wire_to(Target(url=server.url)) as wire:
        async with asyncio.timeout(DEADLINE_S + GUARD_S):
            reply = await SseReader(wire).read(Request(), timeout_s=DEADLINE_S)
    assert reply.failure is not None or reply.status is not None
    assert len(reply.events) <= MAX_EVENTS
    assert sum(len(event.data) for event in reply.events) <= MAX_STREAM_BYTES
    assert _grown_mb(before) < 100


def _grown_mb(before: int) -> float:
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
