"""What tests of the load driver share: certificates, and a service that misbehaves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instruments.load.serving import serving


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``certified("IP:127.0.0.1")``: a folder with key.pem and a cert.pem for that name that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp("tls")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            f"-subj /CN=tried -addext subjectAltName={name} -keyout key.pem -out cert.pem"
        )
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        return folder

    return make


@pytest.fixture(scope="session")
def certificate(certified: Callable[[str], Path]) -> Path:
    """A certificate for 127.0.0.1 that signs itself."""
    return certified("IP:127.0.0.1")


@pytest.fixture(scope="session")
def hostile() -> Iterator[str]:
    """Where a service of tests/instruments/load/hostile.py listens."""
    with serving("tests.instruments.load.hostile") as url:
        yield url
