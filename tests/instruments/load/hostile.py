"""A service that misbehaves in every way there is, a path each. Run as a program, it prints its port."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable

import uvloop

from tests.instruments.servers import Visit, scripted

OK = b"HTTP/1.1 200 OK\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n"
GOOD = json.dumps({"answer": "Within 30 days.", "from_cache": True}).encode()
MIB = 1 << 20
Talk = Callable[[Visit], Awaitable[None]]
BEHAVIOURS: dict[str, Talk] = {}


def sized(body: bytes) -> bytes:
    """A body with its right length."""
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def behaviour(talk: Talk) -> Talk:
    """Offer ``talk`` at the path that is its name."""
    BEHAVIOURS["/" + talk.__name__.replace("_", "-")] = talk
    return talk


def writes(name: str, *pieces: bytes, then: str = "close") -> None:
    """Offer at ``name`` a service that writes these bytes, and then closes, is silent or stays for more."""

    async def talk(visit: Visit) -> None:
        for piece in pieces:
            await visit.write(piece)
        if then == "silence":
            await asyncio.sleep(60)
        if then != "stay":
            visit.writer.close()

    BEHAVIOURS["/" + name] = talk


def repeats(name: str, head: bytes, piece: bytes) -> None:
    """Offer at ``name`` a service that writes ``piece`` until nobody listens any more."""

    async def talk(visit: Visit) -> None:
        await visit.write(head)
        while True:
            await visit.write(piece)

    BEHAVIOURS["/" + name] = talk


def squeezed(plain_bytes: int) -> bytes:
    """Valid JSON of ``plain_bytes`` as gzip, made without ever being whole in memory."""
    squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    parts = [squeeze.compress(b'{"answer": "')]
    parts += [squeeze.compress(b"x" * MIB) for _ in range(plain_bytes // MIB)]
    return b"".join([*parts, squeeze.compress(b'"}'), squeeze.flush()])


def events(text: bytes) -> bytes:
    """One chunk of a chunked stream."""
    return b"%x\r\n%s\r\n" % (len(text), text)


@behaviour
async def resets_after_accept(visit: Visit) -> None:
    lingering = struct.pack("ii", 1, 0)
    visit.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    visit.reset()


@behaviour
async def resets_in_the_body(visit: Visit) -> None:
    await visit.write(OK + b"Content-Length: 500\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    await resets_after_accept(visit)


@behaviour
async def one_byte_a_second(visit: Visit) -> None:
    for byte in OK + sized(GOOD):
        await visit.write(bytes([byte]))
        await asyncio.sleep(1)


@behaviour
async def a_hundred_megabytes(visit: Visit) -> None:
    await visit.write(OK + b"Content-Length: %d\r\n\r\n" % (100 * MIB))
    for _ in range(100):
        await visit.write(b"x" * MIB)


@behaviour
async def a_secret_said_back(visit: Visit) -> None:
    await visit.reply("\x1b[2J\u202e\x00 " + visit.headers.get("authorization", "") + "\n" + "x" * 5000, 500)


writes("closes-after-accept")
writes("never-answers", then="silence")
writes("half-a-head", OK + b"Content-Ty")
writes("half-a-head-and-silence", OK + b"Content-Ty", then="silence")
writes("length-too-long", OK + b"Content-Length: 500\r\n\r\n" + GOOD)
writes("length-too-long-and-silence", OK + b"Content-Length: 500\r\n\r\n" + GOOD, then="silence")
writes("length-too-short", OK + b"Content-Length: 9\r\n\r\n" + GOOD)
writes("length-below-zero", OK + b"Content-Length: -5\r\n\r\n")
writes("length-that-overflows", OK + b"Content-Length: 99999999999999999999999\r\n\r\n" + GOOD)
writes("two-lengths", OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n" + GOOD)
writes("length-and-chunks", OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
writes("two-replies", OK + sized(b"{}") + OK + sized(b"{}"))
writes("chunk-cut", CHUNKED + b"5\r\nhel")
writes("chunk-size-invalid", CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n")
writes("chunk-size-overflows", CHUNKED + b"fffffffffffffffff\r\nhello")
writes("chunk-longer-than-it-says", CHUNKED + b"2\r\nhello\r\n0\r\n\r\n")
writes("not-http", b"SSH-2.0-OpenSSH_9.2\r\n")
writes("html-without-a-head", b"<html>hello</html>")
writes("switches-protocols", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
writes("control-characters-in-a-header", OK + b"X-\x00\x1b: y\r\n" + sized(GOOD))
writes("invalid-utf-8", OK + sized(b'{"answer": "\xff\xc3"}'), then="stay")
writes("not-json", OK + sized(b"<html>Sorry</html>"), then="stay")
writes("deep-json", OK + sized(b"[" * 100_000), then="stay")
writes("broken-gzip", OK + GZIP + sized(b"\x1f\x8bnonsense"), then="stay")
writes("an-error", b"HTTP/1.1 500 Oops\r\n" + sized(b'{"detail": "broken"}'), then="stay")
writes("a-rate-limit", b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\n" + sized(b"{}"), then="stay")
writes("a-redirect", b"HTTP/1.1 307 Gone\r\nLocation: http://127.9.9.9/\r\n" + sized(b""), then="stay")
repeats("endless-header", OK + b"X: ", b"x" * 65_536)
repeats("endless-headers", OK, b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n" * 1000)
repeats("interim-replies-without-end", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
repeats("endless-body", OK + b"\r\n", b"x" * 65_536)
repeats("endless-chunks", CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n")
repeats("endless-trailers", CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000)
writes("gzip-bomb", OK + GZIP + sized(squeezed(100 * MIB)), then="stay")

STREAM = EVENTS + b"Transfer-Encoding: chunked\r\n\r\n"
TOKEN = b'event: token\ndata: {"text": "Within"}\n\n'
writes("stream-without-an-end", STREAM + events(TOKEN) + b"0\r\n\r\n", then="stay")
writes("stream-without-a-token", STREAM + events(b"event: done\ndata: {}\n\n") + b"0\r\n\r\n", then="stay")
writes("stream-of-invalid-utf-8", STREAM + events(b"data: \xff\xfe{\n\n") + b"0\r\n\r\n", then="stay")
writes("stream-cut", STREAM + events(TOKEN))
writes("stream-that-stalls", STREAM + events(TOKEN), then="silence")
writes(
    "stream-gzip-bomb", EVENTS + GZIP + sized(gzip.compress(TOKEN * (64 * MIB // len(TOKEN)))), then="stay"
)
repeats("stream-of-one-endless-event", STREAM, events(b"data: " + b"x" * 65_536))
repeats("stream-without-end", STREAM, events(TOKEN * 500))


async def main() -> None:
    """Serve until killed."""

    async def talk(visit: Visit) -> None:
        await BEHAVIOURS[visit.path](visit)

    async with scripted(talk) as server:
        print(server.port, flush=True)  # noqa: T201 - whoever started this reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
