"""What handshakes show of a service's TLS: its version, whom its certificate convinces, and how long.

Each question has a handshake of its own, since one that fails says nothing else. OpenSSL answers them all;
nothing here parses a certificate.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
import warnings
from time import monotonic, time
from typing import Any

import httpx

from app.instruments.failures import failure_of, one_line
from app.instruments.origins import Origin
from checks.contract import Target, TlsFacts

HANDSHAKE_S = 5.0
TOTAL_S = 20.0
DAY_S = 86_400
MAX_NAMES = 20
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name
WRONG_NAME = (62, 63, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, of a mail address, of an IP address
EVERY_CIPHER = "ALL:@SECLEVEL=0"  # also what is weak: whether the service agrees is the question
OLD_VERSIONS = {"TLS 1.0": ssl.TLSVersion.TLSv1, "TLS 1.1": ssl.TLSVersion.TLSv1_1}


class TlsHandshakes:
    """Shakes hands with the target. ``trusted`` holds whom this machine trusts, for tests another."""

    def __init__(self, target: Target, trusted: ssl.SSLContext | None = None) -> None:
        self._origin = Origin.of(target.url)
        self._trusted = trusted
        self._ends_at = 0.0

    async def look(self) -> TlsFacts:
        """The facts now, within TOTAL_S. For a target without TLS it is a ``failure`` that there is none."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> TlsFacts:
        self._ends_at = monotonic() + TOTAL_S
        try:
            version, certificate = self._shake(_lenient(), _version_and_certificate)
        except (OSError, ValueError) as error:
            return TlsFacts(failure=failure_of(error))
        pinned = _pinned(certificate)
        old = {name: self._agrees_to(version) for name, version in OLD_VERSIONS.items()}
        facts = TlsFacts(
            version=version,
            distrust=self._distrust(),
            name_matches=self._name_matches(_pinned(certificate, name=True)),
            old_versions=tuple(name for name, agreed in old.items() if agreed),
            untried=tuple(name for name, agreed in old.items() if agreed is None),
        )
        try:
            about = self._shake(pinned, ssl.SSLSocket.getpeercert) or {}
        except (OSError, ValueError):  # so odd that OpenSSL cannot take it for its own issuer
            return facts
        return _with_certificate(facts, about)

    def _shake(self, context: ssl.SSLContext, read: Any) -> Any:
        """What ``read`` makes of a finished handshake. Raises OSError, of which ssl's errors are a kind."""
        left_s = min(HANDSHAKE_S, self._ends_at - monotonic())
        if left_s <= 0:
            raise TimeoutError(f"no end within {TOTAL_S:g} s")
        address = (self._origin.host, self._origin.port)
        with (
            socket.create_connection(address, left_s) as plain,
            context.wrap_socket(plain, server_hostname=self._origin.host) as secure,
        ):
            return read(secure)

    def _distrust(self) -> str:
        context = self._trusted or _trusting()
        try:
            self._shake(context, ssl.SSLSocket.version)
        except ssl.SSLCertVerificationError as error:
            return one_line(str(error.verify_message))
        except (OSError, ValueError) as error:
            return failure_of(error).detail
        return ""

    def _name_matches(self, pinned: ssl.SSLContext) -> bool | None:
        try:
            self._shake(pinned, ssl.SSLSocket.version)
        except ssl.SSLCertVerificationError as error:
            return False if error.verify_code in WRONG_NAME else None
        except (OSError, ValueError):
            return None
        return True

    def _agrees_to(self, version: ssl.TLSVersion) -> bool | None:
        """Whether the service takes this version; None where this machine cannot offer it."""
        context = _only(version)
        if context is None:
            return None
        try:
            return bool(self._shake(context, ssl.SSLSocket.version))
        except (OSError, ValueError):
            return False


def _trusting() -> ssl.SSLContext:
    """Whom the probes trust, whatever the name: that is a question of its own."""
    context = httpx.create_ssl_context(trust_env=False)
    context.check_hostname = False
    return context


def _lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(EVERY_CIPHER)
    return context


def _only(version: ssl.TLSVersion) -> ssl.SSLContext | None:
    context = _lenient()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            context.minimum_version = context.maximum_version = version
    except ValueError:  # built without it
        return None
    return context


def _pinned(certificate: bytes, *, name: bool = False) -> ssl.SSLContext:
    """Trusts this one certificate, out of date or not, so that OpenSSL says what it holds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(EVERY_CIPHER)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(NO_CHECK_TIME)
    context.load_verify_locations(cadata=certificate)
    return context


def _version_and_certificate(secure: ssl.SSLSocket) -> tuple[str, bytes]:
    return secure.version() or "", secure.getpeercert(binary_form=True) or b""


def _with_certificate(facts: TlsFacts, about: dict[str, Any]) -> TlsFacts:
    names = tuple(one_line(str(value)) for _, value in about.get("subjectAltName", ()))[:MAX_NAMES]
    try:
        begins, ends = (ssl.cert_time_to_seconds(about[key]) for key in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        return dataclasses.replace(facts, names=names)
    return dataclasses.replace(
        facts,
        names=names,
        days_left=round((ends - time()) / DAY_S, 2),
        life_days=round((ends - begins) / DAY_S, 2),
    )
