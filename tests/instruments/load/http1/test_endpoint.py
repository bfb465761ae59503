"""Opening connections: TLS, names with several addresses, and the limits of this machine."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager

import psutil
import pytest
import uvloop

from app.instruments.load.http1.endpoint import Endpoint, own_limit
from app.instruments.origins import Origin
from tests.instruments.load.loads import GOOD, a_target, answers, load
from tests.instruments.servers import free_port, scripted


@asynccontextmanager
async def encrypted(certificate):
    """A server that answers over TLS, keep-alive."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    async def talk(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD.encode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_service_behind_tls_is_measured(certificate):
    async def main():
        trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
        async with encrypted(certificate) as url:
            return (await load(a_target(url), driver={"tls": trusting})).summary

    summary = uvloop.run(main())
    assert summary.failed == 0
    assert summary.successful > 4


def test_a_certificate_that_nobody_vouches_for_is_a_failure_of_kind_tls(certificate):
    async def main():
        async with encrypted(certificate) as url:
            return (await load(a_target(url), users=1)).summary

    summary = uvloop.run(main())
    assert summary.failures == {"tls": summary.total_requests}
    assert "certificate" in summary.failure_examples["tls"]


def test_a_certificate_for_another_name_is_a_failure_of_kind_tls(certified):
    folder = certified("DNS:other.example")

    async def main():
        trusting = ssl.create_default_context(cafile=folder / "cert.pem")
        async with encrypted(folder) as url:
            return (await load(a_target(url), users=1, driver={"tls": trusting})).summary

    summary = uvloop.run(main())
    assert summary.failures == {"tls": summary.total_requests}
    assert "127.0.0.1" in summary.failure_examples["tls"]


def test_a_server_that_never_shakes_hands_times_out_and_leaves_no_socket(certificate):
    async def main():
        async with scripted(answers()) as server:  # waits for a head that never ends
            told = await load(a_target(f"https://127.0.0.1:{server.port}"), users=2, timeout_s=0.4)
            await asyncio.sleep(0.05)
            return told.summary, psutil.Process().net_connections("tcp"), server.port

    summary, sockets, port = uvloop.run(main())
    assert summary.failures == {"timeout": summary.total_requests}
    assert not [socket for socket in sockets if socket.raddr and socket.raddr.port == port]


def test_plain_http_where_tls_is_expected_is_a_failure_of_kind_tls():
    async def main():
        async def plain(reader, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return (await load(a_target(f"https://127.0.0.1:{port}"), users=1)).summary

    summary = uvloop.run(main())
    assert summary.failures == {"tls": summary.total_requests}


def test_a_name_with_several_addresses_reaches_the_one_that_listens():
    async def main():
        async with scripted(answers()) as server:
            return (await load(a_target(f"http://localhost:{server.port}"))).summary

    assert uvloop.run(main()).failed == 0


def test_running_out_of_open_files_is_no_fault_of_the_service():
    program = f"""
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}))
from tests.instruments.load.loads import a_target, load
from tests.instruments.servers import scripted

async def main():
    async def talk(visit):
        await asyncio.sleep(60)
    async with scripted(talk) as server:
        await load(a_target(server.url), users=200, think_time_ms=0)

asyncio.run(main())
"""
    environment = os.environ | {"PYTHONPATH": os.getcwd()}  # noqa: PTH109 - pytest runs at the root
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert "InstrumentFailure: This machine ran out of open files" in ended.stderr


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EADDRNOTAVAIL, "local ports"), (errno.ENOBUFS, "buffers")]
)
def test_other_own_limits_are_named(code, words):
    assert words in own_limit(OSError(code, os.strerror(code))).reason
    assert own_limit(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None


def test_a_connection_takes_the_protocol_it_is_given():
    async def main():
        async with scripted(answers()) as server:
            endpoint = Endpoint(Origin("http", "127.0.0.1", server.port))
            protocol = await endpoint.connect(asyncio.Protocol)
            assert isinstance(protocol, asyncio.Protocol)
        with pytest.raises(OSError, match="refused|Connect"):
            await Endpoint(Origin("http", "127.0.0.1", free_port())).connect(asyncio.Protocol)

    uvloop.run(main())
