"""Servers that speak TLS with certificates made for the purpose: valid, expired, for another name."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CONFIG = """
[ca]
default_ca = mine
[mine]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests' own, in a folder."""

    folder: Path

    @classmethod
    def made_in(cls, folder: Path) -> Authority:
        """Make one, or skip the test where there is no openssl."""
        if shutil.which("openssl") is None:
            pytest.skip("no openssl to make certificates with")
        (folder / "ca.cnf").write_text(CONFIG)
        (folder / "index.txt").touch()
        _run(folder, "req", "-x509", *EC, "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
        return cls(folder)

    @property
    def trusted(self) -> ssl.SSLContext:
        """Trusts this authority alone, whatever the name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.folder / "ca.pem")
        return context

    def certificate(
        self,
        name: str = "IP:127.0.0.1",
        *,
        begins_days: float = -1,
        ends_days: float = 89,
        signed: bool = True,
    ) -> ssl.SSLContext:
        """A server's context with a certificate from ``begins_days`` to ``ends_days`` from now."""
        stem = f"{name.replace(':', '-')}_{begins_days}_{ends_days}_{signed}"
        subject = ("-subj", "/CN=service", "-addext", f"subjectAltName={name}", "-keyout", f"{stem}.key")
        if signed:
            _run(self.folder, "req", *EC, *subject, "-out", f"{stem}.csr")
            dates = ("-startdate", _date(begins_days), "-enddate", _date(ends_days))
            signer = ("-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-batch", "-notext")
            _run(self.folder, "ca", *signer, *dates, "-in", f"{stem}.csr", "-out", f"{stem}.pem")
        else:
            _run(self.folder, "req", "-x509", *EC, *subject, "-out", f"{stem}.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        return context


def allowing(
    context: ssl.SSLContext, least: ssl.TLSVersion, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """The same context with these versions, and ciphers old enough for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = least, most
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@contextmanager
def secured(context: ssl.SSLContext) -> Iterator[int]:
    """A server that answers each connection with 200, and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                plain, _ = listener.accept()
                plain.settimeout(5)
                with plain, context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65_536)
                    secure.sendall(REPLY)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _date(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d%H%M%SZ}"


def _run(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
