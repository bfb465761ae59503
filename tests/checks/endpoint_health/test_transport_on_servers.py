"""endpoint_health.transport on real servers with real certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.tls import TlsHandshakes
from app.instruments.toolbox import Hooks, Toolbox
from checks.contract import Outcome, Reply, Target
from checks.endpoint_health import transport
from tests.checks.scripted import TINY, ScriptedHttp, ScriptedInstruments, judge, loaded, measure
from tests.instruments.tls_servers import Authority, allowing, secured

HEADERS = {"x-content-type-options": "nosniff"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("authority"))


class Polite(ScriptedHttp):
    """Replies as a sound service does: what is tried here are the handshakes."""

    async def send(self, request, **_):
        return Reply(request.url, 200, HEADERS)


def measured(authority: Authority, context: ssl.SSLContext):
    with secured(context) as port:
        target = Target(url=f"https://127.0.0.1:{port}")
        tls = TlsHandshakes(target, authority.trusted)
        return measure(transport, target, ScriptedInstruments(http=Polite({}), tls=tls))


@pytest.mark.parametrize(
    ("made", "outcome", "words"),
    [
        ({}, Outcome.PASS, "TLSv1.3, with a certificate for 89\u00a0days more"),
        ({"begins_days": -95, "ends_days": -5}, Outcome.FAIL, "ended 5\u00a0days ago"),
        ({"begins_days": -80, "ends_days": 10}, Outcome.FAIL, "ends in 10\u00a0days"),
        ({"begins_days": -70, "ends_days": 20}, Outcome.WARN, "ends in 20\u00a0days"),
        ({"begins_days": -1, "ends_days": 6}, Outcome.PASS, "for 6\u00a0days more"),
        ({"name": "DNS:shop.example"}, Outcome.FAIL, "another name (shop.example)"),
        ({"signed": False}, Outcome.FAIL, "not trusted: self-signed certificate"),
    ],
    ids=["sound", "expired", "ends soon", "ends", "short-lived and new", "wrong name", "self-signed"],
)
def test_a_certificate_is_judged_as_clients_would(authority, made, outcome, words):
    finding = measured(authority, authority.certificate(**made))
    assert (finding.outcome, words in finding.reason) == (outcome, True), finding.reason


@pytest.mark.parametrize("least", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_version_that_is_agreed_to_fails(authority, least):
    finding = measured(authority, allowing(authority.certificate(), least))
    assert finding.outcome is Outcome.FAIL
    assert "TLS 1.1, which RFC 8996 forbids" in finding.reason


def test_a_service_whose_certificate_nobody_vouches_for_is_failed_with_the_instruments_of_a_run(
    authority: Authority, tmp_path: Path
):
    with secured(authority.certificate(signed=False)) as port:
        target = Target(url=f"https://127.0.0.1:{port}")
        hooks = Hooks(lambda _: None, lambda _: None, lambda _: None, lambda *_: None)
        toolbox = Toolbox(
            target, TINY, policy=Policy(), seed=1, hooks=hooks, ledger=Ledger(tmp_path / "levers"),
            samples_folder=None, environment={},
        )  # fmt: skip

        async def gathered():
            async with toolbox.open(loaded("endpoint_health.transport")) as instruments:
                return await transport.gather(target, instruments)

        finding = judge(transport, asyncio.run(gathered()), target)
    assert finding.outcome is Outcome.FAIL
    assert "not trusted" in finding.reason
    assert f"openssl s_client -connect 127.0.0.1:{port}" in finding.reproduce
