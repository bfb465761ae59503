"""Bodies that no HTTP client sends, against servers that answer amid them, late, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.instruments.bodies import RawBodies
from checks.contract import BodyPlan, BodyReply, FailureKind, InstrumentFailure, Request, Target
from tests.instruments.servers import free_port, wire_to

ASK = Request("POST", "/ask", {"Content-Type": "application/json"}, b'{"q": 1}')
MB = 1 << 20
REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def sent(serve: Serve, plan: BodyPlan, request: Request = ASK, timeout_s: float = 5.0) -> BodyReply:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with wire_to(Target(url=f"http://127.0.0.1:{port}")) as wire:
            return await RawBodies(wire).send(request, plan, timeout_s=timeout_s)


def answering(reply: bytes, *, after: bytes = b"\r\n\r\n", got: list[bytes] | None = None) -> Serve:
    """Replies once ``after`` has come; what came until then goes to ``got``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came = b""
        while after not in came:
            came += await reader.read(65_536)
        if got is not None:
            got.append(came)
        writer.write(reply)
        await writer.drain()

    return serve


async def test_a_whole_body_is_filled_up_before_the_requests_own():
    got: list[bytes] = []
    reply = await sent(
        answering(REFUSAL, after=b'{"q": 1}', got=got),
        BodyPlan(before=b"  ", filler=b"\n ", filler_bytes=50_001),
    )
    head, _, body = got[0].partition(b"\r\n\r\n")
    assert b"Content-Length: 50011" in head
    assert b"transfer-encoding" not in head.lower()
    assert body == b"  " + b"\n " * 25_000 + b"\n" + b'{"q": 1}'
    assert (reply.status, reply.whole, reply.sent_bytes, reply.body) == (413, True, 50_011, b"long")
    assert reply.headers["connection"] == "close"


async def test_chunks_announce_no_length_and_end():
    got: list[bytes] = []
    reply = await sent(
        answering(REFUSAL, after=b"0\r\n\r\n", got=got), BodyPlan(filler_bytes=40_000, chunked=True)
    )
    assert b"Transfer-Encoding: chunked" in got[0]
    assert b"content-length" not in got[0].lower()
    assert (reply.status, reply.whole) == (413, True)


async def test_a_refusal_of_the_announced_length_costs_no_byte_of_body():
    got: list[bytes] = []
    reply = await sent(answering(REFUSAL, got=got), BodyPlan(filler_bytes=100 * MB, pauses=((0, 2.0),)))
    assert (reply.status, reply.sent_bytes, reply.whole) == (413, 0, False)
    assert got[0].endswith(b"\r\n\r\n")
    assert reply.elapsed_ms < 1500


async def test_a_refusal_amid_the_body_ends_the_sending():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(300_000)
        writer.write(REFUSAL)
        await writer.drain()

    reply = await sent(serve, BodyPlan(filler_bytes=50 * MB, chunked=True, pauses=((400_000, 2.0),)))
    assert (reply.status, reply.whole) == (413, False)
    assert 200_000 < reply.sent_bytes <= 400_000


@pytest.mark.parametrize("pauses", [(), ((0, 0.2), (70_000, 0.2))])
async def test_a_refusal_is_seen_though_the_connection_is_reset_right_after_it(pauses):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(REFUSAL)
        await writer.drain()  # closed with unread data, which the kernel answers with a reset

    for _ in range(10):
        reply = await sent(serve, BodyPlan(filler_bytes=20 * MB, pauses=pauses))
        assert reply.status == 413, reply


async def test_half_a_body_is_all_that_is_sent_and_the_reply_is_waited_for():
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4))
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    reply = await sent(serve, BodyPlan(stop_after=4))
    assert got[0].endswith(b'\r\n\r\n{"q"')
    assert b"Content-Length: 8" in got[0]
    assert (reply.status, reply.sent_bytes, reply.whole) == (408, 4, False)
    assert reply.elapsed_ms > 290


async def test_a_connection_that_is_closed_without_a_reply():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"q": 1}')

    for plan in (BodyPlan(), BodyPlan(chunked=True)):
        reply = await sent(serve, plan)
        assert (reply.status, reply.failure.kind) == (None, FailureKind.RESET)


async def test_silence_ends_with_the_time_and_says_what_was_sent():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    reply = await sent(serve, BodyPlan(stop_after=4), timeout_s=0.3)
    assert reply.failure.kind is FailureKind.TIMEOUT
    assert "4 bytes" in reply.failure.detail
    reply = await sent(serve, BodyPlan(filler_bytes=100 * MB), timeout_s=0.3)  # who reads nothing stops us
    assert reply.failure.kind is FailureKind.TIMEOUT
    assert reply.sent_bytes < 100 * MB


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"what?\r\n\r\n", FailureKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", FailureKind.PROTOCOL),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000, FailureKind.RESET),
        (b"HTTP/1.1 200 " + b"x" * 200_000, FailureKind.PROTOCOL),
        (b"", FailureKind.RESET),
    ],
)
async def test_nonsense_for_a_reply_is_a_failure_in_words(reply, kind):
    got = await sent(answering(reply), BodyPlan())
    assert (got.status, got.failure.kind) == (None, kind)


async def test_an_endless_reply_is_kept_in_bounds():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 500 + b"\r\n")
        while not writer.is_closing():
            writer.write(b"y" * 65_536)
            await writer.drain()

    reply = await sent(serve, BodyPlan())
    assert (reply.status, len(reply.body)) == (200, 65_536)


async def test_a_storm_of_interim_replies_ends_with_the_time():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)
            await writer.drain()

    reply = await sent(serve, BodyPlan(), timeout_s=0.5)
    assert reply.failure.kind is FailureKind.TIMEOUT


async def test_a_reply_whose_end_never_comes_is_told_by_its_status():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\nno")
        await asyncio.sleep(20)

    reply = await sent(serve, BodyPlan())
    assert (reply.status, reply.body, reply.failure) == (400, b"no", None)


async def test_nobody_listens():
    async with wire_to(Target(url=f"http://127.0.0.1:{free_port()}")) as wire:
        reply = await RawBodies(wire).send(ASK, BodyPlan())
    assert reply.failure.kind is FailureKind.REFUSED


async def test_it_goes_only_where_probes_may_go():
    async with wire_to(Target(url="http://127.0.0.1:1"), reading=True) as wire:
        with pytest.raises(InstrumentFailure, match="only read"):
            await RawBodies(wire).send(ASK, BodyPlan())
        with pytest.raises(InstrumentFailure, match="not declared"):
            await RawBodies(wire).send(Request("GET", "http://127.0.0.2:1/"), BodyPlan())


async def test_a_secret_is_sent_and_hidden_in_what_comes_back():
    got: list[bytes] = []
    headers = {"Content-Type": "application/json", "X-Key": "${KEY}"}
    echo = b"HTTP/1.1 401 No\r\nX-Was: s3cret-value\r\nContent-Length: 12\r\n\r\ns3cret-value"

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(echo, got=got)(reader, writer)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        target = Target(url=url, ask={"path": "/ask", "headers": headers})
        async with wire_to(target, {"KEY": "s3cret-value"}) as wire:
            reply = await RawBodies(wire).send(Request("POST", "/ask", headers, b"{}"), BodyPlan())
    assert b"X-Key: s3cret-value" in got[0]
    assert (reply.body, reply.headers["x-was"]) == (b"$KEY", "$KEY")


async def test_being_cancelled_ends_the_thread_too():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await sent(serve, BodyPlan(stop_after=4), timeout_s=60)
    await loop.shutdown_default_executor()
    assert loop.time() - began < 5
