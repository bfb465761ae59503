"""Probes over HTTP against real servers, kind and unkind."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from app.instruments.http import KEPT_BYTES, HttpProbe
from app.instruments.manners import USER_AGENT
from app.instruments.wire import MAX_HEADER_CHARS, MAX_HEADERS, STALE_S
from checks.contract import FailureKind, InstrumentFailure, Reply, Request, Target
from tests.instruments.servers import Talk, Visit, free_port, scripted, wire_to

GENEROUS_S = 20.0


async def reply_to(talk: Talk, request: Request | None = None, timeout_s: float = GENEROUS_S) -> Reply:
    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        return await HttpProbe(wire).send(request or Request(), timeout_s=timeout_s)


async def test_a_reply_comes_back_whole_with_lower_case_headers_and_its_time():
    async def talk(visit: Visit) -> None:
        await visit.reply('{"answer": 42}', 201, X_Build="seven", Content_Type="application/json")

    reply = await reply_to(talk)
    assert (reply.status, reply.document(), reply.failure) == (201, {"answer": 42}, None)
    assert reply.headers["x-build"] == "seven"
    assert reply.elapsed_ms > 0
    assert not reply.truncated


async def test_the_request_arrives_as_it_was_made():
    seen: list[Visit] = []

    async def talk(visit: Visit) -> None:
        seen.append(visit)
        await visit.reply()

    body = b'{"q": "\xff"}'
    await reply_to(talk, Request("PUT", "/a?b=c", {"X-One": "1", "User-Agent": "own"}, body))
    await reply_to(talk, Request())
    put, get = seen
    assert (put.method, put.path, put.body) == ("PUT", "/a?b=c", body)
    assert (put.headers["x-one"], put.headers["user-agent"]) == ("1", "own")
    assert (get.headers["user-agent"], get.headers["accept-encoding"]) == (USER_AGENT, "identity")


async def test_a_refused_connection_is_a_failure_of_kind_refused():
    async with wire_to(Target(url=f"http://127.0.0.1:{free_port()}")) as wire:
        reply = await HttpProbe(wire).send(Request())
    assert reply.status is None
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.REFUSED
    assert "refused" in reply.failure.detail


async def test_an_unknown_host_is_a_failure_of_kind_dns():
    async with wire_to(Target(url="http://no-such-host.invalid")) as wire:
        reply = await HttpProbe(wire).send(Request(), timeout_s=GENEROUS_S)
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.DNS


async def test_tls_towards_a_plain_server_is_a_failure_of_kind_tls():
    async def talk(visit: Visit) -> None:
        await visit.reply()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, wire_to(Target(url=f"https://127.0.0.1:{port}")) as wire:
        reply = await HttpProbe(wire).send(Request())
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.TLS


async def test_a_body_of_the_limit_is_whole_and_one_byte_more_is_truncated():
    async def talk(visit: Visit) -> None:
        await visit.reply(b"x" * (KEPT_BYTES + (visit.path == "/more")))

    whole, more = await reply_to(talk, Request()), await reply_to(talk, Request(url="/more"))
    assert (len(whole.body), whole.truncated) == (KEPT_BYTES, False)
    assert (len(more.body), more.truncated, more.failure) == (KEPT_BYTES, True, None)


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", lambda data: data),
    ],
)
async def test_a_compressed_body_that_nobody_asked_for_is_read_all_the_same(encoding, squeeze):
    async def talk(visit: Visit) -> None:
        await visit.reply(squeeze(b"hello " * 1000), Content_Encoding=encoding)

    assert (await reply_to(talk)).body == b"hello " * 1000


async def test_a_reply_that_breaks_off_keeps_what_came_beside_its_failure():
    async def talk(visit: Visit) -> None:
        await visit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(0.05)
        visit.reset()

    reply = await reply_to(talk)
    assert (reply.status, reply.body) == (200, b"half")
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.RESET


async def test_a_timeout_says_how_far_the_reply_came():
    async def talk(visit: Visit) -> None:
        await visit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(GENEROUS_S)

    reply = await reply_to(talk, timeout_s=0.3)
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.TIMEOUT
    assert reply.failure.detail == "status 200 and 4 bytes, but not the whole reply, within 0.3 s"


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(307, "POST", b"q"), (308, "POST", b"q"), (303, "GET", b""), (302, "GET", b"")],
)
async def test_a_redirect_within_the_target_is_followed_as_browsers_do(status, method, body):
    async def talk(visit: Visit) -> None:
        if visit.path == "/from":
            await visit.reply(b"", status, Location="/to/there")
        else:
            await visit.reply(f"{visit.method} {visit.path} {visit.body.decode()}")

    reply = await reply_to(talk, Request("POST", "/from", {}, b"q"))
    assert reply.text == f"{method} /to/there {body.decode()}"
    assert reply.url.endswith("/to/there")


@pytest.mark.parametrize(
    "place", ["http://example.com/", "//example.com/x", "https://127.0.0.1/", "file:///etc/passwd"]
)
async def test_a_redirect_off_the_target_is_not_followed(place):
    async def talk(visit: Visit) -> None:
        await visit.reply("moved", 302, Location=place)

    reply = await reply_to(talk)
    assert reply.status == 302
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.REDIRECT


async def test_cookies_of_one_reply_do_not_come_with_the_next_request():
    async def talk(visit: Visit) -> None:
        await visit.reply(visit.headers.get("cookie", "none"), Set_Cookie="a=1")

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        http = HttpProbe(wire)
        assert [(await http.send(Request())).text for _ in range(2)] == ["none", "none"]


async def test_a_connection_is_kept_unless_a_fresh_one_is_asked_for():
    async def talk(visit: Visit) -> None:
        await visit.reply("x")

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        http = HttpProbe(wire)
        for fresh in (False, False, True, True):
            assert (await http.send(Request(), fresh_connection=fresh)).status == 200
        assert server.connections == 3


async def test_headers_are_bounded_in_number_and_length():
    async def talk(visit: Visit) -> None:
        many = "".join(f"X-{number}: {number}\r\n" for number in range(3000))
        await visit.write(
            f"HTTP/1.1 200 OK\r\nX-Long: {'y' * 20_000}\r\n{many}Content-Length: 0\r\n\r\n".encode()
        )

    reply = await reply_to(talk)
    assert reply.status == 200
    assert len(reply.headers) == MAX_HEADERS
    assert len(reply.headers["x-long"]) == MAX_HEADER_CHARS


async def test_headers_larger_than_the_parser_holds_are_too_large():
    async def talk(visit: Visit) -> None:
        await visit.write(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"y" * 300_000)

    reply = await reply_to(talk)
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.TOO_LARGE


async def test_only_declared_places_are_asked():
    async def talk(visit: Visit) -> None:
        await visit.reply("elsewhere")

    async with scripted(talk) as other:
        url = f"http://127.0.0.1:{free_port()}"
        async with wire_to(Target(url=url)) as wire:
            with pytest.raises(InstrumentFailure, match="not declared"):
                await HttpProbe(wire).send(Request(url=other.url + "/x"))
        async with wire_to(Target(url=url, health={"metrics": other.url + "/metrics"})) as wire:
            assert (await HttpProbe(wire).send(Request(url=other.url + "/x"))).text == "elsewhere"
        assert len(other.visits) == 1


async def test_a_wire_for_reading_refuses_other_methods_and_sends_nothing():
    async def talk(visit: Visit) -> None:
        await visit.reply("read")

    async with scripted(talk) as server, wire_to(Target(url=server.url), reading=True) as wire:
        http = HttpProbe(wire)
        assert (await http.send(Request())).text == "read"
        with pytest.raises(InstrumentFailure, match="only read"):
            await http.send(Request("DELETE"))
        assert [visit.method for visit in server.visits] == ["GET"]


async def test_a_kept_connection_that_was_closed_without_a_word_is_no_failure_of_the_next_request():
    async def talk(visit: Visit) -> None:
        await visit.reply("gone after this")
        visit.writer.close()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        probe = HttpProbe(wire)
        replies = [await probe.send(Request("POST", "/", {}, b"{}")) for _ in range(4)]
    assert [reply.failure for reply in replies] == [None] * 4
    assert (server.connections, len(server.visits)) == (4, 4)


async def test_a_crash_over_a_request_on_a_kept_connection_is_a_failure_and_is_not_sent_again():
    async def talk(visit: Visit) -> None:
        if visit.path == "/crash":
            await asyncio.sleep(2 * STALE_S)
            visit.reset()
        else:
            await visit.reply("fine")

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        probe = HttpProbe(wire)
        assert (await probe.send(Request())).text == "fine"
        reply = await probe.send(Request("POST", "/crash", {}, b"{}"))
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.RESET
    assert (server.connections, len(server.visits)) == (1, 2)


async def test_a_reset_on_a_connection_opened_for_the_request_is_a_failure_and_is_not_sent_again():
    async def talk(visit: Visit) -> None:
        visit.reset()

    async with scripted(talk) as server, wire_to(Target(url=server.url)) as wire:
        reply = await HttpProbe(wire).send(Request("POST", "/", {}, b"{}"))
    assert reply.failure is not None
    assert reply.failure.kind is FailureKind.RESET
    assert len(server.visits) == 1
