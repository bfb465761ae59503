"""What handshakes show, of real servers with real certificates."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from app.instruments.tls import TlsHandshakes
from checks.contract import FailureKind, Target, TlsFacts
from tests.instruments.servers import free_port
from tests.instruments.tls_servers import Authority, allowing, secured


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("authority"))


async def facts(authority: Authority, context: ssl.SSLContext, host: str = "127.0.0.1") -> TlsFacts:
    with secured(context) as port:
        target = Target(url=f"https://{host}:{port}")
        return await TlsHandshakes(target, authority.trusted).look()


async def test_a_good_certificate_and_modern_tls(authority):
    found = await facts(authority, authority.certificate())
    assert (found.failure, found.distrust, found.name_matches) == (None, "", True)
    assert found.version == "TLSv1.3"
    assert found.names == ("127.0.0.1",)
    assert found.days_left == pytest.approx(89, abs=0.1)
    assert found.life_days == pytest.approx(90, abs=0.1)
    assert found.old_versions == ()


async def test_an_expired_certificate_still_tells_what_it_holds(authority):
    found = await facts(authority, authority.certificate(begins_days=-90, ends_days=-2))
    assert found.distrust == "certificate has expired"
    assert found.name_matches is True
    assert found.days_left == pytest.approx(-2, abs=0.1)


async def test_a_certificate_that_is_not_valid_yet(authority):
    found = await facts(authority, authority.certificate(begins_days=3))
    assert "not yet valid" in found.distrust


async def test_a_certificate_for_another_name_is_trusted_and_does_not_match(authority):
    found = await facts(authority, authority.certificate("DNS:shop.example"))
    assert (found.distrust, found.name_matches, found.names) == ("", False, ("shop.example",))


async def test_a_host_name_matches_by_the_rules_of_openssl(authority):
    found = await facts(authority, authority.certificate("DNS:localhost"), host="localhost")
    assert found.name_matches is True


async def test_a_certificate_that_signs_itself_is_not_trusted(authority):
    found = await facts(authority, authority.certificate(signed=False))
    assert found.distrust.startswith("self-signed")
    assert found.name_matches is True
    assert found.days_left == pytest.approx(30, abs=0.1)


async def test_whom_the_probes_do_not_trust_is_not_trusted_here(authority):
    with secured(authority.certificate()) as port:
        found = await TlsHandshakes(Target(url=f"https://127.0.0.1:{port}")).look()
    assert found.distrust


@pytest.mark.parametrize(
    ("least", "old"),
    [
        (ssl.TLSVersion.TLSv1, ("TLS 1.0", "TLS 1.1")),
        (ssl.TLSVersion.TLSv1_1, ("TLS 1.1",)),
        (ssl.TLSVersion.TLSv1_2, ()),
    ],
)
async def test_versions_that_nobody_should_agree_to(authority, least, old):
    found = await facts(authority, allowing(authority.certificate(), least))
    assert found.untried == ()
    assert found.old_versions == old


async def test_a_server_that_knows_nothing_newer_is_looked_at_all_the_same(authority):
    only_old = allowing(authority.certificate(), ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    found = await facts(authority, only_old)
    assert found.version == "TLSv1.1"
    assert found.days_left == pytest.approx(89, abs=0.1)
    assert found.old_versions == ("TLS 1.0", "TLS 1.1")


async def test_a_server_without_tls_and_none_at_all_are_a_problem_in_words():
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await TlsHandshakes(Target(url=f"https://127.0.0.1:{port}")).look()
    assert found.failure.kind is FailureKind.TLS
    found = await TlsHandshakes(Target(url=f"https://127.0.0.1:{free_port()}")).look()
    assert found.failure.kind is FailureKind.REFUSED
