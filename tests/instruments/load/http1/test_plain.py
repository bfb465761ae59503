"""Plain sockets in one epoll set: what a protocol sees of them, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest
import uvloop

from app.instruments.load.http1 import endpoint
from app.instruments.load.http1.endpoint import Endpoint
from app.instruments.load.http1.plain import AVAILABLE, READ_BYTES, PlainSockets, TimedProtocol, refuse_itself
from app.instruments.origins import Origin
from tests.instruments.load.loads import a_target, answers, load
from tests.instruments.servers import scripted

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this system has no epoll; the event loop's own serve")
WAIT_S = 20


class Ear(TimedProtocol):
    """Notes what it is told. ``on_data`` is called with each piece."""

    def __init__(self, on_data=lambda ear: None):
        super().__init__()
        self.made = self.data = b""
        self.lost = []
        self.over = asyncio.get_running_loop().create_future()
        self.on_data = on_data

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data, came_at=0.0):
        self.data += data
        self.came_at = came_at
        self.on_data(self)

    def connection_lost(self, exc):
        self.lost.append(exc)
        if not self.over.done():
            self.over.set_result(exc)


@asynccontextmanager
async def served(talk, family=socket.AF_INET, host="127.0.0.1"):
    """A server that runs ``talk`` for each connection, and the sockets that lead to it."""
    server = await asyncio.start_server(talk, host, 0, family=family, limit=2**20)
    sockets = PlainSockets()
    try:
        yield sockets, server.sockets[0].getsockname()[1]
    finally:
        sockets.close()
        server.close()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def echo(reader, writer):
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def eventually(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - a condition of the socket, which sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_what_is_written_arrives_and_what_comes_back_is_received(family, host):
    async def main():
        async with served(echo, family, host) as (sockets, port):
            ear = await sockets.connect(Ear, host, port)
            ear.transport.write(b"hello")
            await eventually(lambda: ear.data == b"hello")
            assert ear.lost == []

    try:
        socket.socket(family).bind((host, 0))
    except OSError:
        pytest.skip("this machine has no such address")
    uvloop.run(main())


def test_a_round_reads_all_that_came_then_lets_it_be_used_then_sends_and_each_step_has_its_own_time():
    async def main():
        used_at, asked = [], []

        def ask_again(ear):
            used_at.append(perf_counter())
            ear.transport.write(b"again")

        with socket.create_server(("127.0.0.1", 0)) as server:
            sockets = PlainSockets()
            ears = [await sockets.connect(lambda: Ear(ask_again), *server.getsockname()) for _ in range(20)]
            asked += [server.accept()[0] for _ in ears]
            for there in asked:
                there.sendall(b"x")
            await eventually(lambda: len(used_at) == 20)
            came_at, sent_at = [ear.came_at for ear in ears], [ear.sent_at for ear in ears]
            assert max(came_at) <= min(used_at) < max(used_at) <= min(sent_at)
            assert len(set(came_at)) == len(set(sent_at)) == 20
            assert [there.recv(10) for there in asked] == [b"again"] * 20
            sockets.close()
        for there in asked:
            there.close()

    uvloop.run(main())


def test_a_request_that_the_kernel_does_not_take_at_once_is_sent_as_it_does():
    body = os.urandom(1 << 20) * 12

    async def main():
        got = bytearray()

        async def slow(reader, writer):
            await asyncio.sleep(0.2)
            while len(got) < len(body) + 3:
                got.extend(await reader.read(65_536))
            writer.write(b"done")
            await writer.drain()

        async with served(slow) as (sockets, port):
            ear = await sockets.connect(Ear, "127.0.0.1", port)
            ear.transport.write(body)
            ear.transport.write(b"end")
            await eventually(lambda: ear.data == b"done")
            assert bytes(got) == body + b"end"

    uvloop.run(main())


def test_a_reply_larger_than_a_read_comes_in_pieces_and_whole():
    async def main():
        sent = os.urandom(READ_BYTES * 5 + 7)

        async def talk(_reader, writer):
            writer.write(sent)
            await writer.drain()
            writer.close()

        async with served(talk) as (sockets, port):
            ear = await sockets.connect(Ear, "127.0.0.1", port)
            assert await asyncio.wait_for(ear.over, WAIT_S) is None
            assert ear.data == sent

    uvloop.run(main())


def test_a_reset_is_told_with_its_error_and_an_end_without():
    async def main():
        async def reset(_reader, writer):
            writer.transport.abort()

        async def linger(_reader, writer):
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            writer.transport.abort()

        async with served(linger) as (sockets, port):
            ear = await sockets.connect(Ear, "127.0.0.1", port)
            assert isinstance(await asyncio.wait_for(ear.over, WAIT_S), ConnectionResetError)
        async with served(reset) as (sockets, port):
            ear = await sockets.connect(Ear, "127.0.0.1", port)
            assert await asyncio.wait_for(ear.over, WAIT_S) is None

    asyncio.run(main())


def test_a_protocol_that_fails_loses_its_connection_and_hears_of_its_own_error():
    async def main():
        def bug(_ear):
            raise ZeroDivisionError

        async with served(echo) as (sockets, port):
            ear = await sockets.connect(lambda: Ear(bug), "127.0.0.1", port)
            ear.transport.write(b"x")
            assert isinstance(await asyncio.wait_for(ear.over, WAIT_S), ZeroDivisionError)
            assert ear.transport.is_closing()

    uvloop.run(main())


def test_one_connection_may_close_others_in_the_round_in_which_all_have_data():
    async def main():
        async with served(echo) as (sockets, port):
            ears = []

            def close_all_others(mine):
                for ear in ears:
                    if ear is not mine and not ear.transport.is_closing():
                        ear.transport.abort()

            ears += [
                await sockets.connect(lambda: Ear(close_all_others), "127.0.0.1", port) for _ in range(30)
            ]
            for ear in ears:
                ear.transport.write(b"x")
            await eventually(lambda: sum(not ear.transport.is_closing() for ear in ears) == 1)
            await asyncio.sleep(0.1)
            assert sum(bool(ear.data) for ear in ears) == 1

    uvloop.run(main())


def test_a_port_that_nobody_listens_on_is_refused_and_leaves_no_descriptor_behind():
    async def main():
        sockets = PlainSockets()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            before = descriptors()
            for _ in range(20):
                with pytest.raises(ConnectionRefusedError):
                    await sockets.connect(Ear, "127.0.0.1", free.getsockname()[1])
            assert descriptors() <= before
        sockets.close()

    uvloop.run(main())


def test_a_connection_that_met_itself_is_refused_and_one_to_a_server_is_not():
    with socket.socket() as alone, socket.create_server(("127.0.0.1", 0)) as server:
        alone.bind(("127.0.0.1", 0))
        alone.connect(alone.getsockname())
        with pytest.raises(ConnectionRefusedError, match="met itself"):
            refuse_itself(alone)
        with socket.create_connection(server.getsockname()) as calling:
            refuse_itself(calling)


def test_closing_closes_every_socket():
    async def main():
        before = descriptors()
        async with served(echo) as (sockets, port):
            ears = [await sockets.connect(Ear, "127.0.0.1", port) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert all(ear.transport.is_closing() for ear in ears)
        assert descriptors() <= before + 2

    uvloop.run(main())


@pytest.mark.parametrize("own", [True, False])
def test_a_load_is_the_same_over_the_event_loops_own_transports(monkeypatch, own):
    monkeypatch.setattr(endpoint, "AVAILABLE", own)

    async def main():
        async with scripted(answers()) as server:
            return await load(a_target(server.url), users=5, duration_s=0.5)

    summary = uvloop.run(main()).summary
    assert summary.successful == summary.total_requests > 20


def test_an_endpoint_closes_what_it_opened():
    async def main():
        async with scripted(answers()) as server:
            there = Endpoint(Origin("http", "127.0.0.1", server.port))
            ear = await there.connect(Ear)
            there.close()
            assert ear.transport.is_closing()

    uvloop.run(main())
